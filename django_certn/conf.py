"""The settings, one lazy property each, and the environments they describe."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction, signature
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from django_certn.exceptions import CertnConfigurationError

__all__ = ["Environment", "Scheme", "conf", "environment_choices"]

MAX_TIMEOUT = 3600  # seconds; far more, and it overflows where a thread waits for it

MAX_SLUG = 50  # characters, which is what the column of a credential holds

TOKEN_PATH = "/token/"  # noqa: S105 - https://docs.certn.co/api/guides/use-the-api


class Scheme(StrEnum):
    """How a key authenticates; the environment fixes it."""

    OAUTH = "oauth"  # a Client ID and a Client Secret, exchanged for a token
    API_KEY = "api_key"  # one key, which goes with each request


# Hosts of the OAuth API: https://docs.certn.co/api/guides/use-the-api/get-your-access-token
# Of CertnCentric: https://centric-api-docs.certn.co/reference/authentication.md for the sandbox;
# those of the three regions are reported by third parties that agree with each other.
BUILT_IN: dict[str, dict[str, Any]] = {
    "production": {"label": _("Production"), "base_url": "https://api.certn.co"},
    "demo": {"label": _("Demo"), "base_url": "https://demo-api.certn.co"},
    "centric-ca": {
        "label": _("CertnCentric Canada"),
        "base_url": "https://api.ca.certn.co",
        "scheme": Scheme.API_KEY,
    },
    "centric-uk": {
        "label": _("CertnCentric United Kingdom"),
        "base_url": "https://api.uk.certn.co",
        "scheme": Scheme.API_KEY,
    },
    "centric-au": {
        "label": _("CertnCentric Australia"),
        "base_url": "https://api.au.certn.co",
        "scheme": Scheme.API_KEY,
    },
    "centric-sandbox": {
        "label": _("CertnCentric sandbox"),
        "base_url": "https://api.sandbox.certn.co",
        "scheme": Scheme.API_KEY,
    },
}


@dataclass(frozen=True)
class Environment:
    """Where the requests of a key go.

    Attributes:
        slug: the name of the environment in `CertnCredential.environment`.
        label: the name shown to people.
        base_url: scheme and host, without a trailing slash.
        scheme: how a key of this environment authenticates.
    """

    slug: str
    label: str | Promise
    base_url: str
    scheme: Scheme = Scheme.OAUTH

    @property
    def token_url(self) -> str:
        return self.base_url + TOKEN_PATH

    @property
    def is_loopback(self) -> bool:
        """Whether requests stay on this computer: plain http is allowed, proxies are not."""
        return is_loopback(urlsplit(self.base_url).hostname)


def is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    # Pythons differ in what they say of ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


# What urlsplit() takes for a host is not always where a library connects: "[::1]evil.example" is
# ::1 to it, and urllib3 decodes "%2e". So only what all of them read alike is a host.
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NETLOC = re.compile(rf"(?:\[([0-9A-Fa-f:.]+)\]|({LABEL}(?:\.{LABEL})*))(?::0*[1-9][0-9]{{0,4}})?")
PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:/-]*")
NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
MAX_HOST = 253  # characters: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4


def is_plain_host(netloc: str) -> bool:
    """Return whether this is host and perhaps port, and every reader finds the same in it."""
    match = NETLOC.fullmatch(netloc)
    if match is None:
        return False
    bracketed, name = match.groups()
    try:
        if bracketed:
            ipaddress.IPv6Address(bracketed)
        # "127.1" and "2130706433" are addresses to getaddrinfo().
        elif NUMBER.fullmatch(name.rpartition(".")[2]):
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return bool(bracketed) or len(name) <= MAX_HOST


class Settings:
    """Reads ``django.conf.settings`` at each access, so there is nothing to reset in tests."""

    @property
    def CERTN_ENVIRONMENTS(self) -> dict[str, dict[str, Any]]:  # noqa: N802
        """All environments, the site's own merged over the built-in ones."""
        own = getattr(settings, "CERTN_ENVIRONMENTS", {})
        if not isinstance(own, Mapping):
            raise CertnConfigurationError(
                "CERTN_ENVIRONMENTS must be a dict such as "
                '{"local": {"label": "Sandbox", "base_url": "http://127.0.0.1:8765"}}.'
            )
        return BUILT_IN | dict(own)

    @property
    def CERTN_CACHE_ALIAS(self) -> str:  # noqa: N802
        """Which of ``CACHES`` holds the tokens."""
        alias = getattr(settings, "CERTN_CACHE_ALIAS", "default")
        if not isinstance(alias, str) or alias not in settings.CACHES:
            raise CertnConfigurationError("CERTN_CACHE_ALIAS must be the name of one of CACHES.")
        return alias

    @property
    def CERTN_REQUEST_TIMEOUT(self) -> float:  # noqa: N802
        """Seconds, the whole budget of one exchange."""
        timeout = getattr(settings, "CERTN_REQUEST_TIMEOUT", 10.0)
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, int | float)
            or not (0 < timeout <= MAX_TIMEOUT)
        ):
            raise CertnConfigurationError(
                f"CERTN_REQUEST_TIMEOUT must be a number of seconds above 0, {MAX_TIMEOUT} at most."
            )
        return float(timeout)

    @property
    def CERTN_TENANT(self) -> Callable[[], object] | None:  # noqa: N802
        """What tells, besides router and schema, which row a name stands for."""
        path = getattr(settings, "CERTN_TENANT", None)
        if path is None:
            return None
        problem: Exception | None = None
        try:
            tenant = import_string(path)
        except Exception as error:  # noqa: BLE001 - its module may raise any
            tenant, problem = None, error
        if not callable(tenant) or not takes_no_arguments(tenant):
            met = f" ({type(problem).__name__})" if problem else ""
            raise CertnConfigurationError(
                "CERTN_TENANT must be the dotted path of a function without arguments, such as "
                f'"site.tenants.current", and it must be there to be imported{met}.'
            ) from problem
        function: Callable[[], object] = tenant
        return function

    def environment(self, slug: str) -> Environment:
        """Return the environment of that name.

        Raises:
            CertnConfigurationError: it is not in the settings, or what is there cannot be used.
        """
        try:
            entry = self.CERTN_ENVIRONMENTS[slug]
        except KeyError:
            raise CertnConfigurationError(
                f"The environment {slug!r} is neither built in nor in CERTN_ENVIRONMENTS."
            ) from None
        return parse_environment(slug, entry)


def takes_no_arguments(function: Callable[..., object]) -> bool:
    """Return whether it can be called without any, and returns more than a coroutine."""
    if iscoroutinefunction(function):
        return False
    try:
        signature(function).bind()
    except TypeError:
        return False
    except ValueError:
        pass  # it does not tell, and fails when it is called
    return True


conf = Settings()


def parse_environment(slug: object, entry: object) -> Environment:
    where = f"CERTN_ENVIRONMENTS[{slug!r}]"
    if not isinstance(slug, str) or not slug:
        raise CertnConfigurationError(f"{where}: the name of an environment must be a string.")
    if len(slug) > MAX_SLUG:
        raise CertnConfigurationError(
            f"{where}: the name of an environment has {MAX_SLUG} characters at most."
        )
    if not isinstance(entry, Mapping) or not isinstance(entry.get("base_url"), str):
        raise CertnConfigurationError(
            f'{where} must be a dict with a "base_url" and, for people, a "label".'
        )
    label = entry.get("label", slug)
    if not isinstance(label, str | Promise):
        raise CertnConfigurationError(f"{where}: the label must be a string.")
    scheme = entry.get("scheme", Scheme.OAUTH)
    if not isinstance(scheme, str) or scheme not in list(Scheme):
        raise CertnConfigurationError(
            f'{where}: the scheme must be "oauth" (a Client ID and a Client Secret) or "api_key" '
            "(an API key of CertnCentric)."
        )
    base_url = parse_base_url(where, entry["base_url"].strip())
    return Environment(slug, label, base_url, Scheme(scheme))


def parse_base_url(where: str, base_url: str) -> str:
    # urlsplit() passes over spaces, line ends and an empty query; who reads the URL later may not.
    if not re.fullmatch(r"[!-~]+", base_url) or any(c in base_url for c in "@?#\\"):
        raise CertnConfigurationError(
            f"{where}: the base_url must hold nothing but scheme, host, port and path."
        )
    try:
        url = urlsplit(base_url)
        url.port  # noqa: B018 - raises for a port that is not one
    except ValueError:
        raise CertnConfigurationError(f"{where}: the base_url is not a URL.") from None
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise CertnConfigurationError(
            f"{where}: the base_url must begin with https://. "
            "Plain http would show the secret to the network; only a loopback host may use it."
        )
    if url.scheme not in ("http", "https") or not url.hostname:
        raise CertnConfigurationError(f"{where}: the base_url must begin with https:// and a host.")
    if not is_plain_host(url.netloc):
        raise CertnConfigurationError(
            f"{where}: the host in the base_url must be a name of letters, digits and hyphens "
            "between single dots, none at its end (other letters as xn--), or a whole IP address, "
            "an IPv6 address in brackets; and a port, where there is one, a number above 0."
        )
    if not PATH.fullmatch(url.path) or {".", ".."} & set(url.path.split("/")):
        raise CertnConfigurationError(
            f"{where}: the path in the base_url must be plain: no %, quotes or brackets, and "
            "neither /./ nor /../."
        )
    return base_url.rstrip("/")


def scheme_of(slug: str) -> Scheme | None:
    """Return how keys of the environment authenticate, ``None`` when the settings do not say."""
    try:
        return conf.environment(slug).scheme
    except CertnConfigurationError:
        return None


def environment_choices() -> list[tuple[str, str | Promise]]:
    """Return the choices of `CertnCredential.environment`.

    What is wrong in the settings is left out here: it must not keep the admin from opening, and
    `Settings.environment` raises it for whoever uses such an environment.
    """
    try:
        entries = conf.CERTN_ENVIRONMENTS
    except CertnConfigurationError:
        entries = BUILT_IN
    choices: list[tuple[str, str | Promise]] = []
    for slug, entry in entries.items():
        with suppress(CertnConfigurationError):
            choices.append((slug, parse_environment(slug, entry).label))
    return choices
