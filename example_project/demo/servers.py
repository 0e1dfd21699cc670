"""The two servers of the demo: the site in this process, and the sandbox in one beside it."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parent.parent
HIGHEST_PORT = 65535
SECONDS_TO_END = 5


class CannotStartError(Exception):
    """A server cannot start; the text says what to do."""


class SiteServer(ThreadedWSGIServer):
    """Django's development server, which holds its port from the moment it is made."""

    # A browser keeps its connections open; they must not keep the process from ending.
    daemon_threads = True
    # Seconds that handle_request() waits for one.
    timeout = 0.2

    def __init__(self, port: int) -> None:
        try:
            super().__init__(
                (HOST, port),
                WSGIRequestHandler,
                # On Windows it would let two demos share a port, and browsers get either.
                allow_reuse_address=sys.platform != "win32",
            )
        except OSError as error:
            raise cannot_listen("The site", "--port", port, error) from None

    def open(self) -> None:
        """Give it the site and its admin to serve, from the next handle_request() on."""
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.wsgi import get_wsgi_application

        self.set_app(StaticFilesHandler(get_wsgi_application()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that breaks, as the last ones do when the demo ends."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def sandbox(port: int, database: Path) -> Iterator[int]:
    """Run the sandbox until the block ends; the value is its port."""
    if port:
        # The sandbox finds this out itself, but cannot name the option of the demo.
        try:
            socket.create_server((HOST, port)).close()
        except OSError as error:
            raise cannot_listen("The sandbox", "--sandbox-port", port, error) from None
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "demo.companion", "--port", str(port), "--database", str(database)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # It prints the path of its file, in whatever encoding the terminal has.
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            yield port_of(process)
        finally:
            # It ends by itself then, on Windows too, where terminate() leaves it no time to.
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    """Wait until the sandbox says that it is ready; return the port that it says."""
    printed = ""
    for line in process.stdout or ():
        printed += line
        if line.startswith("Ready."):
            break
    found = re.search(r"http://[^/]+:(\d+)", printed)
    if found is None:
        # Why, it has said on stderr, which is ours.
        raise CannotStartError("The sandbox did not start.")
    return int(found[1])


def cannot_listen(what: str, option: str, port: int, error: OSError) -> CannotStartError:
    another = next((other for other in range(port + 1, HIGHEST_PORT + 1) if is_free(other)), port)
    # Without the address, which some Pythons add in brackets.
    why = str(error.strerror).partition(" (")[0]
    return CannotStartError(
        f"{what} cannot listen on port {port}: {why}. "
        "Is a demo running in another terminal? "
        f"To use another port: manage.py demo {option} {another}"
    )


def is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
