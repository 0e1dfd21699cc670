"""One call that the memo could not answer at once: tenant, row, key, flight.

`Lookup.start` runs in the caller's thread and transaction; it returns the memo, or the flight that
will bring one. Waiting for a flight is left to the caller, since a thread and a coroutine do it in
different ways, and `Lookup.finish` makes the memo of what it brought.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from django.db import Error as DatabaseError
from django.db import InternalError, ProgrammingError, connections
from django.db.transaction import TransactionManagementError

from django_certn.conf import Scheme, conf
from django_certn.exceptions import CertnConfigurationError, CertnUnavailableError
from django_certn.keys import Key
from django_certn.models import CertnCredential
from django_certn.tokens.held import HeldToken
from django_certn.tokens.memo import Look, Memo, Memos
from django_certn.tokens.outcome import Outcome, Request
from django_certn.tokens.renewal import Renewal
from django_certn.tokens.shared_cache import slot_of
from django_certn.tokens.single_flight import SingleFlight, copy_of
from django_certn.tokens.tenant import Name, Place, Row
from django_certn.tokens.timing import SHARED_LOOK_WAIT, Clocks

__all__ = ["Lookup", "Parts"]


class Parts:
    """What a lookup is made of: the service, of which this is all that it knows.

    Attributes:
        count: counts an event for a name, as often as is said.
        place_of: says where the row of a name is.
        load: reads the row.
        has_tenants: whether that has to be asked on the thread that Django has for a request.
    """

    memos: Memos
    renewal: Renewal
    clocks: Clocks
    count: Callable[..., None]
    place_of: Callable[[Name], Place]
    load: Callable[[Name], Row]
    has_tenants: Callable[[], bool]
    flights: SingleFlight[Outcome]
    looks: SingleFlight[Row]


class Lookup:
    """The steps of one call.

    Args:
        parts: of the service.
        name: the credential.
        min_validity: seconds that the token has to live.
        timeout: seconds for the whole call.
    """

    def __init__(self, parts: Parts, name: Name, min_validity: float, timeout: float) -> None:
        self.parts, self.name = parts, name
        self.min_validity, self.timeout = min_validity, timeout
        self.deadline = parts.clocks.monotonic() + timeout
        self.was_interrupted = False

    def seconds_left(self) -> float:
        left = self.deadline - self.parts.clocks.monotonic()
        return min(max(0.0, left), threading.TIMEOUT_MAX)

    def out_of_time(self) -> CertnUnavailableError:
        return CertnUnavailableError(
            f"No token for {str(self.name)!r} within {self.timeout:g} seconds.",
            error_code="timeout",
        )

    def good(self) -> Memo | None:
        """Return a memo that may be handed out, though it may be time to look at the row again."""
        self.place = self.parts.place_of(self.name)
        memo = self.parts.memos.by_key.get(self.place.memo)
        return memo if memo and memo.is_good(self.parts.clocks.now(), self.min_validity) else None

    def start(self) -> Memo | Future[Outcome]:
        """Look at the row; return the memo of its key, or the flight that will bring a token.

        Raises:
            CertnConfigurationError: there is no credential that can be used.
            DatabaseError: the database did not answer, and there is nothing to serve meanwhile.
        """
        parts = self.parts
        memo = self.good()
        if memo and memo.is_current(parts.clocks.now(), self.min_validity):
            return memo
        at, generation = parts.clocks.now(), parts.memos.generation
        for earlier in parts.memos.opened(*self.place):
            private = earlier.good(at, self.min_validity)
            if private and private.is_current(at, self.min_validity):
                return private
        opened = parts.memos.open_transaction(*self.place)
        self.look = Look(at, generation, opened)
        if opened:
            memo = opened.good(at, self.min_validity) or memo
        try:
            row = self.read_row(memo)
        except DatabaseError as error:
            if memo is None or is_missing_table(error, self.place.using):
                self.forget()
                raise
            memo.look_again_later(at, parts.clocks)  # or each call would wait for it
            return memo
        except CertnConfigurationError:
            self.forget()
            raise
        if isinstance(row, Memo):
            return row
        self.look.pk = row.pk
        self.label, self.base_url = row.key.name, row.key.environment.base_url
        if row.key.environment.scheme == Scheme.API_KEY:
            return self.put(Memo.of_api_key(self.look, row.key, parts.clocks))
        return self.find_token(row.key, memo)

    def find_token(self, key: Key, memo: Memo | None) -> Memo | Future[Outcome]:
        parts = self.parts
        self.slot = slot_of(key)
        if memo is not None and memo.slot not in ("", self.slot):
            parts.renewal.keys.forget(memo.slot)  # of the earlier key
        held = parts.renewal.held(self.slot, self.min_validity)
        if held is None:
            parts.count(self.label, "waits")
            if self.look.transaction and parts.renewal.keys.get(self.slot).token is None:
                # A row that is rolled back takes what was learnt through it along.
                forget = partial(parts.renewal.keys.forget, self.slot)
                self.look.transaction.undo.append(forget)
            request = Request(key, self.slot, self.min_validity, self.deadline)
            return parts.flights.join(self.slot, partial(parts.renewal.get, request))
        # While there is a valid token nobody waits: the flight looks at the cache, renews the
        # token if it is due, and leaves a memo of what it found.
        found = self.keep(held)
        deadline = self.look.at.monotonic + conf.CERTN_REQUEST_TIMEOUT
        request = Request(key, self.slot, 0, deadline, is_background=True)
        flight = parts.flights.join(self.slot, partial(parts.renewal.get, request))
        flight.add_done_callback(self.note)
        return found

    def read_row(self, memo: Memo | None) -> Row | Memo:
        """Read the row, once for all that ask at this moment.

        Returns:
            The memo, if there is one to be handed out while another caller reads the row.
        """
        if self.look.transaction:  # which sees what nobody else should, and is seen by nobody
            return self.load()
        future, is_mine = self.parts.looks.begin(self.place.memo)
        if is_mine:
            return self.parts.looks.carry(self.place.memo, future, self.load)
        if memo is not None:
            return memo
        wait([future], min(SHARED_LOOK_WAIT, self.seconds_left()))
        error = future.exception() if future.done() else TimeoutError()
        if error is None:
            return future.result()
        if isinstance(error, DatabaseError | CertnConfigurationError):
            raise copy_of(error)  # one of its own for each caller
        return self.load()  # it takes too long, or was interrupted where it was begun

    def load(self) -> Row:
        row = self.parts.load(self.name)
        self.parts.count(row.key.name, "relooks")
        return row

    def note(self, flight: Future[Outcome]) -> None:
        """Leave a memo of what the background found, for the tenant that the call was for."""
        token = None if flight.exception() else flight.result().token
        if token is not None:
            self.keep(token)
        else:
            self.forget()

    def keep(self, held: HeldToken) -> Memo:
        return self.put(Memo(self.look, self.slot, held, self.parts.clocks))

    def put(self, memo: Memo) -> Memo:
        if self.look.transaction is None:
            self.parts.memos.put(self.place.memo, memo)
        else:
            self.look.transaction.memo = memo
        return memo

    def forget(self) -> None:
        self.parts.memos.drop(self.place.memo)
        if self.look.transaction:
            self.look.transaction.memo = None

    def finish(self, flight: Future[Outcome]) -> Memo | None:
        """Return the memo of what the flight brought, ``None`` if it takes another one.

        Raises:
            TokenError: it brought none, or is not back in time.
        """
        if not flight.done():
            raise self.out_of_time()
        if (error := flight.exception()) is not None:
            if isinstance(error, Exception):
                raise copy_of(error)
            if self.was_interrupted:  # whatever does that does it each time
                raise CertnUnavailableError(f"No token for {str(self.name)!r}: interrupted twice.")
            self.was_interrupted = True  # and not here, but in the thread that carried it
            return None
        outcome = flight.result()
        if outcome.token is not None:
            # A flight that somebody else started may have been content with less.
            is_enough = outcome.token.is_usable(self.parts.clocks.now(), self.min_validity)
            if not is_enough and not outcome.is_final and self.seconds_left():
                return None
            return self.keep(outcome.token)
        if outcome.failure and not (outcome.was_cut and self.seconds_left()):
            raise outcome.failure.error(str(self.name), self.base_url)
        if not self.seconds_left():
            raise self.out_of_time()
        return None


def is_missing_table(error: DatabaseError, using: str | None) -> bool:
    """Return whether the row cannot be there, rather than the database being out of reach."""
    if isinstance(error, ProgrammingError):
        return not isinstance(error, TransactionManagementError)
    if using is None or isinstance(error, InternalError) or connections[using].vendor != "sqlite":
        return False
    table = CertnCredential._meta.db_table
    try:
        return table not in connections[using].introspection.table_names()
    except DatabaseError:
        return False
