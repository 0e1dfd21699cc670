"""How a key gets its token: is it known, is it locked, exchange, back off.

No state of its own: what the process knows is in `KnownKeys`, what all know in `SharedCache`.
Correctness never depends on the lock. Without one, or when its holder died, the worst that happens
is one exchange more.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from django_certn.answers import TokenResponse
from django_certn.conf import conf
from django_certn.exceptions import CertnConfigurationError, CertnError, TokenError, unforeseen
from django_certn.keys import Key
from django_certn.tokens.held import HeldToken, Issue, SharedToken
from django_certn.tokens.known import Failure, Forced, Known, KnownKeys, in_force, merge
from django_certn.tokens.outcome import Outcome, Request
from django_certn.tokens.shared_cache import CacheDownError, Lock, SharedCache
from django_certn.tokens.timing import (
    BACK_OFF_LEAST,
    BACK_OFF_MOST,
    FORCED_EVERY,
    LOCK_SLACK,
    Clocks,
)
from django_certn.tokens.waiting import Waiting

__all__ = ["Renewal"]

Answer = TokenResponse | TokenError | CertnConfigurationError


class Renewal:
    """Gets tokens, by one exchange for all the processes that share a cache.

    Args:
        keys: what this process knows.
        shared: what all know.
        clocks: the clocks.
        exchange: makes an exchange, ``exchange(key, timeout=seconds)``.
        count: counts an event for a name.
    """

    def __init__(
        self,
        keys: KnownKeys,
        shared: SharedCache,
        clocks: Clocks,
        exchange: Callable[..., TokenResponse],
        count: Callable[[str, str], None],
    ) -> None:
        self.keys, self.shared, self.clocks = keys, shared, clocks
        self.exchange, self.count = exchange, count

    def held(self, slot: str, min_validity: float = 0) -> HeldToken | None:
        """Return the token that this process holds, if it can be used now, for so many seconds."""
        token = self.keys.get(slot).token
        return token if token and token.is_usable(self.clocks.now(), min_validity) else None

    def get(self, request: Request) -> Outcome:
        """Return a token of the key, or why there is none.

        Raises:
            CertnConfigurationError: a setting keeps the exchange from being made.
        """
        waiting = Waiting(self.clocks, request.deadline)
        while (outcome := self.settle(request)) is None:
            try:
                lock = self.shared.lock(request.slot, self.budget(request) + LOCK_SLACK)
            except CacheDownError:
                return self.renew(request)
            if lock.is_mine:
                try:
                    # Whoever held the lock until now may have left a token, or a failure.
                    return self.settle(request) or self.renew(request)
                finally:
                    self.shared.unlock(request.slot, lock.value)
            if held := self.held(request.slot, request.min_validity):
                return Outcome(held)  # another process renews it
            if waiting.is_over_for(lock):
                self.shared.unlock(request.slot, lock.value)
            elif waiting.is_too_short_for(lock):
                return self.renew(request)
            else:
                self.clocks.sleep(next(waiting.pauses))
        return outcome

    def budget(self, request: Request) -> float:
        """Return the seconds that an exchange for the request may take."""
        left = request.deadline - self.clocks.monotonic()
        return max(0.0, min(conf.CERTN_REQUEST_TIMEOUT, left))

    def settle(self, request: Request) -> Outcome | None:
        """Return the outcome if no exchange is needed for it."""
        known = self.look(request.slot, request.key.environment.base_url)
        now = self.clocks.now()
        token = known.token
        if token is None:
            # With nobody waiting, a token that is gone by now is left to the next who wants one.
            settled = known.failure or request.is_background
            return Outcome(failure=known.failure) if settled else None
        if not token.is_usable(now, request.min_validity):
            return Outcome(token, is_final=True) if known.forced else None
        is_left = request.is_background and token.renew_at.reached(now)
        return None if is_left else Outcome(token)

    def look(self, slot: str, base_url: str) -> Known:
        """Bring what this process knows and what the cache holds together."""
        theirs = self.shared.read(slot, base_url)
        now = self.clocks.now()
        known = self.keys.update(slot, lambda mine: merge(mine, theirs, now))
        if known.token and theirs and theirs.token is None:
            # The cache was emptied, or holds that an earlier token was dropped.
            only_if_absent = theirs.dropped is None
            self.shared.write_token(slot, known.token.shared, only_if_absent=only_if_absent)
        return known

    def renew(self, request: Request) -> Outcome:
        """Exchange the key; if that fails, a token that is still valid goes on to be served."""
        held = self.held(request.slot)
        is_too_short = held and not held.is_usable(self.clocks.now(), request.min_validity)
        # A token that lives, and less long than is wanted, is renewed once a minute.
        if is_too_short and self.claim(request.slot, None):
            return Outcome(held, is_final=True)
        usual, budget = conf.CERTN_REQUEST_TIMEOUT, self.budget(request)
        if budget <= 0:
            return Outcome(was_cut=True)
        answer = self.make_exchange(request.key, budget)
        base_url = request.key.environment.base_url
        if isinstance(answer, TokenResponse):
            if answer.expires_in < request.min_validity:
                self.claim(request.slot, None)
            return Outcome(self.keep(request.slot, answer, base_url), is_final=True)
        known = self.look(request.slot, base_url)
        if known.token:
            return Outcome(self.back_off(request.slot, known.token, answer), is_final=True)
        if isinstance(answer, CertnConfigurationError):
            raise answer
        failure = Failure.of(answer, self.clocks.now())
        was_cut = budget < usual and self.clocks.monotonic() >= request.deadline
        if not was_cut:
            self.keys.update(request.slot, lambda known: replace(known, failure=failure))
            self.shared.write_failure(request.slot, failure)
        return Outcome(failure=failure, was_cut=was_cut)

    def exchange_now(self, key: Key, slot: str, timeout: float) -> tuple[Outcome, Answer]:
        """Make an exchange whatever is known; return what it brought to others, and to the caller.

        Other processes wait for it as for any, if nobody else holds the lock.
        """
        lock: Lock | None = None
        with suppress(CacheDownError):
            lock = self.shared.lock(slot, timeout + LOCK_SLACK)
        try:
            answer = self.make_exchange(key, timeout)
            if isinstance(answer, TokenResponse):
                outcome = Outcome(self.keep(slot, answer, key.environment.base_url))
            else:
                outcome = Outcome(was_cut=True)  # others find out for themselves
            self.clear_failure(slot)
            return outcome, answer
        finally:
            if lock and lock.is_mine:
                self.shared.unlock(slot, lock.value)

    def make_exchange(self, key: Key, budget: float) -> Answer:
        """Make and count one exchange; return the answer, or the error without its frames."""
        self.count(key.name, "exchanges")
        error: TokenError | CertnConfigurationError
        try:
            return self.exchange(key, timeout=budget)
        except (TokenError, CertnConfigurationError) as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - whose next try has to be put off as well
            error = unforeseen(raised, key.name)
        self.count(key.name, "failures")
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)

    def keep(self, slot: str, response: TokenResponse, base_url: str) -> HeldToken:
        """Keep a token that was issued just now, in this process and in the cache."""
        shared = SharedToken.issued_now(response, self.clocks)
        held = HeldToken.issued_now(shared, base_url, self.clocks)
        self.keys.update(slot, lambda known: replace(known, token=held, failure=None))
        self.shared.write_token(slot, shared)
        return held

    def back_off(self, slot: str, held: HeldToken, error: CertnError) -> HeldToken:
        """Put off the renewal of a token that is still valid, for all processes."""
        asked = getattr(error, "retry_after", None) or 0
        wait = max(self.clocks.between(BACK_OFF_LEAST, BACK_OFF_MOST), min(asked, BACK_OFF_MOST))
        renew_at = self.clocks.now().after(wait)
        shared = replace(held.shared, renew_at=renew_at.wall)
        held = replace(held, shared=shared, renew_at=renew_at)
        self.keys.update(slot, lambda known: replace(known, token=held))
        self.shared.write_token(slot, shared)
        return held

    def clear_failure(self, slot: str) -> None:
        """Forget that exchanges failed."""
        self.keys.update(slot, lambda known: replace(known, failure=None))
        self.shared.clear_failure(slot)

    def drop(self, slot: str, token: str, base_url: str) -> bool:
        """Drop the token if it is still the one in force, and no renewal was forced just now.

        Returns:
            Whether this call dropped it. It is dropped all the same, and nothing returned but
            ``False``, when another caller was granted that a moment ago.
        """
        held = self.look(slot, base_url).token
        if held is None or held.shared.value != token:
            return False
        issue = held.shared.issue
        granted_for = self.claim(slot, issue)
        if granted_for is not None and granted_for.issue != issue:
            return False
        self.keys.update(slot, lambda known: replace(known, token=None, dropped=issue))
        if granted_for is None:
            self.shared.write_dropped(slot, held.shared)
        return granted_for is None

    def claim(self, slot: str, issue: Issue | None) -> Forced | None:
        """Claim the one forced renewal of a key that `FORCED_EVERY` seconds allow.

        Args:
            slot: of the key.
            issue: the token that it is for, ``None`` if it is for a longer life.

        Returns:
            ``None`` when it is granted, else the one that was granted earlier.
        """
        earlier, is_counted = None, False
        with suppress(CacheDownError):
            earlier, is_counted = self.shared.claim(slot, issue), True
        now = self.clocks.now()
        with self.keys.lock:
            if not is_counted:
                earlier = in_force(self.keys.get(slot).forced, now)
            forced = earlier or Forced(issue, now.after(FORCED_EVERY))
            self.keys.update(slot, lambda known: replace(known, forced=forced))
        return earlier
