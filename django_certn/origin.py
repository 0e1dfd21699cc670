"""Where a token or a key may go: to the origin of its credential's base URL, and nowhere else."""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django_certn.conf import is_plain_host
from django_certn.exceptions import UnsafeRequestError

__all__ = ["Origin", "join", "origin_of", "require_origin"]

Origin = tuple[str, str, int]  # scheme, host, port

PORTS = {"http": 80, "https": 443}
ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(//|\\)|https?:", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def origin_of(url: str) -> Origin | None:
    """Return scheme, host and port, or ``None`` where not all readers find the same in the URL.

    Args:
        url: as a library is about to connect by it, with everything but ASCII encoded.
    """
    if CONTROL.search(url) or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    # No user name either: what is before an "@" is somebody else's host to some readers.
    if parts.scheme not in PORTS or not is_plain_host(parts.netloc):
        return None
    return parts.scheme, parts.hostname or "", port or PORTS[parts.scheme]


def require_origin(url: str, base_url: str, name: Any) -> None:
    """Refuse what would carry the header of a credential to another origin than its own.

    Raises:
        UnsafeRequestError: the message names both hosts.
    """
    origin = origin_of(url)
    if origin is None or origin != origin_of(base_url):
        there = describe(url)
        if there == describe(base_url):
            there += " by an address with a user name, or that not all would read alike"
        raise UnsafeRequestError(
            f"This request goes to {there}, and the key of {str(name)!r} is for "
            f"{describe(base_url)} alone; nothing was sent. "
            "django_certn.client.base_url() says where a credential's requests go."
        )


def describe(url: str) -> str:
    """Return scheme, host and port for a message: no user name or password, no path or query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = ascii(parts.netloc.rpartition("@")[2])[1:-1]
    return f"{parts.scheme}://{host}" if host else "an address without a host"


def join(base_url: str, url: str) -> str:
    """Return the URL of a path under the base URL; a URL with a host is returned as it is.

    Whether the header may go there is not decided here, but by `require_origin`.

    Raises:
        UnsafeRequestError: some readers would find another host in it, or a path above that of the
            base URL.
    """
    url = url.strip()
    if ABSOLUTE.match(url):
        return url
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    if SCHEME.match(url) or path.startswith("//") or "\\" in path or CONTROL.search(url):
        raise UnsafeRequestError(
            "A path begins with one slash, or with none, and holds no backslash and no control "
            f"character: not all would read it as a path at {describe(base_url)}. Nothing was sent."
        )
    if ".." in unquote(path).split("/"):
        raise UnsafeRequestError(
            f"A path with /../ in it leaves the one that it is under at {describe(base_url)}: "
            "encode what is put into a path with urllib.parse.quote(value, safe=''). "
            "Nothing was sent."
        )
    return f"{base_url.rstrip('/')}/{url.removeprefix('/')}"


def upgrade(link: str, base_url: str) -> str:
    """Return the link with https where it is ``http`` to the host of the base URL.

    Behind a proxy that ends TLS, Django REST framework takes the request for one over ``http``:
    https://www.django-rest-framework.org/api-guide/pagination/ and Django's
    SECURE_PROXY_SSL_HEADER.
    """
    own, there = origin_of(base_url), origin_of(link)
    if (
        own
        and there
        and (own[0], there[0]) == ("https", "http")
        and own[1] == there[1]
        and there[2] in (PORTS["http"], own[2])
    ):
        return SplitResult("https", urlsplit(base_url).netloc, *urlsplit(link)[2:]).geturl()
    return link
