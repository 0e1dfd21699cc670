"""Whether a stored key works: asked of Certn each time, and recorded on its row."""

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils import timezone, translation

from django_certn.answers import TokenResponse
from django_certn.conf import MAX_TIMEOUT, conf
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialUndecryptableError,
    Status,
    TokenError,
)
from django_certn.explanations import explain
from django_certn.models import VERIFIED_FIELDS, CertnCredential
from django_certn.querysets import holding
from django_certn.signals import credential_verified
from django_certn.tokens.service import service

__all__ = ["Verification", "verify"]

ATTEMPTS = 5  # to record an outcome while others re-encrypt the row


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a verification. It holds neither the secret nor the token.

    Attributes:
        name: the name of the credential.
        environment: the slug of its environment.
        status: one of `Status`, a `str`.
        http_status: the status of Certn's answer, ``None`` when there was none.
        error_code: the answer's ``error`` member; for `misconfigured` the name of the field or
            the setting that is at fault; else ``""``.
        expires_in: seconds that the fresh token lives, ``None`` unless the status is `ok`.
        latency: seconds that the exchange took, ``None`` when nothing was sent.
        verified_at: when that was, an aware datetime.
    """

    name: str
    environment: str
    status: Status
    http_status: int | None = None
    error_code: str = ""
    expires_in: float | None = None
    latency: float | None = None
    verified_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, credential: CertnCredential) -> "Verification | None":
        """Return the last outcome as the credential has it, ``None`` if it was never verified.

        What is not stored, ``expires_in`` and ``latency``, is ``None``.
        """
        verified_at = credential.verified_at
        if credential.verified_status not in Status or verified_at is None:
            return None
        if timezone.is_naive(verified_at):  # as USE_TZ = False reads it
            verified_at = timezone.make_aware(verified_at)
        return cls(
            name=credential.name,
            environment=credential.environment,
            status=Status(credential.verified_status),
            http_status=credential.verified_http_status,
            error_code=credential.verified_error_code,
            verified_at=verified_at,
        )

    @property
    def ok(self) -> bool:
        """Whether the key works."""
        return self.status == Status.OK

    @property
    def detail(self) -> str:
        """What happened, in one sentence, in the language that is active now."""
        return self._explain()[0]

    @property
    def hint(self) -> str:
        """What to do next, in the language that is active now; ``""`` when all is well."""
        return self._explain()[1]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: the time in ISO 8601, the sentences in English."""
        with translation.override("en"):
            detail, hint = self._explain()
        return {
            "name": self.name,
            "environment": self.environment,
            "status": str(self.status),
            "ok": self.ok,
            "http_status": self.http_status,
            "error_code": self.error_code,
            "expires_in": self.expires_in,
            "latency": self.latency,
            "verified_at": self.verified_at.isoformat(),
            "detail": detail,
            "hint": hint,
        }

    def _explain(self) -> tuple[str, str]:
        return explain(
            self.status,
            environment=self.environment,
            http_status=self.http_status,
            error_code=self.error_code,
        )


def verify(
    name_or_credential: str | CertnCredential, *, timeout: float | None = None
) -> Verification:
    """Ask Certn whether the stored key works, and record the outcome on the row.

    Always a live exchange, whatever the caches hold, and for an inactive credential too; its token
    goes into the cache. The outcome is recorded only if the row still holds the key that was
    verified, without a ``post_save`` and without a change to ``updated_at``. Then the signal
    `django_certn.signals.credential_verified` is sent.

    Args:
        name_or_credential: an instance stands for its row, in the database that it came from, never
            for what it holds in memory. When the outcome is recorded, the verified fields of the
            instance are set as well, so that a later ``save()`` does not write older ones back.
        timeout: seconds for the whole exchange, an hour at most; ``None`` for
            ``CERTN_REQUEST_TIMEOUT``.

    Returns:
        The outcome. A bad key, a host out of reach, a secret that cannot be read and a wrong
        setting are outcomes, not exceptions.

    Raises:
        CredentialNotFoundError: no such credential is stored.
        ValueError: the timeout is not a number of seconds above 0.

    The exchange is Certn's own recipe:
    https://docs.certn.co/api/guides/use-the-api/get-your-access-token
    """
    return verify_for_token(name_or_credential, timeout=timeout)[0]


def verify_for_token(
    name_or_credential: str | CertnCredential,
    *,
    timeout: float | None = None,
    using: str | None = None,
) -> tuple[Verification, TokenResponse | None]:
    """Do what `verify` does, in the database of that alias, and return the fresh token as well."""
    if timeout is not None and not is_seconds(timeout):
        raise ValueError("A timeout is a number of seconds above 0.")
    row = CertnCredential.objects.db_manager(using).stored(name_or_credential)
    verification, response = examine(row, timeout)
    fields = record(row, verification)
    if isinstance(name_or_credential, CertnCredential):
        for name, value in fields.items():
            setattr(name_or_credential, name, value)
    credential_verified.send_robust(CertnCredential, verification=verification, using=row._state.db)
    return verification, response


def examine(
    row: CertnCredential, timeout: float | None
) -> tuple[Verification, TokenResponse | None]:
    """Make the exchange, if there is a key to exchange, and report how it ended."""
    from django_certn import oauth  # what it loads is not loaded before it is needed

    outcome = partial(Verification, row.name, row.environment)
    try:
        key = row.key()
        budget = budget_of(timeout)
        _ = conf.CERTN_CACHE_ALIAS  # the token goes there
    except CredentialUndecryptableError as error:
        return outcome(error.status), None
    except CertnConfigurationError as error:
        return outcome(error.status, error_code=culprit(row)), None
    started = time.monotonic()
    try:
        response = oauth.exchange(key, timeout=budget)
    except TokenError as error:
        verification = outcome(
            error.status,
            http_status=error.http_status,
            error_code=error.error_code,
            latency=seconds_since(started),
        )
        service.forgive(key)
        return verification, None
    verification = outcome(
        Status.OK,
        http_status=HTTPStatus.OK.value,
        expires_in=response.expires_in,
        latency=seconds_since(started),
    )
    service.adopt(key, response)
    return verification, response


def culprit(row: CertnCredential) -> str:
    """Return the name of the field or the setting that makes the credential misconfigured."""
    try:
        if row.environment not in conf.CERTN_ENVIRONMENTS:
            return "environment"
        conf.environment(row.environment)
    except CertnConfigurationError:
        return "CERTN_ENVIRONMENTS"
    for half in ("client_id", "client_secret"):
        if not getattr(row, half):
            return half
    try:
        _ = conf.CERTN_CACHE_ALIAS
    except CertnConfigurationError:
        return "CERTN_CACHE_ALIAS"
    return "CERTN_REQUEST_TIMEOUT"


def record(row: CertnCredential, verification: Verification) -> dict[str, Any]:
    """Record the outcome and return the fields as they are stored now.

    Nothing is recorded, and ``{}`` returned, when the row is gone or holds another key meanwhile.
    """
    verified_at = verification.verified_at
    values = (
        verification.status.value,
        verification.http_status,
        verification.error_code,
        verified_at if settings.USE_TZ else timezone.make_naive(verified_at),
    )
    fields = dict(zip(VERIFIED_FIELDS, values, strict=True))
    rows = CertnCredential._base_manager.using(row._state.db)
    now: CertnCredential | None = row
    for _ in range(ATTEMPTS):
        if now is None or not now.holds(row):
            break
        # Compare and set in one statement: no lock, no transaction, and nobody's save is undone.
        # It compares the ciphertext, which a new encryption of the same secret changes as well.
        unchanged = holding(rows, now.client_secret.stored).filter(
            pk=now.pk, environment=now.environment, client_id=now.client_id
        )
        if unchanged.update(**fields):
            return fields
        now = rows.filter(pk=row.pk).first()
    return {}


def budget_of(timeout: float | None) -> float:
    """Return the seconds that an exchange gets."""
    return conf.CERTN_REQUEST_TIMEOUT if timeout is None else min(timeout, MAX_TIMEOUT)


def is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)
