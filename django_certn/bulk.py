"""Many credentials at the vendor's pace, a few at a time.

What a database is asked stays in the caller's thread, which has the connection, the schema and the
transaction that belong to it. Only the request itself runs in a worker.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from django.db import DataError, IntegrityError
from django.db import Error as DatabaseFailure

from django_certn.conf import Scheme, scheme_of
from django_certn.exceptions import TRY_AGAIN
from django_certn.verification import LiveRequest, Outcome
from django_certn.workers import Workers, interrupting

__all__ = ["PARALLEL", "WAIT_MOST", "Done", "Task", "run"]

Result = TypeVar("Result")

# Requests a minute: https://docs.certn.co/api/faq for OAuth; CertnCentric's is reported by third
# parties.
LIMITS = {Scheme.OAUTH: 240, Scheme.API_KEY: 60}
# An exactly even pace was refused once in 260: what is counted is arrivals, and those jitter.
SLACK = 1.02
PARALLEL = 4  # requests at a time
# Seconds that one may start late, for the time that a row takes, and the next one not: a minute
# holds 237 and 59 then. With more, it could hold one too many.
LATE = 0.1
# Seconds that an answer may ask to wait, as a limit per minute does. A longer wait, until tomorrow
# say, is not for a command to sit through.
WAIT_MOST = 300.0


class Task(ABC, Generic[Result]):
    """What is done for one credential.

    Attributes:
        name: of the credential.
        environment: the slug of the one whose pace it keeps; `prepare` may correct it.
        cost: how many requests it is known to take.
    """

    name: str
    environment: str
    cost = 1

    @abstractmethod
    def prepare(self) -> LiveRequest | Callable[[], Outcome] | Outcome | None:
        """Read what is needed, in the caller's thread, and return the request to make.

        It is called again when Certn asked to wait. Without a request, what is returned goes to
        `finish` at once.
        """

    @abstractmethod
    def finish(self, outcome: Outcome | None) -> Result:
        """Record how it ended, in the caller's thread."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """What came of a task: a result, or the error that kept it from one."""

    task: Task[Result]
    result: Result | None = None
    error: Exception | None = None


def run(
    tasks: Iterable[Task[Result]],
    *,
    parallel: int = PARALLEL,
    wait_most: float = WAIT_MOST,
    workers: Workers | None = None,
    on_wait: Callable[[str, float], None] = lambda environment, seconds: None,
) -> Iterator[Done[Result]]:
    """Do the tasks at the pace of their environments and yield what came of each, in their order.

    Each is recorded as soon as it ends. Where an answer asks to wait (``Retry-After``), all of that
    environment waits, once, and the credential is asked about once more.

    Args:
        tasks: what to do.
        parallel: how many requests may be under way at a time.
        wait_most: seconds that an answer may ask to wait, at most, for that to be done.
        workers: the threads and the clock.
        on_wait: is called with the environment and the seconds when there is a wait.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. What had begun has ended and is recorded.
        django.db.Error: the database cannot be used. What had begun has ended.
    """
    workers = workers or Workers(parallel)
    try:
        with interrupting(workers):
            yield from Run(tasks, parallel, wait_most, workers, on_wait).results()
    finally:
        workers.close()


@dataclass(slots=True)
class Entry(Generic[Result]):
    """A task that runs: its place in the order, and what came of it when it had to wait."""

    number: int
    task: Task[Result]
    earlier: Outcome | None = None


@dataclass(slots=True)
class Pace(Generic[Result]):
    """When the next request of an environment may start.

    Attributes:
        interval: seconds between two of them.
        due: when the next one may start.
        entries: those that have not started, in order.
        is_patient: whether waiting helps, as far as is known.
    """

    interval: float
    due: float
    entries: list[Entry[Result]] = field(default_factory=list)
    is_patient: bool = True

    def add(self, entry: Entry[Result]) -> None:
        self.entries.append(entry)
        self.entries.sort(key=lambda each: each.number)

    def spend(self, now: float, requests: int) -> None:
        self.due = max(self.due, now - LATE) + requests * self.interval


class Run(Generic[Result]):
    """One call of `run`."""

    def __init__(
        self,
        tasks: Iterable[Task[Result]],
        parallel: int,
        wait_most: float,
        workers: Workers,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self.parallel, self.wait_most = parallel, wait_most
        self.workers, self.on_wait = workers, on_wait
        self.paces: dict[str, Pace[Result]] = {}
        self.under_way = 0
        self.done: dict[int, Done[Result]] = {}
        self.yielded = 0
        for number, task in enumerate(tasks):
            self.pace_of(task).entries.append(Entry(number, task))

    def pace_of(self, task: Task[Result]) -> Pace[Result]:
        slug = task.environment
        if slug not in self.paces:
            limit = LIMITS[scheme_of(slug) or Scheme.OAUTH]
            self.paces[slug] = Pace(60 / limit * SLACK, self.workers.now())
        return self.paces[slug]

    def results(self) -> Iterator[Done[Result]]:
        trouble: BaseException | None = None
        while True:
            try:
                goes_on = self.step()
            except (KeyboardInterrupt, DatabaseFailure) as error:
                if isinstance(trouble, KeyboardInterrupt) and not isinstance(error, Exception):
                    raise  # pressed again
                trouble, goes_on = trouble or error, True
                self.stop()
            while self.yielded in self.done:
                yield self.done.pop(self.yielded)
                self.yielded += 1
            if not goes_on:
                break
        yield from (self.done[number] for number in sorted(self.done))
        if trouble:
            raise trouble

    def step(self) -> bool:
        """Start one, or wait for one to end; return whether there is anything left to do."""
        pace, now = self.next_pace(), self.workers.now()
        if pace is None and not self.under_way:
            return False
        event = self.workers.next(max(0.0, pace.due - now) if pace else None)
        if event:
            self.under_way -= 1
            self.land(*event)
        elif pace and pace.due <= self.workers.now():
            self.begin(pace.entries.pop(0))
        return True

    def next_pace(self) -> Pace[Result] | None:
        """Return the one whose turn comes first, ``None`` when nothing may start."""
        if self.under_way >= self.parallel:
            return None
        now = self.workers.now()
        return min(
            (pace for pace in self.paces.values() if pace.entries),
            key=lambda pace: (max(pace.due, now), pace.entries[0].number),
            default=None,
        )

    def begin(self, entry: Entry[Result]) -> None:
        environment = entry.task.environment
        try:
            request = entry.task.prepare()
        except Exception as error:  # noqa: BLE001
            self.fail(entry, error)
            return
        if entry.task.environment != environment:  # the row was changed since it was selected
            self.pace_of(entry.task).add(entry)
        elif request is None or isinstance(request, Outcome):
            self.finish(entry, request)
        else:
            self.pace_of(entry.task).spend(self.workers.now(), entry.task.cost)
            self.under_way += 1
            make = request.make if isinstance(request, LiveRequest) else request
            self.workers.start(entry, make)

    def land(self, entry: Entry[Result], future: Future[Outcome]) -> None:
        if error := future.exception():
            self.fail(entry, error)
            return
        outcome, pace = future.result(), self.pace_of(entry.task)
        if more := outcome.requests - 1:
            pace.spend(self.workers.now(), more)
        if outcome.verification.status not in TRY_AGAIN or not wait_of(outcome):
            self.finish(entry, outcome)
        elif entry.earlier or not pace.is_patient or wait_of(outcome) > self.wait_most:
            pace.is_patient = False  # or each of hundreds would wait
            self.finish(entry, outcome)
        else:
            entry.earlier = outcome
            until = self.workers.now() + wait_of(outcome)
            if until > pace.due:
                pace.due = until
                self.on_wait(entry.task.environment, wait_of(outcome))
            pace.add(entry)

    def finish(self, entry: Entry[Result], outcome: Outcome | None) -> None:
        try:
            result = entry.task.finish(outcome)
        except Exception as error:  # noqa: BLE001
            self.fail(entry, error)
        else:
            self.done[entry.number] = Done(entry.task, result)

    def fail(self, entry: Entry[Result], error: BaseException) -> None:
        """Let one that cannot be done stop no other, unless none can."""
        is_of_one = isinstance(error, DataError | IntegrityError)
        if not isinstance(error, Exception) or (
            isinstance(error, DatabaseFailure) and not is_of_one
        ):
            raise error
        self.done[entry.number] = Done(entry.task, error=error)

    def stop(self) -> None:
        """Start nothing more; of those that wait to be asked about again, what is known counts."""
        self.wait_most = -1.0
        waiting = [entry for pace in self.paces.values() for entry in pace.entries if entry.earlier]
        for pace in self.paces.values():
            pace.entries.clear()
        for entry in waiting:
            with suppress(DatabaseFailure):
                self.finish(entry, entry.earlier)


def wait_of(outcome: Outcome) -> int:
    return outcome.verification.retry_after or 0
