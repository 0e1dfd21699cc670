"""The exchange; what it loads is loaded with the first one or soon after, not with the site."""

import os
import sys
import threading
from contextlib import suppress
from importlib import import_module

from django_certn.answers import TokenResponse
from django_certn.keys import Key
from django_certn.tokens.timing import FORK_PATIENCE

__all__ = ["exchange", "preload"]


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """Make an exchange, as `django_certn.oauth.exchange` does.

    Args:
        key: what to exchange.
        timeout: seconds, for all of it.

    Raises:
        TokenError: it brought no token.
    """
    with loading:
        from django_certn import oauth

    return oauth.exchange(key, timeout=timeout)


# Held while it is loaded. A process that is forked in the meantime would have modules that are
# half there, for ever, since the thread that loads them is not.
loading = threading.RLock()

preloading = threading.Event()  # or not wanted


def preload() -> None:
    """Load what an exchange needs, in the background, so that the first one is not slower."""
    if "django_certn.oauth" in sys.modules or preloading.is_set():
        return
    preloading.set()
    with suppress(RuntimeError):  # the interpreter is shutting down, or out of threads
        threading.Thread(target=load_oauth, name="certn-preload", daemon=True).start()


def load_oauth() -> None:
    with suppress(Exception), loading:  # the first exchange raises it to its caller
        import_module("django_certn.oauth")


def before_fork() -> None:
    loading.acquire(timeout=FORK_PATIENCE)


def after_fork() -> None:
    with suppress(RuntimeError):  # another thread has it still
        loading.release()


def after_fork_in_child() -> None:
    global loading  # noqa: PLW0603
    loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=before_fork, after_in_parent=after_fork, after_in_child=after_fork_in_child
    )
