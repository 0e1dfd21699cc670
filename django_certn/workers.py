"""The threads in which requests run while their caller goes on, and Ctrl-C meanwhile."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

from django_certn.verification import Outcome

__all__ = ["Workers", "interrupting"]

POLL = 0.5  # seconds after which a wait is looked at again: on Windows, Ctrl-C ends none


class Workers:
    """The threads of the requests, and the clock that their pace is kept by.

    Args:
        parallel: how many.
    """

    def __init__(self, parallel: int) -> None:
        self.executor = ThreadPoolExecutor(parallel, "certn-bulk")
        # A signal handler may put something into this kind of queue, whatever it interrupts.
        self.events: SimpleQueue[tuple[Any, Future[Outcome]] | None] = SimpleQueue()

    def now(self) -> float:
        """Return seconds on a clock that nobody sets."""
        return time.monotonic()

    def start(self, what: Any, request: Callable[[], Outcome]) -> None:
        """Make a request in the context of the caller, whose request id its log line has."""
        future = self.executor.submit(copy_context().run, request)
        future.add_done_callback(lambda future: self.events.put((what, future)))

    def interrupt(self) -> None:
        """Let `next` raise `KeyboardInterrupt`."""
        self.events.put(None)

    def next(self, seconds: float | None) -> tuple[Any, Future[Outcome]] | None:
        """Return what ended, ``None`` when nothing did in so many seconds.

        Raises:
            KeyboardInterrupt: somebody pressed Ctrl-C.
        """
        try:
            event = self.events.get(timeout=POLL if seconds is None else min(POLL, seconds))
        except Empty:
            return None
        if event is None:
            raise KeyboardInterrupt
        return event

    def close(self) -> None:
        """Let go of the threads; what still runs ends by itself."""
        self.executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def interrupting(workers: Workers) -> Iterator[None]:
    """Let the first Ctrl-C interrupt nothing halfway; the second one is what it always is."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not is_default:
        yield
        return

    def on_interrupt(*args: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        workers.interrupt()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
