"""The error tree. Each class carries the status that a verification with that outcome records.

A message never holds a secret, a token, the body of an answer or an ``error_description``:
an error ends in logs, mails and trackers, and all of those are read by more people than the key is.
"""

from pathlib import Path
from traceback import walk_tb
from typing import ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import pgettext_lazy

__all__ = [
    "CertnConfigurationError",
    "CertnError",
    "CertnUnavailableError",
    "CredentialInactiveError",
    "CredentialNotFoundError",
    "CredentialRejectedError",
    "CredentialUndecryptableError",
    "EndpointRetiredError",
    "ExchangeConfigurationError",
    "InvalidTokenResponseError",
    "RateLimitedError",
    "Status",
    "TokenError",
    "UnsafeRequestError",
]


class Status(models.TextChoices):
    """The outcome of a verification: the same strings in the database, the JSON and the errors."""

    OK = "ok", pgettext_lazy("key status", "OK")
    REJECTED = "rejected", pgettext_lazy("key status", "Rejected")
    RATE_LIMITED = "rate_limited", pgettext_lazy("key status", "Rate limited")
    UNREACHABLE = "unreachable", pgettext_lazy("key status", "Unreachable")
    RETIRED = "retired", pgettext_lazy("key status", "Retired")
    BAD_RESPONSE = "bad_response", pgettext_lazy("key status", "Bad response")
    UNDECRYPTABLE = "undecryptable", pgettext_lazy("key status", "Undecryptable")
    MISCONFIGURED = "misconfigured", pgettext_lazy("key status", "Misconfigured")


# No verdict: this says nothing about the key, and another try may end otherwise.
TRY_AGAIN = frozenset({Status.UNREACHABLE, Status.RATE_LIMITED})


class CertnError(Exception):
    """Whatever goes wrong in ``django_certn``; its ``status`` is one of `Status`."""

    status: ClassVar[Status]


class CertnConfigurationError(CertnError, ImproperlyConfigured):
    """The site is at fault: a setting, or a credential that cannot be used as it is stored."""

    status = Status.MISCONFIGURED


class UnsafeRequestError(CertnConfigurationError, ValueError):
    """A request that would carry a token or a key to a host that it is not meant for.

    Another host, plain http, a redirect that is not followed. It is raised before anything is sent
    there. The message names both hosts, and neither token nor key.
    """


class CredentialNotFoundError(CertnConfigurationError):
    """No credential of that name is stored."""


class CredentialInactiveError(CertnConfigurationError):
    """The credential is stored, and switched off."""


class CredentialUndecryptableError(CertnConfigurationError):
    """The stored secret cannot be read with the keys in ``FIELD_ENCRYPTION_KEY``."""

    status = Status.UNDECRYPTABLE


class TokenError(CertnError):
    """An exchange that brought no token.

    Attributes:
        http_status: the status of the answer, ``None`` when there was none.
        error_code: the answer's ``error`` member (RFC 6749, section 5.2), ``""`` when it had none
            that is fit to be shown. Where no answer came, or not all of it, why: ``"dns"``,
            ``"certificate"``, ``"refused"``, ``"timeout"`` and what else `answers.FAILURES` has.
            Of an answer that is not Certn's: ``"redirect"``, ``"not_certn"``.
        retry_after: seconds that the answer asked to wait, ``None`` when it did not ask.
        retryable: whether the same key may well work later.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int | None = None,
        error_code: str = "",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.error_code = error_code
        self.retry_after = retry_after


class CredentialRejectedError(TokenError):
    """The key is refused: 401, or 400 and 403 with ``invalid_client``/``unauthorized_client``.

    With the ``error_code`` ``"not_certn"`` it was hardly Certn that refused it: the 401 came as a
    web page, or asks for a login, as a gateway in between does.
    """

    status = Status.REJECTED


class RateLimitedError(TokenError):
    """Too many requests: 429."""

    status = Status.RATE_LIMITED
    retryable = True


class CertnUnavailableError(TokenError):
    """No answer, or none in time, or one that says "later": DNS, TLS, connection, time, server.

    408, 425, 5xx, and the codes ``temporarily_unavailable`` and ``server_error``.
    """

    status = Status.UNREACHABLE
    retryable = True


class EndpointRetiredError(TokenError):
    """The endpoint is gone for good: 410. It says nothing about the key."""

    status = Status.RETIRED


class InvalidTokenResponseError(TokenError):
    """Any other answer, a 200 that is not a token included.

    A redirect (its ``error_code`` is ``"redirect"``), a 403, a refusal that is not of the key.
    """

    status = Status.BAD_RESPONSE


class ExchangeConfigurationError(TokenError, CertnConfigurationError):
    """No exchange could start, since a variable of the process's environment cannot be used.

    Its ``error_code`` is ``"ca_bundle"`` (the file of trusted certificates in
    ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``) or ``"proxy_url"`` (the address of the proxy); the
    message names the variable, never its value, which may hold a password.
    """

    status = Status.MISCONFIGURED


def cause_of(error: TokenError) -> str:
    """Return the error's status, and what it was concluded from: ``rejected (401 not_certn)``."""
    cause = " ".join(str(part) for part in (error.http_status, error.error_code) if part)
    return f"{error.status} ({cause})" if cause else error.status


def unforeseen(error: Exception, name: str) -> InvalidTokenResponseError:
    """Return what stands for a bug in an exchange for that name.

    It is reported by its place alone: its frames hold the key, and perhaps a token.
    """
    kind = type(error).__name__
    return InvalidTokenResponseError(
        f"No token for {name!r}: {kind} in {place_of(error)}.", error_code=kind
    )


def place_of(error: BaseException) -> str:
    """Return where an error was raised: all that may be shown of one that nobody foresaw."""
    place = "?"
    for frame, line in walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return place
