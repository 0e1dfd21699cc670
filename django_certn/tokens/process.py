"""What one process has for its calls: the service, made of the rooms below it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import wait
from contextlib import AbstractContextManager, suppress
from functools import partial

from django.db import connections, transaction

from django_certn import tenancy
from django_certn.answers import TokenResponse
from django_certn.conf import Scheme
from django_certn.exceptions import CertnConfigurationError
from django_certn.keys import Key
from django_certn.models import KEY_FIELDS, CertnCredential
from django_certn.secret import MaskedStr
from django_certn.tokens.cache_worker import CacheWorker
from django_certn.tokens.coroutines import Coroutines
from django_certn.tokens.exchange import exchange, preload
from django_certn.tokens.known import KnownKeys
from django_certn.tokens.lookup import Lookup, Parts
from django_certn.tokens.memo import Memo, Memos
from django_certn.tokens.outcome import Outcome
from django_certn.tokens.renewal import Renewal
from django_certn.tokens.shared_cache import SharedCache, slot_of
from django_certn.tokens.single_flight import SingleFlight
from django_certn.tokens.tenant import Name, Place, Row, load, place_of
from django_certn.tokens.timing import KEYS_MOST, Clocks

__all__ = ["TokenService"]

EVENTS = ("relooks", "exchanges", "waits", "failures")


class TokenService(Parts):
    """Hands out tokens and headers. A process has one; a test makes its own.

    Args:
        load, place_of, has_tenants: as `Parts` has them.
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
        self.load, self.place_of, self.has_tenants = load, place_of, has_tenants
        self.clocks = clocks = clocks or Clocks()
        # The hot path reads these three.
        self.monotonic, self.wall = clocks.monotonic, clocks.wall
        self.memos = Memos()
        self.memo_by_key = self.memos.by_key
        self.keys = KnownKeys()
        self.shared = shared or SharedCache(CacheWorker(clocks.monotonic), clocks)
        self.renewal = Renewal(self.keys, self.shared, clocks, exchange, self.count)
        self.flights, self.looks = SingleFlight(), SingleFlight()
        self.coroutines = Coroutines(self)
        self.counts: OrderedDict[str, dict[str, int]] = OrderedDict()
        self.lock = threading.Lock()

    # A call that the memo could not answer

    def find(self, name: Name, min_validity: float = 0, timeout: float = 20.0) -> Memo:
        """Return a memo that may be handed out, in a thread."""
        memo = self.memo_by_key.get(self.place_of(name).memo)
        if (
            memo is not None
            and self.monotonic() < memo.header_until
            and self.wall() < memo.header_until_wall
            and (not min_validity or memo.lives(self.clocks.now(), min_validity))
        ):
            return memo
        lookup = Lookup(self, name, min_validity, timeout)
        while True:
            found = lookup.start()
            if isinstance(found, Memo):
                preload()
                return found
            wait([found], lookup.seconds_left())
            if memo := lookup.finish(found):
                return memo

    async def afind(self, name: Name, min_validity: float = 0, timeout: float = 20.0) -> Memo:  # noqa: ASYNC109
        """Return a memo that may be handed out, in a coroutine."""
        return await self.coroutines.find(name, min_validity, timeout)

    # Of either kind of key; the service of a test tells these calls from those for a token.

    def find_header(self, name: Name) -> Memo:
        return self.find(name)

    async def afind_header(self, name: Name) -> Memo:
        return await self.afind(name)

    # After a 401

    def invalidate(self, name: Name, token: str) -> bool:
        place = self.place_of(name)
        memo = self.memo_by_key.get(place.memo)
        if memo is not None and memo.token is not None and memo.token.value == token:
            slot, base_url = memo.slot, memo.base_url
        else:
            key = self.load(name).key
            if key.environment.scheme == Scheme.API_KEY:
                return False
            slot, base_url = slot_of(key), key.environment.base_url
            del key
        was_dropped = self.renewal.drop(slot, token, base_url)
        held = self.renewal.held(slot)
        if held is None or held.shared.value != token:
            self.memos.forget(lambda _, memo: memo.token is not None and memo.token.value == token)
        return was_dropped

    def let_go(self, name: Name, refused: str) -> None:
        """Drop the token of a header that was refused; of an API key, look at the row again."""
        scheme, _, value = refused.partition(" ")
        if scheme == "Bearer":
            self.invalidate(name, MaskedStr(value))
        else:
            self.memos.drop(self.place_of(name).memo)

    async def alet_go(self, name: Name, refused: str, timeout: float = 20.0) -> None:  # noqa: ASYNC109
        """Do what `let_go` does, within so many seconds; the event loop is never blocked.

        Raises:
            CertnUnavailableError: it takes longer.
        """
        await self.coroutines.let_go(name, partial(self.let_go, name, refused), timeout)

    # What a verification takes

    def stored(self, name: Name, using: str | None = None) -> CertnCredential:
        """Return the row, active or not; a name is looked up in that database, if one is given.

        Raises:
            CredentialNotFoundError: there is none.
        """
        return CertnCredential.objects.db_manager(using).stored(name)

    def key_of(self, row: CertnCredential) -> Key:
        return row.key()

    def check_api_key(self, key: Key, timeout: float) -> int:
        """Return the status of an answer that takes the API key, within so many seconds.

        Raises:
            TokenError: the key is not confirmed.
        """
        from django_certn import probe

        return probe.check_api_key(key, timeout=timeout)

    def exchange_now(self, key: Key, timeout: float) -> TokenResponse:
        """Make an exchange, whatever is known, within so many seconds.

        Whoever wants a token of the key meanwhile, or later, has this one.

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

    def reserve(self, key: Key) -> AbstractContextManager[None]:
        """Have whoever wants a token of the key wait for the exchange that this thread makes next.

        Without it, who sees a new key before it is verified makes an exchange of their own.
        """
        return self.flights.reserve(slot_of(key), Outcome(was_cut=True))

    # What makes memos wrong

    def credential_changed(
        self, instance: CertnCredential, using: str, *, is_new_or_gone: bool
    ) -> None:
        """Forget what a row that was saved or deleted makes wrong."""
        slot = None
        if not set(KEY_FIELDS) & instance.get_deferred_fields():
            with suppress(CertnConfigurationError):
                slot = slot_of(instance.key())
        pk, name = instance.pk, instance.name
        if slot and is_new_or_gone:
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
        for part in (self.memos, self.keys, self.flights, self.looks, self.coroutines):
            part.after_fork()
        self.shared.reset()

    # To be seen

    def count(self, name: str, event: str, number: int = 1) -> None:
        with self.lock:
            self.counts.setdefault(name, dict.fromkeys(EVENTS, 0))[event] += number
            self.counts.move_to_end(name)
            if len(self.counts) > KEYS_MOST:
                self.counts.popitem(last=False)

    def stats(self) -> dict[str, dict[str, int]]:
        with self.lock:
            return {name: dict(counts) for name, counts in self.counts.items()}
