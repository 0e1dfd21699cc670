"""What can go wrong, on request and never at random.

Two ways to ask for it. A **magic Client ID** (``sandbox-`` and the fault's name), or an API key
that begins with it, misbehaves towards its holder alone, so tests that run at the same time do not
disturb each other. A **counted fault** meets the next so many requests to a path and to what is
below it, whoever makes them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse

from django_certn.sandbox import BANNER, PREFIX
from django_certn.sandbox.errors import error, refused_key, unauthenticated

__all__ = [
    "ADDRESSES",
    "DIES_ONCE",
    "EXPIRES_SOON",
    "FAULTS",
    "MAGIC_IDS",
    "PATHS",
    "REDIRECT",
    "REJECTED",
    "RETRY_AFTER",
    "SHORT_LIFETIME",
    "SLOW_SECONDS",
    "TOKEN_LIFETIME",
    "TOKEN_PATH",
    "Fault",
    "name_of",
    "redirect_to",
    "start",
    "token_lifetime",
]

TOKEN_PATH = "/token/"  # noqa: S105
# Both APIs with all that they have.
API_PATH = "/api/"
USERS_PATH = "/api/v1/users/"
APPLICANTS_PATH = "/api/v1/hr/applicants/"
CASES_PATH = "/api/public/cases/"
GROUPS_PATH = "/api/public/groups/"
ADDRESSES = (TOKEN_PATH, USERS_PATH, APPLICANTS_PATH, CASES_PATH, GROUPS_PATH)
PATHS = (*ADDRESSES, API_PATH)

# Seconds; Certn's documented default (docs.certn.co/api/guides/use-the-api/get-your-access-token).
TOKEN_LIFETIME = 36000
# Seconds. Longer than the ten that django-certn gives an exchange unless a setting says otherwise.
SLOW_SECONDS = 15
# Seconds, in the Retry-After header. Certn documents no value; its limit is 240 requests a minute
# (docs.certn.co, FAQ).
RETRY_AFTER = 30
# Seconds that a token of `expires-soon` lives, and an API key after its first use.
SHORT_LIFETIME = 5

# Where a redirect leads, seen from where it was met. Nothing is there, and the journal shows who
# followed.
_ELSEWHERE = "elsewhere/"

# Keys of request.META: a header's key begins with HTTP_, so no caller can set these.
_FAULT = "sandbox.fault"


@dataclass(frozen=True)
class Fault:
    """One way to misbehave; ``effect`` says what the caller sees, on the page and in errors."""

    name: str
    effect: str
    paths: tuple[str, ...] = PATHS
    # What is answered instead; None when the request is served, only not as it should be.
    answer: Callable[[str], HttpResponse] | None = None
    # Where a redirect leads that was asked to lead there.
    location: str | None = None

    @property
    def magic_id(self) -> str:
        """The Client ID that has this fault always."""
        return PREFIX + self.name


def _rejected(path: str) -> HttpResponse:
    if path == TOKEN_PATH:
        return refused_key()
    return unauthenticated(path, challenge='Bearer error="invalid_token"', given=True)


def _forbidden(path: str) -> HttpResponse:
    detail = "You do not have permission to perform this action."
    return error(path, 403, "permission_denied", detail)


def _rate_limited(path: str) -> HttpResponse:
    return error(
        path, 429, "throttled", "Too many requests.", headers={"Retry-After": str(RETRY_AFTER)}
    )


def _unavailable(_path: str) -> HttpResponse:
    return _html(503, "Service unavailable")


def _retired(path: str) -> HttpResponse:
    return error(path, 410, "gone", "This version of the API has been retired.")


def _not_json(_path: str) -> HttpResponse:
    return _html(200, "A page where JSON was expected")


def _redirect(path: str, location: str | None = None) -> HttpResponse:
    # 307: a client that follows sends body and key once more, to wherever that leads.
    return HttpResponse(status=307, headers={"Location": location or path + _ELSEWHERE})


def _html(status: int, title: str) -> HttpResponse:
    page = f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><p>{BANNER}</html>"
    return HttpResponse(page, status=status)


REJECTED = Fault("rejected", "401, as for a wrong key", answer=_rejected)
FORBIDDEN = Fault("forbidden", "403, as for missing rights", answer=_forbidden)
RATE_LIMITED = Fault("rate-limited", f"429, Retry-After: {RETRY_AFTER}", answer=_rate_limited)
UNAVAILABLE = Fault("unavailable", "503 and an HTML page", answer=_unavailable)
RETIRED = Fault("retired", "410 Gone", answer=_retired)
SLOW = Fault("slow", f"the right answer, {SLOW_SECONDS} seconds late")
NOT_JSON = Fault("not-json", "200 and an HTML page", answer=_not_json)
REDIRECT = Fault("redirect", f"307 to {_ELSEWHERE} below the address", answer=_redirect)
EXPIRES_SOON = Fault(
    "expires-soon",
    f"a token, or an API key, that works for {SHORT_LIFETIME} seconds",
    (TOKEN_PATH,),
)
DIES_ONCE = Fault(
    "dies-once",
    "a token that the API refuses (401); the magic ID only the first one of each secret, "
    "and an API key at its first use",
    (TOKEN_PATH,),
)

FAULTS = {
    fault.name: fault
    for fault in (
        REJECTED,
        FORBIDDEN,
        RATE_LIMITED,
        UNAVAILABLE,
        RETIRED,
        SLOW,
        NOT_JSON,
        REDIRECT,
        EXPIRES_SOON,
        DIES_ONCE,
    )
}
MAGIC_IDS = {fault.magic_id: fault for fault in FAULTS.values()}


def redirect_to(location: str) -> Fault:
    """Return the fault ``redirect``, to a place of one's own."""
    answer = partial(_redirect, location=location)
    return replace(REDIRECT, location=location, answer=answer)


def start(fault: Fault, request: HttpRequest) -> HttpResponse | None:
    """Let ``fault`` happen to ``request``; return the answer, or ``None`` to have it served."""
    request.META[_FAULT] = fault.name
    if fault is SLOW:
        time.sleep(SLOW_SECONDS)
    return fault.answer(request.path) if fault.answer else None


def name_of(request: HttpRequest) -> str | None:
    """Return the name of the fault that this request met."""
    name = request.META.get(_FAULT)
    return name if isinstance(name, str) else None


def token_lifetime(oauthlib_request: Any) -> int:
    """Return how many seconds the token lives that is being issued; oauthlib asks this.

    Its request carries ``META`` among the headers.
    """
    fault = oauthlib_request.headers.get(_FAULT)
    return SHORT_LIFETIME if fault == EXPIRES_SOON.name else TOKEN_LIFETIME
