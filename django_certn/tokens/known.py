"""What is known of a key: its token, its last failure, which token was dropped, what was forced.

The process knows it by itself, and the shared cache knows it for all; `merge` brings the two
together.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from django_certn import exceptions
from django_certn.exceptions import Status, TokenError
from django_certn.tokens.held import HeldToken, Issue
from django_certn.tokens.timing import (
    KEYS_MOST,
    REMEMBER_NETWORK,
    REMEMBER_VERDICT,
    RETRY_AFTER_LEAST,
    RETRY_AFTER_MOST,
    Moment,
)

__all__ = ["Failure", "Forced", "Known", "KnownKeys", "in_force", "merge"]

KINDS: dict[str, type[TokenError]] = {
    kind.status: kind
    for name in exceptions.__all__
    if isinstance(kind := getattr(exceptions, name), type)
    and issubclass(kind, TokenError)
    and kind is not TokenError
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that brought no token, in codes alone: the name of whoever asked is not here.

    Attributes:
        status: the outcome, in the words of a verification; ``http_status``, ``error_code`` and
            ``retry_after`` (seconds) are those of a `TokenError`.
        until: when it is forgotten.
    """

    status: str
    http_status: int | None
    error_code: str
    retry_after: int | None
    until: Moment

    @classmethod
    def of(cls, error: TokenError, now: Moment) -> "Failure":
        until = now.after(remembered_for(error))
        return cls(error.status, error.http_status, error.error_code, error.retry_after, until)

    def error(self, name: str, base_url: str) -> TokenError:
        """Return an exception for one caller, who asked by that name."""
        codes = ", ".join(
            filter(None, [f"HTTP {self.http_status}" if self.http_status else "", self.error_code])
        )
        cause = f" ({codes})" if codes else ""
        return KINDS[self.status](
            f"No token for {name!r} from {base_url}: {self.status}{cause}.",
            http_status=self.http_status,
            error_code=self.error_code,
            retry_after=self.retry_after,
        )


def remembered_for(error: TokenError) -> int:
    """Return how many seconds a failure is remembered."""
    if error.status in (Status.REJECTED, Status.RETIRED):
        return REMEMBER_VERDICT
    if error.http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        asked = error.retry_after or REMEMBER_NETWORK
        return min(max(asked, RETRY_AFTER_LEAST), RETRY_AFTER_MOST)
    return REMEMBER_NETWORK


class Forced(NamedTuple):
    """The last renewal that was forced before its time, or refused to be.

    Attributes:
        issue: the token that it was for, ``None`` when it was for a longer life.
        until: before this moment no other is granted.
    """

    issue: Issue | None
    until: Moment


Noted = TypeVar("Noted", Failure, Forced)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one key. Nothing here holds the key itself, or a name.

    Attributes:
        token: the token in force.
        failure: why the last exchange brought none, for as long as that is remembered.
        dropped: the token that was dropped last; it must not be served or put back.
        forced: the last forced renewal.
    """

    token: HeldToken | None = None
    failure: Failure | None = None
    dropped: Issue | None = None
    forced: Forced | None = None


def merge(mine: Known, theirs: Known | None, now: Moment) -> Known:
    """Return what a process knows after a look at the shared cache.

    Args:
        mine: what it knew.
        theirs: what the cache holds, ``None`` when it holds nothing for anybody.
        now: nothing that has ended by this moment is kept.
    """
    if theirs is None:
        theirs = Known(failure=mine.failure)
    token = usable(mine.token, theirs.dropped, now)
    theirs_token = usable(theirs.token, mine.dropped, now)
    if token and theirs_token and token.shared.value == theirs_token.shared.value:
        # Its end is known better here, where no clock is set; its renewal may have moved.
        token = replace(token, shared=theirs_token.shared, renew_at=theirs_token.renew_at)
    elif theirs_token:
        token = theirs_token
    return Known(
        token,
        in_force(theirs.failure, now),
        theirs.dropped or mine.dropped,
        in_force(theirs.forced or mine.forced, now),
    )


def in_force(noted: Noted | None, now: Moment) -> Noted | None:
    return None if noted is None or noted.until.reached(now) else noted


def usable(token: HeldToken | None, dropped: Issue | None, now: Moment) -> HeldToken | None:
    if token is None or not token.is_usable(now):
        return None
    return None if dropped and token.shared.issue == dropped else token


class KnownKeys:
    """What this process knows of keys, by slot; those that were asked for last are kept."""

    def __init__(self) -> None:
        self.by_slot: OrderedDict[str, Known] = OrderedDict()
        self.after_fork()

    def after_fork(self) -> None:
        self.lock = threading.RLock()

    def get(self, slot: str) -> Known:
        with self.lock:
            if slot not in self.by_slot:
                return Known()
            self.by_slot.move_to_end(slot)
            return self.by_slot[slot]

    def update(self, slot: str, change: Callable[[Known], Known]) -> Known:
        """Replace what is known by what `change` makes of it, and return that."""
        with self.lock:
            known = self.by_slot[slot] = change(self.get(slot))
            if len(self.by_slot) > KEYS_MOST:
                self.by_slot.popitem(last=False)
            return known

    def forget(self, slot: str) -> None:
        with self.lock:
            self.by_slot.pop(slot, None)

    def clear(self) -> None:
        with self.lock:
            self.by_slot.clear()
