"""What the sandbox counts in order to misbehave so often and no more; exact under threads."""

import hashlib
import threading
from typing import Any

from django_certn.sandbox.faults import Fault

__all__ = ["first_tokens", "first_uses", "pending"]


class _Pending:
    """The counted faults that wait for a request, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], tuple[Fault, int]] = {}

    def set(self, fault: Fault, path: str, count: int) -> None:
        """Let ``fault`` meet the next ``count`` requests to ``path``; 0 takes it back."""
        with self._lock:
            self._counts.pop((path, fault.name), None)
            if count:
                self._counts[path, fault.name] = fault, count

    def replace(self, wanted: list[tuple[Fault, str, int]]) -> None:
        """Forget what is pending and set ``wanted``, in one step."""
        with self._lock:
            self._counts = {
                (path, fault.name): (fault, count) for fault, path, count in wanted if count
            }

    def take(self, path: str) -> Fault | None:
        """Return the fault that the request to ``path`` at hand meets, and count it down."""
        with self._lock:
            for key, (fault, count) in self._counts.items():
                if path.startswith(key[0]):
                    if count > 1:
                        self._counts[key] = fault, count - 1
                    else:
                        del self._counts[key]
                    return fault
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """Return what is pending as JSON has it."""
        with self._lock:
            return [
                {"fault": name, "count": count, "path": path}
                | ({"location": fault.location} if fault.location else {})
                for (path, name), (fault, count) in self._counts.items()
            ]


class _FirstUses:
    """Knows which secrets it has met, and since when, by their hashes.

    For ``sandbox-dies-once`` the first token for each secret is dead and every later one lives.
    Callers that each bring a secret of their own (``sandbox-`` and a random part) so have a first
    token each, and do not spend each other's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[bytes, float] = {}

    def age(self, secret: str, now: float) -> float | None:
        """Return for how many seconds ``secret`` is known; ``None`` for one that is new."""
        digest = hashlib.sha256(secret.encode()).digest()
        with self._lock:
            if digest in self._since:
                return now - self._since[digest]
            self._since[digest] = now
            return None

    def clear(self) -> None:
        """Forget them all: every secret is new again."""
        with self._lock:
            self._since.clear()


pending = _Pending()
# Of the secrets of pairs, at the token endpoint; and of API keys.
first_tokens = _FirstUses()
first_uses = _FirstUses()
