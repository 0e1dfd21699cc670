"""The token service of a process."""

import asyncio
import math
import os
import random as chance
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress

from asgiref.sync import sync_to_async
from django.core.signals import setting_changed
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_save

from django_certn.answers import TokenResponse
from django_certn.exceptions import CertnConfigurationError
from django_certn.models import CertnCredential, Key
from django_certn.secret import MaskedStr
from django_certn.tokens.fetch import Fetcher, Outcome
from django_certn.tokens.flight import Flights
from django_certn.tokens.hand import Hand
from django_certn.tokens.lease import Clocks
from django_certn.tokens.memo import Memos
from django_certn.tokens.search import Name, Search, active_key
from django_certn.tokens.store import Store, slot_of
from django_certn.tokens.token import AccessToken

__all__ = ["TokenService", "service"]

PATIENCE = 0.25  # seconds that a coroutine with a valid token waits for a look at the row
FOLLOWED_SETTINGS = {"CACHES", "DATABASES", "FIELD_ENCRYPTION_KEY", "SECRET_KEY"}


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """Make an exchange; the packages that it takes are loaded by the first one."""
    from django_certn import oauth

    return oauth.exchange(key, timeout=timeout)


class TokenService:
    """Hands out tokens. A process has one, `service`; a test makes its own.

    Args:
        exchange: makes an exchange.
        clock: the wall clock, seconds since the epoch.
        monotonic: a clock that nobody sets, seconds.
        sleep: waits for some seconds.
        random: a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        exchange: Callable[..., TokenResponse] = exchange,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.monotonic = monotonic
        clocks = Clocks(clock, monotonic, sleep, random)
        self.memos = Memos(clocks)
        self.by_name = self.memos.by_name
        self.flights: Flights[Outcome] = Flights()
        self.fetcher = Fetcher(Store(Hand(monotonic), sleep), clocks, exchange, self.count)
        self.counts: dict[str, Counter[str]] = {}
        self.lock = threading.Lock()

    def get_token(
        self, name: Name = "default", *, min_validity: float = 0, timeout: float = 20.0
    ) -> AccessToken:
        """Return a token of the credential, fetched once for all processes that share a cache.

        It may be called before every request: with a token at hand it is a dictionary look-up.

        Args:
            name: the name of the credential, or a `CertnCredential`, which stands for its row.
            min_validity: seconds that the token shall still live; more than a token's whole life
                is met by one fresh exchange.
            timeout: seconds for the whole call, waiting for others included.

        Raises:
            CredentialNotFoundError: no such credential is stored.
            CredentialInactiveError: it is switched off.
            CredentialUndecryptableError: its secret cannot be read.
            CertnConfigurationError: its environment, or another setting, is missing or wrong.
            TokenError: the exchange brought no token; `CertnUnavailableError` also when the time
                is up.
        """
        now = self.monotonic()
        try:
            look_at, ends_at, token, _ = self.by_name[name]
        except (KeyError, TypeError):  # an unsaved instance cannot be hashed
            pass
        else:
            if now < look_at and (not min_validity or now + min_validity <= ends_at):
                return token
        search = Search(self.memos, self.flights, self.fetcher, name, min_validity, timeout)
        while True:
            found = search.look()
            if isinstance(found, AccessToken):
                return found
            wait([found], search.seconds_left())
            if landed := search.land(found):
                return landed

    async def aget_token(
        self,
        name: Name = "default",
        *,
        min_validity: float = 0,
        timeout: float = 20.0,  # noqa: ASYNC109 - it bounds the same call as get_token's does
    ) -> AccessToken:
        """Return a token as `get_token` does; the event loop is never blocked."""
        now = self.monotonic()
        try:
            look_at, ends_at, token, _ = self.by_name[name]
        except (KeyError, TypeError):
            pass
        else:
            if now < look_at and (not min_validity or now + min_validity <= ends_at):
                return token
        search = Search(self.memos, self.flights, self.fetcher, name, min_validity, timeout)
        if at_hand := search.at_hand():
            return at_hand
        while True:
            found = await look(search)
            if isinstance(found, AccessToken):
                return found
            landing = asyncio.wrap_future(found)
            try:
                await asyncio.wait({landing}, timeout=search.seconds_left())
            finally:
                landing.cancel()  # the flight itself goes on: see Flights.join()
            if landed := search.land(found):
                return landed

    def invalidate_token(self, name: Name, token: AccessToken | str) -> bool:
        """Drop the token, after a 401 say, if it is still the one in force.

        Args:
            name: as for `get_token`.
            token: the token that was refused.

        Returns:
            Whether it was dropped. It stays when another token is in force by now, and within a
            minute of the key's last forced renewal: an API that answers 401 to everything does
            not become a storm of exchanges.

        Raises:
            CertnConfigurationError: as `get_token`.
        """
        # Under the same name: what was handed in may not be masked, and errors pass this frame.
        token = MaskedStr(token.value if isinstance(token, AccessToken) else token)
        key, _ = active_key(name)
        slot = slot_of(key)
        was_dropped = self.fetcher.drop(slot, token)
        lease = self.fetcher.held(slot)
        if lease is None or lease.token.value != token:
            self.memos.forget(lambda _, memo: memo[2].value == token)
        return was_dropped

    def stats(self) -> dict[str, dict[str, int]]:
        """Return what this process did for each credential; the hot path is not counted.

        Returns:
            By name: ``relooks`` at the row and the cache, ``exchanges``, ``waits`` of callers for
            a token that was not at hand, ``failures`` of exchanges.
        """
        with self.lock:
            return {name: dict(counts) for name, counts in self.counts.items()}

    def count(self, name: str, event: str) -> None:
        with self.lock:
            if name not in self.counts:
                self.counts[name] = Counter(relooks=0, exchanges=0, waits=0, failures=0)
            self.counts[name][event] += 1

    def adopt(self, key: Key, response: TokenResponse) -> None:
        """Hand out a token that was issued just now, and forget earlier failures."""
        slot = slot_of(key)
        self.fetcher.forgive(slot)
        self.fetcher.keep(slot, response)
        self.memos.forget()

    def forgive(self, key: Key) -> None:
        """Forget that exchanges of the key failed."""
        self.fetcher.forgive(slot_of(key))

    def clear(self) -> None:
        """Forget everything; what the cache holds stays there."""
        self.fetcher.clear()
        self.memos.forget()

    def connect(self) -> None:
        """Follow what makes a memo wrong: another key, other settings."""
        post_save.connect(self.credential_changed, sender=CertnCredential)
        post_delete.connect(self.credential_changed, sender=CertnCredential)
        setting_changed.connect(self.setting_changed)

    def credential_changed(
        self,
        *,
        instance: CertnCredential,
        using: str,
        created: bool = False,
        **kwargs: object,
    ) -> None:
        self.memos.forget()
        if created:
            # It starts with what the cache has, not with what an earlier row of the same key left
            # in this process: the row of a test, say, that was rolled back.
            with suppress(CertnConfigurationError):
                self.fetcher.forget(slot_of(instance.key()))
        if connections[using].in_atomic_block:
            # Until the commit another thread reads the row as it was, and may leave a memo of it.
            transaction.on_commit(self.memos.forget, using=using)

    def setting_changed(self, *, setting: str, **kwargs: object) -> None:
        if setting.startswith("CERTN_") or setting in FOLLOWED_SETTINGS:
            self.clear()

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        self.memos.after_fork()
        self.flights.after_fork()
        self.fetcher.after_fork()


async def look(search: Search) -> AccessToken | Future[Outcome]:
    """Look at the row in the thread that Django has for it, which may be busy with other things."""
    looking = asyncio.ensure_future(sync_to_async(search.look)())
    # It may be left alone: then nobody wants to hear of its error.
    looking.add_done_callback(lambda task: task.cancelled() or task.exception())
    good = search.still_good()
    await asyncio.wait(
        {looking}, timeout=min(PATIENCE if good else math.inf, search.seconds_left())
    )
    if looking.done():
        return looking.result()
    if good:
        return good
    looking.cancel()
    raise search.out_of_time()


service = TokenService()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=service.after_fork)
