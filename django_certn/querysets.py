"""Rows by what their column of the secret holds, without a secret that is stored as plain text.

The parameters of a statement end in SQL logs, in slow query logs and in an error tracker's
breadcrumbs. Ciphertext may stand there; plain text, which somebody put into the column past this
app, may not.
"""

from typing import Any, TypeVar

from django.db import models, transaction

from django_certn.fields import stored_text
from django_certn.secret import CIPHERTEXT_START, looks_encrypted

__all__ = ["holding", "replace_plain_text"]

Rows = TypeVar("Rows", bound="models.QuerySet[Any]")

SECRET = "client_secret"  # noqa: S105 - the name of the field


def holding(rows: Rows, column: str) -> Rows:
    """Narrow to the rows whose column holds that text, to compare and set in one statement.

    Of plain text: to the rows whose column holds any plain text. That is enough to record what is
    wrong with such a row, which is the same for each plain text.

    Args:
        rows: of `CertnCredential`, by any of its managers.
        column: what was read from the column.
    """
    rows = rows.annotate(_column=stored_text(SECRET))
    if looks_encrypted(column):
        return rows.filter(_column=column)
    return rows.exclude(_column__startswith=CIPHERTEXT_START)


def replace_plain_text(rows: "models.QuerySet[Any]", pk: int, column: str, secret: object) -> bool:
    """Store the secret in the row if its column still holds that plain text; return whether it did.

    The row is read again under a lock and compared here. SQLite has no such lock, and needs none:
    what is read in a transaction cannot change before that transaction writes.

    Raises:
        OperationalError: SQLite lets somebody else write first. Nothing was stored.
    """
    with transaction.atomic(using=rows.db):
        row = rows.filter(pk=pk).annotate(_column=stored_text(SECRET))
        found = row.select_for_update().values_list("_column", flat=True).first()
        if found != column:
            return False
        return holding(rows.filter(pk=pk), column).update(**{SECRET: secret}) == 1
