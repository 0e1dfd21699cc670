"""``manage.py certn_check``: whether the stored keys work, for people and for scripts."""

import json
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import Error as DatabaseFailure
from django.db import connections, router

from django_certn.conf import conf, environment_choices
from django_certn.exceptions import CredentialNotFoundError, Status
from django_certn.models import CertnCredential
from django_certn.verification import Verification, is_seconds, verify_for_token

VERDICT, WRONG_CALL, NO_VERDICT = 1, 2, 3
TRY_AGAIN = (Status.UNREACHABLE, Status.RATE_LIMITED)

EXIT_CODES = """\
exit codes:
  0  every credential is ok
  1  a verdict against one: rejected, undecryptable, misconfigured, retired or bad_response
  2  wrong call, unknown name (then nothing is exchanged), nothing to check, table not migrated
  3  no verdict, try again: unreachable, rate_limited, database out of reach, unexpected error
  1 wins over 3.

With --format json, stdout is one document whatever the exit code:
  {"version": 1, "results": [...], "error": null}
Where the check itself fails, error is {"code": ..., "message": ...} with one of the codes
unknown_name, nothing_to_check, not_migrated, database_unreachable, unexpected.
"""


class Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's order of the options, and line ends as they are written above."""


class Problem(Exception):  # noqa: N818 - it ends the check, and is told rather than raised
    """Why there is no result, or no further one."""

    def __init__(self, code: str, message: str, returncode: int) -> None:
        super().__init__(message)
        self.code = code
        self.returncode = returncode


class Command(BaseCommand):
    help = (
        "Exchanges the stored keys for tokens, live and whatever is cached, and says whether each "
        "of them works. The outcome is recorded on the credential."
    )
    # A check that fails would leave stdout without its document, and the exit code would be 1.
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", EXIT_CODES)
        kwargs.setdefault("formatter_class", Formatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="Credentials to check, inactive ones too. Without a name: all that are active.",
        )
        parser.add_argument(
            "--environment",
            metavar="SLUG",
            choices=[slug for slug, _ in environment_choices()],
            help="Only credentials of this environment: %(choices)s.",
        )
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="Default: text."
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            choices=list(connections),
            help="Where the credentials are stored. Default: where the site writes them.",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            help="For each exchange. Default: the setting CERTN_REQUEST_TIMEOUT.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["format"] == "json"
        results: list[Verification] = []
        problem: Problem | None = None
        try:
            for row in select(options["database"], options["names"], options["environment"]):
                verification, _ = verify_for_token(row, timeout=options["timeout"])
                results.append(verification)
                if not as_json:
                    self.write(verification, options["verbosity"])
        except Problem as error:
            problem = error
        except CredentialNotFoundError as error:  # deleted since it was selected
            problem = Problem("unknown_name", str(error), WRONG_CALL)
        except DatabaseFailure as error:
            problem = Problem("database_unreachable", first_line(error), NO_VERDICT)
            problem.__cause__ = error
        except Exception as error:  # noqa: BLE001 - a script must be told of any
            # Its type alone: the message of an error that nobody foresaw may hold anything.
            message = f"{type(error).__name__}; --traceback shows where it comes from."
            problem = Problem("unexpected", message, NO_VERDICT)
            problem.__cause__ = error
        if as_json:
            self.stdout.write(document(results, problem))
        if returncode := judge(results, problem):
            message = str(problem) if problem else summary(results)
            raise CommandError(message, returncode=returncode) from problem

    def write(self, verification: Verification, verbosity: int) -> None:
        if verification.ok and verbosity == 0:
            return
        status, style = str(verification.status), self.style.ERROR
        if verification.ok:
            style = self.style.SUCCESS
        elif verification.status in TRY_AGAIN:
            style = self.style.WARNING
        self.stdout.write(
            f"{verification.name} ({verification.environment}): {style(status)}. "
            f"{verification.detail}"
        )
        if verification.hint:
            self.stdout.write(f"    {verification.hint}")
        if verbosity > 1 and verification.latency is not None:
            self.stdout.write(
                f"    POST {conf.environment(verification.environment).token_url}, "
                f"{verification.latency:.3f} s"
            )
        if verbosity > 1 and verification.expires_in is not None:
            self.stdout.write(f"    The token lives {verification.expires_in:.0f} s.")


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not is_seconds(value):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0.")
    return value


def select(
    using: str | None, names: Iterable[str], environment: str | None
) -> list[CertnCredential]:
    """Return the credentials to check, each once, by name.

    Raises:
        Problem: there is none, or a name is unknown, or the table is not there as it should be.
    """
    using = using or router.db_for_write(CertnCredential)
    if not is_migrated(using):
        raise Problem(
            "not_migrated",
            f"The database {using!r} does not have the table of django_certn as it should be: "
            f"run migrate first (manage.py migrate --database {using}).",
            WRONG_CALL,
        )
    rows = CertnCredential.objects.using(using).defer("client_secret")
    where = ""
    if environment:
        rows = rows.filter(environment=environment)
        where = f" in the environment {environment!r}"
    names = set(names)
    rows = rows.filter(name__in=names) if names else rows.filter(is_active=True)
    found = {row.name: row for row in rows}
    # In Python: for MySQL, "Acme" is "acme" too.
    if unknown := sorted(names - set(found)):
        raise Problem(
            "unknown_name",
            f"No Certn credential{where} is named {', '.join(map(repr, unknown))}; "
            "nothing was checked.",
            WRONG_CALL,
        )
    if not found:
        raise Problem(
            "nothing_to_check",
            f"There is no active Certn credential{where}: add one in the admin.",
            WRONG_CALL,
        )
    return [found[name] for name in sorted(names or found)]


def is_migrated(using: str) -> bool:
    connection, model = connections[using], CertnCredential._meta  # noqa: SLF001 - documented
    with connection.cursor() as cursor:
        if model.db_table not in connection.introspection.table_names(cursor):
            return False
        description = connection.introspection.get_table_description(cursor, model.db_table)
    there = {column.name for column in description}
    return all(field.column in there for field in model.local_concrete_fields)


def judge(results: list[Verification], problem: Problem | None) -> int:
    """Return the exit code."""
    failed = [result.status for result in results if not result.ok]
    if any(status not in TRY_AGAIN for status in failed):
        return VERDICT
    if problem:
        return problem.returncode
    return NO_VERDICT if failed else 0


def document(results: list[Verification], problem: Problem | None) -> str:
    error = {"code": problem.code, "message": str(problem)} if problem else None
    return json.dumps(
        {"version": 1, "results": [result.as_dict() for result in results], "error": error},
        indent=2,
    )


def summary(results: list[Verification]) -> str:
    failed = [f"{result.name} ({result.status})" for result in results if not result.ok]
    return f"{len(failed)} of {len(results)} not ok: {', '.join(failed)}."


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
