"""Rows by what their column of the secret holds, and what may not be written over it.

The parameters of a statement end in SQL logs, in slow query logs and in an error tracker's
breadcrumbs. Ciphertext may stand there; plain text, which somebody put into the column past this
app, may not.
"""

from collections.abc import Iterable
from inspect import signature
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from django_certn.fields import stored_text
from django_certn.pasted import CIPHERTEXT_START, clean_pasted, looks_encrypted
from django_certn.secret import Secret, UndecryptableSecret

__all__ = [
    "CertnCredentialQuerySet",
    "PairValidator",
    "apart",
    "holding",
    "is_erasing",
    "refuse_erasing",
    "replace_plain_text",
    "takes_secret_along",
]

Rows = TypeVar("Rows", bound="models.QuerySet[Any]")

SECRET = "client_secret"  # noqa: S105 - the name of the field


class CertnCredentialQuerySet(models.QuerySet[Any]):
    """Does not let an empty value take the place of a secret."""

    def update(self, **kwargs: Any) -> int:
        if SECRET in kwargs and is_erasing(kwargs[SECRET]):
            raise erasing()
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        objs = list(objs)
        given = signature(super().bulk_create).bind(objs, *args, **kwargs).arguments
        if SECRET in (given.get("update_fields") or ()):
            for obj in objs:
                if is_erasing(obj.client_secret):
                    raise erasing()
        created = super().bulk_create(objs, *args, **kwargs)
        for obj in created:
            obj.note_tenant()
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]


def is_erasing(value: object) -> bool:
    """Return whether it is nothing, and was not read as such from the column of a row."""
    return is_nothing(value) and getattr(value, "is_new", True)


def is_nothing(value: object) -> bool:
    """Return whether it is empty, or would be without what copying adds around a secret."""
    if isinstance(value, UndecryptableSecret):
        return False
    if isinstance(value, Secret):
        value = value.reveal()
    if isinstance(value, bytes | bytearray | memoryview):
        return not bytes(value).strip()
    return value is None or (isinstance(value, str) and not clean_pasted(value))


def refuse_erasing(row: Any, stored: Any) -> None:
    """Refuse to put nothing over a secret that is stored.

    Raises:
        ValueError: what is stored did not change.
    """
    if is_nothing(row.client_secret) and not is_nothing(stored.client_secret):
        raise erasing()


def erasing() -> ValueError:
    return ValueError(
        f"{SECRET} is empty where a secret may be stored; nothing was saved. Leave the field out "
        "to keep what is stored; to let nobody use the credential, save is_active=False."
    )


@receiver(pre_save, dispatch_uid="django_certn.querysets")
def refuse_erasing_fixture(instance: Any, raw: bool, using: str, **kwargs: object) -> None:
    """Hold a fixture, which passes by the model's ``save()``, to what that refuses."""
    if not raw or instance.pk is None:
        return
    model = instance._meta.concrete_model
    is_ours = (model.__module__, model.__name__) == ("django_certn.models", "CertnCredential")
    if is_ours and is_nothing(instance.client_secret):
        stored = model._base_manager.using(using).filter(pk=instance.pk).first()
        if stored:
            refuse_erasing(instance, stored)


class PairValidator:
    """Keeps the halves of a key together for Django REST framework, which asks validators alone.

    The protocol is that framework's; Django and its forms, which ask the model's ``clean()``, get
    nothing from this: https://www.django-rest-framework.org/api-guide/validators/#class-based
    """

    requires_context = True

    def __call__(self, value: object, serializer_field: Any = None) -> None:
        """Refuse another value of a row that has a secret, unless the secret is given too."""
        serializer: Any = getattr(serializer_field, "parent", None)
        row = getattr(serializer, "instance", None)
        if not isinstance(row, models.Model) or is_nothing(getattr(row, SECRET)):
            return
        is_other = value != getattr(row, serializer_field.source)
        if is_other and not is_given(serializer):
            raise apart()


def is_given(serializer: Any) -> bool:
    """Return whether a secret is sent that the serializer takes, whatever it calls that field."""
    return any(
        serializer.initial_data.get(name)
        for name, field in serializer.fields.items()
        if field.source == SECRET and not field.read_only
    )


def apart() -> ValidationError:
    # Or whoever may change the row, and not see the secret, decides where it is sent.
    return ValidationError(
        _(
            "The stored secret belongs to the earlier Client ID and environment: enter the one "
            "that goes with these."
        ),
        code="pair",
    )


def takes_secret_along(row: Any) -> bool:
    """Return whether the stored secret is left to go with another Client ID or environment."""
    secret = row.client_secret
    if row._state.adding or (secret and secret.is_new):
        return False
    stored = type(row)._base_manager.using(row._state.db).filter(pk=row.pk).first()
    return (
        stored is not None
        and stored.client_secret != ""
        and stored.client_secret == secret
        and (stored.environment, stored.client_id) != (row.environment, row.client_id)
    )


def holding(rows: Rows, column: str) -> Rows:
    """Narrow to the rows whose column holds that text, to compare and set in one statement.

    Of plain text: to the rows whose column holds any plain text. That is enough to record what is
    wrong with such a row, which is the same for each plain text.

    Args:
        rows: of `CertnCredential`, by any of its managers.
        column: what was read from the column.
    """
    rows = rows.annotate(_column=stored_text(SECRET))
    if looks_encrypted(column):
        return rows.filter(_column=column)
    return rows.exclude(_column__startswith=CIPHERTEXT_START)


def replace_plain_text(rows: "models.QuerySet[Any]", pk: int, column: str, secret: object) -> bool:
    """Store the secret in the row if its column still holds that plain text; return whether it did.

    The row is read again under a lock and compared here. SQLite has no such lock, and needs none:
    what is read in a transaction cannot change before that transaction writes.

    Raises:
        OperationalError: SQLite lets somebody else write first. Nothing was stored.
    """
    with transaction.atomic(using=rows.db):
        row = rows.filter(pk=pk).annotate(_column=stored_text(SECRET))
        found = row.select_for_update().values_list("_column", flat=True).first()
        if found != column:
            return False
        return holding(rows.filter(pk=pk), column).update(**{SECRET: secret}) == 1
