"""TLS in front of a server that speaks plain HTTP, as a load balancer has it."""

import socket
import ssl
import threading
from contextlib import suppress
from typing import Self


class Front:
    """Takes TLS connections on a free port of localhost, and passes on what they carry.

    ``url`` is where it listens.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self.context = context
        self.port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with (
            suppress(OSError),
            connection,
            socket.create_connection(("127.0.0.1", self.port)) as inner,
            self.context.wrap_socket(connection, server_side=True) as outer,
        ):
            self._open |= {outer, inner}
            back = threading.Thread(target=pass_on, args=[inner, outer], daemon=True)
            back.start()
            pass_on(outer, inner)
            back.join()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._open:
            with suppress(OSError):
                each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
