"""The exchange; what it loads is loaded with the first one or soon after, not with the site."""

import sys
import threading
from contextlib import suppress
from importlib import import_module

from django_certn.answers import TokenResponse
from django_certn.keys import Key

__all__ = ["exchange", "preload"]


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """Make an exchange, as `django_certn.oauth.exchange` does.

    Args:
        key: what to exchange.
        timeout: seconds, for all of it.

    Raises:
        TokenError: it brought no token.
    """
    from django_certn import oauth

    return oauth.exchange(key, timeout=timeout)


preloading = threading.Event()  # or not wanted


def preload() -> None:
    """Load what an exchange needs, in the background, so that the first one is not slower."""
    if "django_certn.oauth" in sys.modules or preloading.is_set():
        return
    preloading.set()
    with suppress(RuntimeError):  # the interpreter is shutting down, or out of threads
        threading.Thread(target=load_oauth, name="certn-preload", daemon=True).start()


def load_oauth() -> None:
    with suppress(Exception):  # the first exchange raises it to its caller
        import_module("django_certn.oauth")
