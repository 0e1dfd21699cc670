"""``manage.py certn_set_key``: stores keys without a browser, from a script or a container."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError, router

from django_certn.bulk import WAIT_MOST, run
from django_certn.conf import Scheme, environment_choices, scheme_of
from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.management import base
from django_certn.management.base import NO_VERDICT, VERDICT, WRONG_CALL, Problem, printable
from django_certn.management.report import MANY, NAMED, listed, tally, visible
from django_certn.management.sources import (
    ParsedLine,
    fault_of,
    lines_of,
    read_secret,
    refuse_wrong_call,
)
from django_certn.management.storing import KEPT, STORED, THERE, SetKey, Setting, find
from django_certn.models import CertnCredential
from django_certn.pasted import clean_pasted

EXIT_CODES = """\
exit codes:
  0  each key is stored, or was already; with --if-missing, there is one
  1  a verdict against one: rejected, misconfigured, retired or bad_response;
     or a line of --from-jsonl that describes no key. 1 wins over 3
  2  wrong call, no secret where one was to be, or what clearly is none, table
     not migrated
  3  no verdict, try again: unreachable, rate_limited, database out of reach,
     stopped by Ctrl-C, an error of the command itself
What is not stored changes nothing: the earlier key stays in force.

The secret is never an argument: those are seen in the list of processes and in
the shell's history. It is asked for at a terminal, and else read from standard
input, or from --secret-file or --secret-env.

Each line of --from-jsonl is an object:
  {"name": ..., "environment": ..., "client_id": ..., "client_secret": ...}
with "expires_on" beside an API key, in place of "client_id". Run it again
after an error: nothing is sent for what is stored already.
"""


class Command(base.CertnCommand):
    help = (
        "Stores a key, or many, after Certn has said that it works: a wrong one leaves\n"
        "the earlier one in force. For what is stored already, nothing is sent."
    )
    exit_codes = EXIT_CODES

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return silent_on_surplus(super().create_parser(prog_name, subcommand, **kwargs))

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME", help="Of the credential.")
        parser.add_argument(
            "--environment",
            metavar="SLUG",
            choices=[slug for slug, _ in environment_choices()],
            help="Where the key was made: %(choices)s.",
        )
        parser.add_argument("--client-id", metavar="ID", help="An API key has none.")
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--secret-file",
            metavar="PATH",
            help="Read the secret from a file, such as a mounted one.",
        )
        source.add_argument(
            "--secret-env", metavar="VARIABLE", help="Read it from a variable of the environment."
        )
        source.add_argument(
            "--from-jsonl",
            metavar="PATH",
            help="Store the keys of a file of JSON lines; - for standard input.",
        )
        parser.add_argument(
            "--expires-on",
            metavar="DATE",
            type=base.day,
            help="The day (UTC) on which an API key ends. Default: 365 days from now.",
        )
        parser.add_argument(
            "--if-missing",
            action="store_true",
            help="Leave a credential of that name as it is: then no secret is read or sent.",
        )
        parser.add_argument(
            "--no-verify", action="store_true", help="Store it whether or not it works."
        )
        base.add_database_argument(parser)
        base.add_parallel_argument(parser)
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=base.seconds,
            help="For each request. Default: the setting CERTN_REQUEST_TIMEOUT.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        problem: Problem | None = None
        self.settings: list[Setting] = []
        self.faults: dict[int, str] = {}
        self.left: list[str] = []
        self.verbosity, self.is_one = options["verbosity"], options["from_jsonl"] is None
        try:
            using = options["database"] or router.db_for_write(CertnCredential)
            base.refuse_wrong_call(using, options["timeout"], options["parallel"])
            refuse_wrong_call(options)
            base.require_migrated(using)
            if self.is_one:
                self.set_one(using, options)
            else:
                self.set_many(using, options)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - it has an exit code
            unreached = f" Not stored: {listed(self.left)}." if self.left else ""
            problem = base.problem_of(error, unreached)
        if returncode := self.judge(problem):
            message = str(problem) if problem else self.summary()
            raise CommandError(message, returncode=returncode) from problem

    def set_one(self, using: str, options: dict[str, Any]) -> None:
        name = clean_pasted(options["name"])
        if options["if_missing"] and (found := find(name, using)):
            setting = Setting(name, found.environment, KEPT, None, found.is_active, True)
            self.report(setting)
            return
        scheme = scheme_of(options["environment"])
        secret = read_secret(
            "API key" if scheme == Scheme.API_KEY else "Client Secret",
            path=options["secret_file"],
            variable=options["secret_env"],
        )
        row = CertnCredential(
            name=name,
            environment=options["environment"],
            client_id=options["client_id"] or "",
            client_secret=secret,
            expires_on=options["expires_on"],
        )
        if fault := fault_of(row):
            raise Problem("wrong_call", fault, WRONG_CALL)
        for setting in self.do([row], using, options):
            self.report(setting)

    def set_many(self, using: str, options: dict[str, Any]) -> None:
        lines = lines_of(options["from_jsonl"])
        rows = [line.row for line in lines if line.row]
        for line in lines:
            if line.fault:
                self.report_fault(line)
        number = len(rows)
        is_wanted = self.verbosity == 1
        with base.Bar(self.stderr, lambda: number, is_wanted=is_wanted, many=MANY) as self.bar:
            for setting in self.do(rows, using, options):
                if not setting.ok or number < MANY or self.verbosity > 1:
                    self.bar.clear()
                    self.report(setting)
                self.bar.advance()
        if self.verbosity > 0 and len(lines) >= MANY:
            self.stdout.write(self.tally())

    def do(
        self, rows: list[CertnCredential], using: str, options: dict[str, Any]
    ) -> Iterator[Setting]:
        """Yield what became of each row.

        Raises:
            Exception: after all others, the first of those that nobody foresaw.
        """
        self.left = [row.name for row in rows]
        tasks = [
            SetKey(
                row,
                using,
                options["timeout"],
                if_missing=options["if_missing"],
                is_verified=not options["no_verify"],
            )
            for row in rows
        ]
        unforeseen: list[Exception] = []
        for done in run(
            tasks,
            parallel=options["parallel"],
            wait_most=0 if self.is_one else WAIT_MOST,
            on_wait=self.note_wait,
        ):
            setting = done.result
            if isinstance(done.error, IntegrityError):
                setting = Setting(done.task.name, done.task.environment, "name taken")
            if setting:
                self.left.remove(setting.name)
                self.settings.append(setting)
                yield setting
            elif done.error:
                unforeseen.append(done.error)
        if unforeseen:
            raise unforeseen[0]

    def note_wait(self, environment: str, seconds: float) -> None:
        if self.stderr.isatty():
            self.bar.clear()
            self.stderr.write(f"{printable(environment)} asks to wait {seconds:.0f} s.", str)

    # What is printed

    def report(self, setting: Setting) -> None:
        if setting.ok and self.verbosity == 0:
            return
        where = f"{printable(setting.name)} ({printable(setting.environment)})"
        line = f"{where}: {self.paint(setting)}. {SENTENCES.get(setting.word, '')}"
        if setting.verification:
            line = f"{line.rstrip()} {visible(setting.verification.detail)}"
        elif setting.word == STORED:
            line += "It was not verified."
        if not setting.is_active:
            line += " The credential is switched off, and stays so."
        self.stdout.write(line.rstrip())
        if setting.verification and setting.verification.hint:
            self.stdout.write(f"    {visible(setting.verification.hint)}")

    def paint(self, setting: Setting) -> str:
        if setting.ok:
            return self.style.SUCCESS(setting.word)
        return (self.style.WARNING if is_open(setting) else self.style.ERROR)(setting.word)

    def report_fault(self, line: ParsedLine) -> None:
        self.faults[line.number] = line.fault
        self.stdout.write(f"line {line.number}: {visible(line.fault)}")

    def tally(self) -> str:
        words = [STORED, THERE, KEPT]
        groups: dict[str, list[str]] = {word: [] for word in (*words, *Status.values)}
        for setting in self.settings:
            groups.setdefault(setting.word, []).append(setting.name)
        numbers = [str(number) for number in self.faults]
        groups["bad line" if len(numbers) == 1 else "bad lines"] = numbers
        return tally(groups, *words)

    def summary(self) -> str:
        failed = [setting for setting in self.settings if not setting.ok]
        if self.is_one:
            (setting,) = failed
            stays = "The earlier key stays in force." if setting.has_earlier else ""
            return f"{printable(setting.name)} is not stored ({setting.word}). {stays}".rstrip()
        names = [f"{printable(each.name)} ({each.word})" for each in failed]
        names += [f"line {number}" for number in self.faults]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        of = len(self.settings) + len(self.faults)
        return f"{len(names)} of {of} not stored: {', '.join(names[:NAMED])}{more}."

    def judge(self, problem: Problem | None) -> int:
        failed = [setting for setting in self.settings if not setting.ok]
        if self.faults or any(not is_open(setting) for setting in failed):
            return VERDICT
        if problem:
            return problem.returncode
        return NO_VERDICT if failed else 0


SENTENCES = {
    THERE: "Nothing was sent.",
    KEPT: "Nothing was sent.",
    "name taken": "The database takes this name for that of another credential: choose another.",
}


def is_open(setting: Setting) -> bool:
    """Return whether nobody knows if the key works."""
    return setting.word in TRY_AGAIN


def silent_on_surplus(parser: CommandParser) -> CommandParser:
    """Let it not repeat an argument that it does not know: somebody gives the secret as one."""

    def parse_args(args: Any = None, namespace: Any = None) -> Any:
        found, surplus = parser.parse_known_args(args, namespace)
        if surplus:
            parser.error(SURPLUS)
        return found

    parser.allow_abbrev = False  # what is short of two options is repeated as well
    parser.parse_args = parse_args  # type: ignore[method-assign]
    return parser


SURPLUS = (
    "unrecognized arguments. They are not repeated here, for one may be the secret, which is never "
    "an argument: pipe it, or use --secret-file or --secret-env."
)
