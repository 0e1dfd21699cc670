"""What the commands share: how they are called, how they end, and how they print."""

import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Self

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    OutputWrapper,
)
from django.db import Error as DatabaseFailure
from django.db import connections

from django_certn.bulk import PARALLEL
from django_certn.models import CertnCredential
from django_certn.verification import is_seconds

__all__ = [
    "NO_VERDICT",
    "VERDICT",
    "WRONG_CALL",
    "Bar",
    "CertnCommand",
    "Problem",
    "add_database_argument",
    "add_parallel_argument",
    "day",
    "first_line",
    "is_migrated",
    "printable",
    "problem_of",
    "refuse_wrong_call",
    "require_migrated",
    "seconds",
]

# Exit codes beside 0. A person has to do something; the call is wrong; try again.
VERDICT, WRONG_CALL, NO_VERDICT = 1, 2, 3

MANY = 500  # quick steps from which on a person wants to see that something happens
MOST_PARALLEL = 100  # threads
BAR = 40  # characters


class Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's order of the options, and line ends as they are written in the command."""


class Problem(CommandError):  # noqa: N818 - it ends a command, and is reported
    """Why a command does not do what it is called for, or does not go on.

    Attributes:
        code: the same for scripts, such as ``not_migrated``.
    """

    def __init__(self, code: str, message: str, returncode: int) -> None:
        super().__init__(message, returncode=returncode)
        self.code = code


class CertnCommand(BaseCommand):
    """A command that says in its help how it exits, and prints whatever its output can encode."""

    exit_codes: ClassVar[str]
    # A fault elsewhere in the site must neither stand in for the command's own exit code and
    # output, nor keep anybody from mending a key.
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def __init__(self, stdout: Any = None, stderr: Any = None, **kwargs: Any) -> None:
        super().__init__(
            Escaping(stdout or sys.stdout),  # type: ignore[arg-type]
            Escaping(stderr or sys.stderr),  # type: ignore[arg-type]
            **kwargs,
        )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", self.exit_codes)
        kwargs.setdefault("formatter_class", Formatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):
            if options.get(name):
                options[name] = Escaping(options[name])
        return super().execute(*args, **options)


class Escaping:
    """A stream that writes what its encoding lacks as an escape, and does not fail of it.

    Python does this for stderr. On stdout a name with one such character would end a command in
    the middle of its work, in a container whose locale is C for instance.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> Any:
        encoding = getattr(self.stream, "encoding", None)
        if encoding:
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Bar:
    """Shows a person at a terminal how far it is, if there is much to do; else nothing.

    Args:
        stream: where it is drawn, stderr as a rule.
        count: returns the number of steps; it is not called unless somebody looks.
        is_wanted: whether the person wants to see it.
        many: how many steps are much, `MANY` of quick ones.
    """

    def __init__(
        self,
        stream: OutputWrapper,
        count: Callable[[], int],
        *,
        is_wanted: bool,
        many: int | None = None,
    ) -> None:
        self.stream, self.many = stream, MANY if many is None else many
        self.done, self.shown = 0, -1
        self.total = count() if is_wanted and stream.isatty() else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        if self.shown >= 0:
            self.stream.write("", str)  # not in the colour of an error

    def advance(self) -> None:
        self.done += 1
        if self.total < self.many:
            return
        percent = min(100, self.done * 100 // self.total)  # there may be more by now
        if percent > self.shown:
            bar = "#" * (BAR * percent // 100)
            self.stream.write(f"\r[{bar:{BAR}}] {percent:3} %", str, ending="")
            self.stream.flush()
            self.shown = percent

    def clear(self) -> None:
        """Make room for another line; the next step draws it again."""
        if self.shown >= 0:
            self.stream.write(f"\r{'':{BAR + 8}}\r", str, ending="")
            self.stream.flush()
            self.shown = -1


def add_database_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--database",
        metavar="ALIAS",
        choices=list(connections),
        help="Where the credentials are stored. Default: where the site writes them.",
    )


def add_parallel_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--parallel",
        metavar="N",
        type=number_of_requests,
        default=PARALLEL,
        help="So many requests at a time, %(default)s unless said. They start no faster for it "
        "than Certn allows.",
    )


def seconds(text: str) -> float:
    """Read an argument that is a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not is_seconds(value):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0.")
    return value


def day(text: str) -> date:
    """Read an argument that is a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2027-01-31.") from None


def number_of_requests(text: str) -> int:
    """Read an argument that says how many requests may be under way at a time."""
    if not (text.isdecimal() and is_number_of_requests(int(text))):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_PARALLEL}.")
    return int(text)


def is_number_of_requests(value: object) -> bool:
    return type(value) is int and 1 <= value <= MOST_PARALLEL


def refuse_wrong_call(using: str, timeout: float | None = None, parallel: int = 1) -> None:
    """Refuse what a call from Python may hold and the parser would have refused.

    Raises:
        Problem: there is no such database, or one of the numbers is none.
    """
    if using not in connections:
        raise Problem("wrong_call", f"There is no database {using!r}.", WRONG_CALL)
    if timeout is not None and not is_seconds(timeout):
        raise Problem("wrong_call", "The timeout is a number of seconds above 0.", WRONG_CALL)
    if not is_number_of_requests(parallel):
        message = f"At a time, there may be from 1 to {MOST_PARALLEL} requests."
        raise Problem("wrong_call", message, WRONG_CALL)


def require_migrated(using: str) -> None:
    """Refuse to go on without the table as this version has it.

    Raises:
        Problem: it is missing, or a column of it is.
    """
    if not is_migrated(using):
        raise Problem(
            "not_migrated",
            "The table of django_certn is missing or not up to date: run migrate first "
            f"(manage.py migrate --database {using}).",
            WRONG_CALL,
        )


def is_migrated(using: str) -> bool:
    connection, model = connections[using], CertnCredential._meta
    with connection.cursor() as cursor:
        if model.db_table not in connection.introspection.table_names(cursor):
            return False
        description = connection.introspection.get_table_description(cursor, model.db_table)
    there = {column.name for column in description}
    return all(field.column in there for field in model.local_concrete_fields)


def problem_of(error: BaseException, unreached: str = "") -> Problem:
    """Return what stopped a command.

    Args:
        error: what was raised.
        unreached: a sentence that says what it did not come to.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, KeyboardInterrupt):
        code, message = "stopped", "Stopped."
    elif isinstance(error, DatabaseFailure):
        code = "database_unreachable"
        message = f"The database cannot be used now: {first_line(error).rstrip('.')}."
    else:
        # Its type alone: the message of an error that nobody foresaw may hold anything.
        code = "unexpected"
        message = f"{type(error).__name__}; --traceback shows where it comes from."
    problem = Problem(code, message + unreached, NO_VERDICT)
    problem.__cause__ = error
    return problem


def printable(name: str) -> str:
    """Return a name as a terminal may show it: as ``repr()`` where it holds what is not printed.

    A control or format character would move the cursor, colour what follows or turn it round.
    """
    return name if name.isprintable() else repr(name)


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
