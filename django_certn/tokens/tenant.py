"""Which tenant a call is for, and so under which key its memo is kept."""

from collections.abc import Hashable
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, router

from django_certn import tenancy
from django_certn.exceptions import CredentialNotFoundError
from django_certn.models import CertnCredential

__all__ = ["Name", "Place", "place_of"]

Name = str | CertnCredential


class Place(NamedTuple):
    """Where a call's row is.

    Attributes:
        memo: the key of its memo. A bare name only on a site without tenants: where there are any,
            a bare name is never found, and so the tenant is asked for.
        using: the alias of the database, ``None`` where no row is read.
    """

    memo: Hashable
    using: str | None


def place_of(name: Name) -> Place:
    """Return where the row is that a name, or an instance, stands for at this moment.

    Raises:
        CredentialNotFoundError: the instance is not stored, or another tenant's.
        CertnConfigurationError: ``CERTN_TENANT`` cannot be used.
        TypeError: it is neither a name nor an instance.
    """
    if isinstance(name, str):
        tenant = tenancy.current(CertnCredential)
        if tenant is None:
            return Place(name, DEFAULT_DB_ALIAS)
        return Place((tenant, name), tenant.using or DEFAULT_DB_ALIAS)
    if not isinstance(name, CertnCredential):
        raise TypeError("A credential is given by its name or as a CertnCredential.")
    if name._state.adding:
        raise CredentialNotFoundError(
            f"The Certn credential {name.name!r} is not stored: save it first."
        )
    tenant = name.check_tenant()
    using = name._state.db or DEFAULT_DB_ALIAS
    if tenancy.exists():
        using = router.db_for_write(CertnCredential, instance=name)
    return Place((tenant, using, name.pk), using)
