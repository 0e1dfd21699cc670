"""The memo: a process's answer to most calls, and when it must not be used any more."""

import threading
from collections.abc import Callable

from django.db import connections, transaction

from django_certn.tokens.lease import Clocks, Lease
from django_certn.tokens.token import AccessToken

__all__ = ["Memo", "Memos"]

MEMOS_MOST = 4096
LOOK_EVERY = 10.0  # seconds, give or take a fifth, until the row and the cache are looked at again

# When to look again, when the token ends, which is never earlier; the token, and its lease.
Memo = tuple[float, float, AccessToken, Lease]


class Memos:
    """A dictionary that is read without a lock and written with one.

    Attributes:
        by_name: the memos.
        generation: grows whenever memos are forgotten, so that a caller who read the row before
            that moment cannot write a memo after it.
    """

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.by_name: dict[object, Memo] = {}
        self.generation = 0
        self.after_fork()

    def after_fork(self) -> None:
        self.lock = threading.RLock()

    def put(self, name: object, lease: Lease, generation: int, looked_at: float) -> None:
        """Write a memo, unless memos were forgotten since the row was looked at."""
        look_at = min(looked_at + LOOK_EVERY * self.clocks.between(0.8, 1.2), lease.usable_until)
        if lease.renew_at > self.clocks.monotonic():
            look_at = min(look_at, lease.renew_at)
        with self.lock:
            if generation != self.generation:
                return
            if name not in self.by_name and len(self.by_name) >= MEMOS_MOST:
                del self.by_name[next(iter(self.by_name))]
            self.by_name[name] = (look_at, lease.ends_at, lease.token, lease)

    def forget(self, is_stale: Callable[[object, Memo], bool] | None = None) -> None:
        with self.lock:
            self.generation += 1
            for name, memo in list(self.by_name.items()):
                if is_stale is None or is_stale(name, memo):
                    self.by_name.pop(name, None)  # unless a Watch was collected just now

    def watch(self, using: str) -> None:
        """Forget all memos if the open transaction, in which a row is read, is rolled back."""
        if connections[using].in_atomic_block:
            transaction.on_commit(Watch(self, using), using=using)


class Watch:
    """A callback for the commit. Django drops it on a rollback, and has no signal for that."""

    def __init__(self, memos: Memos, using: str) -> None:
        self.memos = memos
        self.using = using
        self.committed = False

    def __call__(self) -> None:
        # A test that captures callbacks executes them as well, and is rolled back later.
        self.committed = not connections[self.using].in_atomic_block

    def __del__(self) -> None:
        if not self.committed:
            self.memos.forget()
