"""``manage.py certn_reencrypt``: puts every stored secret under the first encryption key."""

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailure
from django.db import router
from django.db.models import QuerySet

from django_certn.checks import check_encryption_key
from django_certn.fields import Secret, UndecryptableSecret, is_current, stored_text
from django_certn.management import base
from django_certn.management.base import WRONG_CALL
from django_certn.models import CertnCredential
from django_certn.querysets import replace_plain_text

UNREADABLE, NO_DATABASE = 1, 3

BATCH = 500  # rows in memory at a time

EXIT_CODES = """\
exit codes:
  0  every secret is under the first key, or was saved by the site meanwhile
  1  a secret cannot be read: it is left as it is, and named
  2  wrong call, malformed FIELD_ENCRYPTION_KEY, table not migrated
  3  the database is out of reach: run it again, what is done stays done
"""


class Outcome(Enum):
    """What became of a row; the value is how it is told, in a dry run and else."""

    REENCRYPTED = "to be re-encrypted", "re-encrypted"
    CURRENT = "already current", "already current"
    CHANGED = "changed meanwhile", "changed meanwhile"
    ENCRYPTED = "plain text to be encrypted", "plain text encrypted"
    UNREADABLE = "unreadable", "unreadable"

    def told(self, *, dry_run: bool) -> str:
        would, did = self.value
        return would if dry_run else did


class Row(NamedTuple):
    """A credential as it is stored."""

    pk: int
    name: str
    stored: str


class Command(base.CertnCommand):
    help = (
        "Puts every stored secret under the first key of FIELD_ENCRYPTION_KEY, so that\n"
        "the keys behind it can be dropped. It may be stopped and run again, and the site\n"
        "may be in use: a secret that is saved meanwhile stays."
    )
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Write nothing; say what would be done."
        )
        base.add_database_argument(parser)
        parser.add_argument(
            "--encrypt-plaintext",
            action="store_true",
            help="Encrypt the secrets that are stored in clear. Without it, they are unreadable.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run, verbosity = options["dry_run"], options["verbosity"]
        using = options["database"] or router.db_for_write(CertnCredential)
        counts: Counter[Outcome] = Counter()
        troubles: list[str] = []
        failure: DatabaseFailure | None = None
        try:
            refuse_wrong_call(using)
            rows = CertnCredential.objects.using(using).annotate(
                stored=stored_text("client_secret")
            )
            with base.Bar(self.stderr, rows.count, is_wanted=verbosity == 1) as bar:
                for row in walk(rows):
                    outcome = reencrypt(
                        rows, row, dry_run=dry_run, plain_too=options["encrypt_plaintext"]
                    )
                    counts[outcome] += 1
                    if outcome is Outcome.UNREADABLE:
                        troubles.append(f"{row.name}: {why(row)}")
                    elif verbosity > 1:
                        self.stdout.write(f"{row.name}: {outcome.told(dry_run=dry_run)}")
                    bar.advance()
        except DatabaseFailure as error:
            failure = error
        if verbosity > 0 and (counts or not failure):
            self.write(counts, dry_run=dry_run)
        for trouble in troubles:
            self.stderr.write(trouble)
        if failure:
            raise CommandError(
                f"The database cannot be used now: {base.first_line(failure)}. "
                "Run this again; what is done stays done.",
                returncode=NO_DATABASE,
            ) from failure
        if troubles:
            raise CommandError(
                f"{len(troubles)} of {counts.total()} secrets cannot be read, and were left as "
                "they are.",
                returncode=UNREADABLE,
            )

    def write(self, counts: Counter[Outcome], *, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write("Dry run: nothing was written.")
        for outcome in Outcome:
            self.stdout.write(f"{outcome.told(dry_run=dry_run)}: {counts[outcome]}")


def refuse_wrong_call(using: str) -> None:
    base.refuse_wrong_call(using)
    for problem in check_encryption_key():
        raise CommandError(f"{problem.msg} {problem.hint}", returncode=WRONG_CALL)
    base.require_migrated(using)


def walk(rows: QuerySet[Any]) -> Iterator[Row]:
    """Yield every row, in batches that are read one after the other: no cursor stays open."""
    found = rows.order_by("pk").values_list("pk", "name", "stored")
    batch = list(found[:BATCH])
    while batch:
        yield from map(Row._make, batch)
        batch = list(found.filter(pk__gt=batch[-1][0])[:BATCH])


def reencrypt(rows: QuerySet[Any], row: Row, *, dry_run: bool, plain_too: bool) -> Outcome:
    secret = Secret.read(row.stored)
    outcome = Outcome.REENCRYPTED
    if isinstance(secret, UndecryptableSecret):
        plain = secret.plain_text() if plain_too else None
        if plain is None:
            return Outcome.UNREADABLE
        secret, outcome = plain, Outcome.ENCRYPTED
    elif is_current(row.stored):
        return Outcome.CURRENT
    if dry_run:
        return outcome
    if outcome is Outcome.ENCRYPTED:
        stored = replace_plain_text(rows, row.pk, row.stored, secret)
        return outcome if stored else Outcome.CHANGED
    # Compare and set in one statement: no lock, no transaction, and nobody's save is undone.
    # update() leaves the times and the outcome of the last verification alone: it is the same key.
    unchanged = rows.filter(pk=row.pk, stored=row.stored)
    return outcome if unchanged.update(client_secret=secret) else Outcome.CHANGED


def why(row: Row) -> str:
    if UndecryptableSecret(row.stored).plain_text() is None:
        return (
            "no key in FIELD_ENCRYPTION_KEY opens it. Put the earlier encryption key back, "
            "or enter a new pair from Certn's Partner tab."
        )
    return "it is stored in clear. With --encrypt-plaintext, it is encrypted."
