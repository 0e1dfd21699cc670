"""The one thread that touches the cache, so that a cache that hangs holds up nobody."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from django.core.cache import caches
from django.db import connections

__all__ = ["CacheDownError", "Hand"]

logger = logging.getLogger("django_certn")

PATIENCE = 3.0  # seconds for one call of the cache, the first of a busy process included
OPEN_FIRST, OPEN_MOST = 5.0, 300.0  # seconds without the cache after it failed, doubling
WARN_EVERY = 60.0  # seconds between two warnings


class CacheDownError(Exception):
    """The cache failed, or failed a moment ago and is left alone for a while."""


class Job:
    def __init__(self, alias: str, call: Callable[[Any], Any]) -> None:
        self.alias, self.call = alias, call
        self.begun = threading.Event()
        self.result: Future[Any] = Future()
        self.cache: Any = None

    def run(self) -> None:
        self.begun.set()
        try:
            self.cache = caches[self.alias]
            self.result.set_result(self.call(self.cache))
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            self.result.set_exception(error)


class Hand:
    """Calls the cache for all threads of the process, each call bounded, behind a circuit breaker.

    A thread of its own also keeps the database cache out of the caller's transaction, where an
    entry would be lost on a rollback and a lock would block every other process until the commit.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.jobs: SimpleQueue[Job | None] | None = None
        self.reset()

    def reset(self) -> None:
        """Start afresh, in a forked process above all: its parent's thread is not there."""
        self.lock = threading.Lock()
        if self.jobs is not None:
            self.leave(self.jobs)
        self.closed_until = self.quiet_until = 0.0
        self.open_for = OPEN_FIRST

    @property
    def is_open(self) -> bool:
        return self.monotonic() < self.closed_until

    def call(self, alias: str, call: Callable[[Any], Any]) -> Any:
        """Return what ``call`` makes of the cache of that alias.

        Raises:
            CacheDownError: it failed, or it took longer than `PATIENCE`.
        """
        job = Job(alias, call)
        jobs = None if self.is_open else self.enqueue(job)
        if jobs is None:
            raise CacheDownError
        while not job.begun.wait(PATIENCE):
            if self.jobs is not jobs:  # the job before this one hangs
                raise CacheDownError
        try:
            result = job.result.result(PATIENCE)
        except Exception as error:  # noqa: BLE001
            if not job.result.done():
                self.leave(jobs)
            self.trip(alias, type(error).__name__)
        else:
            self.open_for = OPEN_FIRST
            return result
        raise CacheDownError

    def enqueue(self, job: Job) -> SimpleQueue[Job | None] | None:
        with self.lock:
            jobs = self.jobs
            if jobs is None:
                jobs = SimpleQueue()
                try:
                    threading.Thread(
                        target=work, args=(jobs,), name="certn-cache", daemon=True
                    ).start()
                except RuntimeError:  # the interpreter is shutting down, or out of threads
                    return None
                self.jobs = jobs
            jobs.put(job)
            return jobs

    def leave(self, jobs: SimpleQueue[Job | None]) -> None:
        """Leave the thread of these jobs, which ends if it can; the next call starts another."""
        with self.lock:
            if self.jobs is jobs:
                self.jobs = None
                jobs.put(None)

    def trip(self, alias: str, problem: str) -> None:
        with self.lock:
            if self.is_open:
                return
            now = self.monotonic()
            self.closed_until = now + self.open_for
            self.open_for = min(self.open_for * 2, OPEN_MOST)
            if now < self.quiet_until:
                return
            self.quiet_until = now + WARN_EVERY
        logger.warning(
            "The cache %r does not answer (%s): until it does, each process has tokens of its own",
            alias,
            problem,
        )


def work(jobs: SimpleQueue[Job | None]) -> None:
    cache = None
    while (job := jobs.get()) is not None:
        job.run()
        cache = job.cache or cache
        if jobs.empty():
            # The database cache opened them, and nobody else closes those of this thread.
            with suppress(Exception):
                connections.close_all()
    if cache is not None:
        with suppress(Exception):
            cache.close()
