"""What one process has for its calls: the service, made of the rooms below it."""

import asyncio
import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from importlib import import_module

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_certn import tenancy
from django_certn.answers import TokenResponse
from django_certn.conf import Scheme
from django_certn.exceptions import CertnConfigurationError, CredentialInactiveError
from django_certn.keys import Key
from django_certn.models import KEY_FIELDS, CertnCredential
from django_certn.secret import MaskedStr
from django_certn.tokens.cache_worker import CacheWorker
from django_certn.tokens.known import KnownKeys
from django_certn.tokens.lookup import Lookup, Parts, Row
from django_certn.tokens.memo import Memo, Memos
from django_certn.tokens.renewal import Outcome, Renewal
from django_certn.tokens.shared_cache import SharedCache, slot_of
from django_certn.tokens.single_flight import Flights, Turn, Turns, copy_without_frames
from django_certn.tokens.tenant import Name, Place, place_of
from django_certn.tokens.timing import COROUTINE_PATIENCE, KEYS_MOST, Clocks

__all__ = ["TokenService"]


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """Make an exchange; what it loads is not loaded before it is needed."""
    from django_certn import oauth

    return oauth.exchange(key, timeout=timeout)


def load(name: Name) -> Row:
    """Read the row of a credential that is active, and return its key.

    Raises:
        CertnConfigurationError: there is none that can be used.
    """
    found = find_row(name)
    if isinstance(found, BaseException):
        raise found  # here, where no frame holds the row
    return found


def find_row(name: Name) -> Row | BaseException:
    try:
        row = CertnCredential.objects.stored(name)
        if not row.is_active:
            raise CredentialInactiveError(
                f"The Certn credential {row.name!r} is switched off: activate it in the admin."
            )
        return Row(row.key(), row.pk)
    except CertnConfigurationError as error:
        return copy_without_frames(error)


class TokenService:
    """Hands out tokens and headers. A process has one; a test makes its own.

    Args:
        load: reads the row of a name and returns its key.
        place_of: says in which database and for which tenant that row is.
        has_tenants: whether there are any.
        shared: the shared cache.
        exchange: makes an exchange.
        clocks: the clocks.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        *,
        load: Callable[[Name], Row] = load,
        place_of: Callable[[Name], Place] = place_of,
        has_tenants: Callable[[], bool] = tenancy.exists,
        shared: SharedCache | None = None,
        exchange: Callable[..., TokenResponse] = exchange,
        clocks: Clocks | None = None,
    ) -> None:
        self.clocks = clocks = clocks or Clocks()
        # The hot path reads these three.
        self.monotonic, self.wall = clocks.monotonic, clocks.wall
        self.memos = Memos()
        self.memo_by_key = self.memos.by_key
        self.keys = KnownKeys()
        self.shared = shared or SharedCache(CacheWorker(clocks.monotonic), clocks)
        self.renewal = Renewal(self.keys, self.shared, clocks, exchange, self.count)
        self.flights: Flights[Outcome] = Flights()
        self.looks: Flights[Row] = Flights()
        self.turns = Turns()
        self.due_places: set[Place] = set()  # whose rows coroutines are about to look at
        self.parts = Parts(
            self.memos,
            self.renewal,
            clocks,
            self.count,
            place_of,
            load,
            has_tenants,
            self.flights,
            self.looks,
        )
        self.counts: OrderedDict[str, dict[str, int]] = OrderedDict()
        self.lock = threading.Lock()

    # A call that the memo could not answer

    def find(self, name: Name, min_validity: float = 0, timeout: float = 20.0) -> Memo:
        """Return a memo that may be handed out, in a thread."""
        lookup = Lookup(self.parts, name, min_validity, timeout)
        while True:
            found = lookup.start()
            if isinstance(found, Memo):
                preload()
                return found
            wait([found], lookup.seconds_left())
            if memo := lookup.finish(found):
                return memo

    async def afind(
        self,
        name: Name,
        min_validity: float = 0,
        timeout: float = 20.0,  # noqa: ASYNC109 - it bounds the same call as in find()
    ) -> Memo:
        """Return a memo that may be handed out, in a coroutine: the loop is never blocked."""
        with suppress(TypeError):  # an unsaved instance cannot be hashed
            memo = self.memo_by_key.get(name)
            if memo and memo.is_current(self.clocks.now(), min_validity):
                return memo
        lookup = Lookup(self.parts, name, min_validity, timeout)
        # A tenant is read on the thread that Django has for the request, and so is its memo.
        good = None if self.parts.has_tenants() else lookup.good()
        if good and (
            good.is_current(self.clocks.now(), min_validity) or lookup.place in self.due_places
        ):
            return good
        # Who joins within the same tenth of a second may have that much less time.
        wanted = (
            name if isinstance(name, str) else id(name),
            min_validity,
            timeout,
            int(self.monotonic() * 10),
        )

        async def run(turn: Turn) -> Memo:
            while True:
                found = await look(lookup, good, turn)
                if isinstance(found, Memo):
                    preload()
                    return found
                self.count(lookup.label, "waits", len(turn.waiters) - 1)
                landing = asyncio.wrap_future(found)
                try:
                    await asyncio.wait({landing}, timeout=lookup.seconds_left())
                finally:
                    landing.cancel()  # the flight itself goes on: see Flights
                if memo := lookup.finish(found):
                    return memo

        if good is None:
            return await self.turns.join(wanted, run)
        self.due_places.add(lookup.place)
        try:
            return await self.turns.join(wanted, run)
        finally:
            self.due_places.discard(lookup.place)

    # After a 401

    def invalidate(self, name: Name, token: str) -> bool:
        place = self.parts.place_of(name)
        memo = self.memo_by_key.get(place.memo)
        if memo is not None and memo.token is not None and memo.token.value == token:
            slot, base_url = memo.slot, memo.base_url
        else:
            key = self.parts.load(name).key
            if key.environment.scheme == Scheme.API_KEY:
                return False
            slot, base_url = slot_of(key), key.environment.base_url
            del key
        was_dropped = self.renewal.drop(slot, token, base_url)
        held = self.renewal.held(slot)
        if held is None or held.shared.value != token:
            self.memos.forget(lambda _, memo: memo.token is not None and memo.token.value == token)
        return was_dropped

    def replace(self, name: Name, refused: str, timeout: float) -> Memo | None:
        self.let_go(name, refused)
        memo = self.find(name, 0, timeout)
        return memo if memo.authorization != refused else None

    async def areplace(self, name: Name, refused: str, timeout: float) -> Memo | None:  # noqa: ASYNC109
        await sync_to_async(self.let_go)(name, refused)
        memo = await self.afind(name, 0, timeout)
        return memo if memo.authorization != refused else None

    def let_go(self, name: Name, refused: str) -> None:
        """Drop the token of a header that was refused; of an API key, look at the row again."""
        scheme, _, value = refused.partition(" ")
        if scheme == "Bearer":
            self.invalidate(name, MaskedStr(value))
        else:
            self.memos.drop(self.parts.place_of(name).memo)

    # What a verification found

    def exchange_now(self, key: Key, timeout: float) -> TokenResponse:
        """Make an exchange, whatever is known; whoever wants a token of the key has this one.

        Args:
            key: the key.
            timeout: seconds for the exchange.

        Raises:
            TokenError: the exchange brought none.
            CertnConfigurationError: a setting keeps it from being made.
        """
        slot, answers = slot_of(key), []

        def fly() -> Outcome:
            outcome, answer = self.renewal.exchange_now(key, slot, timeout)
            answers.append(answer)
            return outcome

        future, is_mine = self.flights.begin(slot)
        if is_mine:  # those who come now join this one rather than make another
            self.flights.carry(slot, future, fly)
        else:
            fly()
        self.memos.forget(lambda _, memo: memo.slot == slot)
        answer = answers[0]
        if isinstance(answer, TokenResponse):
            return answer
        raise answer

    # What makes memos wrong

    def credential_changed(
        self, instance: CertnCredential, using: str, *, created: bool, is_deleted: bool
    ) -> None:
        """Forget what a row that was saved or deleted makes wrong."""
        slot = None
        if not set(KEY_FIELDS) & instance.get_deferred_fields():
            with suppress(CertnConfigurationError):
                key = instance.key()
                slot = slot_of(key) if key.environment.scheme == Scheme.OAUTH else None
        pk, name = instance.pk, instance.name
        if slot and (created or is_deleted):
            # It starts with what the cache has, not with what an earlier row of the same key left
            # in this process: the row of a test, say, that was rolled back.
            self.keys.forget(slot)

        def is_wrong(key: Hashable, memo: Memo) -> bool:
            wrong = memo.pk == pk or (key[-1] if isinstance(key, tuple) else key) == name
            if wrong and memo.slot != slot:
                self.keys.forget(memo.slot)
            return wrong

        self.memos.forget(is_wrong)
        if connections[using].in_atomic_block:
            # Until the commit another thread reads the row as it was, and may leave a memo of it.
            transaction.on_commit(partial(self.memos.forget, is_wrong), using=using)

    def clear(self) -> None:
        """Forget everything; what the cache holds stays there."""
        self.memos.forget()
        self.keys.clear()
        self.shared.reset()

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        self.due_places.clear()
        for part in (self.memos, self.keys, self.flights, self.looks, self.turns):
            part.after_fork()
        self.shared.reset()

    # To be seen

    def count(self, name: str, event: str, number: int = 1) -> None:
        with self.lock:
            counts = self.counts.setdefault(
                name, {"relooks": 0, "exchanges": 0, "waits": 0, "failures": 0}
            )
            counts[event] += number
            self.counts.move_to_end(name)
            if len(self.counts) > KEYS_MOST:
                self.counts.popitem(last=False)

    def stats(self) -> dict[str, dict[str, int]]:
        with self.lock:
            return {name: dict(counts) for name, counts in self.counts.items()}


async def look(lookup: Lookup, good: Memo | None, turn: Turn) -> Memo | Future[Outcome]:
    """Look at the row on the thread that Django has for it, which may be busy with other things."""

    def start() -> Memo | Future[Outcome]:
        turn.close()
        return lookup.start()

    looking = asyncio.ensure_future(sync_to_async(start)())
    # It may be left alone: then nobody wants to hear of its error.
    looking.add_done_callback(lambda task: task.cancelled() or task.exception())
    patience = COROUTINE_PATIENCE if good else math.inf
    await asyncio.wait({looking}, timeout=min(patience, lookup.seconds_left()))
    if looking.done():
        return looking.result()
    if good:
        return good
    looking.cancel()
    raise lookup.out_of_time()


preloading = threading.Event()


def preload() -> None:
    """Load what an exchange needs, in the background, so that the first one is not slower."""
    if "django_certn.oauth" in sys.modules or preloading.is_set():
        return
    preloading.set()
    with suppress(RuntimeError):  # the interpreter is shutting down, or out of threads
        threading.Thread(target=load_oauth, name="certn-preload", daemon=True).start()


def load_oauth() -> None:
    with suppress(Exception):  # the first exchange raises it where somebody hears of it
        import_module("django_certn.oauth")
