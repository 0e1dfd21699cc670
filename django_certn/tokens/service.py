"""The functions that a site calls, the service that answers them, and what that must follow."""

import os

from django.core.signals import setting_changed
from django.db.models import Model
from django.db.models.signals import post_delete, post_migrate, post_save

from django_certn.exceptions import CertnConfigurationError
from django_certn.models import CertnCredential
from django_certn.secret import MaskedStr
from django_certn.tokens.memo import Memo
from django_certn.tokens.process import TokenService
from django_certn.tokens.tenant import Name
from django_certn.tokens.token import AccessToken

__all__ = [
    "TokenService",
    "aauthorization",
    "aget_token",
    "areplace",
    "authorization",
    "get_token",
    "install",
    "installed",
    "invalidate_token",
    "replace",
    "stats",
]

FOLLOWED_SETTINGS = {
    "CACHES",
    "DATABASES",
    "DATABASE_ROUTERS",
    "FIELD_ENCRYPTION_KEY",
    "SECRET_KEY",
}

_service = TokenService()


def installed() -> TokenService:
    """Return the service of this process."""
    return _service


def install(service: TokenService) -> TokenService:
    """Put a service in the place of the one that is there, and return that."""
    global _service
    earlier, _service = _service, service
    return earlier


def get_token(
    name: Name = "default", *, min_validity: float = 0, timeout: float = 20.0
) -> AccessToken:
    """Return a token of the credential, fetched once for all processes that share a cache.

    It may be called before every request: with a token in hand it is a dictionary look-up.

    Args:
        name: the name of the credential, or a `CertnCredential`, which stands for its row under
            the tenant that it was read under.
        min_validity: seconds that the token has to live; more than a token's whole life is met by
            one fresh exchange.
        timeout: seconds for the whole call, waiting for others included.

    Raises:
        CredentialNotFoundError: no such credential is stored, or an instance is another tenant's.
        CredentialInactiveError: it is switched off.
        CredentialUndecryptableError: its secret cannot be read.
        CertnConfigurationError: its environment, or another setting, is missing or wrong; or it is
            an API key, which has no token.
        TokenError: the exchange brought no token; `CertnUnavailableError` also when the time is
            up.
    """
    service = _service
    try:
        memo = service.memo_by_key.get(name)
    except TypeError:  # an unsaved instance cannot be hashed
        memo = None
    if (
        memo is not None
        and service.monotonic() < memo.token_until
        and service.wall() < memo.token_until_wall
        and (not min_validity or memo.lives(service.clocks.now(), min_validity))
    ):
        return memo.token  # type: ignore[return-value]
    return token_of(service.find(name, min_validity, timeout), name)


async def aget_token(
    name: Name = "default",
    *,
    min_validity: float = 0,
    timeout: float = 20.0,  # noqa: ASYNC109 - it bounds the same call as get_token's does
) -> AccessToken:
    """Return a token as `get_token` does; the event loop is never blocked.

    With a token in hand it is a dictionary look-up too, on a site without tenants. A tenant is read
    on the thread that Django has for the request, which takes one visit there for each call.

    Args:
        name: as for `get_token`.
        min_validity: seconds, as for `get_token`.
        timeout: seconds, as for `get_token`.

    Raises:
        CertnError: what `get_token` raises.
    """
    return token_of(await _service.afind(name, min_validity, timeout), name)


def token_of(memo: Memo, name: Name) -> AccessToken:
    if memo.token is None:
        raise CertnConfigurationError(
            f"The Certn credential {str(name)!r} is an API key, which has no token: use "
            "auth_headers(), CertnAuth or CertnSession, which serve both kinds of key."
        )
    return memo.token


def authorization(name: Name = "default") -> Memo:
    """Return the header of a credential of either kind, and where it may be sent.

    It takes 20 seconds at most, as `get_token` does.

    Args:
        name: as for `get_token`.

    Raises:
        CertnError: what `get_token` raises.
    """
    service = _service
    try:
        memo = service.memo_by_key.get(name)
    except TypeError:
        memo = None
    if (
        memo is not None
        and service.monotonic() < memo.header_until
        and service.wall() < memo.header_until_wall
    ):
        return memo
    return service.find_header(name)


async def aauthorization(name: Name = "default") -> Memo:
    """Return what `authorization` returns; the event loop is never blocked."""
    return await _service.afind_header(name)


def replace(name: Name, refused: str) -> Memo | None:
    """After a 401: let go of what was refused, and return what is in force now.

    Args:
        name: as for `get_token`.
        refused: the value of the header that was refused.

    Returns:
        ``None`` when what is in force is what was refused.

    Raises:
        CertnError: what `get_token` raises.
    """
    service = _service
    service.let_go(name, refused)
    memo = service.find_header(name)
    return memo if memo.authorization != refused else None


async def areplace(name: Name, refused: str) -> Memo | None:
    """Return what `replace` returns; the event loop is never blocked."""
    service = _service
    await service.alet_go(name, refused)
    memo = await service.afind_header(name)
    return memo if memo.authorization != refused else None


def invalidate_token(name: Name, token: AccessToken | str) -> bool:
    """Drop the token, for example after a 401, if it is still the one in force.

    Args:
        name: as for `get_token`.
        token: the token that was refused.

    Returns:
        Whether this call dropped it. It stays when another token is in force by now, and within a
        minute of the key's last forced renewal: an API that answers 401 to everything does not
        become a storm of exchanges. An API key has no token, so there it is ``False``.

    Raises:
        CertnConfigurationError: as `get_token`.
    """
    # Under the same name: what was handed in may not be masked, and errors pass this frame.
    token = MaskedStr(token.value if isinstance(token, AccessToken) else token)
    return _service.invalidate(name, token)


def stats() -> dict[str, dict[str, int]]:
    """Return what this process did for each credential; the hot path is not counted.

    Returns:
        By name, or ``tenant:name`` where there are tenants: ``relooks`` at the row and the cache,
        ``exchanges``, ``waits`` of callers for a token that was not in hand, ``failures`` of
        exchanges.
    """
    return _service.stats()


def connect() -> None:
    """Follow what makes a memo wrong: another key, other settings, a table that was emptied."""
    # From every sender: a proxy model is a sender of its own.
    post_save.connect(on_save, dispatch_uid="django_certn.tokens")
    post_delete.connect(on_delete, dispatch_uid="django_certn.tokens")
    post_migrate.connect(on_migrate, dispatch_uid="django_certn.tokens")
    setting_changed.connect(on_setting, dispatch_uid="django_certn.tokens")


def on_save(*, instance: Model, using: str, created: bool, **kwargs: object) -> None:
    if isinstance(instance, CertnCredential):
        _service.credential_changed(instance, using, is_new_or_gone=created)


def on_delete(*, instance: Model, using: str, **kwargs: object) -> None:
    if isinstance(instance, CertnCredential):
        _service.credential_changed(instance, using, is_new_or_gone=True)


def on_migrate(**kwargs: object) -> None:
    """A flush of the database says so by this signal alone."""
    _service.clear()


def on_setting(*, setting: str, **kwargs: object) -> None:
    if setting.startswith("CERTN_") or setting in FOLLOWED_SETTINGS:
        _service.clear()


def on_fork() -> None:
    _service.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=on_fork)
