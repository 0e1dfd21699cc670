"""The outcome of a verification goes to its row, and to whoever listens."""

import re
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
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
    """Record the outcome, on the caller's instance too, and send the signals.

    In a database that can be read and not written, such as a replica, nothing is recorded.

    Raises:
        DatabaseError: it failed otherwise, being out of reach for instance.
    """
    fields: dict[str, Any] = {}
    previous = None
    using = row._state.db or DEFAULT_DB_ALIAS
    is_open = connections[using].in_atomic_block
    try:
        # A transaction of the caller's goes on after a statement that failed.
        with transaction.atomic(using=using) if is_open else nullcontext():
            fields, previous = record(row, verification)
    except DatabaseError as error:
        if not refuses_writes(error):
            raise
    if isinstance(name_or_credential, CertnCredential):
        for name, value in fields.items():
            setattr(name_or_credential, name, value)
    send(row, verification, previous)


def refuses_writes(error: DatabaseError) -> bool:
    """Return whether the database may be read and not written, rather than being out of reach."""
    cause = error.__cause__
    codes = (
        getattr(cause, "sqlstate", getattr(cause, "pgcode", None)),
        getattr(cause, "sqlite_errorname", None),
        *getattr(cause, "args", ())[:1],
    )
    is_listed = any(code in READ_ONLY for code in codes if isinstance(code, str | int))
    return is_listed or SAYS_READ_ONLY.search(str(error)) is not None


# https://www.postgresql.org/docs/current/errcodes-appendix.html
# https://www.sqlite.org/rescode.html
# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
SAYS_READ_ONLY = re.compile(r"read.?only", re.IGNORECASE)  # other databases
READ_ONLY: set[str | int] = {
    *("25006", "42501"),  # a read-only transaction, insufficient privilege
    *("SQLITE_READONLY", "SQLITE_READONLY_DBMOVED", "SQLITE_READONLY_DIRECTORY"),
    *(1142, 1143, 1290, 1792, 1836),  # denied for the user, a read-only server or transaction
}


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
        recorded, and ``({}, None)`` returned, when the row is gone or holds another key meanwhile,
        or was never stored, as in a test that needs none.
    """
    if row._state.adding:
        return {}, None
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
        unchanged = holding(rows, now.client_secret.column() or "").filter(
            pk=now.pk,
            environment=now.environment,
            client_id=now.client_id,
            verified_status=now.verified_status,
        )
        if unchanged.update(**fields):
            return fields, now.verified_status
        now = rows.filter(pk=row.pk).first()
    return {}, None
