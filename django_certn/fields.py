"""The encrypted field: django-encrypted-model-fields with what it loses and leaks closed.

Same column, same ciphertext. The package returns a value that it cannot decrypt as if it were the
secret, encrypts it once more on save, stores the text of an expression as the secret, decrypts what
is typed into a form, and serializes as plain text; none of it with a warning. This is the only
module that knows the package.
"""

import copyreg
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.signals import setting_changed
from django.db import models
from django.db.models.expressions import F, Func
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_lazy as _

from django_certn.encryption_key import SETTING, encryption_keys, spelled_for_the_package
from django_certn.formfields import OnText, SecretFormField
from django_certn.pasted import MAX_LENGTH, clean_pasted, looks_encrypted, validate_secret
from django_certn.secret import MASK, MaskedStr, Secret, UndecryptableSecret

# The package reads the setting when it is imported; what is wrong with it is said before.
with spelled_for_the_package():
    from encrypted_model_fields import fields as package

__all__ = [
    "EncryptedSecretField",
    "SecretFormField",
    "decrypt",
    "encrypt",
    "is_current",
    "is_encrypted_field",
    "read_secret",
    "stored_text",
]


def encrypt(secret: str) -> str:
    """Return the ciphertext of a text, under the first key of ``FIELD_ENCRYPTION_KEY``."""
    # The variable is called so since trackers mask what is.
    ciphertext: bytes = package.encrypt_str(secret)
    return ciphertext.decode("ascii")


def decrypt(ciphertext: str) -> MaskedStr | None:
    """Return the text, or ``None`` when no key of ``FIELD_ENCRYPTION_KEY`` opens the ciphertext."""
    try:
        return MaskedStr(package.decrypt_str(ciphertext))
    except (InvalidToken, UnicodeError):
        return None


def is_current(ciphertext: str) -> bool:
    """Return whether the first key of ``FIELD_ENCRYPTION_KEY`` alone opens the ciphertext."""
    with suppress(InvalidToken, UnicodeError):
        current_key.decrypt(ciphertext.encode())
        return True
    return False


def is_encrypted_field(field: object) -> bool:
    """Return whether it is one of the encryption package's fields, this module's included."""
    return isinstance(field, package.EncryptedMixin)


def use_keys() -> None:
    """Let the package and this module use the keys that the setting holds now."""
    global current_key
    keys = [Fernet(key) for key in encryption_keys()]
    package.CRYPTER, current_key = MultiFernet(keys), keys[0]


def follow_settings(*, setting: str, **kwargs: object) -> None:
    """Let ``override_settings(FIELD_ENCRYPTION_KEY=...)`` reach the package in a site's tests."""
    if setting == SETTING:
        with suppress(ImproperlyConfigured):
            use_keys()


current_key: Fernet
use_keys()
setting_changed.connect(follow_settings, dispatch_uid="django_certn.fields")


def pickle_masked(text: MaskedStr) -> tuple[Any, ...]:
    return unpickle_masked, (encrypt(text),)


def unpickle_masked(ciphertext: str) -> MaskedStr:
    """Return the text, an empty one when its encryption key was dropped."""
    return decrypt(ciphertext) or MaskedStr()


copyreg.pickle(MaskedStr, pickle_masked)


def read_secret(column: str) -> Secret:
    """Return what the text of the column stands for: a secret, or one that cannot be read."""
    text = decrypt(column)
    # Ciphertext in ciphertext is what the package makes when it saves under another key.
    if text is None or looks_encrypted(text):
        return UndecryptableSecret(column)
    return Secret(text, column)


def ciphertext_of(secret: Secret) -> str:
    """Return what may be written down of a secret; plain text in the column is encrypted."""
    column = secret.column() or ""
    if looks_encrypted(column):
        return str.__str__(column)
    return encrypt(column if isinstance(secret, UndecryptableSecret) else secret.reveal())


def pickle_secret(secret: Secret) -> tuple[Any, ...]:
    unpickle: Callable[[str], Secret] = read_secret
    if secret.is_new:
        unpickle = unpickle_new
    elif isinstance(secret, UndecryptableSecret) and not looks_encrypted(secret.column()):
        unpickle = unpickle_plain_text
    return unpickle, (ciphertext_of(secret),)


def unpickle_new(ciphertext: str) -> Secret:
    text = decrypt(ciphertext)
    return UndecryptableSecret(ciphertext) if text is None else Secret(text)


def unpickle_plain_text(ciphertext: str) -> Secret:
    text = decrypt(ciphertext)
    return UndecryptableSecret(ciphertext if text is None else text)


copyreg.pickle(Secret, pickle_secret)
copyreg.pickle(UndecryptableSecret, pickle_secret)


def as_text(value: object) -> str:
    if not isinstance(value, bytes | bytearray | memoryview):
        return str(value)
    with suppress(UnicodeDecodeError):
        return bytes(value).decode()
    # Not while handling that error, which holds the bytes.
    raise ValueError("A secret is text, and these bytes are not UTF-8.")


def stored_text(field_name: str) -> Func:
    """Return an expression for the text of the column: to compare ciphertext, never a secret."""
    return Func(F(field_name), template="%(expressions)s", output_field=models.TextField())


class OwnColumn:
    """What an UPDATE sets the column to so that it stays: itself, which keeps it out of the SQL."""

    def __init__(self, column: str) -> None:
        self.column = column

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return connection.ops.quote_name(self.column), []


class SecretAttribute(DeferredAttribute):
    """Masks what is assigned to the field, so that ``vars()`` of an unsaved row shows nothing."""

    field: "EncryptedSecretField"

    def __set__(self, instance: models.Model, value: object) -> None:
        if not hasattr(value, "resolve_expression"):  # refused when it is saved
            value = self.field.as_secret(value)
        instance.__dict__[self.field.attname] = value


class EncryptedSecretField(package.EncryptedCharField):  # type: ignore[misc]
    """A model field whose value is a `Secret`: encrypted at rest, compared and shown nowhere."""

    descriptor_class = SecretAttribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # No max_length of its own: the package leaves it out of migrations and clones.
        super().__init__(*args, max_length=MAX_LENGTH, **kwargs)
        if self.unique or self.db_default is not models.NOT_PROVIDED:
            raise TypeError(
                "An encrypted field cannot have unique, primary_key or db_default: "
                "the database would compare, or fill in, what is not the secret."
            )

    @property
    def validators(self) -> list[Callable[[Any], object]]:
        # Not the one for max_length: its error holds the value.
        return [OnText(validator) for validator in (validate_secret, *self._validators)]

    def from_db_value(self, value: Any, *args: object) -> Secret | None:
        return None if value is None else read_secret(as_text(value))

    def to_python(self, value: Any) -> Any:
        """Read what a fixture holds: ciphertext of any key, or a secret as plain text."""
        if value is None or isinstance(value, Secret):
            return value
        text = as_text(value)
        return read_secret(text) if looks_encrypted(text) else Secret(text)

    def as_secret(self, value: Any) -> Secret | None:
        """Return what a row is given as a secret; nothing is decrypted."""
        if value is None or isinstance(value, Secret):
            return value
        if hasattr(value, "resolve_expression"):
            raise FieldError(
                f"{self.name} is encrypted, and an expression cannot be: the expression's text "
                "would be stored as the secret. Instead of bulk_update() or F(), assign a string "
                "and save(), or use update() with a string."
            )
        return Secret(as_text(value))

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        # to_python() has no part in this: it decrypts, and a form would become a way to read
        # ciphertext that somebody found elsewhere.
        secret = self.as_secret(value)
        if secret is None and self.null:
            return None
        if secret is not None and not secret.is_new and secret != "":
            return secret
        text = MaskedStr(clean_pasted(secret.reveal() if secret else ""))
        if not text and not self.blank:
            raise ValidationError(_("Enter the Client Secret or the API key."), code="required")
        secret = Secret(text)
        self.run_validators(secret)
        return secret

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if add or not isinstance(value, UndecryptableSecret) or looks_encrypted(value.column()):
            return value
        return OwnColumn(self.column)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if isinstance(value, OwnColumn):
            return value
        secret = self.as_secret(value)
        if secret is None:
            return None
        if isinstance(secret, UndecryptableSecret):
            return ciphertext_of(secret)
        if secret.is_new:
            self.refuse_what_is_no_secret(secret)
        return encrypt(secret.reveal())

    def refuse_what_is_no_secret(self, secret: Secret) -> None:
        """Refuse what other tools make of a secret.

        Raises:
            ValueError: it holds asterisks that stand for a secret, or is ciphertext.
        """
        if MASK in secret.reveal():
            raise ValueError(
                f"{self.name} is given {MASK}, which stands for a secret and is none; it was not "
                "saved. Give the secret itself, or leave the field out."
            )
        if looks_encrypted(secret.reveal()):
            raise ValueError(
                f"{self.name} is given a value that is encrypted already; it was not saved."
            )

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        raise self.no_lookup()

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise self.no_lookup()
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise self.no_lookup()

    def no_lookup(self) -> FieldError:
        return FieldError(
            f"{self.name} is encrypted: a query cannot compare it, and trying would put the secret "
            "into the SQL log. Only isnull works; compare in Python."
        )

    def value_to_string(self, obj: models.Model) -> str:
        secret = self.as_secret(self.value_from_object(obj))
        return "" if secret is None else ciphertext_of(secret)

    def formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(self, **{"form_class": SecretFormField, **kwargs})

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        if data:  # left empty keeps what is stored
            super().save_form_data(instance, data)
