"""A page for each key: what the API has that the key is for."""

from typing import Any

import requests
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_certn.client import CertnSession
from django_certn.exceptions import CertnError, CredentialNotFoundError
from django_certn.models import CertnCredential


class UnexpectedAnswerError(Exception):
    """What came from Certn is no list; the text says so, as a sentence."""


# People's names and addresses: for the site's own staff, and no copy stays in a browser's cache.
@require_safe
@staff_member_required
@never_cache
def listing(request: HttpRequest, name: str) -> HttpResponse:
    """Show what the API has for the credential ``name``, or why it cannot be shown."""
    title, path = what_to_show(name)
    try:
        items = fetch(name, path)
    except CredentialNotFoundError:
        return failure(request, name, "no_credential")
    except CertnError as error:
        # Every one of them is a sentence that may be shown: none holds a secret.
        return failure(request, name, "certn_error", error)
    except requests.HTTPError as error:
        status = getattr(error.response, "status_code", "unknown")
        sentence = f"Certn answered with the HTTP status {status}."
        return failure(request, name, "certn_error", UnexpectedAnswerError(sentence))
    except requests.RequestException:
        # Its text holds host and path, which help nobody who reads this page.
        return failure(request, name, "no_answer")
    except UnexpectedAnswerError as error:
        return failure(request, name, "unexpected_answer", error)
    return render(request, "example/listing.html", {"name": name, "title": title, "items": items})


def what_to_show(name: str) -> tuple[str, str]:
    """Return the title and the path of what the API has that the key is for; its row decides."""
    # An API key has no Client ID.
    is_pair = CertnCredential.objects.filter(name=name).exclude(client_id="").exists()
    return ("Users", "/api/v1/users/") if is_pair else ("Cases", "/api/public/cases/")


def fetch(name: str, path: str) -> list[dict[str, Any]]:
    # The same for a pair and an API key: header, host and time limit are the session's business.
    with CertnSession(name) as certn:
        items: list[dict[str, Any]] = []
        for page in certn.pages(path):
            if not isinstance(page.get("results"), list):
                raise UnexpectedAnswerError("Certn answered with something else than a list.")
            items += page["results"]
    return items


def failure(
    request: HttpRequest, name: str, kind: str, error: Exception | None = None
) -> HttpResponse:
    # 503: whoever watches the site must not take this page for a good one.
    context = {"name": name, "kind": kind, "sentence": str(error or "")}
    return render(request, "example/failure.html", context, status=503)
