"""Single flight: what many callers of a process want at once is fetched once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django_certn.exceptions import CertnUnavailableError, without_frames

__all__ = ["Flights"]

Outcome = TypeVar("Outcome")


class Flights(Generic[Outcome]):
    """The flights that are up now, by slot, each in a thread of its own.

    No caller carries a flight: one that is cancelled, or that waits no longer, leaves it up for
    the others, and a coroutine waits for the same flight as a thread does.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start without flights: the threads of the parent's are not here."""
        self.lock = threading.Lock()
        self.up: dict[str, Future[Outcome]] = {}

    def join(self, slot: str, fly: Callable[[], Outcome]) -> Future[Outcome]:
        """Return the future of the slot's flight, which starts now unless it is up already."""
        with self.lock:
            future = self.up.get(slot)
            if future is not None:
                return future
            future = self.up[slot] = Future()
            # From here on cancel() does nothing: a cancelled coroutine would end it for all.
            future.set_running_or_notify_cancel()
        try:
            threading.Thread(
                target=self.run, args=(slot, future, fly), name="certn-flight", daemon=True
            ).start()
        except RuntimeError:  # the interpreter is shutting down, or out of threads
            self.land(slot, future)
            future.set_exception(CertnUnavailableError("No thread could be started for a token."))
        return future

    def run(self, slot: str, future: Future[Outcome], fly: Callable[[], Outcome]) -> None:
        try:
            outcome = fly()
        except BaseException as error:  # noqa: BLE001 - somebody waits for it
            self.land(slot, future)
            future.set_exception(without_frames(error))
        else:
            self.land(slot, future)
            future.set_result(outcome)

    def land(self, slot: str, future: Future[Outcome]) -> None:
        with self.lock:
            if self.up.get(slot) is future:
                del self.up[slot]
