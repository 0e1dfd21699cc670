"""One request, bounded in time and in size, and what came of it. Nothing is raised.

The request runs in a thread of its own: no time limit of a socket covers a name that does not
resolve or a server that drips its headers, and waiting for a thread covers both. Redirects are not
followed, certificates are always checked.
"""

import io
import os
import socket
import threading
import time
import zlib
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from django_certn import __version__
from django_certn.answers import MAX_BODY, Answer
from django_certn.conf import is_loopback

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
    return Call(session, request, timeout).answer()


class Call:
    """One request in its thread, with the means to cut it off."""

    def __init__(
        self, session: requests.Session, request: requests.Request, timeout: float
    ) -> None:
        self.session = session
        self.request = request
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.line = Line()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.answers: SimpleQueue[Answer] = SimpleQueue()

    def answer(self) -> Answer:
        try:
            threading.Thread(target=self.run, name="certn-request", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down, or out of threads
            return self.broken_off("no_thread")
        try:
            return self.answers.get(timeout=self.timeout)
        except Empty:
            self.line.cut()
            return self.broken_off("timeout")

    def broken_off(self, failure: str) -> Answer:
        return Answer(self.status, self.headers, None, failure)

    def run(self) -> None:
        try:
            body = self.send()
        except Exception as error:  # noqa: BLE001 - any of them may hold the header
            self.answers.put(self.broken_off(failure_of(error)))
        else:
            self.answers.put(Answer(self.status, self.headers, body))

    def send(self) -> bytes:
        request = self.request
        with self.session as session:
            session.mount("https://", self.line)
            session.mount("http://", self.line)
            # With allow_redirects=False alone, the whole body of a redirect is read.
            session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
            # Nothing that is meant for this computer goes through a proxy.
            session.trust_env = not is_loopback(urlsplit(request.url).hostname)
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
                return self.read(response)

    def read(self, response: requests.Response) -> bytes:
        """Return the decoded body, at most one byte more than `MAX_BODY`."""
        body = bytearray()
        # Byte by byte: a larger read returns when it is full, and each byte renews its time limit.
        while len(body) <= MAX_BODY and (byte := response.raw.read(1, decode_content=False)):
            body += byte
            if time.monotonic() > self.deadline:
                raise requests.ReadTimeout
        if response.headers.get("Content-Encoding", "identity").strip().lower() == "identity":
            return bytes(body)
        # Compressed although it was asked not to be; a limit here keeps a bomb from going off.
        with suppress(zlib.error):
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(bytes(body), MAX_BODY + 1)
        return b""


class Line(HTTPAdapter):
    """An adapter that keeps hold of its connections, so that another thread can cut them."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False
        self.connections: list[Any] = []

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        line = self

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            response_class = Response

            def connect(self) -> None:
                line.connections.append(self)
                super().connect()
                # The name may have resolved after the caller gave up: nothing is sent any more.
                if line.is_cut:
                    self.close()
                    raise TimeoutError

        pool.ConnectionCls = Connection
        return pool

    def cut(self) -> None:
        self.is_cut = True
        for connection in self.connections:
            sock = connection.sock
            sock = getattr(sock, "socket", sock)  # within TLS within the TLS of a proxy
            if sock is None:  # not connected yet, or not any more
                continue
            with suppress(OSError):
                # Not its own shutdown(), which drops the encryption first: what the other thread
                # sends at that very moment would go out in clear.
                # https://github.com/python/cpython/blob/3.13/Lib/ssl.py (SSLSocket.send, .shutdown)
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Response(HTTPResponse):
    """What http.client makes of an answer, bounded, and silent about a head that it cannot read."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(Ration(self.fp.detach()))

    def begin(self) -> None:
        super().begin()
        # urllib3 logs what is left over of a head, which may well be an echo of ours:
        # https://github.com/urllib3/urllib3/blob/2.8.0/src/urllib3/connection.py (getresponse)
        self.msg.set_payload("")
        self.msg.defects.clear()
        # And http.cookiejar warns, with a traceback, of dates in cookies that it cannot read.
        del self.msg["Set-Cookie"], self.msg["Set-Cookie2"]


class Ration(io.RawIOBase):
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


def ca_bundle() -> str | bool:
    """Return what certificates are checked against: never nothing."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def failure_of(error: BaseException) -> str:
    """Return why no answer came: told from types, since a message may hold anything."""
    kinds: set[str] = set()
    seen: BaseException | None = error
    while seen is not None:
        kinds.update(kind.__name__ for kind in type(seen).__mro__)
        for argument in seen.args:
            reason = getattr(argument, "reason", argument)
            kinds.update(kind.__name__ for kind in type(reason).__mro__)
        seen = seen.__cause__ or seen.__context__
    for kind, failure in KINDS.items():
        if kind in kinds:
            return failure
    return type(error).__name__


KINDS = {
    "SSLCertVerificationError": "certificate",
    "SSLError": "tls",
    "ProxyError": "proxy",
    "gaierror": "dns",
    "NameResolutionError": "dns",
    "ConnectionRefusedError": "refused",
    "Timeout": "timeout",
    "TimeoutError": "timeout",
    "RemoteDisconnected": "broken",
    "IncompleteRead": "broken",
    "HTTPException": "not_http",
    "ConnectionError": "broken",
    "ProtocolError": "broken",
    "HTTPError": "not_http",
}
