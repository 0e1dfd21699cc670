"""How long, and with which pauses, a process waits for the lock that another holds."""

from collections.abc import Iterator

from django_certn.tokens.shared_cache import Lock
from django_certn.tokens.timing import (
    LOCK_SKEW,
    POLL_FIRST,
    POLL_GROWTH,
    POLL_LATER,
    POLL_SOON,
    SOON,
    Clocks,
)

__all__ = ["Waiting"]


class Waiting:
    """One caller's wait, until a deadline on the monotonic clock."""

    def __init__(self, clocks: Clocks, deadline: float) -> None:
        self.clocks, self.deadline = clocks, deadline
        self.pauses = self.make_pauses()
        self.seen: str = ""
        self.seen_at = 0.0

    def is_over_for(self, lock: Lock) -> bool:
        """Return whether the lock has outlived its holder's time: nobody will release it."""
        now = self.clocks.now()
        if lock.value != self.seen:
            self.seen, self.seen_at = lock.value, now.monotonic
        waited = now.monotonic - self.seen_at
        return now.wall > lock.until + LOCK_SKEW or waited > lock.life + LOCK_SKEW

    def is_too_short_for(self, lock: Lock) -> bool:
        """Return whether to make an exchange of one's own: the lock may outlive the deadline.

        Half of the time is spent on waiting, and the other half is left for the exchange.
        """
        now = self.clocks.now()
        left = self.deadline - now.monotonic
        may_last = min(max(lock.until - now.wall, 0), lock.life)
        waited = now.monotonic - self.seen_at
        return may_last >= left and waited >= left

    def make_pauses(self) -> Iterator[float]:
        """Yield the seconds between two looks at the lock."""
        began, pause = self.clocks.monotonic(), POLL_FIRST
        while True:
            yield pause * self.clocks.between(0.8, 1.2)
            is_soon = self.clocks.monotonic() - began < SOON
            pause = min(pause * POLL_GROWTH, POLL_SOON) if is_soon else POLL_LATER
