"""Authentication for httpx: our header, its own origin, and one recovery from a 401."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from django_certn.exceptions import CertnError
from django_certn.origin import origin_of, require_origin
from django_certn.tokens.memo import Memo
from django_certn.tokens.service import (
    aauthorization,
    areplace,
    authorization,
    installed,
    replace,
)
from django_certn.tokens.tenant import Name

__all__ = ["CertnAuth"]


class CertnAuth(httpx.Auth):
    """Authenticates the requests of `httpx.Client` and `httpx.AsyncClient`: ``auth=CertnAuth()``.

    The header goes to the scheme, host and port of the credential's base URL and nowhere else,
    `django_certn.client.base_url`. On a 401 the token is dropped, and the request is made once more
    if another token is in force by then; with an API key the row is looked at again, and another
    key is tried once. A body that cannot be read again is not sent twice: the 401 is returned.

    httpx follows no redirect by default. Where that is switched on, the header stays on its origin,
    and a body goes to wherever a 307 or 308 points.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        UnsafeRequestError: the request is for another origin; nothing is sent.
        CertnError: what `django_certn.tokens.get_token` raises.
    """

    def __init__(self, name: Name = "default") -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.name)!r})"

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        memo = authorization(self.name)
        rewind = self._authorize(request, memo)
        response = yield request
        if not is_refused(response, memo):
            return
        if not rewind():
            with suppress(CertnError):
                installed().let_go(self.name, memo.authorization)
            return
        if try_again(request, memo, replace(self.name, memo.authorization)):
            yield request

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        memo = await aauthorization(self.name)
        rewind = self._authorize(request, memo)
        response = yield request
        if not is_refused(response, memo):
            return
        if not rewind():
            with suppress(CertnError):
                await installed().alet_go(self.name, memo.authorization)
            return
        if try_again(request, memo, await areplace(self.name, memo.authorization)):
            yield request

    def _authorize(self, request: httpx.Request, memo: Memo) -> Callable[[], bool]:
        require_origin(address_of(request), memo.base_url, self.name)
        request.headers["Authorization"] = memo.authorization
        return rewinder(request.stream)


def address_of(request: httpx.Request) -> str:
    """Return where httpx connects: its host is encoded, and its path says nothing of that."""
    url = request.url
    host = url.raw_host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    user = "@" if url.userinfo else ""
    return f"{url.scheme}://{user}{host}" + ("" if url.port is None else f":{url.port}")


def is_refused(response: httpx.Response, memo: Memo) -> bool:
    """Return whether the own origin refuses our header; the answer may come from a redirect."""
    return (
        response.status_code == HTTPStatus.UNAUTHORIZED
        and response.request.headers.get("Authorization") == memo.authorization
        and origin_of(address_of(response.request)) == origin_of(memo.base_url)
    )


def try_again(request: httpx.Request, refused: Memo, memo: Memo | None) -> bool:
    # The row may have moved to another environment meanwhile: the next request goes there.
    if memo is None or origin_of(memo.base_url) != origin_of(refused.base_url):
        return False
    request.headers["Authorization"] = memo.authorization
    return True


def rewinder(stream: Any) -> Callable[[], bool]:
    """Return a function that puts a body back to where it stands now, and says whether it did.

    httpx does not say which bodies can be rewound: what is not known here is one that cannot.
    """
    if isinstance(stream, httpx.ByteStream):
        return lambda: True
    if not isinstance(stream, httpx.SyncByteStream):
        return lambda: False
    fields = getattr(stream, "fields", None)
    if isinstance(fields, list):  # a form with files, which httpx reads from their beginnings
        return partial(all, [is_replayable(getattr(field, "file", b"")) for field in fields])
    file = getattr(stream, "_stream", None)
    try:
        position = file.tell()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        return lambda: False
    return partial(seek, file, position)


def is_replayable(file: Any) -> bool:
    if isinstance(file, str | bytes):
        return True
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False


def seek(file: Any, position: int) -> bool:
    try:
        file.seek(position)
    except Exception:  # noqa: BLE001 - it is closed by now, or has a seek() of its own
        return False
    return True
