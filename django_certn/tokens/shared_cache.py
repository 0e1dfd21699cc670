"""What the processes of a site share of a key, in Django's cache: reads, writes and the lock."""

import json
import math
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from django.utils.crypto import salted_hmac

from django_certn.conf import conf
from django_certn.fields import decrypt, encrypt
from django_certn.keys import Key
from django_certn.secret import MaskedStr
from django_certn.tokens.cache_worker import CacheDownError, CacheWorker
from django_certn.tokens.held import HeldToken, Issue, SharedToken
from django_certn.tokens.known import KINDS, Failure, Forced, Known
from django_certn.tokens.timing import (
    ASK_EVERY,
    CLOCK_SKEW,
    FORCED_EVERY,
    LIFE_MOST,
    RETRY_AFTER_MOST,
    Clocks,
    Moment,
)

__all__ = ["CacheDownError", "Lock", "SharedCache", "slot_of"]

VERSION = 2  # of the entries; those of another version are a miss


def slot_of(key: Key) -> str:
    """Return the cache key for what is known of a key.

    The secret is part of it, so a late answer for an old key can only fill the old key's slot.
    """
    # Masked, like all that holds a secret, for whoever looks at the variables of a frame.
    identity = MaskedStr(
        json.dumps([key.environment.base_url, key.client_id, key.client_secret.reveal()])
    )
    mac = salted_hmac("django_certn.tokens.slot", identity, algorithm="sha256")
    return "certn:" + mac.hexdigest()[:40]


class Lock(NamedTuple):
    """The lock of a slot, as it is in the cache.

    Attributes:
        value: what the cache holds, which is different for each holder.
        is_mine: whether it was taken just now.
        life: seconds that it was taken for.
        until: when that is over, in seconds of the holder's wall clock.
    """

    value: str
    is_mine: bool
    life: float
    until: float


class SharedCache:
    """The shared cache. It may be down, slow, evicting or a dummy: it is never needed."""

    def __init__(self, worker: CacheWorker, clocks: Clocks) -> None:
        self.worker, self.clocks = worker, clocks
        self.reset()

    def reset(self) -> None:
        self.worker.reset()
        self.keeps_nothing = False

    def call(self, call: Callable[[Any], Any]) -> Any:
        return self.worker.call(conf.CERTN_CACHE_ALIAS, call)

    def put(self, call: Callable[[Any], Any]) -> None:
        with suppress(CacheDownError):
            self.call(call)

    # What is known

    def read(self, slot: str, base_url: str) -> Known | None:
        """Return what is known of a slot, ``None`` when the cache holds nothing for anybody."""
        everywhere, here = failure_slots(slot)
        keys = [slot, f"{slot}:forced", everywhere, here]
        try:
            found = self.call(lambda cache: list(map(cache.get_many(keys).get, keys)))
        except CacheDownError:
            return None
        if self.keeps_nothing:
            return None
        now = self.clocks.now()
        entries = [self.unseal(slot, value, now) for value in found]
        failures = (load_failure(entry, now) for entry in entries[2:])
        return Known(
            self.load_token(entries[0], base_url),
            next(filter(None, failures), None),
            load_issue(entries[0].get("dropped")),
            load_forced(entries[1], now),
        )

    def write_token(self, slot: str, token: SharedToken, *, only_if_absent: bool = False) -> None:
        """Write a token; an entry that is there stays when asked to, for it may be newer."""
        times = [token.issued_at, token.expires_at, token.renew_at]
        content = {"token": token.value, "times": times}
        self.write(slot, slot, token.expires_at, content, "add" if only_if_absent else "set")

    def write_dropped(self, slot: str, token: SharedToken) -> None:
        """Write that a token was dropped: were it deleted, a process that has it put it back."""
        self.write(slot, slot, token.expires_at, {"dropped": token.issue})

    def write_failure(self, slot: str, failure: Failure) -> None:
        everywhere, here = failure_slots(slot)
        # Without an answer it is the network, which another host may well get through.
        key = here if failure.http_status is None else everywhere
        codes = [failure.status, failure.http_status, failure.error_code, failure.retry_after]
        self.write(key, slot, failure.until.wall, {"failure": codes})

    def write(
        self, key: str, slot: str, until: float, content: dict[str, Any], how: str = "set"
    ) -> None:
        entry, seconds = self.seal(slot, until, content), math.ceil(until - self.clocks.wall())
        self.put(lambda cache: getattr(cache, how)(key, entry, max(1, seconds)))

    def clear_failure(self, slot: str) -> None:
        self.put(lambda cache: cache.delete_many(failure_slots(slot)))

    def claim(self, slot: str, issue: Issue | None) -> Forced | None:
        """Claim the one forced renewal of a key in `FORCED_EVERY` seconds.

        Returns:
            ``None`` when it is granted, else the one that was granted earlier.

        Raises:
            CacheDownError: the cache does not keep count.
        """
        key = f"{slot}:forced"
        entry = self.seal(slot, self.clocks.wall() + FORCED_EVERY, {"forced": issue})
        is_added, found = self.call(
            lambda cache: (bool(cache.add(key, entry, FORCED_EVERY)), cache.get(key))
        )
        if found is None:
            raise CacheDownError
        if is_added:
            return None
        now = self.clocks.now()
        unreadable = Forced(None, now.after(ASK_EVERY))
        return load_forced(self.unseal(slot, found, now), now) or unreadable

    # The lock

    def lock(self, slot: str, seconds: float) -> Lock:
        """Take the lock of a slot for so many seconds, or return the one that another holds.

        Raises:
            CacheDownError: no lock is to be had.
        """
        life = math.ceil(seconds)  # Redis and Memcached cut a fraction off
        mine = f"{secrets.token_hex(8)}:{life}:{self.clocks.wall() + life:.3f}"
        key = f"{slot}:lock"

        def add(cache: Any) -> tuple[bool, object]:
            for _ in range(3):
                is_added, found = bool(cache.add(key, mine, life)), cache.get(key)
                if is_added or found is not None:
                    return is_added, found
                self.clocks.sleep(0.02)  # just released, or a replica that lags, or ...
            raise CacheDownError("it keeps nothing")  # ... a client that hides its errors

        is_added, found = self.call(add)
        self.keeps_nothing = is_added and found is None  # a dummy adds all and keeps nothing
        value = mine if is_added else str(found)
        return Lock(value, is_added, *self.life_of(value, life))

    def life_of(self, value: str, usual: float) -> tuple[float, float]:
        """Return the life and the end that a lock names; another version's lives the usual time."""
        with suppress(ValueError):
            _, life, until = value.split(":")
            if 0 < float(life) <= LIFE_MOST and math.isfinite(float(until)):
                return float(life), float(until)
        return usual, self.clocks.wall() + usual

    def unlock(self, slot: str, value: str) -> None:
        """Delete the lock unless another holder has it by now."""
        key = f"{slot}:lock"
        self.put(lambda cache: cache.get(key) == value and cache.delete(key))

    # The codec: an entry is encrypted, and says inside for which slot and until when it holds.
    # Whatever this version does not write is a miss: another shape, ``NaN``, ``1e308``, ``null``.

    def seal(self, slot: str, until: float, content: dict[str, Any]) -> str:
        return encrypt(json.dumps({"v": VERSION, "slot": slot, "until": until, **content}))

    def unseal(self, slot: str, value: object, now: Moment) -> dict[str, Any]:
        """Return what was sealed for that slot and is in force; all else is a miss."""
        entry: Any = None
        with suppress(ValueError, RecursionError):
            entry = json.loads(decrypt(value) or "null") if isinstance(value, str) else None
        if not isinstance(entry, dict) or entry.get("v") != VERSION or entry.get("slot") != slot:
            return {}
        until: Any = entry.get("until")
        return entry if is_number(until) and now.wall < until <= now.wall + LIFE_MOST * 2 else {}

    def load_token(self, entry: dict[str, Any], base_url: str) -> HeldToken | None:
        match entry:
            case {"token": str(value), "times": [_, _, _] as times}:
                if value and all(map(is_number, times)):
                    token = SharedToken(MaskedStr(value), *times)
                    if 0 < token.expires_at - token.issued_at <= LIFE_MOST + CLOCK_SKEW:
                        return HeldToken.of(token, base_url, self.clocks)
        return None


def failure_slots(slot: str) -> list[str]:
    """Return where the failures of a slot are remembered: for all hosts, and for this one."""
    host = salted_hmac("django_certn.tokens.host", socket.gethostname(), algorithm="sha256")
    return [f"{slot}:failed", f"{slot}:failed:{host.hexdigest()[:16]}"]


def load_failure(entry: dict[str, Any], now: Moment) -> Failure | None:
    match entry.get("failure"):
        case [str(status), int() | None as answer, str(code), int() | None as retry_after]:
            left = entry["until"] - now.wall
            is_sane = bool not in (type(answer), type(retry_after)) and left <= RETRY_AFTER_MOST
            if status in KINDS and is_sane:
                return Failure(status, answer, code, retry_after, now.after(left))
    return None


def load_issue(value: object) -> Issue | None:
    match value:
        case [str(fingerprint), int() | float() as issued_at]:
            return Issue(fingerprint, issued_at)
    return None


def load_forced(entry: dict[str, Any], now: Moment) -> Forced | None:
    if "forced" not in entry:
        return None
    left = min(entry["until"] - now.wall, FORCED_EVERY)
    return Forced(load_issue(entry["forced"]), now.after(left))


def is_number(value: object) -> bool:
    """Return whether it is a number that a finite float can hold, so NaN is none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
