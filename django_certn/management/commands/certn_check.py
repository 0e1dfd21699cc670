"""``manage.py certn_check``: whether the stored keys work, for people and for scripts."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.db import router

from django_certn.bulk import WAIT_MOST, run
from django_certn.conf import environment_choices
from django_certn.exceptions import TRY_AGAIN, CredentialNotFoundError, Status
from django_certn.expiry import ends_soon
from django_certn.management import base
from django_certn.management.base import WRONG_CALL, Problem, printable
from django_certn.management.checking import Check
from django_certn.management.report import (
    MANY,
    Result,
    document,
    grouped,
    judge,
    lines,
    listed,
    summary,
    tally,
)
from django_certn.models import CertnCredential

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
    """The credentials to check, each with its environment, and those that are switched off."""

    environments: dict[str, str]
    skipped: list[str]

    @property
    def names(self) -> list[str]:
        return list(self.environments)


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
        base.add_parallel_argument(parser)
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=base.seconds,
            help="For each exchange, and each probe. Default: the setting CERTN_REQUEST_TIMEOUT.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, verbosity = options["format"] == "json", options["verbosity"]
        selection = Selection({}, [])
        results: list[Result] = []
        problem: Problem | None = None
        try:
            using = options["database"] or router.db_for_write(CertnCredential)
            base.refuse_wrong_call(using, options["timeout"], options["parallel"])
            selection = select(using, options["names"], options["environment"])
            refuse_empty(selection, options["environment"])
            with self.bar(selection, verbosity) as bar:
                for result in check_all(selection, using, options, partial(self.note_wait, bar)):
                    results.append(result)
                    if not as_json and (not is_brief(selection, verbosity) or is_news(result)):
                        bar.clear()
                        for line in lines(result, verbosity, self.paint):
                            self.stdout.write(line)
                    bar.advance()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a script gets any as JSON
            left = unchecked(selection.names, results)
            problem = base.problem_of(error, f" Not checked: {listed(left)}." if left else "")
        try:
            if as_json:
                self.stdout.write(document(results, selection.skipped, problem))
            elif verbosity > 0:
                self.sum_up(selection, results)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - as on a disk that is full
            problem = problem or base.problem_of(error)
        if returncode := judge(results, problem):
            message = str(problem) if problem else summary(results)
            raise CommandError(message, returncode=returncode) from problem

    def sum_up(self, selection: Selection, results: list[Result]) -> None:
        if results and len(selection.names) >= MANY:
            self.stdout.write(tally(grouped(results), Status.OK))
        if results and selection.skipped:
            self.stdout.write(f"Not checked, switched off: {listed(selection.skipped)}")

    def bar(self, selection: Selection, verbosity: int) -> base.Bar:
        number = len(selection.names)
        return base.Bar(self.stderr, lambda: number, is_wanted=verbosity == 1, many=MANY)

    def note_wait(self, bar: base.Bar, environment: str, seconds: float) -> None:
        """Say to a person at a terminal why nothing happens."""
        if self.stderr.isatty():
            bar.clear()
            self.stderr.write(f"{printable(environment)} asks to wait {seconds:.0f} s.", str)

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
    found = {row[0]: row[1:] for row in rows.values_list("name", "is_active", "environment")}
    if unknown := sorted(wanted - set(found)):
        raise Problem(
            "unknown_name",
            f"No Certn credential{within(environment)} is named "
            f"{', '.join(map(repr, unknown))}; nothing was checked.",
            WRONG_CALL,
        )
    if wanted:
        return Selection({name: found[name][1] for name in sorted(wanted)}, [])
    ordered = sorted(found.items())
    return Selection(
        {name: environment for name, (is_active, environment) in ordered if is_active},
        [name for name, (is_active, _) in ordered if not is_active],
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
    message = (
        f"There is no active Certn credential{within(environment)}: add one in the admin, or with "
        "manage.py certn_set_key."
    )
    if selection.skipped:
        message = (
            f"There is no active Certn credential{within(environment)}; switched off: "
            f"{listed(selection.skipped)}. Activate one in the admin, or name it in the call."
        )
    raise Problem("nothing_to_check", message, WRONG_CALL)


def within(environment: str | None) -> str:
    return f" in the environment {environment!r}" if environment else ""


def is_brief(selection: Selection, verbosity: int) -> bool:
    """Return whether only what is not as it should be has lines of its own."""
    return len(selection.names) >= MANY and verbosity < 2  # noqa: PLR2004 - as Django counts it


def is_news(result: Result) -> bool:
    return not result.ok or ends_soon(result.verification.expires_on)


def check_all(
    selection: Selection,
    using: str,
    options: dict[str, Any],
    on_wait: Callable[[str, float], None],
) -> Iterator[Result]:
    """Yield the result of each credential, in order.

    Raises:
        Problem: after all others were checked, when some were deleted meanwhile.
        Exception: after all others too, the first of those that nobody foresaw.
    """
    timeout, is_probed = options["timeout"], options["probe"]
    tasks = [
        Check(name, environment, using, timeout, is_probed=is_probed)
        for name, environment in selection.environments.items()
    ]
    # Who asks about one hears at once what Certn says; of hundreds, each wants a verdict.
    wait_most = WAIT_MOST if len(tasks) > 1 else 0
    gone: list[str] = []
    unforeseen: list[Exception] = []
    for done in run(tasks, parallel=options["parallel"], wait_most=wait_most, on_wait=on_wait):
        if done.result:
            yield done.result
        elif isinstance(done.error, CredentialNotFoundError):
            gone.append(done.task.name)
        elif done.error:
            unforeseen.append(done.error)
    if unforeseen:
        raise unforeseen[0]
    if gone:
        raise Problem(
            "unknown_name", f"Not checked, deleted meanwhile: {listed(gone)}.", WRONG_CALL
        )


def unchecked(names: list[str], results: list[Result]) -> list[str]:
    done = {result.verification.name for result in results}
    return [name for name in names if name not in done]
