"""Which tenant a call is for, so under which key its memo is kept, and which row it stands for."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from django_certn import tenancy
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialInactiveError,
    CredentialNotFoundError,
)
from django_certn.keys import Key
from django_certn.models import CertnCredential
from django_certn.tokens.single_flight import copy_without_frames

__all__ = ["Name", "Place", "Row", "load", "place_of"]

Name = str | CertnCredential


@dataclass(frozen=True, slots=True)
class Row:
    """What is read of a row that is active: its key and its primary key."""

    key: Key
    pk: object


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
        using = tenancy.database_of(name)
    return Place((tenant, using, name.pk), using)


def load(name: Name) -> Row:
    """Read the row of a credential that is active, and return its key.

    Raises:
        CertnConfigurationError: there is none that can be used.
    """
    found = find_row(name)
    if isinstance(found, BaseException):
        raise found  # here, where no frame holds the row
    return found


def find_row(name: Name) -> Row | BaseException:
    try:
        row = CertnCredential.objects.stored(name)
        if not row.is_active:
            raise CredentialInactiveError(
                f"The Certn credential {row.name!r} is switched off: activate it in the admin."
            )
        return Row(row.key(), row.pk)
    except CertnConfigurationError as error:
        return copy_without_frames(error)
