"""The one page: the users of the Certn account."""

from http import HTTPStatus
from typing import Any

import requests
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_certn.client import auth_headers
from django_certn.conf import conf
from django_certn.exceptions import CertnError, CredentialNotFoundError
from django_certn.models import CertnCredential
from django_certn.tokens import get_token, invalidate_token

# Seconds. Without a limit, `requests` waits for ever.
TIMEOUT = 10.0


class UnexpectedAnswerError(Exception):
    """What came from Certn is no list of users; the text says so, as a sentence."""


# People's names and addresses: for the site's own staff, and no copy stays in a browser's cache.
@require_safe
@staff_member_required
@never_cache
def users(request: HttpRequest) -> HttpResponse:
    """Show the users of the Certn account, or what is in the way and what to do about it."""
    try:
        people = fetch_users()
    except CredentialNotFoundError:
        return failure(request, "no_credential")
    except CertnError as error:
        # Every one of them is a sentence that may be shown: none holds a secret.
        return failure(request, "certn_error", error)
    except requests.RequestException:
        # Its text holds host and path, which is news to no staff and no help either.
        return failure(request, "no_answer")
    except UnexpectedAnswerError as error:
        return failure(request, "unexpected_answer", error)
    return render(request, "example/users.html", {"people": people})


def fetch_users() -> list[dict[str, Any]]:
    response = get_users()
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        # A token can die before its time: somebody refreshed the keys, say. It is dropped for all
        # processes, and the next one is asked for once.
        invalidate_token("default", get_token())
        response = get_users()
    if response.status_code != HTTPStatus.OK:
        raise UnexpectedAnswerError(f"Certn answered with the HTTP status {response.status_code}.")
    content = response.json()
    people = content.get("results") if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise UnexpectedAnswerError("Certn answered with something else than a list of users.")
    return people


def get_users() -> requests.Response:
    headers = auth_headers()
    # The token goes where its key belongs, whichever environment was chosen in the admin.
    credential = CertnCredential.objects.stored("default")
    url = conf.environment(credential.environment).base_url + "/api/v1/users/"
    return requests.get(url, headers=headers, timeout=TIMEOUT)


def failure(request: HttpRequest, kind: str, error: Exception | None = None) -> HttpResponse:
    # 503: whoever watches the site must not take this page for a good one.
    return render(
        request,
        "example/failure.html",
        {"kind": kind, "sentence": str(error or "")},
        status=HTTPStatus.SERVICE_UNAVAILABLE,
    )
