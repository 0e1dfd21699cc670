"""How a row of this app is found."""

from typing import Any, TypeVar

from django.db import models, router

from django_certn import tenancy
from django_certn.exceptions import CredentialNotFoundError
from django_certn.querysets import CertnCredentialQuerySet

__all__ = ["StoredManager"]

Row = TypeVar("Row", bound="models.Model")


def can_be_stored(name: str) -> bool:
    """Return whether a database takes the name: some raise for these, others find nothing."""
    try:
        name.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return "\0" not in name


class StoredManager(models.Manager[Row]):
    """Finds the row that a name or an instance stands for."""

    def get_queryset(self) -> "models.QuerySet[Row]":
        hints: Any = self._hints  # type: ignore[attr-defined]
        return CertnCredentialQuerySet(self.model, using=self._db, hints=hints)

    def get_by_natural_key(self, name: str) -> Row:
        return self.get(name=name)

    def stored(self, credential: str | Row) -> Row:
        """Return the row as it is stored now, read where it is written and not from a replica.

        An instance stands for its row; what it holds in memory has no part in this.

        Raises:
            CredentialNotFoundError: there is no such row.
        """
        row: Any = None
        if isinstance(credential, str):
            if can_be_stored(credential):
                using = self._db or router.db_for_write(self.model)
                row = self.using(using).filter(name=credential).first()
            # MySQL takes "Acme" for "acme"; a name never stands for another credential.
            if row is None or row.name != credential:
                raise CredentialNotFoundError(
                    f"No Certn credential is named {credential!r}: add it in the admin, "
                    "or name one that is there."
                )
            return row  # type: ignore[no-any-return]
        given: Any = credential
        kind: Any = self.model._meta.concrete_model
        if not isinstance(given, kind):
            raise TypeError("A credential is given by its name or as a CertnCredential.")
        if not given._state.adding:
            given.check_tenant()
            row = self.using(tenancy.database_of(given)).filter(pk=given.pk).first()
        if row is None:
            raise CredentialNotFoundError(
                f"The Certn credential {given.name!r} is not stored: save it first."
            )
        return row  # type: ignore[no-any-return]
