"""Single flight: what many callers of a process want at once is fetched once, for all of them."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from typing import Any, Generic, TypeVar

from django_certn.exceptions import CertnError, CertnUnavailableError, place_of

__all__ = ["SingleFlight", "Turn", "Turns", "copy_of", "copy_without_frames"]

Result = TypeVar("Result")
Raised = TypeVar("Raised", bound=BaseException)


class SingleFlight(Generic[Result]):
    """The flights that are up now, by slot, each in a thread of its own.

    No caller carries a flight: one that is cancelled, or that waits no longer, leaves it up for
    the others, and a coroutine waits for the same flight as a thread does. A flight runs in the
    context of the caller who started it, so that what it logs has that caller's request id.

    Attributes:
        up: the flights, by slot.
        reserved: the threads that have yet to begin the flight of a slot.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start without flights: the threads of the parent's are not here."""
        self.lock = threading.Lock()
        self.up: dict[Hashable, Future[Result]] = {}
        self.reserved: dict[Hashable, int] = {}

    def join(self, slot: Hashable, fly: Callable[[], Result]) -> Future[Result]:
        """Return the future of the slot's flight, which starts now unless it is up already."""
        future, is_new = self.begin(slot)
        if not is_new:
            return future
        context = contextvars.copy_context()
        try:
            threading.Thread(
                target=context.run,
                args=(self.fly, slot, future, fly),
                name="certn-flight",
                daemon=True,
            ).start()
        except RuntimeError:  # the interpreter is shutting down, or out of threads
            self.land(slot, future)
            future.set_exception(CertnUnavailableError("No thread could be started for a token."))
        except BaseException:  # by a signal, say: the others begin one of their own
            self.land(slot, future)
            future.set_exception(KeyboardInterrupt())
            raise
        return future

    def begin(self, slot: Hashable) -> tuple[Future[Result], bool]:
        """Return the slot's future, and whether the caller has to make it come true."""
        with self.lock:
            future = self.up.get(slot)
            if future is not None:
                is_mine = self.reserved.get(slot) == threading.get_ident()
                if is_mine:
                    del self.reserved[slot]
                return future, is_mine
            future = self.up[slot] = Future()
            # From here on cancel() does nothing: a cancelled coroutine would end it for all.
            future.set_running_or_notify_cancel()
            return future, True

    @contextmanager
    def reserve(self, slot: Hashable, otherwise: Result) -> Iterator[None]:
        """Have the other threads wait for the flight that this thread is about to begin.

        Args:
            slot: what it will bring.
            otherwise: what they get if this thread leaves without having begun it.
        """
        future, is_mine = self.begin(slot)
        owner = threading.get_ident()
        if is_mine:
            with self.lock:
                self.reserved[slot] = owner
        try:
            yield
        finally:
            with self.lock:
                is_left = is_mine and self.reserved.get(slot) == owner
                if is_left:
                    del self.reserved[slot]
            if is_left:
                self.land(slot, future)
                future.set_result(otherwise)

    def fly(self, slot: Hashable, future: Future[Result], fly: Callable[[], Result]) -> None:
        with suppress(BaseException):  # whoever waits gets it
            self.carry(slot, future, fly)

    def carry(self, slot: Hashable, future: Future[Result], fly: Callable[[], Result]) -> Result:
        """Make a future of ours come true in this thread, and return its result.

        Raises:
            BaseException: what `fly` raises; those who wait get a copy without its frames.
        """
        try:
            result = fly()
        except BaseException as error:
            self.land(slot, future)
            future.set_exception(copy_without_frames(error))
            raise
        self.land(slot, future)
        future.set_result(result)
        return result

    def land(self, slot: Hashable, future: Future[Result]) -> None:
        with self.lock:
            if self.up.get(slot) is future:
                del self.up[slot]


class Turns:
    """Coroutines that want the same at the same time, and that Django would serve on one thread.

    A visit to that thread costs some 0.3 ms of the loop, so those who ask before it begins share
    one, with one task and one timer. They share it only if all their context variables have the
    same values: these decide on which thread Django runs the queries of a request, and what a
    router or the function in ``CERTN_TENANT`` may read.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self.open: dict[Hashable, Turn] = {}
        self.tasks: set[asyncio.Task[None]] = set()  # or they might be collected

    async def join(
        self, wanted: Hashable, run: Callable[["Turn"], Coroutine[Any, Any, Result]]
    ) -> Result:
        """Return what `run` returns, which is called once for all that share the turn.

        Args:
            wanted: those who share a turn want the same.
            run: gets the turn, and closes it when it begins with what is shared.
        """
        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        values = frozenset((variable, id(value)) for variable, value in context.items())
        key = (wanted, loop, values)
        while True:
            turn = self.open.get(key)
            if turn is None:
                turn = self.open[key] = Turn(context, partial(self.open.pop, key, None))
                task = loop.create_task(turn.lead(run))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                task.add_done_callback(turn.end)
            waiter: asyncio.Future[Result] = loop.create_future()
            turn.waiters.append(waiter)
            with suppress(LeftAloneError):
                return await waiter


class LeftAloneError(Exception):
    """The task that some coroutines waited for was cancelled, and they were not."""


class Turn:
    """What some coroutines wait for together.

    Attributes:
        close: lets nobody else join.
    """

    def __init__(self, context: contextvars.Context, close: Callable[[], object]) -> None:
        self.context = context  # kept, so that no value in it gives its id to another
        self.close = close
        self.waiters: list[asyncio.Future[Any]] = []

    async def lead(self, run: Callable[["Turn"], Coroutine[Any, Any, Any]]) -> None:
        """Do what is shared, and wake all that wait for it."""
        error: BaseException | None = None
        result: Any = None
        try:
            result = await run(self)
        except (asyncio.CancelledError, GeneratorExit):
            raise  # of this task alone
        except BaseException as raised:  # noqa: BLE001 - they wait for it
            error = copy_without_frames(raised)
        self.close()
        for waiter in self.waiters:
            if waiter.done():  # it was cancelled
                continue
            if error is None:
                waiter.set_result(result)
            else:
                waiter.set_exception(copy_of(error))  # one of its own for each

    def end(self, task: asyncio.Task[None]) -> None:
        """Let those go on by themselves whose task was cancelled, perhaps before it began."""
        if not task.cancelled():
            return
        self.close()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(LeftAloneError())


def copy_of(error: Raised) -> Raised:
    """Return a copy, also of an error that its class cannot be made of by its arguments alone."""
    try:
        return copy(error)
    except Exception:  # noqa: BLE001 - whatever another's class raises
        # Past what its class asks for: the one below it of Python's own takes these.
        below = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        own: Raised = below.__new__(type(error), *error.args)
        own.__dict__.update(vars(error))
        return own


def copy_without_frames(error: BaseException) -> BaseException:
    """Return a copy that others may raise: frames hold a key and a token, causes hold frames."""
    place = place_of(error)
    own = copy_of(error)
    own.__cause__ = own.__context__ = None
    if not isinstance(error, CertnError) and not hasattr(error, "__notes__"):
        own.add_note(f"In {place}.")  # of one that nobody foresaw
    return own.with_traceback(None)
