"""A token as processes share it, by the wall clock, and as one process holds it, by both clocks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from django.utils.crypto import salted_hmac

from django_certn.answers import TokenResponse
from django_certn.secret import MaskedStr
from django_certn.tokens.timing import (
    CLOCK_SKEW,
    RENEW_EARLIEST,
    RENEW_LATEST,
    UNUSED_MOST,
    UNUSED_SHARE,
    Clocks,
    Moment,
)
from django_certn.tokens.token import AccessToken

__all__ = ["HeldToken", "Issue", "SharedToken"]


class Issue(NamedTuple):
    """Which token it is, without its value: an endpoint may issue the same value again, later."""

    fingerprint: str
    issued_at: float


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A token with its times in seconds of the wall clock, which hosts share.

    Attributes:
        renew_at: when a worker starts to renew it, jittered once for all of them.
    """

    value: MaskedStr
    issued_at: float
    expires_at: float
    renew_at: float

    @classmethod
    def issued_now(cls, response: TokenResponse, clocks: Clocks) -> Self:
        now, life = clocks.wall(), response.expires_in
        early = life * clocks.between(RENEW_LATEST, RENEW_EARLIEST)
        return cls(response.access_token, now, now + life, now + life - early)

    @property
    def issue(self) -> Issue:
        mac = salted_hmac("django_certn.tokens.issue", self.value, algorithm="sha256")
        return Issue(mac.hexdigest()[:40], self.issued_at)


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token with its times on both clocks.

    Attributes:
        access: what a caller gets.
        usable_until: when it is no longer handed out, a margin before its end.
        ends_at: when it ends.
        renew_at: when its renewal starts.
    """

    shared: SharedToken
    access: AccessToken
    usable_until: Moment
    ends_at: Moment
    renew_at: Moment

    @classmethod
    def of(cls, shared: SharedToken, base_url: str, clocks: Clocks) -> Self | None:
        """Return it as this process holds it from now on, ``None`` if it cannot be used now."""
        now = clocks.wall()
        if shared.issued_at > now + CLOCK_SKEW:
            return None  # the clock was set back, and nobody knows how long it still lives
        if shared.expires_at <= now:
            return None  # perhaps so long ago that no calendar has the day
        held = cls.issued_now(shared, base_url, clocks)
        return held if held.is_usable(clocks.now()) else None

    @classmethod
    def issued_now(cls, shared: SharedToken, base_url: str, clocks: Clocks) -> Self:
        """Return it as this process holds it from now on, however short its life may be."""
        now = clocks.now()
        life = shared.expires_at - shared.issued_at
        ends_at = now.after(min(shared.expires_at - now.wall, life))

        def latest() -> float:
            """Return the wall clock's time, or that which the other makes it if it is later."""
            left = ends_at.monotonic - clocks.monotonic()
            return max(clocks.wall(), shared.expires_at - left)

        access = AccessToken(
            shared.value,
            base_url,
            datetime.fromtimestamp(shared.expires_at, UTC),
            clock=latest,  # a token that is held while the clock is set back lives no longer
        )
        return cls(
            shared,
            access,
            ends_at.after(-min(UNUSED_MOST, life * UNUSED_SHARE)),
            ends_at,
            now.after(shared.renew_at - now.wall),
        )

    def is_usable(self, now: Moment, min_validity: float = 0) -> bool:
        """Return whether it may be handed out to a caller who needs that many seconds of it."""
        if self.usable_until.reached(now):
            return False
        then = now.after(min_validity)
        return then.monotonic <= self.ends_at.monotonic and then.wall <= self.ends_at.wall
