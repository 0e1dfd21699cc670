"""The OAuth API: ``/token/`` and ``/api/v1/``, with django-oauth-toolkit behind them."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote_plus
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import get_access_token_model
from oauth2_provider.oauth2_backends import get_oauthlib_core
from oauth2_provider.views import TokenView

from django_certn.sandbox import faults, keys
from django_certn.sandbox.counters import first_tokens, pending
from django_certn.sandbox.errors import error, refused_key, unauthenticated
from django_certn.sandbox.journal import name_client
from django_certn.sandbox.resources import SENDING, page, receipt, resource
from django_certn.sandbox.settings import SCOPE

__all__ = ["applicant", "applicants", "not_found", "token", "users"]

_View = Callable[[HttpRequest], HttpResponse]

AccessToken = get_access_token_model()

# Nobody: example.com is reserved (RFC 2606). Certn documents the list's four members; those of a
# user, apart from the e-mail address, are made up.
_PEOPLE = [
    {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "email": f"{first.lower()}.{last.lower()}@example.com",
        "first_name": first,
        "last_name": last,
    }
    for number, (first, last) in enumerate(
        [
            ("Ada", "Example"),
            ("Ben", "Sample"),
            ("Cleo", "Stand-In"),
        ],
        start=1,
    )
]

_issue: _View = TokenView.as_view()


@csrf_exempt
def token(request: HttpRequest) -> HttpResponse:
    """Exchange a key for a token."""
    if request.method != "POST":
        return _issue(request)
    credentials = _credentials(request)
    if credentials is None:
        # The toolkit would say the same, but for characters outside of ASCII, which crash it.
        return refused_key()
    client_id, secret = credentials
    name_client(request, client_id if keys.is_known(client_id) else None)
    fault = pending.take(faults.TOKEN_PATH)
    counted = fault is not None
    if fault is None and client_id in faults.MAGIC_IDS and _is_right(request):
        fault = faults.MAGIC_IDS[client_id]
    if fault is not None and (answer := faults.start(fault, request)):
        return answer
    with keys.one_at_a_time:
        response = _issue(request)
        if (
            fault is faults.DIES_ONCE
            and response.status_code == HTTPStatus.OK
            and (counted or first_tokens.age(secret, time.monotonic()) is None)
        ):
            _kill(json.loads(response.content)["access_token"])
    return response


def _identify(request: HttpRequest) -> None:
    name_client(request, _client_of_token(request))


# Without `advertise_metadata` the toolkit answers a bare 403 where Certn answers 401.
_let_in: _View = protected_resource(scopes=[SCOPE], advertise_metadata=True)(
    lambda _request: HttpResponse()
)


def _refuse(request: HttpRequest) -> HttpResponse | None:
    answer = _let_in(request)
    if answer.status_code == HTTPStatus.OK:
        return None
    return unauthenticated(request.path, challenge=answer["WWW-Authenticate"])


@resource(_identify, _refuse)
def users(request: HttpRequest) -> HttpResponse:
    """Return a list of staff who do not exist."""
    return page(request, _PEOPLE)


@resource(_identify, _refuse, SENDING)
def applicants(request: HttpRequest) -> HttpResponse:
    """Return an empty list, or a receipt for what was sent: nothing is kept."""
    return receipt(request) if request.method in SENDING else page(request, [])


@resource(_identify, _refuse, SENDING)
def applicant(request: HttpRequest, number: UUID) -> HttpResponse:
    """Return a receipt for what was sent; there is no applicant to look at."""
    if request.method in SENDING:
        return receipt(request)
    return error(request.path, 404, "not_found", "Not found.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what the sandbox does not have."""
    detail = f"Not found. Of Certn's APIs the sandbox has {', '.join(faults.ADDRESSES)}."
    return error(request.path, 404, "not_found", detail)


def _credentials(request: HttpRequest) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(encoded).decode()
        except ValueError:
            return None
        client_id, _, secret = decoded.partition(":")
        return unquote_plus(client_id), unquote_plus(secret)
    return request.POST.get("client_id", ""), request.POST.get("client_secret", "")


def _is_right(request: HttpRequest) -> bool:
    return bool(get_oauthlib_core().authenticate_client(request))


def _client_of_token(request: HttpRequest) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    known = AccessToken.objects.filter(token_checksum=_checksum(value))
    client_id = known.values_list("application__client_id", flat=True).first()
    return None if client_id is None else str(client_id)


def _kill(value: str) -> None:
    # Ended, not deleted: the journal can still tell whose it was.
    AccessToken.objects.filter(token_checksum=_checksum(value)).update(expires=timezone.now())


def _checksum(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
