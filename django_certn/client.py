"""What a request to Certn needs."""

from django_certn.tokens.service import authorization
from django_certn.tokens.tenant import Name

__all__ = ["auth_headers"]


def auth_headers(name: Name = "default") -> dict[str, str]:
    """Return the header that authenticates a request, for either kind of key.

    ``{"Authorization": "Bearer ..."}``, or ``"Api-Key ..."`` of CertnCentric. Send it to the
    credential's own environment and nowhere else. Certn's descriptions:
    https://docs.certn.co/api/guides/use-the-api/authorization-header and
    https://centric-api-docs.certn.co/reference/authentication.md

    It takes no options, so that it costs little more than `get_token`, which has them.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        CertnError: what `django_certn.tokens.get_token` raises.
    """
    return {"Authorization": authorization(name).authorization}
