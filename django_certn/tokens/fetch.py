"""How a process comes by the token of a key: from the shared cache, or by an exchange."""

import threading
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace

from django_certn.answers import TokenResponse
from django_certn.conf import conf
from django_certn.exceptions import CertnUnavailableError, TokenError
from django_certn.models import Key
from django_certn.tokens.hand import CacheDownError
from django_certn.tokens.lease import Clocks, Lease
from django_certn.tokens.store import FORCED_EVERY, Entry, Reading, Store, fingerprint, memory_of

__all__ = ["Fetcher", "Outcome"]

SLOTS_MOST = 4096  # keys that a process remembers
POLL_FIRST, POLL_SOON, POLL_LATER = 0.02, 0.06, 0.25  # seconds between two looks at a lock ...
SOON = 1.0  # ... that was waited for less than this, or longer
ASK_EVERY = 10.0  # seconds until a process that was refused a forced renewal asks again
BACK_OFF_LEAST, BACK_OFF_MOST = 30.0, 300.0  # seconds after a renewal that failed


@dataclass(slots=True)
class Local:
    """What this process knows of a key by itself, should the cache forget or not be there."""

    lease: Lease | None = None
    error: TokenError | None = None
    failed_until: float = 0.0
    forced_until: float = 0.0
    dead: str = ""  # the fingerprint of the token that was dropped last


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a flight brought: a lease, or the error of an exchange.

    Attributes:
        is_final: no token that lives longer is to be had now.
        was_cut: it ran out of the time that the caller who started the flight had left, which
            tells nothing to the others.
    """

    lease: Lease | None = None
    error: TokenError | None = None
    is_final: bool = False
    was_cut: bool = False


class Fetcher:
    """Fetches tokens, by one exchange for all the processes that share a cache."""

    def __init__(
        self,
        store: Store,
        clocks: Clocks,
        exchange: Callable[..., TokenResponse],
        count: Callable[[str, str], None],
    ) -> None:
        self.store, self.clocks, self.exchange, self.count = store, clocks, exchange, count
        self.locals: dict[str, Local] = {}
        self.after_fork()

    def after_fork(self) -> None:
        self.lock = threading.RLock()
        self.store.reset()

    def clear(self) -> None:
        with self.lock:
            self.locals.clear()
        self.store.reset()

    def forget(self, slot: str) -> None:
        with self.lock:
            self.locals.pop(slot, None)

    def local(self, slot: str) -> Local:
        with self.lock:
            if slot not in self.locals and len(self.locals) >= SLOTS_MOST:
                del self.locals[next(iter(self.locals))]
            return self.locals.setdefault(slot, Local())

    def held(self, slot: str) -> Lease | None:
        """Return the lease that this process holds, if it can be used now."""
        lease = self.local(slot).lease
        return lease if lease and lease.serves(self.clocks.monotonic(), 0) else None

    def fetch(
        self, key: Key, slot: str, min_validity: float, deadline: float, *, renews: bool = False
    ) -> Outcome:
        """Return a token of the key, or why there is none.

        Correctness never depends on the lock: without one, or when its holder died, the worst that
        happens is one exchange more.

        Args:
            key: the key.
            slot: where the cache has its token.
            min_validity: seconds that the token is wanted to live.
            deadline: when to give up, on the monotonic clock.
            renews: nobody waits; renew a token that is due. Who waits for a token takes one that
                is due and leaves the renewal to the next look.
        """
        pauses = self.pauses()
        while (outcome := self.settled(slot, min_validity, renews)) is None:
            try:
                name = self.store.lock(slot, conf.CERTN_REQUEST_TIMEOUT)
            except CacheDownError:
                return self.renew(key, slot, min_validity, deadline)
            if name is not None:
                try:
                    # Whoever held the lock until now may have left a token, or a failure.
                    return self.settled(slot, min_validity, renews) or self.renew(
                        key, slot, min_validity, deadline
                    )
                finally:
                    self.store.unlock(slot, name)
            lease = self.held(slot)
            if lease and lease.serves(self.clocks.monotonic(), min_validity):
                return Outcome(lease)  # another process renews it
            if self.clocks.monotonic() >= deadline:
                return self.out_of_time(key)
            self.clocks.sleep(next(pauses))
        return outcome

    def settled(self, slot: str, min_validity: float, renews: bool) -> Outcome | None:
        """Return the outcome if no exchange is needed for it."""
        reading = self.store.read(slot)
        lease = self.reconcile(slot, reading)
        now = self.clocks.monotonic()
        if lease is not None:
            if not lease.serves(now, min_validity) and now < self.local(slot).forced_until:
                return Outcome(lease, is_final=True)
            # By the wall's clock too: the other one stands still while a computer sleeps.
            is_due = now >= lease.renew_at or self.clocks.clock() >= lease.entry.renew_at
            fits = lease.serves(now, min_validity) and not (renews and is_due)
            return Outcome(lease) if fits else None
        error, local = reading.error, self.local(slot)
        if not reading.is_shared and now < local.failed_until:
            error = local.error
        # With nobody waiting, a token that is gone by now is left to the next who wants one.
        return Outcome(error=error) if error or renews else None

    def reconcile(self, slot: str, reading: Reading) -> Lease | None:
        """Bring what this process holds and what the cache holds together; return the lease."""
        entry = reading.entry
        theirs = Lease.of(entry, self.clocks) if entry else None
        with self.lock:
            local, mine = self.local(slot), self.held(slot)
            if mine and entry and entry.dead == fingerprint(mine.entry.token):
                mine = None
            if mine and theirs and mine.entry.token == theirs.entry.token:
                # Its end is known better here, where no clock is set; its renewal may have moved.
                mine = replace(mine, entry=theirs.entry, renew_at=theirs.renew_at)
            elif theirs and fingerprint(theirs.entry.token) != local.dead:  # read before the drop
                mine = theirs
            local.lease = mine
        if mine and reading.is_shared and (entry is None or entry.dead):
            # The cache was emptied, or has the tombstone of an earlier token.
            write = self.store.put_back if entry is None else self.store.write
            write(slot, mine.entry, mine.ends_at - self.clocks.monotonic())
        return mine

    def renew(self, key: Key, slot: str, min_validity: float, deadline: float) -> Outcome:
        """Exchange the key; if that fails, a token that is still valid goes on to be served."""
        lease, now = self.held(slot), self.clocks.monotonic()
        if lease and not lease.serves(now, min_validity) and not self.claim(slot):
            return Outcome(lease, is_final=True)
        due = conf.CERTN_REQUEST_TIMEOUT
        budget = min(due, deadline - now)
        if budget <= 0:
            return self.out_of_time(key)
        self.count(key.name, "exchanges")
        try:
            response = self.exchange(key, timeout=budget)
        except TokenError as failed:
            error = copy(failed)  # without its frames
        else:
            if response.expires_in < min_validity:
                self.claim(slot)
            return Outcome(self.keep(slot, response), is_final=True)
        self.count(key.name, "failures")
        if lease := self.reconcile(slot, self.store.read(slot)):
            return Outcome(self.back_off(slot, lease, error), is_final=True)
        was_cut = budget < due and self.clocks.monotonic() >= deadline
        if not was_cut:
            self.remember(slot, error)
        return Outcome(error=error, was_cut=was_cut)

    def keep(self, slot: str, response: TokenResponse) -> Lease:
        """Put a token that was issued just now into the cache, and keep it here as well."""
        lease = Lease.anchored(self.clocks.entry(response), self.clocks)
        with self.lock:
            local = self.local(slot)
            local.lease, local.error, local.failed_until = lease, None, 0.0
            if local.dead == fingerprint(lease.entry.token):
                local.dead = ""  # the endpoint issued the same one again
        self.store.write(slot, lease.entry, response.expires_in)
        return lease

    def back_off(self, slot: str, lease: Lease, error: TokenError) -> Lease:
        wait = max(
            self.clocks.between(BACK_OFF_LEAST, BACK_OFF_MOST),
            min(error.retry_after or 0, BACK_OFF_MOST),
        )
        now = self.clocks.monotonic()
        entry = replace(lease.entry, renew_at=self.clocks.clock() + wait)
        lease = replace(lease, entry=entry, renew_at=now + wait)
        self.local(slot).lease = lease
        self.store.write(slot, entry, lease.ends_at - now)
        return lease

    def remember(self, slot: str, error: TokenError) -> None:
        with self.lock:
            local = self.local(slot)
            local.error = error
            local.failed_until = self.clocks.monotonic() + memory_of(error)
        self.store.remember(slot, error)

    def forgive(self, slot: str) -> None:
        """Forget that exchanges failed."""
        with self.lock:
            local = self.local(slot)
            local.error, local.failed_until = None, 0.0
        self.store.forgive(slot)

    def drop(self, slot: str, token: str) -> bool:
        """Drop the token if it is still the one in force, and has not been forced out just now."""
        lease = self.reconcile(slot, self.store.read(slot))
        if lease is None or lease.entry.token != token or not self.claim(slot):
            return False
        # A tombstone rather than nothing: a process that still holds the token would put it back.
        tombstone = Entry(dead=fingerprint(token))
        with self.lock:
            local = self.local(slot)
            local.lease, local.dead = None, tombstone.dead
        self.store.write(slot, tombstone, lease.ends_at - self.clocks.monotonic())
        return True

    def claim(self, slot: str) -> bool:
        """Claim the one forced renewal of a key that `FORCED_EVERY` seconds allow."""
        is_first = self.store.claim(slot)
        now = self.clocks.monotonic()
        with self.lock:
            local = self.local(slot)
            if is_first is None:  # nobody keeps count but this process
                is_first = now >= local.forced_until
            elif not is_first:
                local.forced_until = now + ASK_EVERY
            if is_first:
                local.forced_until = now + FORCED_EVERY
        return is_first

    def pauses(self) -> Iterator[float]:
        """Seconds between two looks at a lock that another process holds."""
        began, pause = self.clocks.monotonic(), POLL_FIRST
        while True:
            yield pause * self.clocks.between(0.8, 1.2)
            is_soon = self.clocks.monotonic() - began < SOON
            pause = min(pause * 1.5, POLL_SOON) if is_soon else POLL_LATER

    def out_of_time(self, key: Key) -> Outcome:
        error = CertnUnavailableError(f"No token for {key.name!r} in time.")
        return Outcome(error=error, was_cut=True)
