"""What a request to Certn needs: the header, where it may go, and clients that send it there.

`CertnAuth` and `CertnSession` load requests; that waits until one of them is used.
"""

from typing import TYPE_CHECKING, Any

from django_certn.tokens.service import aauthorization, authorization
from django_certn.tokens.tenant import Name

if TYPE_CHECKING:
    from django_certn.requests_auth import CertnAuth
    from django_certn.session import CertnSession

__all__ = ["CertnAuth", "CertnSession", "aauth_headers", "auth_headers", "base_url"]


def auth_headers(name: Name = "default") -> dict[str, str]:
    """Return the header that authenticates a request, for either kind of key.

    It is ``{"Authorization": "Bearer ..."}`` or ``{"Authorization": "Api-Key ..."}``. Send it to
    `base_url` and nowhere else; `CertnAuth` and `CertnSession` see to that. Certn's descriptions:
    https://docs.certn.co/api/guides/use-the-api/authorization-header
    https://centric-api-docs.certn.co/reference/authentication.md

    It takes no options, so that it costs little more than `django_certn.tokens.get_token`.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        CertnError: what `django_certn.tokens.get_token` raises, save that an API key is welcome.
    """
    return {"Authorization": authorization(name).authorization}


async def aauth_headers(name: Name = "default") -> dict[str, str]:
    """Return what `auth_headers` returns; the event loop is never blocked."""
    return {"Authorization": (await aauthorization(name)).authorization}


def base_url(name: Name = "default") -> str:
    """Return where the requests of a credential go: scheme, host and perhaps a path.

    It has no slash at its end. The header of `auth_headers` is for this origin alone.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        CertnError: what `auth_headers` raises.
    """
    return authorization(name).base_url


def __getattr__(name: str) -> Any:
    if name == "CertnAuth":
        from django_certn.requests_auth import CertnAuth

        return CertnAuth
    if name == "CertnSession":
        from django_certn.session import CertnSession

        return CertnSession
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
