"""What may be pasted as a secret, and what clearly is none."""

import re
import unicodedata
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_certn.masked import MASK, MaskedStr

__all__ = [
    "CIPHERTEXT_START",
    "MAX_LENGTH",
    "VSCHAR",
    "clean_pasted",
    "clean_secret",
    "clean_text",
    "looks_encrypted",
    "validate_key",
    "validate_secret",
]

MAX_LENGTH = 1024  # characters; Certn documents no length, so this only keeps nonsense out

VSCHAR = re.compile(r"[\x20-\x7e]+", re.ASCII)  # RFC 6749, appendix A.1 and A.2

# How every Fernet token begins until the year 2106: version 0x80 and the high bytes of the time.
# https://github.com/fernet/spec/blob/master/Spec.md#token-format
CIPHERTEXT_START = "gAAAAA"


def looks_encrypted(text: str) -> bool:
    return text.startswith(CIPHERTEXT_START)


def clean_pasted(text: str) -> str:
    """Return the text without what copying adds around it: spaces, line ends, invisible marks."""
    edges = {c for c in text if c.isspace() or unicodedata.category(c) == "Cf"}
    return text.strip("".join(edges))


MASKED = _(
    "This is what a page shows in place of a secret, and not the secret: copy it where it is shown "
    "in full."
)

# What clearly is no key, and what it is instead. Words and signs that a random key could hold
# somewhere count only where they stand as a person copies them.
NO_KEY: list[tuple[str, re.Pattern[str], Any]] = [
    (
        "masked",
        re.compile(r"[*\u2022\u25cf\u00b7\u2217\uff0a]+"),
        MASKED,
    ),
    (
        "quoted",
        re.compile(
            r"""([\"'`]).*\1[,;]*|[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb].*""", re.DOTALL
        ),
        _("This is in quotes: paste it without them."),
    ),
    (
        "json",
        re.compile(r"\{.*\}[,;]*|\[.*\][,;]*", re.DOTALL),
        _("This is JSON: paste one value of it alone, without its quotes."),
    ),
    (
        "header",
        re.compile(r"(authorization:|(bearer|basic|api-key)\s).*", re.DOTALL | re.IGNORECASE),
        _("This is a header, such as “Bearer ...”, and not a key: paste the key alone."),
    ),
    (
        "labelled",
        re.compile(
            r"(export\s+)?(client[ _-]?(id|secret)|api[ _-]?key|secret|token)\s*[:=].*",
            re.DOTALL | re.IGNORECASE,
        ),
        _("This has its name in front: paste what comes after that."),
    ),
    (
        "assigned",
        re.compile(
            r"(export\s+)?([A-Z][A-Z0-9]*(_[A-Z0-9]+)+|(?i:(\w+_)?(secret|key|client|certn)(_\w+)?))\s*=[^=].*",
            re.DOTALL | re.ASCII,
        ),
        _("This is a line of settings, NAME=value: paste what comes after the equals sign."),
    ),
    (
        "address",
        re.compile(r"https?://.*", re.DOTALL | re.IGNORECASE),
        _("This is an address, and not a key: paste the key itself."),
    ),
    (
        "placeholder",
        re.compile(r"<.*>", re.DOTALL),
        _("This stands for a key in a text, and is none: paste the key as Certn shows it."),
    ),
    (
        "space",
        re.compile(r".*\s.*", re.DOTALL),
        _("There is a space or a line end in this, and in a key there is none: copy it again."),
    ),
]


def validate_key(text: str) -> None:
    """Refuse what clearly is no Client ID, no Client Secret and no API key.

    Raises:
        ValidationError: with what it is instead. It does not hold the text.
    """
    if len(text) > MAX_LENGTH:
        return  # refused for that, and no pattern takes its time over megabytes
    for code, pattern, message in NO_KEY:
        if pattern.fullmatch(text):
            raise ValidationError(message, code=code)


def clean_secret(value: str) -> MaskedStr:
    """Return the secret that was pasted.

    Raises:
        ValidationError: it cannot be a secret, or clearly is none. No error holds the value, not
            even as a parameter.
    """
    text = MaskedStr(clean_pasted(value))
    validate_key(text)
    return clean_text(text)


def clean_text(value: str) -> MaskedStr:
    """Return the text of a secret, wherever it comes from.

    Raises:
        ValidationError: it cannot be a secret. No error holds the value, not even as a parameter.
    """
    text = MaskedStr(clean_pasted(value))
    if not text:
        raise ValidationError(_("Enter the Client Secret or the API key."), code="required")
    validate_text(text)
    return text


def validate_secret(text: str) -> None:
    """Refuse what a form refuses. A validator of the model field, so of each form and API.

    Raises:
        ValidationError: it cannot be a secret, or clearly is none. No error holds the text, not
            even as a parameter.
    """
    validate_key(text)
    validate_text(text)


def validate_text(text: str) -> None:
    """Refuse what cannot be a secret.

    Raises:
        ValidationError: no error holds the text, not even as a parameter.
    """
    if MASK in text:
        raise ValidationError(MASKED, code="masked")
    if looks_encrypted(text):
        raise ValidationError(
            _("This is an encrypted value, not a secret: paste the secret as Certn shows it."),
            code="ciphertext",
        )
    if not VSCHAR.fullmatch(text):
        raise ValidationError(
            _(
                "This holds a character that cannot be part of a secret "
                "(only printable ASCII can): copy it again."
            ),
            code="invalid",
        )
    if len(text) > MAX_LENGTH:
        raise ValidationError(_("This is too long to be a secret: copy it again."), code="too_long")
