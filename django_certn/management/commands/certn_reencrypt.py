"""``manage.py certn_reencrypt``: puts what is encrypted under the first encryption key."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailure
from django.db import connections

from django_certn.encryption_key import encryption_keys, mistakes
from django_certn.management import base
from django_certn.management.base import NO_VERDICT, VERDICT, WRONG_CALL, printable
from django_certn.reencryption import Column, Outcome, Row, encrypted_columns, reencrypt

EXIT_CODES = """\
exit codes:
  0  everything is under the first encryption key: the others are not needed
  1  something needs an older encryption key, or none opens it; 1 wins over 3
  2  wrong call, malformed FIELD_ENCRYPTION_KEY, table not migrated
  3  a database is out of reach, stopped by Ctrl-C, an error of the command
     itself: run it again, what is done stays done
"""

BY_NO_KEY = (
    "no encryption key in FIELD_ENCRYPTION_KEY opens it. Put the earlier one back, behind the "
    "first one. Only if that is lost: enter the pair or the API key again or, if nobody has it, a "
    "new pair or API key from Certn."
)
NOT_NEEDED = (
    "Nothing of this needs the encryption keys behind the first. A backup may: keep them with it."
)
RUN_AGAIN = "Run this again; what is done stays done."
IN_CLEAR = "it is stored as plain text. With --encrypt-plaintext, it is encrypted."


class Command(base.CertnCommand):
    help = (
        "Encrypts every stored secret with the first item of FIELD_ENCRYPTION_KEY, and\n"
        "says what else the site has encrypted with the items behind it: they can go when\n"
        "nothing needs them any more. It may be stopped and run again, and the site may\n"
        "be in use: what is saved meanwhile stays."
    )
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Write nothing; say what would be done."
        )
        parser.add_argument(
            "--all-models",
            action="store_true",
            help="Re-encrypt what the other apps of the site have encrypted, too.",
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            choices=list(connections),
            help="The only database to look at. Default: all of them.",
        )
        parser.add_argument(
            "--encrypt-plaintext",
            action="store_true",
            help="Encrypt secrets that are stored as plain text. Without it, they are unreadable.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for mistake in mistakes():
            raise CommandError(str(mistake), returncode=WRONG_CALL)
        databases = [options["database"]] if options["database"] else list(configured())
        for using in databases:
            base.refuse_wrong_call(using)
        try:
            Run(self, databases, **options).do()
        except CommandError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise base.problem_of(error, f" {RUN_AGAIN}") from error


class Run:
    """One call of the command."""

    def __init__(self, command: Command, databases: list[str], **options: Any) -> None:
        self.stdout, self.stderr = command.stdout, command.stderr
        self.databases, self.verbosity = databases, options["verbosity"]
        self.dry_run, self.all_models = options["dry_run"], options["all_models"]
        self.plain_too = options["encrypt_plaintext"]
        self.counts: dict[Column, Counter[Outcome]] = {}
        self.troubles: list[str] = []
        self.failures: list[str] = []
        self.lost: set[str] = set()  # databases that went out of reach on the way

    def do(self) -> None:
        columns = list(self.columns())
        if not columns and not self.failures:
            names = ", ".join(self.databases)
            raise CommandError(
                "There is no table of django_certn, nor one of another app with encrypted fields: "
                f"run migrate first, in {names}.",
                returncode=WRONG_CALL,
            )
        with base.Bar(
            self.stderr, lambda: count(columns), is_wanted=self.verbosity == 1
        ) as self.bar:
            for column in columns:
                if column.using not in self.lost:
                    with self.noting_failure(column):
                        self.work(column)
        self.report()

    def columns(self) -> Iterator[Column]:
        """Yield the columns that are there; of a database that is out of reach, none."""
        for using in self.databases:
            try:
                connections[using].ensure_connection()
            except DatabaseFailure as error:
                self.fail(f"The database {using!r}", error)
                continue
            for column in encrypted_columns(using):
                if using not in self.lost:
                    with self.noting_failure(column):
                        if column.exists():
                            yield column

    def work(self, column: Column) -> None:
        counts = self.counts[column] = Counter()
        for row, outcome in reencrypt(
            column,
            write=not self.dry_run,
            is_included=self.included(column),
            plain_too=self.plain_too,
        ):
            counts[outcome] += 1
            if column.is_ours:
                self.note(row, outcome)
            self.bar.advance()

    @contextmanager
    def noting_failure(self, column: Column) -> Iterator[None]:
        """Let one table that cannot be read or written keep nobody from the others."""
        try:
            yield
        except DatabaseFailure as error:
            self.fail(str(column), error)
            connection = connections[column.using]
            if connection.connection is None or not connection.is_usable():
                self.lost.add(column.using)

    def fail(self, what: str, error: DatabaseFailure) -> None:
        self.failures.append(f"{what} cannot be used now: {base.first_line(error)}.")

    def note(self, row: Row, outcome: Outcome) -> None:
        if outcome is Outcome.UNREADABLE:
            self.troubles.append(f"{printable(row.name)}: {BY_NO_KEY}")
        elif outcome is Outcome.PLAIN:
            self.troubles.append(f"{printable(row.name)}: {IN_CLEAR}")
        elif self.verbosity > 1:
            self.stdout.write(f"{printable(row.name)}: {outcome.words(dry_run=self.dry_run)}")

    def report(self) -> None:
        if self.verbosity > 0:
            if self.dry_run:
                self.stdout.write("Dry run: nothing was written.")
            lines = [f"{column}: {self.summary(n)}" for column, n in self.counts.items() if n]
            if not lines and not self.failures:
                lines = ["Nothing is stored."]
            for line in lines:
                self.stdout.write(line)
        for trouble in self.troubles:
            self.stderr.write(trouble)
        verdict = [*self.needed(), *self.unreadable()]
        again = [*self.failures, RUN_AGAIN]
        if verdict or self.failures:
            raise CommandError(
                "\n".join(verdict + (again if self.failures else [])),
                returncode=VERDICT if verdict else NO_VERDICT,
            )
        is_all = self.databases == list(configured())
        is_any = any(self.counts.values())
        if self.verbosity > 0 and is_any and is_all and len(encryption_keys()) > 1:
            self.stdout.write(NOT_NEEDED)

    def summary(self, counts: Counter[Outcome]) -> str:
        return ", ".join(
            f"{counts[outcome]} {outcome.words(dry_run=self.dry_run)}"
            for outcome in Outcome
            if counts[outcome]
        )

    def needed(self) -> Iterator[str]:
        """Yield why the keys behind the first one cannot go yet, and what to do."""
        would = self.found(Outcome.REENCRYPTED) if self.dry_run else {}
        older = self.found(Outcome.OLDER)
        if not would and not older:
            return
        needed = total(would, older)
        yield f"Keep the encryption keys behind the first: they are needed by {needed}."
        if would:
            yield f"Without --dry-run, this re-encrypts {listed(would)}."
        others = {column: number for column, number in older.items() if not self.included(column)}
        if others:
            yield f"With --all-models, it re-encrypts {listed(others)}."
        saved = {column: number for column, number in older.items() if self.included(column)}
        if saved:
            yield (
                "Saved meanwhile by a process that does not have the first encryption key: "
                f"{listed(saved)}. Restart all processes of the site, and run this again."
            )

    def unreadable(self) -> Iterator[str]:
        lost = self.found(Outcome.UNREADABLE)
        clear = {column: n for column, n in self.found(Outcome.PLAIN).items() if column.is_ours}
        if lost:
            yield (
                f"Unreadable, and left as it is: {listed(lost)}. Put the encryption key that opens "
                "it back, behind the first one."
            )
        if clear:
            yield f"Stored as plain text, and left as it is: {listed(clear)}."

    def found(self, outcome: Outcome) -> dict[Column, int]:
        return {column: n for column, counts in self.counts.items() if (n := counts[outcome])}

    def included(self, column: Column) -> bool:
        return column.is_ours or self.all_models


def total(*found: dict[Column, int]) -> str:
    number = sum(sum(numbers.values()) for numbers in found)
    return "1 value" if number == 1 else f"{number} values"


def listed(found: dict[Column, int]) -> str:
    return ", ".join(f"{column} ({number})" for column, number in found.items())


def configured() -> Iterator[str]:
    """Yield the databases of the site; one that is not configured is there by name only."""
    for using in connections:
        if connections[using].vendor != "unknown":
            yield using


def count(columns: list[Column]) -> int:
    with suppress(DatabaseFailure):  # said when it comes to the rows
        return sum(column.count() for column in columns)
    return 0
