"""The command line of ``python -m django_certn.sandbox``."""

import argparse
import errno
import importlib.util
import io
import ipaddress
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from django_certn.sandbox import BANNER, settings_line

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = ["main"]

_PROG = "python -m django_certn.sandbox"
_HIGHEST_PORT = 65535
# Seconds between two looks at whether it is time to stop.
_GLANCE = 0.1


class _Stop:
    """Notes Ctrl-C and SIGTERM.

    A handler that raises would be quicker to write. Python swallows what is raised while it happens
    to run a finaliser, and then the signal is lost.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.asked = True


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; return 0 then, and 2 when it could not start."""
    for stream in (sys.stdout, sys.stderr):
        # A path may hold what the terminal cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stop = _Stop()
    options = _parse(argv)
    if importlib.util.find_spec("oauth2_provider") is None:
        return _refuse("The sandbox needs its extra: pip install 'django-certn[sandbox]'")
    return _serve(options.host, options.port, options.database, stop)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=_PROG,
        description=f"{BANNER} Issues keys and tokens, and misbehaves on request.",
        epilog="Exit codes: 0 after Ctrl-C or SIGTERM, 2 when it cannot start.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        type=_loopback,
        help="a loopback address (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        default=8765,
        type=_port,
        help="0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--database",
        metavar="FILE",
        type=Path,
        help="keep keys and tokens in this SQLite file (default: forget them at the end)",
    )
    return parser.parse_args(argv)


def _loopback(value: str) -> str:
    host = "127.0.0.1" if value == "localhost" else value.strip("[]")
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{value!r} is not a loopback address; anybody on the network could refresh the keys of a "
        "sandbox that listens elsewhere. Use 127.0.0.1, ::1 or localhost."
    )


def _port(value: str) -> int:
    if value.isascii() and value.isdecimal() and int(value) <= _HIGHEST_PORT:
        return int(value)
    raise argparse.ArgumentTypeError(f"{value!r} is not a port (0 to {_HIGHEST_PORT})")


def _serve(host: str, port: int, kept: Path | None, stop: _Stop) -> int:
    # Imported here, not above: an answer to --help need not wait for Django.
    from django_certn.sandbox import database, settings
    from django_certn.sandbox.server import Server

    with ExitStack() as stack:
        try:
            server = stack.enter_context(Server(host, port))
        except OSError as error:
            return _refuse(_why_not_listening(host, port, error))
        path = kept or Path(stack.enter_context(_temporary_directory())) / "state.sqlite3"
        try:
            database.claim(path)
        except database.UnusableDatabaseError as error:
            return _refuse(f"{path} {error}. Name another file, or one that does not exist yet.")
        settings.configure(host=host, database=path)
        server.set_app(_application(database.migrate if kept else database.create_tables))
        _announce(server.url, kept)
        server.timeout = _GLANCE
        while not stop.asked:
            server.handle_request()
    return 0


def _application(make_tables: Callable[[], None]) -> "WSGIApplication":
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    make_tables()

    from django_certn.sandbox import keys

    keys.add_magic_ids()
    # The first request pays for nothing: not for the URLs and views either.
    from django.urls import get_resolver

    get_resolver().url_patterns  # noqa: B018
    return application


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    # Threads that still answer somebody may hold the file open, which Windows minds.
    return tempfile.TemporaryDirectory(prefix="certn-sandbox-", ignore_cleanup_errors=True)


def _announce(url: str, kept: Path | None) -> None:
    state = (
        f"{kept.resolve()} (keys and tokens; faults and the journal end with this process)"
        if kept
        else "a temporary file, removed when this process ends (--database FILE keeps it)"
    )
    sys.stdout.write(
        f"{BANNER}\n\n"
        f"Partner tab: {url}/partner/\n"
        f"API keys:    {url}/partner/api-keys/\n"
        f"State:       {state}\n"
        "Settings:    paste this line, and choose the environment in the admin: 'local', or\n"
        "             'local-centric' for an API key\n\n"
        f"{settings_line(url)}\n\n"
        "Ready. Press Ctrl-C to quit.\n"
    )
    sys.stdout.flush()


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot listen on {host} port {port}: {error.strerror}"
    another = port + 1 if port < _HIGHEST_PORT else 0
    return f"Port {port} is in use. Take another: {_PROG} --port {another}"


def _refuse(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 2
