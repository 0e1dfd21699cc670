"""One request, bounded in time and in size, and what came of it. Nothing is raised.

The request runs in a thread of its own: no time limit of a socket covers a name that does not
resolve or a server that drips its headers, and waiting for a thread covers both. When the time is
up, the connection is shut down under it. Redirects are not followed, certificates always checked.
"""

import contextvars
import io
import socket
import threading
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from django_certn import __version__
from django_certn.answers import MAX_BODY, Answer
from django_certn.decoding import decode
from django_certn.failures import ca_bundle, failure_of, is_on_this_computer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fetch"]

MAX_WIRE = 4 * MAX_BODY  # bytes as they come, all heads and chunk lengths included


def fetch(session: requests.Session, request: requests.Request, *, timeout: float) -> Answer:
    """Make the request, and close the session.

    Args:
        session: a fresh one: cookies and what else it keeps would reach the next request.
        request: with an ``auth``; without one, requests looks into netrc.
        timeout: seconds, for all of it.
    """
    return BoundedRequest(session, request, timeout).answer()


class BoundedRequest:
    """One request in its thread, with the means to end it from another."""

    def __init__(
        self, session: requests.Session, request: requests.Request, timeout: float
    ) -> None:
        self.session = session
        self.request = request
        self.timeout = timeout
        self.sockets = Sockets()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.answers: SimpleQueue[Answer] = SimpleQueue()

    def answer(self) -> Answer:
        # What the libraries log and trace belongs to the caller: request ids, parents of spans.
        run = contextvars.copy_context().run
        try:
            threading.Thread(
                target=run, args=(self.run,), name="certn-request", daemon=True
            ).start()
        except RuntimeError:  # the interpreter is shutting down, or out of threads
            return self.failed("no_thread")
        try:
            return self.answers.get(timeout=self.timeout)
        except Empty:
            self.sockets.shut_down()
            return self.failed("timeout")

    def failed(self, failure: str, variable: str = "") -> Answer:
        return Answer(self.status, self.headers, None, failure, variable)

    def run(self) -> None:
        try:
            body = self.send()
        except Exception as error:  # noqa: BLE001 - any of them may hold the header
            self.answers.put(self.failed(*failure_of(error, self.request.url)))
        else:
            self.answers.put(Answer(self.status, self.headers, body))

    def send(self) -> bytes:
        request = self.request
        adapter = Adapter(self.sockets)
        with self.session as session:
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            # With allow_redirects=False alone, the whole body of a redirect is read.
            session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
            # Nothing that is meant for this computer goes through a proxy.
            session.trust_env = not is_on_this_computer(request.url)
            # Not session.request(): that of OAuth2Session logs the header, the body and the answer,
            # and refuses plain http to a loopback host:
            # https://github.com/requests/requests-oauthlib/issues/536
            with requests.Session.request(
                session,
                request.method,
                request.url,
                auth=request.auth,
                data=request.data,
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"django-certn/{__version__}",
                    **request.headers,
                },
                timeout=self.timeout,
                # Passed with the call, or a variable of the environment has the last word:
                # https://github.com/psf/requests/issues/3829
                verify=ca_bundle(),
                allow_redirects=False,
                stream=True,
            ) as response:
                self.status, self.headers = response.status_code, response.headers
                return decode(read(response), response.headers.get("Content-Encoding", ""))


def read(response: requests.Response) -> bytes:
    """Return the body as it came, at most one byte more than `MAX_BODY`.

    It takes as long as it takes: who waits shuts the connection down when the time is up.
    """
    body = b""
    while size := MAX_BODY + 1 - len(body):
        chunk = response.raw.read(size, decode_content=False)
        if not chunk:
            break
        body += chunk
    return body


class Sockets:
    """The sockets of a request; once they are shut down, so is each that is still to come."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sockets: list[Any] = []
        self.is_over = False

    def add(self, sock: Any) -> None:
        with self.lock:
            if not self.is_over:
                self.sockets.append(sock)
                return
        # The name may have resolved after the caller gave up: nothing is sent any more.
        shut_down(sock)

    def shut_down(self) -> None:
        with self.lock:
            self.is_over = True
        for sock in self.sockets:
            shut_down(sock)


def shut_down(sock: Any) -> None:
    sock = getattr(sock, "socket", sock)  # within TLS within the TLS of a proxy
    with suppress(OSError):  # closed, or taken over by the TLS around it
        # Not its own shutdown(), which drops the encryption first: what the other thread sends at
        # that very moment would go out as plain text.
        # https://github.com/python/cpython/blob/3.13/Lib/ssl.py (SSLSocket.send, .shutdown)
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """An adapter that lets another thread at its sockets, and bounds what they bring."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(max_retries=0)
        self.sockets = sockets

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        sockets = self.sockets

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            response_class = BoundedResponse
            debuglevel = 0  # http.client would print the header

            @property
            def sock(self) -> Any:
                return self._sock

            @sock.setter
            def sock(self, sock: Any) -> None:
                # http.client lets go of it as soon as the head of the last answer is there.
                self._sock = sock
                if sock is not None:
                    sockets.add(sock)

        pool.ConnectionCls = Connection
        return pool


class BoundedResponse(HTTPResponse):
    """What http.client makes of an answer, bounded, and silent about what nobody may read."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(BoundedStream(self.fp.detach()))

    def begin(self) -> None:
        super().begin()
        # A server may echo our header here, and sentry-sdk writes it into a span.
        self.reason = ""
        # urllib3 logs what is left over of a head, which may well be an echo of ours:
        # https://github.com/urllib3/urllib3/blob/2.8.0/src/urllib3/connection.py (getresponse)
        self.msg.set_payload("")
        self.msg.defects.clear()
        # And http.cookiejar warns, with a traceback, of dates in cookies that it cannot read.
        del self.msg["Set-Cookie"], self.msg["Set-Cookie2"]


class BoundedStream(io.RawIOBase):
    """The first `MAX_WIRE` bytes of a stream: http.client takes 100 header lines of 64 KiB each."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self.stream = stream
        self.left = MAX_WIRE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not self.left:
            raise HTTPException
        size: int | None = self.stream.readinto(memoryview(buffer)[: self.left])
        self.left -= size or 0
        return size

    def close(self) -> None:
        self.stream.close()
        super().close()
