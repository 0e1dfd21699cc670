"""The same call for coroutines: the event loop is never blocked."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from asgiref.sync import sync_to_async

from django_certn.tokens.exchange import preload
from django_certn.tokens.lookup import Lookup, Parts
from django_certn.tokens.memo import Memo
from django_certn.tokens.outcome import Outcome
from django_certn.tokens.single_flight import Turn, Turns
from django_certn.tokens.tenant import Name, Place
from django_certn.tokens.timing import COROUTINE_PATIENCE

__all__ = ["Coroutines", "on_thread"]

Result = TypeVar("Result")


class Coroutines:
    """Answers coroutines, of which those that want the same at the same time are served as one."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.turns = Turns()
        # Whose rows coroutines are about to look at, and until when that is believed: the loop of
        # one that does may be gone.
        self.due_places: dict[Place, float] = {}

    def after_fork(self) -> None:
        self.turns.after_fork()
        self.due_places.clear()

    async def find(
        self,
        name: Name,
        min_validity: float = 0,
        timeout: float = 20.0,  # noqa: ASYNC109 - it bounds the same call as in find()
    ) -> Memo:
        """Return a memo that may be handed out, in a coroutine: the loop is never blocked."""
        with suppress(TypeError):  # an unsaved instance cannot be hashed
            memo = self.parts.memos.by_key.get(name)
            if memo and memo.is_current(self.parts.clocks.now(), min_validity):
                return memo
        lookup = Lookup(self.parts, name, min_validity, timeout)
        # A tenant is read on the thread that Django has for the request, and so is its memo.
        good = None if self.parts.has_tenants() else lookup.good()
        if good and (
            good.is_current(self.parts.clocks.now(), min_validity)
            or self.parts.clocks.monotonic() < self.due_places.get(lookup.place, -math.inf)
        ):
            return good
        # Who joins within the same tenth of a second may have that much less time.
        wanted = (
            name if isinstance(name, str) else id(name),
            min_validity,
            timeout,
            int(self.parts.clocks.monotonic() * 10),
        )

        async def run(turn: Turn) -> Memo:
            while True:
                found = await look(lookup, good, turn)
                if isinstance(found, Memo):
                    preload()
                    return found
                self.parts.count(lookup.label, "waits", len(turn.waiters) - 1)
                landing = asyncio.wrap_future(found)
                try:
                    await asyncio.wait({landing}, timeout=lookup.seconds_left())
                finally:
                    landing.cancel()  # the flight itself goes on: see SingleFlight
                if memo := lookup.finish(found):
                    return memo

        if good is None:
            return await self.turns.join(wanted, run)
        self.due_places[lookup.place] = self.parts.clocks.monotonic() + COROUTINE_PATIENCE
        try:
            return await self.turns.join(wanted, run)
        finally:
            self.due_places.pop(lookup.place, None)

    async def let_go(self, name: Name, let_go: Callable[[], None], seconds: float) -> None:
        """Let go of what was refused, on the thread that Django has for it."""
        lookup = Lookup(self.parts, name, 0, seconds)
        task = await on_thread(let_go, seconds)
        if not task.done():
            task.cancel()
            raise lookup.out_of_time()
        task.result()


async def look(lookup: Lookup, good: Memo | None, turn: Turn) -> Memo | Future[Outcome]:
    """Look at the row on the thread that Django has for it, which may be busy with other things."""

    def start() -> Memo | Future[Outcome]:
        turn.close()
        return lookup.start()

    patience = COROUTINE_PATIENCE if good else math.inf
    looking = await on_thread(start, min(patience, lookup.seconds_left()))
    if looking.done():
        return looking.result()
    if good:
        return good
    looking.cancel()
    raise lookup.out_of_time()


async def on_thread(call: Callable[[], Result], seconds: float) -> "asyncio.Task[Result]":
    """Return the task of a call on the thread that Django has for it, done or out of time."""
    task = asyncio.ensure_future(sync_to_async(call)())
    # It may be left alone: then nobody needs its error.
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.wait({task}, timeout=seconds)
    return task
