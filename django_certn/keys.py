"""What a key of either kind is made of, and how a credential may be called."""

import re
import unicodedata
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_certn.conf import Environment, Scheme
from django_certn.pasted import VSCHAR, validate_key
from django_certn.secret import Secret

__all__ = [
    "UNSEEN",
    "Key",
    "look_swapped",
    "looks_like_api_key",
    "validate_client_id",
    "validate_name",
    "validate_pasted_client_id",
]

# Shapes that were seen: eight characters, a dot and 32 more, and the sample in Certn's own pages.
# They are nowhere promised, so they explain what is refused anyhow, and refuse nothing:
# https://centric-api-docs.certn.co/reference/authentication.md
API_KEY = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}|sk_(test|live)_[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A readable key of either kind, and where it goes.

    Attributes:
        name: the name of the credential, for the log.
        environment: its scheme says which kind of key this is.
        client_id: ``""`` of an API key.
        client_secret: the Client Secret, or the API key.
    """

    name: str
    environment: Environment
    client_id: str
    client_secret: Secret


# Control, format, surrogate, line, paragraph: not seen, and it does something to a terminal, a log
# or the direction of a text. Of two names that look alike, one would stand for the other.
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def validate_name(name: str) -> None:
    """Hold the name of a credential to characters that can be seen.

    Raises:
        ValidationError: it holds another one.
    """
    if any(unicodedata.category(character) in UNSEEN for character in name):
        raise ValidationError(
            _("This holds a character that cannot be seen, or a line end: type the name anew."),
            code="unseen",
        )


def validate_client_id(client_id: str, scheme: Scheme | None) -> None:
    """Hold a Client ID to what the environment asks for.

    Raises:
        ValidationError: an API key has none, and a Client Secret has one.
    """
    if scheme == Scheme.OAUTH and not client_id:
        raise ValidationError(
            _("A key of this environment has a Client ID: enter it beside the Client Secret."),
            code="blank",
        )
    if scheme == Scheme.API_KEY and client_id:
        raise ValidationError(
            _(
                "An API key has no Client ID: leave this empty. If you have a Client ID and a "
                "Client Secret, choose the environment in which they were made."
            ),
            code="left_over",
        )


def validate_pasted_client_id(text: str) -> None:
    """Refuse what clearly is no Client ID; what is not ASCII is refused with another sentence.

    Raises:
        ValidationError: with what it is instead.
    """
    if VSCHAR.fullmatch(text):
        validate_key(text)


def looks_like_api_key(text: str) -> bool:
    """Return whether this is clearly an API key of CertnCentric."""
    return API_KEY.fullmatch(text) is not None


def look_swapped(client_id: str, secret: str) -> bool:
    """Return whether the two look as if each stood in the other's place.

    Both are made to lengths that differ, and the sandbox writes into them what they are. Neither
    is promised, so this is for a warning and refuses nothing.
    """
    if client_id.startswith("sandbox-secret-") or secret.startswith("sandbox-id-"):
        return True
    return len(client_id) >= 2 * len(secret)
