"""``FIELD_ENCRYPTION_KEY``, judged before the encryption package reads it.

The package and base64 pass over much that is wrong with a key, each Python something else, and then
data cannot be read. Here a key is what the specification says, on every Python; no message shows
one, and none sends anybody to make a new key while the earlier one can be put back.
https://github.com/fernet/spec/blob/master/Spec.md#key-format
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

__all__ = [
    "SETTING",
    "Mistake",
    "encryption_keys",
    "mistakes",
    "places_to_respell",
    "spelled_for_the_package",
]

SETTING = "FIELD_ENCRYPTION_KEY"

# 32 bytes in base64, with "+" and "/" too: `openssl rand -base64 32` makes such keys.
KEY = re.compile(r"(?<![A-Za-z0-9_/+-])[A-Za-z0-9_/+-]{43}=")
LENGTH = 44  # characters

# What is left beside a key and may be another one that is cut. Longer than the setting's name.
MORE = re.compile(r"[A-Za-z0-9_/+-]{24}")

RESTORE = (
    "Put back the encryption key that encrypted what is stored; only a site that has stored "
    'nothing makes a new one, by python -c "from cryptography.fernet import Fernet; '
    'print(Fernet.generate_key().decode())".'
)
SPARE_COMMA = (
    "Take out a comma that is one too many. If an encryption key is missing there, "
    f"{RESTORE[0].lower()}{RESTORE[1:]}"
)


class Mistake(NamedTuple):
    """What is wrong with the setting, or with one item of it; shows no part of a key.

    Attributes:
        problem: a sentence that names the item.
        remedy: a sentence that says what to do.
        is_unsplit: whether there are several keys in one string.
    """

    problem: str
    remedy: str
    is_unsplit: bool = False

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


def encryption_keys() -> list[str]:
    """Return the keys, the first of them the one that encrypts, in URL-safe base64.

    Raises:
        ImproperlyConfigured: something is wrong with the setting; the text says what to do.
    """
    for mistake in mistakes():
        raise ImproperlyConfigured(str(mistake))
    return [url_safe(text_of(key)) for _, key in items()]


def mistakes() -> list[Mistake]:
    """Return what is wrong with the setting, item by item."""
    if getattr(settings, SETTING, None) is None:
        return [Mistake(f"{SETTING} is not set.", RESTORE)]
    found = items()
    if not found:
        return [Mistake(f"{SETTING} is empty.", RESTORE)]
    judged = (judge(place, key, is_one_of_many=len(found) > 1) for place, key in found)
    return [mistake for mistake in judged if mistake]


def places_to_respell() -> list[str]:
    """Return which items hold a ``+`` or a ``/``, which URL-safe base64 has not.

    Python 3.15 warns of them, and later ones will pass over them:
    https://github.com/python/cpython/pull/141128
    """
    return [
        place
        for place, key in items()
        if not judge(place, key, is_one_of_many=False) and url_safe(text_of(key)) != text_of(key)
    ]


@contextmanager
def spelled_for_the_package() -> Iterator[None]:
    """Let the package find the keys in URL-safe base64 while it is imported.

    It reads the setting then and at no other time. They are the same keys, so it does not matter
    who else reads the setting meanwhile; afterwards it is what the site wrote.

    Raises:
        ImproperlyConfigured: something is wrong with the setting; the text says what to do.
    """
    keys = encryption_keys()
    if not places_to_respell():
        yield
        return
    written = getattr(settings, SETTING)
    setattr(settings, SETTING, keys)
    try:
        yield
    finally:
        setattr(settings, SETTING, written)


def items() -> list[tuple[str, object]]:
    """Return each key with the words for where it stands."""
    value = getattr(settings, SETTING, None)
    if not isinstance(value, list | tuple):
        return [(SETTING, value)]
    if len(value) == 1:
        return [(SETTING, value[0])]
    return [
        (f"Item {number} of {len(value)} in {SETTING}", key) for number, key in enumerate(value, 1)
    ]


def judge(place: str, key: object, *, is_one_of_many: bool) -> Mistake | None:
    if not key:
        return Mistake(f"{place} is empty.", SPARE_COMMA if is_one_of_many else RESTORE)
    if not isinstance(key, str | bytes):
        return Mistake(
            f"{place} is of the type {type(key).__name__}: it has to be an encryption key, or a "
            "list of them.",
            RESTORE,
        )
    text = text_of(key)
    if KEY.fullmatch(text):
        return None
    found = len(KEY.findall(text))
    if found > 1 or (found and MORE.search(KEY.sub(" ", text))):
        return Mistake(
            f"{place} is several keys in one string.",
            f'Put commas between them and make a list, such as os.environ["{SETTING}"].split(","), '
            "and leave the encryption keys themselves as they are: only they open what is stored.",
            is_unsplit=True,
        )
    if found:
        return Mistake(
            f"{place} has something around the encryption key.",
            "Take out spaces, line ends, quotes and separators, and leave the encryption key "
            "itself as it is: only that opens what is stored.",
        )
    return Mistake(
        f"{place} is not a whole encryption key: it has {len(text)} characters, and one has "
        f"{LENGTH}, of URL-safe base64, the last an equals sign."
        if len(text) != LENGTH
        else f"{place} is no encryption key: one is URL-safe base64, its last character an equals "
        "sign.",
        RESTORE,
    )


def text_of(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")
