"""What the sandbox counts in order to misbehave so often and no more; exact under threads."""

import hashlib
import threading
from typing import Any

from django_certn.sandbox.faults import FAULTS, Fault

__all__ = ["first_tokens", "pending"]


class _Pending:
    """The counted faults that wait for a request, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}

    def set(self, fault: Fault, path: str, count: int) -> None:
        """Let ``fault`` meet the next ``count`` requests to ``path``; 0 takes it back."""
        with self._lock:
            self._counts.pop((path, fault.name), None)
            if count:
                self._counts[path, fault.name] = count

    def replace(self, wanted: list[tuple[Fault, str, int]]) -> None:
        """Forget what is pending and set ``wanted``, in one step."""
        with self._lock:
            self._counts = {(path, fault.name): count for fault, path, count in wanted if count}

    def take(self, path: str) -> Fault | None:
        """Return the fault that the request to ``path`` at hand meets, and count it down."""
        with self._lock:
            for key, count in self._counts.items():
                if key[0] == path:
                    if count > 1:
                        self._counts[key] = count - 1
                    else:
                        del self._counts[key]
                    return FAULTS[key[1]]
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """Return what is pending as JSON has it."""
        with self._lock:
            return [
                {"fault": name, "count": count, "path": path}
                for (path, name), count in self._counts.items()
            ]


class _FirstTokens:
    """Knows which secrets ``sandbox-dies-once`` has been met with.

    The first token for each secret is dead and every later one lives. Callers that each bring a
    secret of their own (``sandbox-`` and a random part) so have a first token each, and do not
    spend each other's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()

    def is_first(self, secret: str) -> bool:
        """Return whether ``secret`` is new, and remember it."""
        digest = hashlib.sha256(secret.encode()).digest()
        with self._lock:
            if digest in self._seen:
                return False
            self._seen.add(digest)
            return True

    def clear(self) -> None:
        """Forget them all: every secret is new again."""
        with self._lock:
            self._seen.clear()


pending = _Pending()
first_tokens = _FirstTokens()
