"""One call for a token that was not at hand."""

import threading
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from functools import partial

from django.db import Error as DatabaseError

from django_certn.conf import conf
from django_certn.exceptions import (
    CertnConfigurationError,
    CertnUnavailableError,
    CredentialInactiveError,
)
from django_certn.models import CertnCredential, Key
from django_certn.tokens.fetch import Fetcher, Outcome
from django_certn.tokens.flight import Flights
from django_certn.tokens.lease import Lease
from django_certn.tokens.memo import Memos
from django_certn.tokens.store import slot_of
from django_certn.tokens.token import AccessToken

__all__ = ["Name", "Search", "active_key"]

Name = str | CertnCredential


@dataclass
class Search:
    """The steps of one call, the same for a thread and for a coroutine: look, wait, land.

    Looking reads the row, so it belongs into the caller's thread and transaction. Waiting is for
    a flight, and each kind of caller waits in its own way.
    """

    memos: Memos
    flights: Flights[Outcome]
    fetcher: Fetcher
    name: Name
    min_validity: float
    timeout: float

    def __post_init__(self) -> None:
        self.monotonic = self.memos.clocks.monotonic
        self.deadline = self.monotonic() + self.timeout
        self.memo_of: object = self.name
        if isinstance(self.name, CertnCredential):
            self.memo_of = (self.name._state.db, self.name.pk)

    def seconds_left(self) -> float:
        return min(max(0.0, self.deadline - self.monotonic()), threading.TIMEOUT_MAX)

    def at_hand(self) -> AccessToken | None:
        """Return the token of the memo: an instance's, or one that came while this call waited."""
        now, memo = self.monotonic(), self.memos.by_name.get(self.memo_of)
        if memo is not None and now < memo[0] and now + self.min_validity <= memo[1]:
            return memo[2]
        return None

    def still_good(self) -> AccessToken | None:
        """Return the token of the memo, though it is time to look again."""
        memo = self.memos.by_name.get(self.memo_of)
        if memo is not None and memo[3].serves(self.monotonic(), self.min_validity):
            return memo[2]
        return None

    def out_of_time(self) -> CertnUnavailableError:
        return CertnUnavailableError(
            f"No token for {str(self.name)!r} within {self.timeout:g} seconds."
        )

    def look(self) -> AccessToken | Future[Outcome]:
        """Look at the row; return the token of its key, or the flight that will bring it."""
        if token := self.at_hand():
            return token
        self.looked_at = now = self.monotonic()
        self.generation = self.memos.generation
        memo = self.memos.by_name.get(self.memo_of)
        try:
            key, using = active_key(self.name)
        except DatabaseError:
            if memo is None or not memo[3].serves(now, self.min_validity):
                raise
            self.keep(memo[3])  # or each call would wait for a database that is down
            return memo[2]
        except CertnConfigurationError:
            self.memos.forget(lambda name, _: name == self.memo_of)
            raise
        self.memos.watch(using)
        self.fetcher.count(key.name, "relooks")
        slot = slot_of(key)
        lease = self.fetcher.held(slot)
        if lease is None or not lease.serves(now, self.min_validity):
            self.fetcher.count(key.name, "waits")
            return self.flights.join(
                slot, partial(self.fetcher.fetch, key, slot, self.min_validity, self.deadline)
            )
        # While there is a valid token nobody waits: the flight looks at the cache, renews the
        # token if it is time, and leaves a memo of what it found.
        self.keep(lease)
        deadline = now + conf.CERTN_REQUEST_TIMEOUT
        flight = self.flights.join(
            slot, partial(self.fetcher.fetch, key, slot, 0, deadline, renews=True)
        )
        flight.add_done_callback(self.note)
        return lease.token

    def note(self, flight: Future[Outcome]) -> None:
        if flight.exception() is None and (lease := flight.result().lease) is not None:
            self.keep(lease)
        else:
            self.memos.forget(lambda name, _: name == self.memo_of)

    def keep(self, lease: Lease) -> None:
        """Leave a memo, which is as old as the look at the row."""
        self.memos.put(self.memo_of, lease, self.generation, self.looked_at)

    def land(self, flight: Future[Outcome]) -> AccessToken | None:
        """Return the token that the flight brought, ``None`` if it takes another one.

        Raises:
            TokenError: it brought none, or is not back in time.
        """
        if not flight.done():
            raise self.out_of_time()
        if (bug := flight.exception()) is not None:
            raise copy(bug)
        outcome = flight.result()
        if outcome.lease is not None:
            # A flight that somebody else started may have been content with less.
            serves = outcome.lease.serves(self.monotonic(), self.min_validity)
            if not serves and not outcome.is_final and self.seconds_left():
                return None
            self.keep(outcome.lease)
            return outcome.lease.token
        if outcome.error is None or (outcome.was_cut and self.seconds_left()):
            return None
        raise copy(outcome.error)  # one of its own for each caller


def active_key(name: Name) -> tuple[Key, str]:
    """Return the key of an active credential, and the alias of the database that has it.

    Raises:
        CertnConfigurationError: there is none that can be used.
    """
    found = find_key(name)
    if isinstance(found, CertnConfigurationError):
        raise found  # here, where no frame holds the row
    return found


def find_key(name: Name) -> tuple[Key, str] | CertnConfigurationError:
    try:
        row = CertnCredential.objects.stored(name)
        if not row.is_active:
            raise CredentialInactiveError(
                f"The Certn credential {row.name!r} is switched off: activate it in the admin."
            )
        return row.key(), row._state.db or "default"
    except CertnConfigurationError as error:
        return copy(error)
