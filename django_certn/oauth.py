"""One exchange: key in, token out (RFC 6749, section 4.4). No cache, no database.

requests-oauthlib makes the request; answers.py judges what comes back, since the library accepts a
500, a form body or ``"access_token": null`` as a token. It also follows redirects with the secret,
waits without limit and logs the token. This is the only module that knows the package.
"""

import logging
import os
import socket
import threading
import time
import zlib
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote_plus

import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from django_certn import __version__
from django_certn.answers import MAX_BODY, Judge, TokenResponse
from django_certn.exceptions import Status, TokenError
from django_certn.models import Key

__all__ = ["TokenResponse", "exchange"]

logger = logging.getLogger("django_certn")


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """POST the key to the token endpoint of its environment and return the token.

    ``POST /token/`` with HTTP Basic and ``grant_type=client_credentials`` is Certn's own recipe:
    https://docs.certn.co/api/guides/use-the-api/get-your-access-token

    The request runs in a thread of its own: no time limit of a socket covers a name that does not
    resolve or a server that drips its headers, and waiting for a thread covers both.

    Args:
        key: what to exchange.
        timeout: seconds, for all of it.

    Raises:
        TokenError: one of its subclasses; neither it nor its frames and causes hold the secret.
    """
    started = time.monotonic()
    name, environment = key.name, key.environment.slug
    call = Call(key, timeout)
    del key  # a tracker reads the variables of each frame that an error passes
    outcome = call.outcome()
    del call
    failed = isinstance(outcome, TokenError)
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "Exchange for %r (%s): %s in %d ms",
        name,
        environment,
        outcome.status if isinstance(outcome, TokenError) else Status.OK,
        (time.monotonic() - started) * 1000,
    )
    if isinstance(outcome, TokenError):
        raise outcome
    return outcome


class Call:
    """One exchange in its thread, with the means to cut it off."""

    def __init__(self, key: Key, timeout: float) -> None:
        self.key = key
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.line = Line()
        self.judge = Judge(key)
        self.answers: SimpleQueue[TokenResponse | TokenError] = SimpleQueue()

    def outcome(self) -> TokenResponse | TokenError:
        try:
            threading.Thread(target=self.run, name="certn-exchange", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down, or out of threads
            return self.judge.unreachable("no thread could be started")
        try:
            return self.answers.get(timeout=self.timeout)
        except Empty:
            self.line.cut()
            return self.judge.unreachable(f"no answer within {self.timeout:g} seconds")

    def run(self) -> None:
        try:
            answer: TokenResponse | TokenError | None = self.post()
        except Exception as error:  # noqa: BLE001 - any of them may hold the header
            answer = None
            reason = reason_of(error)
        # Made out here, where there is no exception that it would be chained to.
        self.answers.put(answer or self.judge.unreachable(reason))

    def post(self) -> TokenResponse | TokenError:
        key = self.key
        client = BackendApplicationClient(client_id=key.client_id)
        with Session(client=client) as session:
            session.mount("https://", self.line)
            session.mount("http://", self.line)
            # Nothing that is meant for this computer goes through a proxy.
            session.trust_env = not key.environment.is_loopback
            # OAuth2Session.request() logs the header, the body and the answer, and refuses plain
            # http to a loopback host: https://github.com/requests/requests-oauthlib/issues/536
            with requests.Session.request(
                session,
                "POST",
                key.environment.token_url,
                data=client.prepare_request_body(),
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "User-Agent": f"django-certn/{__version__}",
                },
                # RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
                auth=HTTPBasicAuth(quote_plus(key.client_id), quote_plus(key.client_secret)),
                timeout=self.timeout,
                # Passed with the call, or a variable of the environment has the last word:
                # https://github.com/psf/requests/issues/3829
                verify=ca_bundle(),
                allow_redirects=False,
                stream=True,
            ) as response:
                self.judge.see(response.status_code, response.headers)
                return self.judge.hear(self.read(response))

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


class Session(OAuth2Session):  # type: ignore[misc]
    """A session that does not even look where a redirect leads.

    With ``allow_redirects=False`` alone, requests still reads the whole body of a redirect.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


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
            with suppress(AttributeError, OSError):  # not connected yet, or not any more
                connection.sock.shutdown(socket.SHUT_RDWR)


def ca_bundle() -> str | bool:
    """Return what certificates are checked against: never nothing."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def reason_of(error: BaseException) -> str:
    """Return why no answer came, in words that are safe to show: from types, not from messages."""
    kinds: set[str] = set()
    seen: BaseException | None = error
    while seen is not None:
        kinds.update(kind.__name__ for kind in type(seen).__mro__)
        for argument in seen.args:
            reason = getattr(argument, "reason", argument)
            kinds.update(kind.__name__ for kind in type(reason).__mro__)
        seen = seen.__cause__ or seen.__context__
    for kind, reason in REASONS.items():
        if kind in kinds:
            return reason
    return f"{type(error).__name__}"


REASONS = {
    "SSLCertVerificationError": "its certificate is not trusted",
    "SSLError": "TLS failed",
    "ProxyError": "the proxy failed",
    "gaierror": "its name does not resolve",
    "NameResolutionError": "its name does not resolve",
    "ConnectionRefusedError": "the connection was refused",
    "Timeout": "no answer in time",
    "TimeoutError": "no answer in time",
    "ConnectionError": "the connection broke off",
    "ChunkedEncodingError": "the connection broke off",
    "HTTPError": "the answer is not HTTP",
}
