"""``manage.py certn_check``: whether the stored keys work, for people and for scripts."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailure
from django.db import router

from django_certn.conf import conf, environment_choices
from django_certn.exceptions import CredentialNotFoundError, Status
from django_certn.management import base
from django_certn.management.base import NO_VERDICT, VERDICT, WRONG_CALL, Problem
from django_certn.models import CertnCredential
from django_certn.verification import Verification, budget_of, verify_for_token

if TYPE_CHECKING:
    from django_certn.probe import Probe

TRY_AGAIN = {Status.UNREACHABLE, Status.RATE_LIMITED}

EXIT_CODES = """\
exit codes:
  0  every credential is ok
  1  a verdict against one: rejected, undecryptable, misconfigured, retired or
     bad_response
  2  wrong call, unknown name (then nothing is exchanged), nothing to check,
     table not migrated
  3  no verdict, try again: unreachable, rate_limited, database out of reach,
     an error of the check itself
  1 wins over 3.

With --format json, stdout is one document, whatever the exit code:
  {"version": 1, "results": [...], "error": null}
Where the check itself fails, error is {"code": ..., "message": ...}; the codes
are wrong_call, unknown_name, nothing_to_check, not_migrated,
database_unreachable and unexpected.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What is told of one credential; ``is_probed`` says whether a probe was asked for."""

    verification: Verification
    probe: "Probe | None"
    is_probed: bool

    @property
    def status(self) -> Status:
        return self.probe.status if self.probe else self.verification.status

    def as_dict(self) -> dict[str, Any]:
        told = self.verification.as_dict()
        if self.is_probed:
            told["probe"] = self.probe and {
                "http_status": self.probe.http_status,
                "count": self.probe.count,
            }
        return told


class Command(base.CertnCommand):
    help = (
        "Exchanges each stored key for a token, live and whatever is cached, and says\n"
        "whether the key works. The outcome is recorded on the credential."
    )
    exit_codes = EXIT_CODES

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
            "--probe",
            action="store_true",
            help="Also GET /api/v1/users/ with each new token; only the number of users is told.",
        )
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="Default: text."
        )
        base.add_database_argument(parser)
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=base.seconds,
            help="For each exchange, and each probe. Default: the setting CERTN_REQUEST_TIMEOUT.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["format"] == "json"
        results: list[Result] = []
        problem: Problem | None = None
        try:
            using = options["database"] or router.db_for_write(CertnCredential)
            base.refuse_wrong_call(using, options["timeout"])
            for name in select(using, options["names"], options["environment"]):
                result = check(name, using, options["timeout"], is_probed=options["probe"])
                results.append(result)
                if not as_json:
                    self.write(result, options["verbosity"])
        except Problem as error:
            problem = error
        except CredentialNotFoundError as error:  # deleted since it was selected
            problem = Problem("unknown_name", str(error), WRONG_CALL)
        except DatabaseFailure as error:
            message = f"The database cannot be used now: {base.first_line(error)}"
            problem = Problem("database_unreachable", message, NO_VERDICT)
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

    def write(self, result: Result, verbosity: int) -> None:
        if result.status == Status.OK and verbosity == 0:
            return
        verification = result.verification
        word = self.paint(verification.status)
        self.stdout.write(
            f"{verification.name} ({verification.environment}): {word}. {verification.detail}"
        )
        if verification.hint:
            self.stdout.write(f"    {verification.hint}")
        if verbosity > 1 and verification.latency is not None:
            url = conf.environment(verification.environment).token_url
            self.stdout.write(f"    POST {url}: {verification.latency:.3f} s")
        if verbosity > 1 and verification.expires_in is not None:
            self.stdout.write(f"    The token lives {verification.expires_in:.0f} s.")
        if result.probe:
            from django_certn.probe import USERS_PATH

            answer, count = result.probe.http_status, result.probe.count
            told = f"HTTP {answer}" if answer else "no answer"
            if count is not None:
                told += f", {count} users"
            self.stdout.write(f"    GET {USERS_PATH}: {self.paint(result.probe.status)} ({told})")

    def paint(self, status: Status) -> str:
        if status == Status.OK:
            return self.style.SUCCESS(status.value)
        style = self.style.WARNING if status in TRY_AGAIN else self.style.ERROR
        return style(status.value)


def check(name: str, using: str, timeout: float | None, *, is_probed: bool) -> Result:
    verification, response = verify_for_token(name, timeout=timeout, using=using)
    if response is None or not is_probed:
        return Result(verification, None, is_probed)
    from django_certn.probe import probe  # it loads what only a request needs

    return Result(
        verification,
        probe(
            conf.environment(verification.environment),
            response.access_token,
            timeout=budget_of(timeout),
        ),
        is_probed,
    )


def select(using: str, names: Iterable[str], environment: str | None) -> list[str]:
    """Return the names of the credentials to check, each once, in order.

    Raises:
        Problem: there is none, or a name is unknown, or the table is not there as it should be.
    """
    base.require_migrated(using)
    rows = CertnCredential.objects.using(using)
    where = ""
    if environment:
        rows = rows.filter(environment=environment)
        where = f" in the environment {environment!r}"
    wanted = set(names)
    rows = rows.filter(name__in=wanted) if wanted else rows.filter(is_active=True)
    found = set(rows.values_list("name", flat=True))
    if unknown := sorted(wanted - found):
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
    return sorted(wanted or found)


def judge(results: list[Result], problem: Problem | None) -> int:
    """Return the exit code."""
    failed = {result.status for result in results} - {Status.OK}
    if failed - TRY_AGAIN:
        return VERDICT
    if problem:
        return problem.returncode
    return NO_VERDICT if failed else 0


def document(results: list[Result], problem: Problem | None) -> str:
    error = {"code": problem.code, "message": str(problem)} if problem else None
    told = [result.as_dict() for result in results]
    return json.dumps({"version": 1, "results": told, "error": error}, indent=2)


def summary(results: list[Result]) -> str:
    failed = [
        f"{result.verification.name} ({'probe: ' if result.probe else ''}{result.status})"
        for result in results
        if result.status != Status.OK
    ]
    return f"{len(failed)} of {len(results)} not ok: {', '.join(failed)}."
