"""What is shown once: a secret between the form that makes it and the page that shows it."""

import secrets
import threading
import time
from typing import Generic, TypeVar

__all__ = ["ShownOnce"]

Shown = TypeVar("Shown")

_SECONDS = 60


class ShownOnce(Generic[Shown]):
    """Carries new secrets from a form's POST to the page that shows them, once.

    The page is a redirect away from the POST, so that reloading it neither shows the secret again
    nor makes another key.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Shown, float]] = {}

    def put(self, shown: Shown) -> str:
        """Hold ``shown`` for a minute and return the ticket that takes it."""
        ticket = secrets.token_urlsafe(16)
        now = time.monotonic()
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held[1] > now}
            self._held[ticket] = shown, now + _SECONDS
        return ticket

    def take(self, ticket: str) -> Shown | None:
        """Return what ``ticket`` is for, the first time and within a minute; else ``None``."""
        with self._lock:
            held = self._held.pop(ticket, None)
        return held[0] if held is not None and time.monotonic() < held[1] else None

    def clear(self) -> None:
        """Forget what nobody came for."""
        with self._lock:
            self._held.clear()
