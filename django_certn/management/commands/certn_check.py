"""``manage.py certn_check``: whether the stored keys work, for people and for scripts."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailure
from django.db import router

from django_certn.conf import conf, environment_choices
from django_certn.exceptions import TRY_AGAIN, CredentialNotFoundError, Status
from django_certn.management import base
from django_certn.management.base import NO_VERDICT, WRONG_CALL, Problem
from django_certn.management.report import (
    Result,
    document,
    judge,
    lines,
    listed,
    summary,
)
from django_certn.models import CertnCredential
from django_certn.verification import budget_of, verify_for_token

EXIT_CODES = """\
exit codes:
  0  every credential is ok
  1  a verdict against one: rejected, undecryptable, misconfigured, retired or
     bad_response
  2  wrong call, unknown name (then nothing is exchanged), nothing to check,
     table not migrated
  3  no verdict, try again: unreachable, rate_limited, database out of reach,
     stopped by Ctrl-C, an error of the check itself
  1 wins over 3. A failed probe counts as a failed exchange does.

With --format json, stdout is one document, whatever the exit code:
  {"version": 1, "results": [...], "skipped": ["name", ...], "error": null}
Skipped are those that are switched off, unless they are named. Where the
check itself fails, error is {"code": ..., "message": ...}; the codes are
wrong_call, unknown_name, nothing_to_check, not_migrated,
database_unreachable, stopped and unexpected.
"""


class Selection(NamedTuple):
    """The names of the credentials to check, and of those that are switched off."""

    names: list[str]
    skipped: list[str]


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
            help="Also GET /api/v1/users/ with each new token; only the number of users is shown. "
            "For an API key this adds nothing: it has no token, and is checked by a GET anyway.",
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
        as_json, verbosity = options["format"] == "json", options["verbosity"]
        selection = Selection([], [])
        results: list[Result] = []
        problem: Problem | None = None
        try:
            using = options["database"] or router.db_for_write(CertnCredential)
            base.refuse_wrong_call(using, options["timeout"])
            selection = select(using, options["names"], options["environment"])
            refuse_empty(selection, options["environment"])
            for result in check_all(
                selection.names, using, options["timeout"], is_probed=options["probe"]
            ):
                results.append(result)
                if not as_json:
                    for line in lines(result, verbosity, self.paint):
                        self.stdout.write(line)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a script hears of any
            problem = problem_of(error, unchecked(selection.names, results))
        if as_json:
            self.stdout.write(document(results, selection.skipped, problem))
        elif results and selection.skipped and verbosity > 0:
            self.stdout.write(f"Not checked, switched off: {listed(selection.skipped)}")
        if returncode := judge(results, problem):
            message = str(problem) if problem else summary(results)
            raise CommandError(message, returncode=returncode) from problem

    def paint(self, status: Status) -> str:
        if status == Status.OK:
            return self.style.SUCCESS(status.value)
        style = self.style.WARNING if status in TRY_AGAIN else self.style.ERROR
        return style(status.value)


def select(using: str, names: Iterable[str], environment: str | None) -> Selection:
    """Return what to check, each credential once, in order.

    Raises:
        Problem: a name is unknown, or the table is not there as it should be.
    """
    base.require_migrated(using)
    rows = CertnCredential.objects.using(using)
    if environment:
        rows = rows.filter(environment=environment)
    wanted = set(names)
    if wanted:
        rows = rows.filter(name__in=filter(is_storable, wanted))
    is_active = dict(rows.values_list("name", "is_active"))
    if unknown := sorted(wanted - set(is_active)):
        raise Problem(
            "unknown_name",
            f"No Certn credential{within(environment)} is named "
            f"{', '.join(map(repr, unknown))}; nothing was checked.",
            WRONG_CALL,
        )
    if wanted:
        return Selection(sorted(wanted), [])
    ordered = sorted(is_active)
    return Selection(
        [name for name in ordered if is_active[name]],
        [name for name in ordered if not is_active[name]],
    )


def is_storable(name: str) -> bool:
    """Return whether a database takes it: in the C locale an argument may be no text at all."""
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False


def refuse_empty(selection: Selection, environment: str | None) -> None:
    if selection.names:
        return
    message = f"There is no active Certn credential{within(environment)}: add one in the admin."
    if selection.skipped:
        message = (
            f"There is no active Certn credential{within(environment)}; switched off: "
            f"{listed(selection.skipped)}. Activate one in the admin, or name it in the call."
        )
    raise Problem("nothing_to_check", message, WRONG_CALL)


def within(environment: str | None) -> str:
    return f" in the environment {environment!r}" if environment else ""


def check_all(
    names: list[str], using: str, timeout: float | None, *, is_probed: bool
) -> Iterator[Result]:
    """Yield the result of each name, in order.

    Raises:
        Problem: after all others were checked, when some were deleted meanwhile.
    """
    gone: list[str] = []
    for name in names:
        try:
            yield check(name, using, timeout, is_probed=is_probed)
        except CredentialNotFoundError:
            gone.append(name)
    if gone:
        raise Problem(
            "unknown_name", f"Not checked, deleted meanwhile: {listed(gone)}.", WRONG_CALL
        )


def check(name: str, using: str, timeout: float | None, *, is_probed: bool) -> Result:
    verification, response = verify_for_token(name, timeout=timeout, using=using)
    if response is None or not is_probed:
        return Result(verification, None, is_probed)
    from django_certn.probe import probe

    environment = conf.environment(verification.environment)
    outcome = probe(environment, response.access_token, timeout=budget_of(timeout))
    return Result(verification, outcome, is_probed)


def unchecked(names: list[str], results: list[Result]) -> list[str]:
    done = {result.verification.name for result in results}
    return [name for name in names if name not in done]


def problem_of(error: BaseException, left: list[str]) -> Problem:
    """Return what stopped the check, and what was not checked for it."""
    if isinstance(error, Problem):
        return error
    unreached = f" Not checked: {listed(left)}." if left else ""
    if isinstance(error, KeyboardInterrupt):
        code, message = "stopped", "Stopped."
    elif isinstance(error, DatabaseFailure):
        code = "database_unreachable"
        message = f"The database cannot be used now: {base.first_line(error).rstrip('.')}."
    else:
        # Its type alone: the message of an error that nobody foresaw may hold anything.
        code = "unexpected"
        message = f"{type(error).__name__}; --traceback shows where it comes from."
    problem = Problem(code, message + unreached, NO_VERDICT)
    problem.__cause__ = error
    return problem
