"""What can go wrong, on request and never at random.

Two ways to ask for it. A **magic Client ID** (``sandbox-`` and the fault's name) misbehaves towards
its holder alone, so tests that run at the same time do not disturb each other. A **counted fault**
meets the next so many requests to a path, whoever makes them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from django_certn.sandbox import BANNER, PREFIX

__all__ = [
    "DIES_ONCE",
    "FAULTS",
    "MAGIC_IDS",
    "PATHS",
    "REJECTED",
    "RETRY_AFTER",
    "SHORT_LIFETIME",
    "SLOW_SECONDS",
    "TOKEN_LIFETIME",
    "TOKEN_PATH",
    "USERS_PATH",
    "Fault",
    "name_of",
    "refused_key",
    "start",
    "token_lifetime",
    "unauthenticated",
]

TOKEN_PATH = "/token/"  # noqa: S105
USERS_PATH = "/api/v1/users/"
PATHS = (TOKEN_PATH, USERS_PATH)

# Seconds; Certn's documented default (docs.certn.co/api/guides/use-the-api/get-your-access-token).
TOKEN_LIFETIME = 36000
# Seconds. Longer than the ten that django-certn gives an exchange unless it is told otherwise.
SLOW_SECONDS = 15
# Seconds, in the Retry-After header. Certn documents no value; its limit is 240 requests a minute
# (docs.certn.co, FAQ).
RETRY_AFTER = 30
# Seconds that a token of `expires-soon` lives.
SHORT_LIFETIME = 5

# Where a redirect leads. Nothing is there, and the journal shows who followed.
_ELSEWHERE = "/token/elsewhere/"

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

    @property
    def magic_id(self) -> str:
        """The Client ID that has this fault always."""
        return PREFIX + self.name


def refused_key() -> HttpResponse:
    """Return what django-oauth-toolkit answers to a wrong key."""
    return JsonResponse(
        {"error": "invalid_client"},
        status=401,
        headers={"WWW-Authenticate": 'Bearer error="invalid_client"'},
    )


def unauthenticated(challenge: str) -> HttpResponse:
    """Return the API's 401.

    The body is Certn's, from docs.certn.co/api (resources, error codes); the challenge in the
    header is the toolkit's.
    """
    return JsonResponse(
        {"detail": "Authentication credentials were not provided."},
        status=401,
        headers={"WWW-Authenticate": challenge},
    )


def _rejected(path: str) -> HttpResponse:
    return refused_key() if path == TOKEN_PATH else unauthenticated('Bearer error="invalid_token"')


def _rate_limited(_path: str) -> HttpResponse:
    return JsonResponse(
        {"detail": "Too many requests."}, status=429, headers={"Retry-After": str(RETRY_AFTER)}
    )


def _unavailable(_path: str) -> HttpResponse:
    return _html(503, "Service unavailable")


def _retired(_path: str) -> HttpResponse:
    return JsonResponse({"detail": "This version of the API has been retired."}, status=410)


def _not_json(_path: str) -> HttpResponse:
    return _html(200, "A page where JSON was expected")


def _redirect(_path: str) -> HttpResponse:
    # 307: a client that follows sends body and key once more, to wherever it is told.
    return HttpResponse(status=307, headers={"Location": _ELSEWHERE})


def _html(status: int, title: str) -> HttpResponse:
    page = f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><p>{BANNER}</html>"
    return HttpResponse(page, status=status)


REJECTED = Fault("rejected", "401, as for a wrong key", answer=_rejected)
RATE_LIMITED = Fault("rate-limited", f"429, Retry-After: {RETRY_AFTER}", answer=_rate_limited)
UNAVAILABLE = Fault("unavailable", "503 and an HTML page", answer=_unavailable)
RETIRED = Fault("retired", "410 Gone", answer=_retired)
SLOW = Fault("slow", f"the right answer, {SLOW_SECONDS} seconds late")
NOT_JSON = Fault("not-json", "200 and an HTML page", answer=_not_json)
REDIRECT = Fault("redirect", f"307 to {_ELSEWHERE}", answer=_redirect)
EXPIRES_SOON = Fault("expires-soon", f"a token that lives {SHORT_LIFETIME} seconds", (TOKEN_PATH,))
DIES_ONCE = Fault(
    "dies-once",
    "a token that the API refuses (401); the magic ID only the first one of each secret",
    (TOKEN_PATH,),
)

FAULTS = {
    fault.name: fault
    for fault in (
        REJECTED,
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
