"""The memo: a process's answer to most calls, the dictionary of them, and what makes them wrong."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from django.db import connections, transaction

from django_certn.keys import Key
from django_certn.secret import MaskedStr
from django_certn.tokens.held import HeldToken
from django_certn.tokens.timing import (
    API_KEY_OUTAGE,
    LONG_AGO,
    LOOK_EVERY,
    LOOK_JITTER,
    MEMOS_MOST,
    Clocks,
    Moment,
)
from django_certn.tokens.token import AccessToken

__all__ = ["Memo", "Memos", "OpenTransaction"]


class Memo:
    """What a call needs, all of one look at the row. The times are those of both clocks.

    Attributes:
        authorization: the value of the header.
        base_url: where it may be sent, and nowhere else.
        token: ``None`` of an API key.
        header_until, header_until_wall: until when this may be handed out as a header.
        token_until, token_until_wall: until when the token may; never of an API key.
        ends_at, ends_at_wall: when the token ends.
        good_until: until when it is served while the row is looked at, or cannot be.
        slot: of the key, ``""`` of an API key.
        pk: the primary key of the row.
    """

    __slots__ = (
        "authorization",
        "base_url",
        "ends_at",
        "ends_at_wall",
        "generation",
        "good_until",
        "header_until",
        "header_until_wall",
        "pk",
        "slot",
        "token",
        "token_until",
        "token_until_wall",
    )

    token: AccessToken | None

    def __init__(self, look: "Look", slot: str, held: HeldToken, clocks: Clocks) -> None:
        until = earliest(next_look(look.at, clocks), held.usable_until)
        if not held.renew_at.reached(clocks.now()):
            until = earliest(until, held.renew_at)
        self.authorization, self.base_url = held.access.authorization, held.access.base_url
        self.token, self.slot, self.pk = held.access, slot, look.pk
        self.good_until, self.generation = held.usable_until, look.generation
        self.header_until, self.header_until_wall = until
        self.token_until, self.token_until_wall = until
        self.ends_at, self.ends_at_wall = held.ends_at

    @classmethod
    def of_api_key(cls, look: "Look", key: Key, clocks: Clocks) -> "Memo":
        """Return the memo of an API key, which has neither token nor end.

        The header is the one that CertnCentric documents:
        https://centric-api-docs.certn.co/reference/authentication.md
        """
        self = cls.__new__(cls)
        self.authorization = MaskedStr(f"Api-Key {key.client_secret.reveal()}")
        self.base_url = key.environment.base_url
        self.token, self.slot, self.pk = None, "", look.pk
        self.good_until, self.generation = look.at.after(API_KEY_OUTAGE), look.generation
        self.header_until, self.header_until_wall = next_look(look.at, clocks)
        self.token_until, self.token_until_wall = LONG_AGO
        self.ends_at, self.ends_at_wall = LONG_AGO
        return self

    def is_current(self, now: Moment, min_validity: float) -> bool:
        """Return whether it may be handed out without another look at the row."""
        is_early = now.monotonic < self.header_until and now.wall < self.header_until_wall
        return is_early and self.lives(now, min_validity)

    def is_good(self, now: Moment, min_validity: float) -> bool:
        """Return whether it may be handed out though it is time for another look."""
        return not self.good_until.reached(now) and self.lives(now, min_validity)

    def lives(self, now: Moment, min_validity: float) -> bool:
        """Return whether its token lives for that many seconds; an API key has no end."""
        return not min_validity or (
            now.monotonic + min_validity <= self.ends_at
            and now.wall + min_validity <= self.ends_at_wall
        )

    def look_again_later(self, at: Moment, clocks: Clocks) -> None:
        """Put off the next look, for the database did not answer this one."""
        until = earliest(next_look(at, clocks), self.good_until)
        self.header_until, self.header_until_wall = until
        if self.token is not None:
            self.token_until, self.token_until_wall = until


@dataclass(slots=True)
class Look:
    """One look at a row: when it began, what it saw, and in which transaction if one was open."""

    at: Moment
    generation: int
    transaction: "OpenTransaction | None"
    pk: object = None


def next_look(at: Moment, clocks: Clocks) -> Moment:
    return at.after(LOOK_EVERY * clocks.between(1 - LOOK_JITTER, 1 + LOOK_JITTER))


def earliest(a: Moment, b: Moment) -> Moment:
    return Moment(min(a.monotonic, b.monotonic), min(a.wall, b.wall))


class Memos:
    """The memos; read without a lock and written with one.

    A look at a row, every ten seconds while it is in use, puts its memo last, so the first in the
    dictionary is the one that was out of use for the longest time.

    Attributes:
        by_key: by name, or by tenant and name.
        generation: grows whenever memos are forgotten, so that a caller who read the row before
            that moment cannot write a memo after it.
    """

    def __init__(self) -> None:
        self.by_key: dict[Hashable, Memo] = {}
        self.generation = 0
        self.after_fork()

    def after_fork(self) -> None:
        self.lock = threading.RLock()

    def put(self, key: Hashable, memo: Memo) -> None:
        """Write a memo, unless memos were forgotten since the row was looked at."""
        with self.lock:
            if memo.generation != self.generation:
                return
            self.by_key.pop(key, None)
            self.by_key[key] = memo
            if len(self.by_key) > MEMOS_MOST:
                del self.by_key[next(iter(self.by_key))]

    def forget(self, is_wrong: Callable[[Hashable, Memo], bool] | None = None) -> None:
        """Forget the memos that are wrong now, or all."""
        with self.lock:
            self.generation += 1
            for key, memo in list(self.by_key.items()):
                if is_wrong is None or is_wrong(key, memo):
                    del self.by_key[key]

    def drop(self, key: Hashable) -> None:
        """Forget one memo: what it was made of is not so any more."""
        with self.lock:
            self.by_key.pop(key, None)

    # What is seen inside an open transaction is for the thread that has it open, and for no other.

    def open_transaction(self, key: Hashable, using: str | None) -> "OpenTransaction | None":
        """Return the open transaction that a look at the row would see, ``None`` without one."""
        if using is None:
            return None
        connection = connections[using]
        if not connection.in_atomic_block:
            return None
        # What a savepoint sees is gone when only that is rolled back.
        place = (self, key, threading.get_ident(), *connection.savepoint_ids)
        for earlier in self.opened(key, using):
            if earlier.place == place:
                return earlier
        opened = OpenTransaction(self, key, using, place)
        transaction.on_commit(opened, using=using)
        return opened

    def opened(self, key: Hashable, using: str | None) -> "list[OpenTransaction]":
        """Return what this thread's looks inside the transaction left, the latest first.

        One that is rolled back may live on with a call that used it; Django has those in force,
        and among them those of savepoints that have been released.
        """
        if using is None or not connections[using].in_atomic_block:
            return []
        mine = (self, key, threading.get_ident())
        return [
            callback
            for _, callback, *_ in reversed(connections[using].run_on_commit)
            if isinstance(callback, OpenTransaction) and callback.place[:3] == mine
        ]


class OpenTransaction:
    """Keeps a memo while a transaction is open, and shares it when that is committed.

    It is a callback for the commit: Django drops it on a rollback, of a savepoint too, and what it
    holds goes with it.
    """

    def __init__(self, memos: Memos, key: Hashable, using: str, place: tuple[object, ...]) -> None:
        self.memos, self.key, self.using, self.place = memos, key, using, place
        self.memo: Memo | None = None
        self.undo: list[Callable[[], None]] = []

    def good(self, now: Moment, min_validity: float) -> Memo | None:
        """Return the memo if it may be handed out, though it may be time for another look."""
        memo = self.memo
        if memo is None or memo.generation != self.memos.generation:
            return None
        return memo if memo.is_good(now, min_validity) else None

    def __call__(self) -> None:
        # A test that captures callbacks executes them as well, and is rolled back later.
        if connections[self.using].in_atomic_block:
            return
        self.undo.clear()
        if self.memo is not None:
            self.memos.put(self.key, self.memo)

    def __del__(self) -> None:
        for undo in self.undo:
            undo()
