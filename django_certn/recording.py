"""The outcome of a verification goes to its row, and to whoever listens."""

from typing import Any

from django.conf import settings
from django.utils import timezone

from django_certn.models import VERIFIED_FIELDS, CertnCredential
from django_certn.outcomes import Verification
from django_certn.querysets import holding
from django_certn.signals import credential_status_changed, credential_verified

__all__ = ["conclude", "record", "send"]

ATTEMPTS = 5  # to record an outcome while others re-encrypt or verify the row


def conclude(
    row: CertnCredential,
    verification: Verification,
    name_or_credential: str | CertnCredential | None = None,
) -> None:
    """Record the outcome, on the caller's instance too, and send the signals."""
    fields, previous = record(row, verification)
    if isinstance(name_or_credential, CertnCredential):
        for name, value in fields.items():
            setattr(name_or_credential, name, value)
    send(row, verification, previous)


def send(row: CertnCredential, verification: Verification, previous: str | None) -> None:
    """Send the signals of an outcome.

    Args:
        row: whose outcome it is.
        verification: the outcome.
        previous: the status that it took the place of, ``None`` where it was not recorded.
    """
    using = row._state.db
    credential_verified.send_robust(CertnCredential, verification=verification, using=using)
    if previous not in (None, verification.status):
        credential_status_changed.send_robust(
            CertnCredential, verification=verification, previous_status=previous, using=using
        )


def record(row: CertnCredential, verification: Verification) -> tuple[dict[str, Any], str | None]:
    """Record the outcome.

    Returns:
        The fields as they are stored now, and the status that was there before. Nothing is
        recorded, and ``({}, None)`` returned, when the row is gone or holds another key meanwhile.
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
        # It compares the ciphertext, which a new encryption of the same secret changes as well,
        # and the status, so that of several who verify at once one alone has changed it.
        unchanged = holding(rows, now.client_secret.column()).filter(
            pk=now.pk,
            environment=now.environment,
            client_id=now.client_id,
            verified_status=now.verified_status,
        )
        if unchanged.update(**fields):
            return fields, now.verified_status
        now = rows.filter(pk=row.pk).first()
    return {}, None
