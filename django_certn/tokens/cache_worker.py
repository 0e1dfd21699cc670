"""The one thread that touches the shared cache, so that a cache that hangs holds up nobody."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

from django.core.cache import caches
from django.db import connections

from django_certn.tokens.timing import (
    CACHE_PATIENCE,
    CACHE_REST_FIRST,
    CACHE_REST_MOST,
    WARN_EVERY,
)

__all__ = ["CacheDownError", "CacheWorker"]

logger = logging.getLogger("django_certn")


class CacheDownError(Exception):
    """The cache failed, or failed a moment ago and is left alone for a while.

    A call that finds out by itself that the cache is of no use raises it with the reason.
    """


class Job(NamedTuple):
    alias: str
    call: Callable[[Any], Any]
    result: Future[Any]


class CacheWorker:
    """Calls the cache for all threads of the process, each call bounded, behind a circuit breaker.

    A thread of its own also keeps the database cache out of the caller's transaction, where an
    entry would be lost on a rollback and a lock would block every other process until the commit.
    """

    def __init__(self, monotonic: Callable[[], float], patience: float = CACHE_PATIENCE) -> None:
        self.monotonic, self.patience = monotonic, patience
        self.jobs: SimpleQueue[Job | None] | None = None
        self.reset()

    def reset(self) -> None:
        """Start afresh, in a forked process above all: its parent's thread is not there."""
        self.lock = threading.Lock()
        if self.jobs is not None:
            self.leave(self.jobs)
        self.closed_until = self.quiet_until = 0.0
        self.rest = CACHE_REST_FIRST

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: the cache is left alone."""
        return self.monotonic() < self.closed_until

    def call(self, alias: str, call: Callable[[Any], Any]) -> Any:
        """Return what ``call`` makes of the cache of that alias.

        Raises:
            CacheDownError: it failed, or it took longer than the patience that there is with it,
                in seconds of real time, waiting for a turn included.
        """
        job = Job(alias, call, Future())
        jobs = None if self.is_open else self.enqueue(job)
        if jobs is None:
            raise CacheDownError
        try:
            result = job.result.result(self.patience)
        except Exception as error:  # noqa: BLE001
            if not job.result.done() and not job.result.cancel():
                self.leave(jobs)  # this very call hangs
            self.trip(alias, cause_of(error))
        else:
            self.rest = CACHE_REST_FIRST
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

    def trip(self, alias: str, cause: str) -> None:
        with self.lock:
            if self.is_open:
                return
            now = self.monotonic()
            self.closed_until = now + self.rest
            self.rest = min(self.rest * 2, CACHE_REST_MOST)
            if now < self.quiet_until:
                return
            self.quiet_until = now + WARN_EVERY
        logger.warning(
            "The cache %r does not answer (%s): until it does, each process has tokens of its own",
            alias,
            cause,
        )


def cause_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) if isinstance(error, CacheDownError) else type(error).__name__


def work(jobs: SimpleQueue[Job | None]) -> None:
    cache = None
    while (job := jobs.get()) is not None:
        if job.result.set_running_or_notify_cancel():  # or whoever asked waits no longer
            try:
                cache = caches[job.alias]
                job.result.set_result(job.call(cache))
            except Exception as error:  # noqa: BLE001 - each backend has errors of its own
                job.result.set_exception(error)
        if jobs.empty():
            # The database cache opened them, and nobody else closes those of this thread.
            with suppress(Exception):
                connections.close_all()
    if cache is not None:
        with suppress(Exception):
            cache.close()
