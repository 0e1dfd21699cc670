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
    InvalidTokenResponseError,
    RateLimitedError,
    TokenError,
)
from django_certn.secret import MaskedStr

__all__ = ["FAILURES", "MAX_BODY", "Answer", "Judge", "TokenResponse"]

MAX_BODY = 64 * 1024  # bytes, after decoding
MAX_TOKEN = 8192  # characters
MAX_LIFETIME = 24 * 60 * 60.0  # seconds; longer ones are cut to this
DEFAULT_LIFETIME = 300.0  # seconds, for an answer that tells none
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
    "proxy": gettext_noop("the proxy failed"),
    "dns": gettext_noop("its name does not resolve"),
    "refused": gettext_noop("the connection was refused"),
    "timeout": gettext_noop("no answer in time"),
    "broken": gettext_noop("the connection broke off"),
    "not_http": gettext_noop("the answer is not HTTP"),
    "no_thread": gettext_noop("no thread could be started"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: ``None`` when nothing came.
        headers: of the answer.
        body: decoded, and cut off one byte after `MAX_BODY`; ``None`` when it did not come to its
            end.
        failure: why it did not: one of `FAILURES`, or the name of an exception's type.
    """

    status: int | None
    headers: Mapping[str, str] = field(repr=False)  # these may echo ours,
    body: bytes | None = field(repr=False)  # and this holds a token
    failure: str = ""


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token as the endpoint issued it.

    Attributes:
        access_token: the token, masked like a secret.
        expires_in: seconds that it lives, counted from the answer.
    """

    access_token: MaskedStr
    expires_in: float


class Judge:
    """Tells what an answer means: first by its status, then by its body.

    It does not know the key, so nothing that it says can hold it.
    """

    subject = "No token for %r from"

    def __init__(self, name: str, environment: Environment) -> None:
        self.name = name
        self.environment = environment
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}

    def see(self, status: int | None, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, headers

    def unreachable(self, failure: str) -> TokenError:
        """Return the error for an answer that did not come, or did not come to its end."""
        if self.status not in (None, HTTPStatus.OK):
            return self.refusal("")  # the status said enough
        return self.error(CertnUnavailableError, FAILURES.get(failure, failure), failure)

    def hear(self, body: bytes) -> TokenResponse | TokenError:
        payload = parse_object(body)
        code = error_code(payload)
        if self.status != HTTPStatus.OK:
            return self.refusal(code)
        lifetime = parse_lifetime((payload or {}).get("expires_in"))
        if len(body) > MAX_BODY:
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
        return self.error(InvalidTokenResponseError, flaw, code)

    def refusal(self, code: str) -> TokenError:
        refused = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN)
        if self.status == HTTPStatus.UNAUTHORIZED or (
            self.status in refused and code in ("invalid_client", "unauthorized_client")
        ):
            return self.error(CredentialRejectedError, "the key is refused", code)
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return self.error(RateLimitedError, "too many requests", code)
        if self.status == HTTPStatus.GONE:
            return self.error(EndpointRetiredError, "this API is retired", code)
        if self.status is not None and self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self.error(CertnUnavailableError, "the server failed", code)
        return self.error(InvalidTokenResponseError, "an answer that is not a token", code)

    def error(self, kind: type[TokenError], reason: str, code: str = "") -> TokenError:
        answer = f" (HTTP {self.status})" if self.status else ""
        return kind(
            f"{self.subject % self.name} {self.environment.base_url}: {reason}{answer}.",
            http_status=self.status,
            error_code=code,
            retry_after=parse_retry_after(self.headers.get("Retry-After", "")),
        )


def parse_object(body: bytes) -> dict[str, Any] | None:
    try:
        payload = json.loads(body[:MAX_BODY].decode("utf-8"))
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
