"""Whether Certn's API takes a token or an API key: one harmless authenticated GET."""

import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from requests.auth import AuthBase

from django_certn.answers import (
    MAX_BODY,
    Answer,
    Fault,
    error_of,
    parse_object,
    refusal,
    unanswered,
)
from django_certn.conf import Environment
from django_certn.exceptions import (
    InvalidTokenResponseError,
    Status,
    TokenError,
    cause_of,
    place_of,
)
from django_certn.keys import Key
from django_certn.transport import fetch

__all__ = ["Probe", "check_api_key", "probe"]

logger = logging.getLogger("django_certn")

# The cheapest GET that is documented. It lists people, so nothing but their number is kept:
# https://docs.certn.co/api/guides/understand-your-general-resources
USERS_PATH = "/api/v1/users/"

# A case that does not exist, so no person is in the answer: whose key is good hears 404, and who
# has none 401. https://centric-api-docs.certn.co/reference/error-handling.md
CASE_PATH = "/api/public/cases/00000000-0000-0000-0000-000000000000/"

# What CertnCentric may say in errors[0].code, as Django REST framework names it. No other code is
# shown: an answer may echo the key there.
CODES = {
    "authentication_failed",
    "not_authenticated",
    "not_found",
    "permission_denied",
    "throttled",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it.

    Attributes:
        status: in the words of a verification; `ok` when the API took the token.
        http_status: the status of the answer, ``None`` when there was none.
        count: how many users there are, ``None`` when the answer does not tell, or is too long.
    """

    status: Status
    http_status: int | None
    count: int | None


def probe(environment: Environment, token: str, *, timeout: float) -> Probe:
    """GET the users of the account. The token goes to no other host, and no redirect is followed.

    Args:
        environment: the one that issued the token.
        token: the token's value.
        timeout: seconds, for all of it.
    """
    request = requests.Request(
        "GET", environment.base_url + USERS_PATH, auth=HeaderAuth(f"Bearer {token}")
    )
    answer = fetch(requests.Session(), request, timeout=timeout)
    payload = parse_object(answer.body or b"")
    count = (payload or {}).get("count")
    return Probe(
        status_of(answer, is_object=payload is not None),
        answer.status,
        count if type(count) is int else None,
    )


def check_api_key(key: Key, *, timeout: float) -> int:
    """GET a case that does not exist, and return the status of an answer that takes the key.

    The key goes to no other host, and no redirect is followed.

    Args:
        key: an API key.
        timeout: seconds, for all of it.

    Returns:
        404, or 200.

    Raises:
        TokenError: one of its subclasses; neither it nor its frames and causes hold the key.
    """
    started = time.monotonic()
    name, environment = key.name, key.environment.slug
    outcome: int | TokenError
    try:
        outcome = attempt(key, timeout)
    except Exception as error:  # noqa: BLE001
        # A bug: its place alone is shown, since its frames hold the key.
        kind = type(error).__name__
        outcome = InvalidTokenResponseError(
            f"The API key of {name!r} was not checked: {kind} in {place_of(error)}.",
            error_code=kind,
        )
    del key  # a tracker reads the variables of each frame that an error passes
    failed = isinstance(outcome, TokenError)
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "Check of the API key %r (%s): %s in %d ms",
        name,
        environment,
        cause_of(outcome) if isinstance(outcome, TokenError) else Status.OK,
        (time.monotonic() - started) * 1000,
    )
    if isinstance(outcome, TokenError):
        raise outcome
    return outcome


def attempt(key: Key, timeout: float) -> int | TokenError:
    request = requests.Request(
        "GET",
        key.environment.base_url + CASE_PATH,
        auth=HeaderAuth("Api-Key " + key.client_secret.reveal()),
    )
    answer = fetch(requests.Session(), request, timeout=timeout)
    outcome = interpret(answer)
    if isinstance(outcome, int):
        return outcome
    subject = f"The API key of {key.name!r} is not confirmed by {key.environment.base_url}"
    return error_of(answer, outcome, subject)


def interpret(answer: Answer) -> int | Fault:
    """Return the status of an answer that confirms the API key, or what it amounts to."""
    body, status = answer.body, answer.status
    if status is None or (body is None and status in CONFIRMING):
        return unanswered(answer)
    payload = parse_object(body or b"")
    code = code_of(payload)
    if status in CONFIRMING:
        if payload is not None and len(body or b"") <= MAX_BODY:
            return status
        return InvalidTokenResponseError, "an answer that is not Certn's", ""
    if status == HTTPStatus.FORBIDDEN:
        return InvalidTokenResponseError, "it is not permitted", code
    return refusal(answer, payload, code)


CONFIRMING = {HTTPStatus.OK, HTTPStatus.NOT_FOUND}


def code_of(payload: dict[str, Any] | None) -> str:
    """Return the code of CertnCentric's first error, ``""`` of one that is not known."""
    errors = (payload or {}).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    code = first.get("code") if isinstance(first, dict) else None
    return code if isinstance(code, str) and code in CODES else ""


class HeaderAuth(AuthBase):
    """Not a header of the request: requests would put an entry of netrc in its place."""

    def __init__(self, authorization: str) -> None:
        self.authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self.authorization
        return request


def status_of(answer: Answer, *, is_object: bool) -> Status:
    status, body = answer.status, answer.body
    if status in STATUSES:
        return STATUSES[status]
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Status.UNREACHABLE
    if status != HTTPStatus.OK:
        return Status.BAD_RESPONSE
    if body is None:
        return Status.UNREACHABLE
    return Status.OK if is_object or len(body) > MAX_BODY else Status.BAD_RESPONSE


STATUSES: dict[int, Status] = {
    HTTPStatus.UNAUTHORIZED: Status.REJECTED,
    HTTPStatus.TOO_MANY_REQUESTS: Status.RATE_LIMITED,
    HTTPStatus.GONE: Status.RETIRED,
}
