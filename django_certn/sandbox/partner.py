"""The Partner tab: a page for people, without script.

*Refresh keys* and the sentence that it asks to accept are those of Certn's dashboard, from
docs.certn.co/api/guides/use-the-api.
"""

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_certn.sandbox import control, faults, keys
from django_certn.sandbox.counters import pending
from django_certn.sandbox.journal import journal
from django_certn.sandbox.pages import page, see

__all__ = ["fault", "key", "refresh", "reset", "stylesheet", "tab"]

_LATEST = 10


@require_GET
def tab(request: HttpRequest) -> HttpResponse:
    """Show the Client ID, what goes wrong next, and what was asked last."""
    return page(
        request,
        "tab.html",
        client_id=keys.current_client_id(),
        faults=faults.FAULTS.values(),
        paths=faults.PATHS,
        most=control.MOST,
        pending=pending.as_list(),
        requests=journal.as_list()[: -_LATEST - 1 : -1],
    )


@require_http_methods(["GET", "POST"])
def refresh(request: HttpRequest) -> HttpResponse:
    """Ask whether the earlier key may be lost, and on OK make a new one."""
    if request.method == "GET":
        return page(request, "refresh.html", client_id=keys.current_client_id())
    new = keys.refresh(revoke_tokens="revoke_tokens" in request.POST)
    return see(reverse("key", args=[keys.shown_once.put(new)]))


@require_GET
def key(request: HttpRequest, ticket: str) -> HttpResponse:
    """Show a new key, once."""
    shown = keys.shown_once.take(ticket)
    return page(request, "key.html", status=200 if shown else 410, key=shown)


@require_POST
def fault(request: HttpRequest) -> HttpResponse:
    """Set a counted fault, or clear all of them."""
    if "clear" in request.POST:
        pending.replace([])
        return see(reverse("tab"))
    # A button sends one value: with the path in it, where there is but one.
    name, _, path = request.POST.get("fault", "").partition(" ")
    path = path or request.POST.get("path", "")
    count = request.POST.get("count", "")
    wanted = {"fault": name, "path": path, "count": int(count) if count.isdecimal() else count}
    try:
        pending.set(*control.parse_fault(wanted))
    except control.BadRequestError as error:
        return page(request, "refused.html", status=400, error=error)
    return see(reverse("tab"))


@require_POST
def reset(_request: HttpRequest) -> HttpResponse:
    """Forget everything."""
    control.reset_everything()
    return see(reverse("tab"))


@require_GET
def stylesheet(_request: HttpRequest) -> HttpResponse:
    """Return the page's one style sheet."""
    return HttpResponse(render_to_string("sandbox/style.css"), content_type="text/css")
