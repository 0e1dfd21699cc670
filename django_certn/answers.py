"""What an answer of the token endpoint means: a token, or which of our errors."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext_noop

from django_certn.conf import Environment
from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    EndpointRetiredError,
    ExchangeConfigurationError,
    InvalidTokenResponseError,
    RateLimitedError,
    TokenError,
)
from django_certn.secret import MaskedStr

__all__ = [
    "CONFIGURATION",
    "FAILURES",
    "MAX_BODY",
    "Answer",
    "TokenResponse",
    "error_of",
    "parse_object",
    "read_answer",
    "refusal",
    "unanswered",
]

MAX_BODY = 64 * 1024  # bytes, after decoding
MAX_TOKEN = 8192  # characters
MAX_LIFETIME = 24 * 60 * 60.0  # seconds; longer ones are cut to this
DEFAULT_LIFETIME = 300.0  # seconds, for an answer that names none
MAX_RETRY_AFTER = 24 * 60 * 60  # seconds

ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)  # RFC 6749, appendix A.12, without the space

# The codes that are shown and recorded. No other: an endpoint may echo the secret there, cut or
# encoded in any way. RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1.
ERROR_CODES = {
    "access_denied",
    "insufficient_scope",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_token",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
}

# Why no answer came, or not all of it: a code, and words that go on from "no answer: ".
FAILURES = {
    "certificate": gettext_noop("its certificate is not trusted"),
    "tls": gettext_noop("TLS failed"),
    "proxy": gettext_noop("the proxy is out of reach, or refuses the connection"),
    "dns": gettext_noop("its name does not resolve"),
    "refused": gettext_noop("the connection was refused"),
    "timeout": gettext_noop("it did not answer in time"),
    "broken": gettext_noop("the connection broke off"),
    "not_http": gettext_noop("the answer is not HTTP"),
    "no_thread": gettext_noop("no thread could be started"),
}

# Why nothing could be sent: a code, and what in the environment of the process is at fault.
CONFIGURATION = {
    "ca_bundle": "the file of trusted certificates in {variable} cannot be used",
    "proxy_url": "the address of the proxy in {variable} cannot be used",
}

# Codes that ask for another try; the second is there for what has no status of its own.
LATER = {"temporarily_unavailable", "server_error"}
LATER_STATUSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}

# What says of the key that it is refused; a 401 does without a code.
KEY_STATUSES = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}
KEY_CODES = {"invalid_client", "unauthorized_client"}

REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: ``None`` when nothing came.
        headers: of the answer.
        body: decoded, and cut off one byte after `MAX_BODY`; ``None`` when it did not come to its
            end.
        failure: why it did not: one of `FAILURES` or `CONFIGURATION`, or the name of an exception's
            type.
        variable: the environment variable that is at fault, of `CONFIGURATION`.
    """

    status: int | None
    headers: Mapping[str, str] = field(repr=False)  # these may echo ours,
    body: bytes | None = field(repr=False)  # and this holds a token
    failure: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token as the endpoint issued it.

    Attributes:
        access_token: the token, masked like a secret.
        expires_in: seconds that it lives, counted from the answer.
    """

    access_token: MaskedStr
    expires_in: float


def read_answer(
    answer: Answer, *, name: str, environment: Environment
) -> TokenResponse | TokenError:
    """Return the token that a complete answer brings, or the error that it amounts to.

    The status counts first, and then the body. The key is not known here, so nothing that is
    returned can hold it.

    Args:
        answer: of the token endpoint.
        name: the name of the credential, for the message of the error.
        environment: of the credential, likewise.
    """
    outcome = interpret(answer)
    if isinstance(outcome, TokenResponse):
        return outcome
    return error_of(answer, outcome, f"No token for {name!r} from {environment.base_url}")


# What an error is made of: its class, the reason in its message, and its code.
Fault = tuple[type[TokenError], str, str]


def error_of(answer: Answer, fault: Fault, subject: str) -> TokenError:
    """Return the error that an answer amounts to; its message begins with the subject."""
    kind, reason, code = fault
    status = f" (HTTP {answer.status})" if answer.status else ""
    return kind(
        f"{subject}: {reason}{status}.",
        http_status=answer.status,
        error_code=code,
        retry_after=parse_retry_after(answer.headers.get("Retry-After", "")),
    )


def interpret(answer: Answer) -> TokenResponse | Fault:
    if answer.body is None and answer.status in (None, HTTPStatus.OK):
        return unanswered(answer)
    payload = parse_object(answer.body or b"")
    code = error_code(payload)
    if answer.status != HTTPStatus.OK or code in LATER:
        return refusal(answer, payload, code)
    lifetime = parse_lifetime((payload or {}).get("expires_in"))
    if answer.body and len(answer.body) > MAX_BODY:
        flaw = f"more than {MAX_BODY // 1024} KiB"
    elif payload is None:
        flaw = "something that is not a JSON object"
    elif payload.get("error") is not None:
        flaw = "an error in place of a token"
    elif not is_token(payload.get("access_token")):
        flaw = "no usable access_token"
    elif not is_bearer(payload.get("token_type")):
        flaw = "a token_type other than Bearer"
    elif lifetime is None:
        flaw = "an expires_in that is no lifetime"
    else:
        return TokenResponse(MaskedStr(payload["access_token"]), lifetime)
    return InvalidTokenResponseError, flaw, code


def unanswered(answer: Answer) -> Fault:
    """Return what an answer amounts to that did not come, or not to its end."""
    failure = answer.failure
    if failure in CONFIGURATION:
        reason = CONFIGURATION[failure].format(variable=answer.variable)
        return ExchangeConfigurationError, reason, failure
    return CertnUnavailableError, FAILURES.get(failure, failure), failure


def refusal(answer: Answer, payload: Mapping[str, Any] | None, code: str) -> Fault:
    """Return what an answer amounts to that is no token by its status, or by its code."""
    status = answer.status or 0
    refuses_key = status in KEY_STATUSES and code in KEY_CODES
    if status == HTTPStatus.UNAUTHORIZED:
        if asks_for_a_login(answer, payload):
            return CredentialRejectedError, "something in between asks for a login", "not_certn"
        refuses_key = True
    if status in REDIRECTS:
        code = "redirect"
    later = status in LATER_STATUSES or code in LATER
    forbidden = status == HTTPStatus.FORBIDDEN
    cases: list[tuple[bool, type[TokenError], str]] = [
        (status == HTTPStatus.TOO_MANY_REQUESTS, RateLimitedError, "too many requests"),
        (status == HTTPStatus.GONE, EndpointRetiredError, "this API is retired"),
        (refuses_key, CredentialRejectedError, "the key is refused"),
        (status >= HTTPStatus.INTERNAL_SERVER_ERROR, CertnUnavailableError, "the server failed"),
        (later, CertnUnavailableError, "the server asks to try again later"),
        (status in REDIRECTS, InvalidTokenResponseError, "a redirect, which is not followed"),
        (forbidden, InvalidTokenResponseError, "the request is forbidden"),
        (code != "", InvalidTokenResponseError, "the request is refused, and not for its key"),
        (True, InvalidTokenResponseError, "an answer that is not a token"),
    ]
    return next((kind, reason, code) for is_it, kind, reason in cases if is_it)


def asks_for_a_login(answer: Answer, payload: Mapping[str, Any] | None) -> bool:
    """Return whether a 401 is that of a gateway in between.

    An OAuth server may ask for Basic as well (RFC 6749, section 5.2), but says in JSON what is
    wrong; so do Django REST framework, under ``detail``, and CertnCentric.
    """
    if payload is not None and any(payload.get(name) for name in SAYS_WHAT):
        return False
    challenges = answer.headers.get("WWW-Authenticate", "")
    is_page = (
        answer.headers.get("Content-Type", "").strip().lower().startswith("text/html")
        or (answer.body or b"").lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
    )
    return is_page or BASIC_CHALLENGE.search(challenges) is not None


SAYS_WHAT = ("error", "detail", "errors")
BASIC_CHALLENGE = re.compile(r"(?:^|,)\s*basic(?:[\s,]|$)", re.IGNORECASE)


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object, in UTF-8 with or without a byte order mark."""
    try:
        payload = json.loads(body[:MAX_BODY].decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def error_code(payload: Mapping[str, Any] | None) -> str:
    code = (payload or {}).get("error")
    return code if isinstance(code, str) and code in ERROR_CODES else ""


def is_token(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= MAX_TOKEN
        and ACCESS_TOKEN.fullmatch(value) is not None
    )


def is_bearer(value: object) -> bool:
    """Certn documents no ``token_type``, so one that is missing is taken for Bearer."""
    return value is None or (isinstance(value, str) and value.lower() == "bearer")


def parse_lifetime(value: object) -> float | None:
    """Return the seconds that ``expires_in`` means, ``None`` when it means no lifetime."""
    if value is None:
        return DEFAULT_LIFETIME
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value < math.inf:  # NaN included
        return None
    return float(min(value, MAX_LIFETIME))


def parse_retry_after(value: str) -> int | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110, section 10.2.3)."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        return min(int(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(math.ceil(seconds), 0), MAX_RETRY_AFTER)
