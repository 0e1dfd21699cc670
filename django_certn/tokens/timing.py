"""Every number of the token service, with its unit and its reason, and the clocks."""

import random as chance
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Clocks", "Moment"]

# A look at the row and the shared cache: so long may it take until a rotated key is picked up.
LOOK_EVERY = 10.0  # seconds
LOOK_JITTER = 0.2  # share of it by which processes differ, so that they do not look all at once
SHARED_LOOK_WAIT = 1.0  # seconds that a caller without a token waits for another caller's look:
# longer, and callers who hold the connections of a pool would wait for the one who waits for one
COROUTINE_PATIENCE = 0.25  # seconds that a coroutine with a valid token waits for a look
FORK_PATIENCE = 5.0  # seconds that a fork waits until what an exchange needs is loaded
API_KEY_OUTAGE = 3600.0  # seconds that an API key is served while the database is out of reach

# The end of a token.
UNUSED_MOST = 60.0  # seconds before its end that a token is no longer handed out ...
UNUSED_SHARE = 0.05  # ... or this share of its life, for one that lives less than 20 minutes
# When its renewal starts, as a share of its life before its end: of Certn's ten hours the last
# hour, but for the last 45 minutes.
RENEW_EARLIEST, RENEW_LATEST = 0.1, 0.075
CLOCK_SKEW = 60.0  # seconds that the clocks of two hosts may differ
LIFE_MOST = 24 * 3600.0  # seconds; longer lives are cut when the answer is read

# Failures.
BACK_OFF_LEAST, BACK_OFF_MOST = 30.0, 300.0  # seconds after a renewal that failed
REMEMBER_VERDICT = 60  # seconds that a refused key, or a retired API, is remembered
REMEMBER_NETWORK = 5  # seconds that a failure says something about the next try
RETRY_AFTER_LEAST, RETRY_AFTER_MOST = 2, 300  # seconds, whatever an answer asks for
FORCED_EVERY = 60  # seconds between two forced renewals of a key
ASK_EVERY = 10.0  # seconds until a process that was refused a forced renewal asks again

# The lock.
LOCK_SLACK = 2.0  # seconds that it outlives the time of its holder
LOCK_SKEW = 5.0  # seconds after its end, by another host's clocks, until it is passed over
POLL_FIRST, POLL_SOON, POLL_LATER = 0.02, 0.06, 0.25  # seconds between two looks at a lock ...
POLL_GROWTH = 1.5  # ... each longer than the one before ...
SOON = 1.0  # ... for as many seconds, and then at the last of the three

# The shared cache.
CACHE_PATIENCE = 3.0  # seconds for one call of the cache, waiting for its turn included
CACHE_REST_FIRST, CACHE_REST_MOST = 5.0, 300.0  # seconds it is left alone after a failure, doubling
WARN_EVERY = 60.0  # seconds between two warnings

# Memory. A memo with its token is 2 KiB or so; a process that serves more credentials than this
# looks again at those that it has not served for the longest time.
MEMOS_MOST = 16_384
KEYS_MOST = 16_384


class Moment(NamedTuple):
    """A moment on two clocks, in seconds. It is reached when either clock says so.

    The monotonic clock stands still while a computer sleeps, and the wall clock can be set: only
    both together know that a token has ended.
    """

    monotonic: float
    wall: float

    def after(self, seconds: float) -> "Moment":
        return Moment(self.monotonic + seconds, self.wall + seconds)

    def reached(self, now: "Moment") -> bool:
        return now.monotonic >= self.monotonic or now.wall >= self.wall


LONG_AGO = Moment(float("-inf"), float("-inf"))


def wall_clock() -> float:
    """Return seconds since the epoch; the function is looked up at each call, so fakes follow."""
    return time.time()


@dataclass(frozen=True, slots=True)
class Clocks:
    """What tells the time, and the chance that keeps processes from acting all at once.

    Attributes:
        wall: seconds since the epoch, which hosts share.
        monotonic: seconds on a clock that nobody sets.
        sleep: waits for some seconds.
        random: a random number from 0 to 1.
    """

    wall: Callable[[], float] = wall_clock
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = chance.random

    def now(self) -> Moment:
        return Moment(self.monotonic(), self.wall())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()
