"""What a request to Certn needs."""

from django_certn.models import CertnCredential
from django_certn.tokens import get_token

__all__ = ["auth_headers"]


def auth_headers(
    name: str | CertnCredential = "default", *, min_validity: float = 0, timeout: float = 20.0
) -> dict[str, str]:
    """Return the header that authenticates a request: ``{"Authorization": "Bearer ..."}``.

    Send it to the credential's own environment and nowhere else. Certn's description:
    https://docs.certn.co/api/guides/use-the-api/authorization-header

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.
        min_validity: seconds that the token must still live.
        timeout: seconds for the whole call, waiting included.

    Raises:
        CertnError: what `django_certn.tokens.get_token` raises.
    """
    return {
        "Authorization": get_token(name, min_validity=min_validity, timeout=timeout).authorization
    }
