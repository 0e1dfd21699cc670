"""What a request to Certn needs."""

from django_certn.models import CertnCredential
from django_certn.tokens import get_token

__all__ = ["auth_headers"]


def auth_headers(name: str | CertnCredential = "default") -> dict[str, str]:
    """Return the header that authenticates a request: ``{"Authorization": "Bearer ..."}``.

    Send it to the credential's own environment and nowhere else. Certn's description:
    https://docs.certn.co/api/guides/use-the-api/authorization-header

    It takes no options, so that it costs little more than `get_token`, which has them.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        CertnError: what `django_certn.tokens.get_token` raises.
    """
    return {"Authorization": get_token(name).authorization}
