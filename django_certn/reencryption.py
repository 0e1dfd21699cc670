"""Every column that the encryption package fills, this app's and others', put under the first key.

A site has one `FIELD_ENCRYPTION_KEY` for all its apps, so an encryption key may go when no column
needs it any more. The columns are read and written by statements of their own and not by the site's
models: the package would encrypt what is encrypted already, default managers hide rows, and a value
has no business in Python's memory but for the moment in which it is put under another key. No
statement holds anything but ciphertext and primary keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from django.apps import apps
from django.db import Error as DatabaseFailure
from django.db import connections, models, transaction

from django_certn.fields import decrypt, encrypt, is_current, is_encrypted_field
from django_certn.models import CertnCredential
from django_certn.pasted import looks_encrypted
from django_certn.querysets import replace_plain_text
from django_certn.secret import UndecryptableSecret

__all__ = ["Column", "Outcome", "Row", "encrypted_columns", "reencrypt"]

BATCH = 500  # rows in memory at a time


class Outcome(Enum):
    """What became of a value, or what it is where nothing was done; in a dry run and else."""

    REENCRYPTED = "to be re-encrypted", "re-encrypted"
    CURRENT = "already current", "already current"
    CHANGED = "changed meanwhile", "changed meanwhile"
    ENCRYPTED = "plain text to be encrypted", "plain text encrypted"
    PLAIN = "in plain text", "in plain text"
    OLDER = "in need of an older encryption key", "in need of an older encryption key"
    UNREADABLE = "unreadable", "unreadable"

    def words(self, *, dry_run: bool) -> str:
        would, did = self.value
        return would if dry_run else did


class Row(NamedTuple):
    """A value as it is stored, and where.

    Attributes:
        key: the columns of the primary key.
        stored: what the database has; text, as a rule.
        name: of one of this app's own rows, ``""`` of any other.
    """

    key: tuple[Any, ...]
    stored: Any
    name: str = ""

    @property
    def text(self) -> str:
        if isinstance(self.stored, bytes | memoryview):
            return bytes(self.stored).decode(errors="replace")
        return str(self.stored)


@dataclass(frozen=True)
class Column:
    """The column of one encrypted field in one database."""

    using: str
    model: type[models.Model]
    field: "models.Field[Any, Any]"

    @property
    def is_ours(self) -> bool:
        return self.model is CertnCredential

    def __str__(self) -> str:
        where = "" if self.using == "default" else f" in the database {self.using!r}"
        return f"{self.model._meta.label}.{self.field.name}{where}"

    @property
    def table(self) -> str:
        return self.quoted(self.model._meta.db_table)

    @property
    def value(self) -> str:
        return self.quoted(self.field.column)

    @property
    def keys(self) -> list[str]:
        return [self.quoted(field.column) for field in self.model._meta.pk_fields]

    def quoted(self, name: str | None) -> str:
        return str(connections[self.using].ops.quote_name(str(name)))

    def exists(self) -> bool:
        """Return whether the table is there; that of a model without migrations may be missing.

        Raises:
            DatabaseFailure: it is there and cannot be read, or the database is out of reach.
        """
        try:
            # It may be in another schema, which the list of tables does not show.
            with transaction.atomic(using=self.using):
                self.execute(f"SELECT 1 FROM {self.table} WHERE 1 = 0")
        except DatabaseFailure:
            with connections[self.using].cursor() as cursor:
                tables = connections[self.using].introspection.table_names(cursor, True)
            if self.model._meta.db_table in tables:
                raise
            return False
        return True

    def count(self) -> int:
        return int(self.execute(f"SELECT COUNT({self.value}) FROM {self.table}")[0][0])

    def batches(self) -> Iterator[list[Row]]:
        """Yield all that is stored; each batch is read for itself, so no cursor stays open."""
        keys = ", ".join(self.keys)
        names = [self.quoted("name")] if self.is_ours else []
        select = (
            f"SELECT {', '.join([*names, self.value, *self.keys])} FROM {self.table} "
            f"WHERE {self.value} IS NOT NULL"
        )
        # The first comparison is for MariaDB, which for the second alone reads all from the start.
        after = f" AND {self.keys[0]} >= %s AND ({keys}) > ({self.placeholders()})"
        order = f" ORDER BY {keys} LIMIT {BATCH}"
        found = self.execute(select + order)
        while found:
            batch = [self.row(values) for values in found]
            yield batch
            last = batch[-1].key
            found = self.execute(select + after + order, [last[0], *last])

    def placeholders(self) -> str:
        return ", ".join(["%s"] * len(self.keys))

    def row(self, values: tuple[Any, ...]) -> Row:
        name, values = (values[0], values[1:]) if self.is_ours else ("", values)
        return Row(key=values[1:], stored=values[0], name=name)

    def read(self, key: tuple[Any, ...]) -> Row | None:
        """Return what is stored there now, ``None`` if nothing is."""
        found = self.execute(
            f"SELECT {self.value} FROM {self.table} WHERE {self.match()} "
            f"AND {self.value} IS NOT NULL",
            key,
        )
        return Row(key, found[0][0]) if found else None

    def replace(self, row: Row, ciphertext: str) -> bool:
        """Compare and set in one statement, so nobody's save is undone; return whether it did."""
        sql = (
            f"UPDATE {self.table} SET {self.value} = %s WHERE {self.match()} AND {self.value} = %s"
        )
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, [ciphertext, *row.key, row.stored])
            return bool(cursor.rowcount == 1)

    def match(self) -> str:
        return " AND ".join(f"{key} = %s" for key in self.keys)

    def execute(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())


def encrypted_columns(using: str) -> list[Column]:
    """Return the columns that the site's models have in that database, this app's own first.

    Proxies have no columns, and what is inherited is in the parent's table.
    """
    columns: dict[tuple[str, str | None], Column] = {}
    every: list[type[models.Model]] = [CertnCredential, *apps.get_models(include_auto_created=True)]
    for model in every:
        for field in model._meta.local_concrete_fields:
            if is_encrypted_field(field):
                # Two models may stand for the same table.
                place = (model._meta.db_table, field.column)
                columns.setdefault(place, Column(using, model, field))
    return list(columns.values())


def reencrypt(
    column: Column, *, write: bool, is_included: bool, plain_too: bool
) -> Iterator[tuple[Row, Outcome]]:
    """Yield each row with what became of its value.

    Args:
        column: where they are.
        write: ``False`` for a dry run.
        is_included: whether values that need an older key are to be put under the first one.
        plain_too: whether secrets in plain text are to be encrypted, in this app's own table.

    Raises:
        DatabaseFailure: what was yielded before stays done.
    """
    for batch in column.batches():
        planned = [(row, *plan(column, row, is_included, plain_too)) for row in batch]
        if not write:
            yield from ((row, outcome) for row, outcome, _ in planned)
        elif commits_once(column):
            with transaction.atomic(using=column.using):
                done = [(step[0], carry_out(column, *step)) for step in planned]
            yield from done
        else:
            yield from ((step[0], carry_out(column, *step)) for step in planned)


def plan(
    column: Column, row: Row, is_included: bool, plain_too: bool
) -> tuple[Outcome, str | None]:
    """Return what is to be done with the value, and what it is to be replaced by."""
    text = row.text
    # First: base64 passes over a quote or a space in front, and so the package reads such a value.
    value = decrypt(text)
    if value is None and not looks_encrypted(text):
        if not column.is_ours:
            return Outcome.PLAIN, None
        secret = UndecryptableSecret(text).plain_text()
        if secret is None:
            return Outcome.UNREADABLE, None
        return (Outcome.ENCRYPTED, secret) if plain_too else (Outcome.PLAIN, None)
    # Ciphertext in ciphertext is what the package makes when it saves under another key.
    if value is None or looks_encrypted(value):
        return Outcome.UNREADABLE, None
    if is_current(text):
        return Outcome.CURRENT, None
    return (Outcome.REENCRYPTED, encrypt(value)) if is_included else (Outcome.OLDER, None)


def carry_out(column: Column, row: Row, outcome: Outcome, new: Any) -> Outcome:
    if new is None:
        return outcome
    if outcome is Outcome.ENCRYPTED:
        rows = models.QuerySet[CertnCredential](CertnCredential, using=column.using)
        is_done = replace_plain_text(rows, row.key[0], row.text, new)
    else:
        is_done = column.replace(row, new)
    if is_done:
        return outcome
    # Whoever saved it meanwhile may be a process that has not heard of the new key.
    now = column.read(row.key)
    found = plan(column, now, is_included=False, plain_too=False)[0] if now else Outcome.CHANGED
    return Outcome.CHANGED if found is Outcome.CURRENT else found


def commits_once(column: Column) -> bool:
    """Return whether a batch is written in one transaction.

    On SQLite, which waits for the disk at each commit and has one lock for all: the batch holds it
    for some 20 ms. Other databases lock each row until the commit. There, whoever saves one of
    those rows would wait for all of the batch, and be ended by a deadlock if the batch waited for
    one of theirs. The price is a commit for each row, which takes some 1 ms.
    """
    return not connections[column.using].features.has_select_for_update
