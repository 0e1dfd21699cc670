"""A token endpoint that answers whatever a test tells it to, well-formed or not."""

import base64
import itertools
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from ssl import SSLContext
from typing import Literal, Self
from urllib.parse import parse_qs, unquote, unquote_plus

# How a server reads both parts of HTTP Basic: as a form (django-oauth-toolkit), percent-decoded, so
# that "+" stays (Authlib), or as they are (many more).
Reading = Literal["form", "percent", "plain"]
READINGS = {"form": unquote_plus, "percent": unquote, "plain": str}

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived."""

    method: str
    path: str  # with its query
    headers: Message
    body: bytes

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)

    @property
    def basic(self) -> tuple[str, str]:
        """Client ID and secret of the Basic header, decoded as RFC 6749, section 2.3.1 says."""
        return self.basic_as("form")

    def basic_as(self, reading: Reading) -> tuple[str, str]:
        """The same in one of the ways in which servers read it."""
        scheme, _, encoded = self.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        client_id, _, secret = base64.b64decode(encoded).decode("ascii").partition(":")
        decode = READINGS[reading]
        return decode(client_id), decode(secret)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: object = None  # None: a fresh token; bytes and str as they are; anything else as JSON
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0
    script: Callable[[socket], None] | None = None


@dataclass
class Script:
    """What a path answers: the queued answers once each, then the standing one for ever."""

    standing: Answer = field(default_factory=Answer)
    queue: deque[Answer] = field(default_factory=deque)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    timeout = 0.02  # seconds until it looks again whether it has been closed
    endpoint: "TokenEndpoint"

    def get_request(self):
        connection, address = super().get_request()
        if self.endpoint.context:
            # The handshake waits for the first read, on the thread of the connection.
            connection = self.endpoint.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request, client_address):
        """A client that hangs up, or does not trust the certificate, is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self):
        super().setup()
        self.server.endpoint._connections.add(self.connection)

    def finish(self):
        self.server.endpoint._connections.discard(self.connection)
        super().finish()

    def handle_any(self):
        endpoint = self.server.endpoint
        body = self.read_body()
        answer = endpoint._take(Recorded(self.command, self.path, self.headers, body))
        self.close_connection = True
        endpoint._closing.wait(answer.delay)
        if answer.script:
            answer.script(self.connection)
            return
        content = endpoint._content(answer.body)
        headers = {
            "content-type": ("Content-Type", "application/json"),
            "content-length": ("Content-Length", str(len(content))),
            "connection": ("Connection", "close"),
        }
        own = {name.lower() for name, _ in answer.headers}
        self.send_response(answer.status)
        for lower, (name, value) in headers.items():
            if lower not in own:
                self.send_header(name, value)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815
    do_HEAD = do_OPTIONS = do_CONNECT = handle_any  # noqa: N815

    def log_message(self, *args):
        pass


class TokenEndpoint:
    """Serves on a free loopback port, each connection on a thread of its own.

    Unless a test says otherwise, a request gets 200, whatever its path, and a token that was never
    given before. ``url`` is the base URL of an environment; the certificate of `context`, if any,
    has to be for `host`.
    """

    def __init__(self, *, context: SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.context = context
        self.requests: list[Recorded] = []
        self._key: tuple[str, str, Reading] | None = None
        self._decide: Callable[[Recorded], Answer | None] | None = None
        self._lock = threading.Lock()
        self._scripts: defaultdict[str | None, Script] = defaultdict(Script)
        self._numbers = itertools.count(1)
        self._connections: set[socket] = set()
        self._closing = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.endpoint = self
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def hits(self) -> int:
        """How many requests have arrived."""
        return len(self.requests)

    def count(self, path: str = "/token/", method: str = "POST") -> int:
        """How many of them at this path, its query left aside, and with this method."""
        return sum(
            request.path.partition("?")[0] == path and request.method == method
            for request in list(self.requests)
        )

    def answer(
        self,
        status: int = 200,
        body: object = None,
        headers: Headers = (),
        delay: float = 0,
        *,
        path: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer so from now on, or only the next `times` requests; at every path, or at one.

        `headers` are sent after the usual Content-Type, Content-Length and Connection, each of
        which gives way to one of the same name.
        """
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._add(Answer(status, body, tuple(pairs), delay), path, times)

    def raw(
        self,
        script: Callable[[socket], None],
        *,
        path: str | None = None,
        times: int | None = None,
    ) -> None:
        """Let `script` write to the socket once the request was read; then the socket is closed."""
        self._add(Answer(script=script), path, times)

    def require(self, client_id: str, secret: str, reading: Reading) -> None:
        """Answer 401 to each request whose Basic header, read in this way, is not this pair."""
        self._key = (client_id, secret, reading)

    def decide(self, answer: Callable[[Recorded], Answer | None]) -> None:
        """Let `answer` say how each request is answered; what it has no answer for goes on."""
        self._decide = answer

    def drip(self, connection: socket, content: bytes, every: float) -> None:
        """Send a byte at a time, with a pause after each, until the endpoint is closed."""
        for byte in content:
            connection.sendall(bytes([byte]))
            if self._closing.wait(every):
                break

    def reset(self) -> None:
        """Forget the requests and the answers."""
        with self._lock:
            self.requests.clear()
            self._scripts.clear()
            self._key = None
            self._decide = None

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):  # where a listening socket cannot be shut down
            self._server.socket.shutdown(SHUT_RDWR)
        self._thread.join()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _serve(self) -> None:
        # Not `serve_forever`, which notices its end at the next poll: many tests have an endpoint.
        while not self._closing.is_set():
            self._server.handle_request()

    def _add(self, answer: Answer, path: str | None, times: int | None) -> None:
        with self._lock:
            script = self._scripts[path]
            if times is None:
                script.standing = answer
                script.queue.clear()
            else:
                script.queue.extend([answer] * times)

    def _take(self, request: Recorded) -> Answer:
        path = request.path.partition("?")[0]
        with self._lock:
            self.requests.append(request)
            if self._decide and (answer := self._decide(request)):
                return answer
            if self._key and request.basic_as(self._key[2]) != self._key[:2]:
                return Answer(401, {"error": "invalid_client"})
            script = self._scripts[path if path in self._scripts else None]
            return script.queue.popleft() if script.queue else script.standing

    def _content(self, body: object) -> bytes:
        if body is None:
            body = {
                "access_token": f"fake-token-{next(self._numbers)}",
                "token_type": "Bearer",
                "expires_in": 36000,
            }
        if isinstance(body, bytes):
            return body
        return (body if isinstance(body, str) else json.dumps(body)).encode()
