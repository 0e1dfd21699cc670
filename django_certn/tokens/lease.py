"""A token as one process holds it, and the times that are set for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from django_certn.answers import TokenResponse
from django_certn.secret import MaskedStr
from django_certn.tokens.store import Entry
from django_certn.tokens.token import AccessToken

__all__ = ["Clocks", "Lease"]

MARGIN_MOST = 60.0  # seconds before its end that a token is no longer handed out ...
MARGIN_SHARE = 0.05  # ... or this share of its life, for one that lives less than 20 minutes
# When its renewal starts, as a share of its life before its end: of Certn's ten hours the last
# hour, but for the last 45 minutes.
RENEW_EARLIEST, RENEW_LATEST = 0.1, 0.075
SKEW = 60.0  # seconds that the clocks of two hosts may differ


@dataclass(frozen=True, slots=True)
class Clocks:
    """What tells the time, and the chance that keeps processes from acting all at once."""

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def entry(self, response: TokenResponse) -> Entry:
        """Return what is shared of a token that was issued just now."""
        now, life = self.clock(), response.expires_in
        early = life * self.between(RENEW_LATEST, RENEW_EARLIEST)
        return Entry(response.access_token, now, now + life, now + life - early)


@dataclass(frozen=True, slots=True)
class Lease:
    """A token with its times on the monotonic clock, which nobody sets.

    Attributes:
        usable_until: when it is no longer handed out, a margin before its end.
        ends_at: when it ends.
        renew_at: when its renewal starts.
    """

    entry: Entry
    token: AccessToken
    usable_until: float
    ends_at: float
    renew_at: float

    @classmethod
    def of(cls, entry: Entry, clocks: Clocks) -> Self | None:
        """Return the lease of a shared entry, ``None`` if it has no token that can be used now."""
        if not entry.token or entry.issued_at > clocks.clock() + SKEW:  # the clock was set back
            return None
        lease = cls.anchored(entry, clocks)
        return lease if lease.usable_until > clocks.monotonic() else None

    @classmethod
    def anchored(cls, entry: Entry, clocks: Clocks) -> Self:
        wall, now = clocks.clock(), clocks.monotonic()
        life = entry.expires_at - entry.issued_at
        left = min(entry.expires_at - wall, life)
        return cls(
            entry,
            AccessToken(MaskedStr(entry.token), datetime.fromtimestamp(entry.expires_at, UTC)),
            now + left - min(MARGIN_MOST, life * MARGIN_SHARE),
            now + left,
            now + entry.renew_at - wall,
        )

    def serves(self, now: float, min_validity: float) -> bool:
        return now < self.usable_until and now + min_validity <= self.ends_at
