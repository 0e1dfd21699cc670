"""The outcome of a verification."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils import timezone, translation

from django_certn.exceptions import Status
from django_certn.explanations import explain
from django_certn.models import CertnCredential

__all__ = ["Verification", "aware"]

# For so long after the secret changed, a refusal is put down to the way it was entered.
JUST_ENTERED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a verification. It holds neither the secret nor the token.

    Attributes:
        name: the name of the credential.
        environment: the slug of its environment.
        status: one of `Status`, a `str`.
        http_status: the status of Certn's answer, ``None`` when there was none.
        error_code: the answer's ``error`` member; why no answer came, such as ``"dns"``; for
            `misconfigured` what is at fault, such as a field or a setting; else ``""``.
        expires_in: seconds that the fresh token lives, ``None`` unless the status is `ok`, and for
            an API key.
        expires_on: the day (UTC) on which an API key ends, ``None`` for a Client Secret.
        latency: seconds that the exchange took, ``None`` when nothing was sent.
        verified_at: when that was, an aware datetime.
        retry_after: seconds that the answer asked to wait, ``None`` when it did not ask.
        secret_changed_at: when the stored secret last changed, an aware datetime, or ``None``.
    """

    name: str
    environment: str
    status: Status
    http_status: int | None = None
    error_code: str = ""
    expires_in: float | None = None
    latency: float | None = None
    expires_on: date | None = None
    verified_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    retry_after: int | None = None
    secret_changed_at: datetime | None = None

    @classmethod
    def of(cls, credential: CertnCredential) -> "Verification | None":
        """Return the last outcome as the credential has it, ``None`` if it was never verified.

        What is not stored, ``expires_in``, ``latency`` and ``retry_after``, is ``None``.
        """
        verified_at = aware(credential.verified_at)
        if credential.verified_status not in Status or verified_at is None:
            return None
        return cls(
            name=credential.name,
            environment=credential.environment,
            status=Status(credential.verified_status),
            http_status=credential.verified_http_status,
            error_code=credential.verified_error_code,
            expires_on=credential.expires_on,
            verified_at=verified_at,
            secret_changed_at=aware(credential.secret_changed_at),
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
            "expires_on": self.expires_on.isoformat() if self.expires_on else None,
            "verified_at": self.verified_at.isoformat(),
            "retry_after": self.retry_after,
            "secret_changed_at": (
                self.secret_changed_at.isoformat() if self.secret_changed_at else None
            ),
            "detail": detail,
            "hint": hint,
        }

    def _explain(self) -> tuple[str, str]:
        return explain(
            self.status,
            environment=self.environment,
            http_status=self.http_status,
            error_code=self.error_code,
            retry_after=self.retry_after,
            just_entered=self._is_of_a_new_secret(),
        )

    def _is_of_a_new_secret(self) -> bool:
        changed_at = self.secret_changed_at
        return changed_at is not None and self.verified_at - changed_at < JUST_ENTERED


def aware(moment: datetime | None) -> datetime | None:
    """Return it with a time zone, which it lacks where ``USE_TZ`` is off."""
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)
