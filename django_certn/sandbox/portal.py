"""API keys of CertnCentric: a page for people, without script.

At Certn they are made in the Client Portal, under Integrations
(centric-api-docs.certn.co/reference/authentication.md).
"""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_certn.sandbox import api_keys, control
from django_certn.sandbox.pages import page, see

__all__ = ["key", "revoke", "tab"]


@require_http_methods(["GET", "POST"])
def tab(request: HttpRequest) -> HttpResponse:
    """Show the keys that live, and make one more."""
    if request.method == "GET":
        return page(
            request,
            "api_keys.html",
            keys=api_keys.as_list(),
            longest_name=api_keys.LONGEST_NAME,
        )
    try:
        name = control.parse_name(request.POST.get("name", ""))
    except control.BadRequestError as error:
        return page(request, "refused.html", status=400, error=error)
    return see(reverse("api-key", args=[api_keys.shown_once.put(api_keys.make(name))]))


@require_GET
def key(request: HttpRequest, ticket: str) -> HttpResponse:
    """Show a new key, once."""
    shown = api_keys.shown_once.take(ticket)
    return page(request, "api_key.html", status=200 if shown else 410, key=shown)


@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """End a key at once."""
    # Twice is as good as once: another tab of the browser may have done it.
    api_keys.revoke(request.POST.get("prefix", ""))
    return see(reverse("api-keys"))
