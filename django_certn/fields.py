"""The encrypted field: django-encrypted-model-fields with what it loses and leaks closed.

Same column, same ciphertext. The package hands out a value that it cannot decrypt as if it were the
secret, encrypts it once more on save, stores the text of an expression as the secret, decrypts what
is typed into a form, and serializes in clear; none of it with a warning. This is the only module
that knows the package.
"""

import copyreg
from contextlib import suppress
from typing import Any, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django import forms
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.signals import setting_changed
from django.db import models
from django.db.models.expressions import F, Func
from django.db.models.query_utils import DeferredAttribute

from django_certn.encryption_key import SETTING, encryption_keys, spelled_for_the_package
from django_certn.secret import (
    CIPHERTEXT_START,
    MAX_LENGTH,
    MaskedStr,
    clean_pasted,
    clean_secret,
    clean_text,
    looks_encrypted,
)

# The package reads the setting when it is imported; what is wrong with it is said before.
with spelled_for_the_package():
    from encrypted_model_fields import fields as package

__all__ = [
    "EncryptedSecretField",
    "Secret",
    "SecretFormField",
    "UndecryptableSecret",
    "decrypt",
    "encrypt",
    "is_current",
    "is_encrypted",
    "stored_text",
]


def encrypt(text: str) -> str:
    """Return the ciphertext of the text, under the first key of ``FIELD_ENCRYPTION_KEY``."""
    ciphertext: bytes = package.encrypt_str(text)
    return ciphertext.decode("ascii")


def decrypt(ciphertext: str) -> MaskedStr | None:
    """Return the text, or ``None`` when no key of ``FIELD_ENCRYPTION_KEY`` opens the ciphertext."""
    try:
        return MaskedStr(package.decrypt_str(ciphertext))
    except (InvalidToken, UnicodeError):
        return None


def is_current(ciphertext: str) -> bool:
    """Return whether the first key of ``FIELD_ENCRYPTION_KEY`` alone opens the ciphertext."""
    try:
        current_key.decrypt(ciphertext.encode())
    except (InvalidToken, UnicodeError):
        return False
    return True


def is_encrypted(field: object) -> bool:
    """Return whether it is one of the encryption package's fields, this module's included."""
    return isinstance(field, package.EncryptedMixin)


def use_keys() -> None:
    """Let the package and this module use the keys that the setting holds now."""
    global current_key
    keys = [Fernet(key) for key in encryption_keys()]
    package.CRYPTER, current_key = MultiFernet(keys), keys[0]


current_key: Fernet
use_keys()


def follow_settings(*, setting: str, **kwargs: object) -> None:
    """Let ``override_settings(FIELD_ENCRYPTION_KEY=...)`` reach the package in a site's tests."""
    if setting == SETTING:
        with suppress(ImproperlyConfigured):
            use_keys()


setting_changed.connect(follow_settings, dispatch_uid="django_certn.fields")


def pickle_masked(text: MaskedStr) -> tuple[Any, ...]:
    return unpickle_masked, (encrypt(text),)


def unpickle_masked(ciphertext: str) -> MaskedStr:
    """Return the text, an empty one when its encryption key was dropped."""
    return decrypt(ciphertext) or MaskedStr()


copyreg.pickle(MaskedStr, pickle_masked)


class Secret(MaskedStr):
    """A secret: a `str` equal to its text, masked wherever a value is shown, encrypted in a pickle.

    Attributes:
        stored: the text of the column that it was read from, ``None`` when it was not read.
    """

    __slots__ = ("stored",)
    stored: str | None

    def __new__(cls, text: str, stored: str | None = None) -> Self:
        self = super().__new__(cls, text)
        self.stored = stored
        return self

    @classmethod
    def read(cls, stored: str) -> "Secret":
        """Return what the text of the column stands for: a secret, or one that cannot be read."""
        text = decrypt(stored)
        # Ciphertext in ciphertext is what the package makes when it saves under another key.
        if text is None or looks_encrypted(text):
            return UndecryptableSecret(stored)
        return Secret(text, stored)

    @property
    def ciphertext(self) -> str:
        return encrypt(self) if self.stored is None else self.stored

    def reveal(self) -> MaskedStr:
        """Return the text."""
        return MaskedStr(self)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return Secret.read, (self.ciphertext,)


class UndecryptableSecret(Secret):
    """What is in the column when it is not the ciphertext of a secret: never taken for the secret.

    An empty `str`; saving writes what is stored back unchanged. The column may hold plain text, put
    there before it was encrypted or by a hand-written statement, so that is never shown either.
    """

    __slots__ = ()
    stored: str

    def __new__(cls, stored: str) -> Self:
        return super().__new__(cls, "", stored)

    @property
    def ciphertext(self) -> str:
        return self.stored if looks_encrypted(self.stored) else encrypt(self.stored)

    def plain_text(self) -> Secret | None:
        """Return the secret that the column holds in clear, or ``None`` when it holds none.

        What cannot be a secret is none; neither is ciphertext with something around it, such as
        the quotes that a hand-written statement left there.
        """
        if CIPHERTEXT_START in self.stored:
            return None
        with suppress(ValidationError):
            return Secret(clean_text(self.stored))
        return None

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        if looks_encrypted(self.stored):
            return super().__reduce_ex__(protocol)
        return unpickle_plain_text, (encrypt(self.stored),)


def unpickle_plain_text(ciphertext: str) -> UndecryptableSecret:
    stored = decrypt(ciphertext)
    return UndecryptableSecret(ciphertext if stored is None else stored)


def as_text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    with suppress(UnicodeDecodeError):
        return value.decode()
    # Not while handling that error, which holds the bytes.
    raise ValueError("A secret is text, and these bytes are not UTF-8.")


def stored_text(field_name: str) -> Func:
    """Return an expression for the text of the column: to compare ciphertext, never a secret."""
    return Func(F(field_name), template="%(expressions)s", output_field=models.TextField())


class SecretFormField(forms.CharField):
    """A form field that can be written and never shows what is stored."""

    def __init__(self, **kwargs: Any) -> None:
        # Whatever is asked for: the admin asks for a text input, which would show the secret.
        # "new-password", or the browser offers the password of whoever is logged in.
        kwargs["widget"] = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        # Without the field's validators: their errors hold the value as a parameter.
        value = self.pasted(value)
        self.validate(value)
        return clean_secret(value) if value else value

    def has_changed(self, initial: object, data: object) -> bool:
        return bool(self.pasted(data))

    def pasted(self, value: Any) -> str:
        return MaskedStr(clean_pasted(self.to_python(value) or ""))


class SecretAttribute(DeferredAttribute):
    """Masks what is assigned to the field, so that ``vars()`` of an unsaved row shows nothing."""

    field: "EncryptedSecretField"

    def __set__(self, instance: models.Model, value: object) -> None:
        if isinstance(value, str | bytes):
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

    def from_db_value(self, value: Any, *args: object) -> Secret | None:
        if value is None:
            return None
        return Secret.read(as_text(value))

    def to_python(self, value: Any) -> Any:
        """Read what a fixture holds: ciphertext of any key, or a secret in clear."""
        if value is None or isinstance(value, Secret):
            return value
        text = as_text(value)
        return Secret.read(text) if looks_encrypted(text) else Secret(text)

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
        if isinstance(secret, UndecryptableSecret) or (self.blank and not secret):
            return secret
        return clean_secret(secret or "")

    def get_db_prep_save(self, value: Any, connection: Any) -> str | None:
        secret = self.as_secret(value)
        if secret is None:
            return None
        if isinstance(secret, UndecryptableSecret):
            return secret.stored
        if looks_encrypted(secret):
            raise ValueError(
                f"{self.name} is given a value that is encrypted already; it was not saved."
            )
        return encrypt(secret)

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
        return "" if secret is None else secret.ciphertext

    def formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(self, **{"form_class": SecretFormField, **kwargs})

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        if data:  # left empty keeps what is stored
            super().save_form_data(instance, data)
