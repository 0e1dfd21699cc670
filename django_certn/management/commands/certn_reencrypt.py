"""``manage.py certn_reencrypt``: puts every stored secret under the first encryption key."""

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, Self

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import Error as DatabaseFailure
from django.db import connections, router
from django.db.models import QuerySet

from django_certn.checks import check_encryption_key
from django_certn.fields import Secret, UndecryptableSecret, is_current, stored_text
from django_certn.management.commands.certn_check import Formatter, first_line, is_migrated
from django_certn.models import CertnCredential

UNREADABLE, WRONG_CALL, NO_DATABASE = 1, 2, 3

BATCH = 500  # rows in memory at a time
MANY = 500  # rows from which on a person wants to see that something happens
BAR = 40  # characters

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


class Command(BaseCommand):
    help = (
        "Puts every stored secret under the first key of FIELD_ENCRYPTION_KEY, so that\n"
        "the keys behind it can be dropped. It may be stopped and run again, and the site\n"
        "may be in use: a secret that is saved meanwhile stays."
    )
    # A fault elsewhere in the site must not keep anybody from changing the key.
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", EXIT_CODES)
        kwargs.setdefault("formatter_class", Formatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Write nothing; say what would be done."
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            choices=list(connections),
            help="Where the credentials are stored. Default: where the site writes them.",
        )
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
            with Bar(self.stderr, rows, is_wanted=verbosity == 1) as bar:
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
                f"The database cannot be used now: {first_line(failure)}. "
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


class Bar:
    """Shows a person at a terminal how far it is, if there is much to do; else nothing."""

    def __init__(self, stream: OutputWrapper, rows: QuerySet[Any], *, is_wanted: bool) -> None:
        self.stream = stream
        self.done, self.shown = 0, -1
        self.total = rows.count() if is_wanted and stream.isatty() else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        if self.shown >= 0:
            self.stream.write("")

    def advance(self) -> None:
        self.done += 1
        if self.total < MANY:
            return
        percent = min(100, self.done * 100 // self.total)  # rows may be added meanwhile
        if percent > self.shown:
            bar = "#" * (BAR * percent // 100)
            self.stream.write(f"\r[{bar:{BAR}}] {percent:3} %", str, ending="")
            self.stream.flush()
            self.shown = percent


def refuse_wrong_call(using: str) -> None:
    if using not in connections:
        raise CommandError(f"There is no database {using!r}.", returncode=WRONG_CALL)
    for problem in check_encryption_key():
        raise CommandError(f"{problem.msg} {problem.hint}", returncode=WRONG_CALL)
    if not is_migrated(using):
        raise CommandError(
            "The table of django_certn is missing or not up to date: run migrate first "
            f"(manage.py migrate --database {using}).",
            returncode=WRONG_CALL,
        )


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
