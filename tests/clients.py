"""One call to Certn by each of the clients that a site may use, and what came of it."""

import io
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import requests
from asgiref.sync import async_to_sync

from django_certn.client import CertnAuth, CertnSession, base_url
from django_certn.httpx import CertnAuth as HttpxCertnAuth

CLIENTS = ["requests", "session", "httpx", "httpx-async"]


@dataclass(frozen=True)
class Outcome:
    status: int
    body: bytes


def call(
    client: str,
    method: str,
    path: str,
    *,
    name: str = "default",
    content: Any = None,
    follow: bool = False,
    verify: Any = True,
    url: str | None = None,
) -> Outcome:
    """Make the call to a path under the credential's base URL, or to `url`."""
    if client == "session":
        with CertnSession(name, timeout=60) as session:
            return of(
                session.request(
                    method, url or path, data=content, allow_redirects=follow, verify=verify
                )
            )
    url = url or base_url(name) + path
    if client == "requests":
        return of(
            requests.request(
                method,
                url,
                auth=CertnAuth(name),
                data=content,
                allow_redirects=follow,
                verify=verify,
                timeout=60,
            )
        )
    options: Any = {
        "auth": HttpxCertnAuth(name),
        "follow_redirects": follow,
        "verify": trusting(None if verify is True else verify),
        "timeout": 60,
    }
    if client == "httpx":
        with httpx.Client(**options) as session:
            return of(session.request(method, url, content=content))

    async def ask() -> Outcome:
        async with httpx.AsyncClient(**options) as session:
            return of(await session.request(method, url, content=as_async(content)))

    return async_to_sync(ask)()


def of(response: Any) -> Outcome:
    return Outcome(response.status_code, response.content)


@cache  # to read all that a computer trusts takes ten times as long as a call
def trusting(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def as_async(content: Any) -> Any:
    """httpx's AsyncClient takes bytes, or what is iterated asynchronously."""
    if content is None or isinstance(content, str | bytes):
        return content

    async def pieces() -> Any:
        for piece in content:
            yield piece

    return pieces()


# Files that cannot be read again, and say so in their own way.


class Closing(io.BytesIO):
    """Closes itself at its end, as some wrappers of files do."""

    def read(self, *args: Any) -> bytes:
        piece = super().read(*args)
        if not piece:
            self.close()
        return piece


class Streaming(io.BytesIO):
    """Raises what no file raises when it is to go back."""

    was_read = False

    def read(self, *args: Any) -> bytes:
        self.was_read = True
        return super().read(*args)

    def seek(self, *args: Any) -> int:
        if self.was_read:
            raise EOFError("It was sent, and is gone.")
        return super().seek(*args)
