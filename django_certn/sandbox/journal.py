"""What the sandbox was asked: "was it called once?" has an answer.

Nothing that could be a credential is written down: no header, no body, no query string.
"""

import re
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

from django_certn.sandbox import PREFIX

__all__ = ["Entry", "journal", "name_api_key", "name_client"]

_LONGEST = 10_000
_LONGEST_PATH = 200
_CLIENT_ID = "sandbox.client_id"
_API_KEY = "sandbox.api_key"
# Whoever puts a credential into the path instead of a header does not find it here either.
_CREDENTIAL = re.compile(re.escape(PREFIX) + r"[\w.~%-]*")


@dataclass(slots=True)
class Entry:
    """One request; ``status`` is ``None`` while it is being answered."""

    time: str
    method: str
    path: str
    status: int | None = None
    client_id: str | None = None
    # What may be shown of an API key: how it begins.
    api_key: str | None = None
    fault: str | None = None


class _Journal:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=_LONGEST)

    def begin(self, request: HttpRequest) -> Entry:
        """Write a request down when it comes: a caller that gives up early is in here too."""
        entry = Entry(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            method=request.method or "",
            path=_CREDENTIAL.sub(f"{PREFIX}[redacted]", request.path)[:_LONGEST_PATH],
        )
        with self._lock:
            self._entries.append(entry)
        return entry

    def finish(self, entry: Entry, request: HttpRequest, *, status: int, fault: str | None) -> None:
        """Add whose it was and how it was answered."""
        with self._lock:
            entry.status, entry.fault = status, fault
            entry.client_id = request.META.get(_CLIENT_ID)
            entry.api_key = request.META.get(_API_KEY)

    def as_list(self) -> list[dict[str, Any]]:
        """Return all entries, the oldest first; the newest ten thousand are kept."""
        with self._lock:
            return [asdict(entry) for entry in self._entries]

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self._entries.clear()


journal = _Journal()


def name_client(request: HttpRequest, client_id: str | None) -> None:
    """Say whose request this is. Only for a Client ID that is known to be one."""
    request.META[_CLIENT_ID] = client_id


def name_api_key(request: HttpRequest, prefix: str | None) -> None:
    """Say with which API key this request came: how it begins, and no more."""
    request.META[_API_KEY] = prefix
