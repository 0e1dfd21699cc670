"""Why a request brought no answer, and which variable of the process's environment is the cause."""

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy
from urllib3.util import parse_url

from django_certn.conf import is_loopback

__all__ = ["ca_bundle", "failure_of", "is_on_this_computer"]

# Environment variables, each before those that it outweighs.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")

PROXY_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}

# By the type of an error, the first that is there; the codes are those of `answers.FAILURES`.
KINDS = {
    "SSLCertVerificationError": "certificate",
    "ProxyError": "proxy",
    "SSLError": "tls",
    "gaierror": "dns",
    "NameResolutionError": "dns",
    "LocationParseError": "dns",  # a label of the name is empty, or too long
    "InvalidURL": "dns",
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


def is_on_this_computer(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname)


def ca_bundle() -> str | bool:
    """Return what certificates are checked against: never nothing."""
    return os.environ.get(variable_of(BUNDLES)) or True


def variable_of(names: tuple[str, ...]) -> str:
    """Return the first that is set and not empty."""
    return next((name for name in names if os.environ.get(name)), "")


def failure_of(error: BaseException, url: str) -> tuple[str, str]:
    """Return why no answer came, and the environment variable that is at fault, if one is.

    It is taken from types, since a message may hold anything.
    """
    if urlsplit(url).scheme == "https":
        if not is_bundle_usable():
            return "ca_bundle", variable_of(BUNDLES)
        if not is_on_this_computer(url) and not is_proxy_usable(url):
            return "proxy_url", variable_of(PROXIES) or "the settings of this computer"
    kinds = {kind.__name__ for one in chain_of(error) for kind in type(one).__mro__}
    found = (failure for kind, failure in KINDS.items() if kind in kinds)
    return next(found, type(error).__name__), ""


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that led to it.

    urllib3 keeps that as a cause or a context, in the arguments or as a ``reason``: which of them,
    depends on the way, through a proxy or not, and on its release.
    """
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def is_bundle_usable() -> bool:
    bundle = ca_bundle()
    if not isinstance(bundle, str):
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError:  # no such file, no right to read it, no certificate in it
        return False
    return True


def is_proxy_usable(url: str) -> bool:
    """Return whether there is no proxy for the URL, or one whose address can be read."""
    with suppress(ValueError):
        proxy = select_proxy(url, get_environ_proxies(url))
        if not proxy:
            return True
        address = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        scheme = address.scheme or ""
        if scheme.startswith("socks") and find_spec("socks") is None:  # PySocks
            return False
        return bool(address.host) and scheme in PROXY_SCHEMES
    return False
