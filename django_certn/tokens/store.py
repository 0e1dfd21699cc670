"""What the processes of a site share of a key's token, in Django's cache."""

import json
import math
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self, TypeVar

from django.utils.crypto import salted_hmac

from django_certn import exceptions
from django_certn.conf import conf
from django_certn.exceptions import CredentialRejectedError, EndpointRetiredError, TokenError
from django_certn.fields import decrypt, encrypt
from django_certn.models import Key
from django_certn.secret import MaskedStr
from django_certn.tokens.hand import CacheDownError, Hand

__all__ = ["FORCED_EVERY", "Entry", "Reading", "Store", "fingerprint", "memory_of", "slot_of"]

FORCED_EVERY = 60  # seconds between two forced renewals of a key
Record = TypeVar("Record")

LOCK_SLACK = 2  # seconds that a lock outlives the budget of the exchange


def slot_of(key: Key) -> str:
    """Return the cache key for a key's token.

    The secret is part of it, so a late answer for an old key can only fill the old key's slot.
    """
    # Masked, like all that holds a secret, for whoever looks at the variables of a frame.
    identity = MaskedStr(
        json.dumps([key.environment.base_url, key.client_id, key.client_secret.reveal()])
    )
    mac = salted_hmac("django_certn.tokens.slot", identity, algorithm="sha256")
    return "certn:" + mac.hexdigest()[:40]


def fingerprint(token: str) -> str:
    return salted_hmac("django_certn.tokens.dead", token, algorithm="sha256").hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Entry:
    """A token, or the tombstone of one. Times are seconds of the wall clock, which hosts share.

    Attributes:
        renew_at: when a worker starts to renew it, jittered once for all of them.
        dead: the fingerprint of a dropped token: a process that still has it must not put it back.
    """

    token: str = ""
    issued_at: float = 0.0
    expires_at: float = 0.0
    renew_at: float = 0.0
    dead: str = ""

    @classmethod
    def loads(cls, text: str) -> Self:
        token, *rest = json.loads(text)
        return cls(MaskedStr(token), *rest)

    def dumps(self) -> str:
        return json.dumps([self.token, self.issued_at, self.expires_at, self.renew_at, self.dead])


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cache holds for a slot; ``is_shared`` is false when it holds nothing for anybody."""

    entry: Entry | None = None
    error: TokenError | None = None
    is_shared: bool = False


class Store:
    """The shared cache. It may be down, slow, evicting or a dummy: it is never needed."""

    def __init__(self, hand: Hand, sleep: Callable[[float], None]) -> None:
        self.hand = hand
        self.sleep = sleep
        self.reset()

    def reset(self) -> None:
        self.hand.reset()
        self.is_black_hole = False

    def call(self, call: Callable[[Any], Any]) -> Any:
        return self.hand.call(conf.CERTN_CACHE_ALIAS, call)

    def read(self, slot: str) -> Reading:
        keys = [slot, *failure_slots(slot)]
        try:
            found = self.call(lambda cache: cache.get_many(keys))
        except CacheDownError:
            return Reading()
        entry, *errors = (found.get(key) for key in keys)
        return Reading(
            unseal(entry, Entry.loads),
            next(filter(None, (unseal(error, load_error) for error in errors)), None),
            is_shared=not self.is_black_hole,
        )

    def write(self, slot: str, entry: Entry, seconds: float) -> None:
        self.put(lambda cache: cache.set(slot, encrypt(entry.dumps()), ttl(seconds)))

    def put_back(self, slot: str, entry: Entry, seconds: float) -> None:
        """Write an entry that the cache has lost, unless another process was faster."""
        self.put(lambda cache: cache.add(slot, encrypt(entry.dumps()), ttl(seconds)))

    def remember(self, slot: str, error: TokenError) -> None:
        everywhere, here = failure_slots(slot)
        # Without an answer it is the network, which another host may well get through.
        key = here if error.http_status is None else everywhere
        value = encrypt(dump_error(error))
        self.put(lambda cache: cache.set(key, value, memory_of(error)))

    def forgive(self, slot: str) -> None:
        self.put(lambda cache: cache.delete_many(failure_slots(slot)))

    def put(self, call: Callable[[Any], Any]) -> None:
        with suppress(CacheDownError):
            self.call(call)

    def lock(self, slot: str, budget: float) -> str | None:
        """Return the name of the lock that is held now, ``None`` while another process holds it.

        Args:
            slot: what is locked.
            budget: seconds that the exchange may take.

        Raises:
            CacheDownError: no lock is to be had.
        """
        name, key = secrets.token_hex(8), f"{slot}:lock"
        # An integer: Redis and Memcached cut a fraction off, and keep nothing for 0 seconds.
        seconds = math.ceil(budget) + LOCK_SLACK

        def add(cache: Any) -> tuple[bool, object]:
            for _ in range(3):
                added, found = bool(cache.add(key, name, seconds)), cache.get(key)
                if added or found is not None:
                    return added, found
                self.sleep(0.02)  # just released, or a replica that lags, or ...
            raise CacheDownError  # ... a client that hides its errors

        added, found = self.call(add)
        self.is_black_hole = added and found is None  # a dummy adds all and keeps nothing
        return name if added else None

    def unlock(self, slot: str, name: str) -> None:
        key = f"{slot}:lock"
        self.put(lambda cache: cache.get(key) == name and cache.delete(key))

    def claim(self, slot: str) -> bool | None:
        """Claim the one forced renewal of a key in `FORCED_EVERY` seconds.

        Returns:
            Whether it is granted, ``None`` when the cache does not keep count.
        """
        key = f"{slot}:forced"
        try:
            added, found = self.call(
                lambda cache: (bool(cache.add(key, 1, FORCED_EVERY)), cache.get(key))
            )
        except CacheDownError:
            return None
        return None if found is None else added


def failure_slots(slot: str) -> list[str]:
    """Return where the failures of a slot are remembered: for all hosts, and for this one."""
    host = salted_hmac("django_certn.tokens.host", socket.gethostname(), algorithm="sha256")
    return [f"{slot}:failed", f"{slot}:failed:{host.hexdigest()[:16]}"]


def memory_of(error: TokenError) -> int:
    """Return how many seconds a failure is remembered."""
    if isinstance(error, CredentialRejectedError | EndpointRetiredError):
        return 60
    if error.http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return min(max(error.retry_after or 5, 2), 300)
    return 5


def dump_error(error: TokenError) -> str:
    return json.dumps([type(error).__name__, str(error), vars(error)])


def load_error(text: str) -> TokenError:
    kind, message, attributes = json.loads(text)
    error: TokenError = getattr(exceptions, kind)(message, **attributes)
    return error


def ttl(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def unseal(value: object, loads: Callable[[str], Record]) -> Record | None:
    """Return what was sealed; whatever else is found, under a dropped key say, is a miss."""
    text = decrypt(value) if isinstance(value, str) else None
    if text is None:
        return None
    try:
        return loads(text)
    except (AttributeError, TypeError, ValueError):  # written by another version
        return None
