"""The form field of a secret, and what a site's own validators get to see of one."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from django_certn.pasted import clean_pasted, clean_secret
from django_certn.secret import MASK, MaskedStr, Secret

__all__ = ["OnText", "SecretFormField", "WriteOnlyInput"]


class WriteOnlyInput(forms.PasswordInput):
    """A password input whose value is a `Secret` on its way through Django's form."""

    def __init__(self, attrs: Any = None) -> None:
        # "new-password", or the browser offers the password of whoever is logged in.
        super().__init__({"autocomplete": "new-password", **(attrs or {})})

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Secret | None:
        # Trackers show a variable of Django's frames that holds a `str`, be it a masked one.
        secret = super().value_from_datadict(data, files, name)
        return None if secret is None else Secret(secret)


class SecretFormField(forms.CharField):
    """A form field that can be written and never shows what is stored."""

    def __init__(self, **kwargs: Any) -> None:
        # Whatever is asked for: the admin asks for a text input, which would show the secret.
        kwargs["widget"] = WriteOnlyInput()
        super().__init__(**kwargs)

    # The variables are called `secret`, for trackers mask what is called so.

    def clean(self, secret: Any) -> Any:
        # Without the field's validators: their errors hold the value as a parameter.
        secret = self.pasted(secret)
        self.validate(secret)
        return clean_secret(secret) if secret else secret

    def has_changed(self, initial: object, data: object) -> bool:
        return bool(self.pasted(data))

    def pasted(self, secret: Any) -> str:
        if isinstance(secret, Secret):
            secret = secret.reveal()
        return MaskedStr(clean_pasted(self.to_python(secret) or ""))


class OnText:
    """A validator that a site gave the field: it gets the text, and its errors do not keep it."""

    def __init__(self, validator: Callable[[Any], object]) -> None:
        self.validator = validator

    def __call__(self, value: "str | Secret") -> None:
        text = MaskedStr(value.reveal() if isinstance(value, Secret) else value)
        errors: list[ValidationError] = []
        try:
            self.validator(text)
        except ValidationError as error:
            errors = error.error_list
        # Not while handling that error, which holds the text.
        if errors:
            raise ValidationError([without_value(error, text) for error in errors])


def without_value(error: ValidationError, text: str) -> ValidationError:
    params = {name: hidden(value, text) for name, value in (error.params or {}).items()}
    return ValidationError(hidden(error.message, text), error.code, params)


def hidden(value: Any, text: str) -> Any:
    """Return it with asterisks where it holds the text, as that of an f-string does."""
    if not isinstance(value, str) or not text:
        return value
    return str.replace(value, text, MASK) if text in value else value
