"""What is kept in memory shows nothing unless it is asked."""

import copy
import json
import pickle
import subprocess
import sys

import pytest

from django_certn.exceptions import CredentialUndecryptableError
from django_certn.secret import MaskedStr, Secret, UndecryptableSecret

TEXT = "fake-text another\nfake-line"


MADE_OF_IT = {
    "slice": lambda text: text[:9],
    "step": lambda text: text[::2],
    "character": lambda text: text[0],
    "characters": list,
    "words": lambda text: text.split(),
    "words from the right": lambda text: text.rsplit("-", 1),
    "partition": lambda text: text.partition("-"),
    "partition from the right": lambda text: text.rpartition("-"),
    "strip": lambda text: text.strip("f"),
    "lstrip": lambda text: text.lstrip("f"),
    "rstrip": lambda text: text.rstrip("e"),
    "removeprefix": lambda text: text.removeprefix("fake"),
    "removesuffix": lambda text: text.removesuffix("line"),
    "replace": lambda text: text.replace("-", "_"),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "ljust": lambda text: text.ljust(99),
    "center": lambda text: text.center(99),
    "expandtabs": lambda text: text.expandtabs(),
    "translate": lambda text: text.translate({45: 46}),
    "join": lambda text: text.join("ab"),
    "add": lambda text: text + "more",
    "radd": lambda text: "Bearer " + text,
    "multiply": lambda text: text * 2,
    "percent": lambda text: "Bearer %s" % text,  # noqa: UP031
    "str": str,
    "format": format,
    "f-string": lambda text: f"{text}",
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("make", MADE_OF_IT.values(), ids=MADE_OF_IT)
def test_what_is_made_of_a_masked_str_is_equal_and_masked(make):
    made = make(MaskedStr(TEXT))

    assert made == make(TEXT)
    shown = repr(made)
    assert "********" in shown
    assert not any(word in shown for word in ("fake", "FAKE", "Fake", "line", "another", "'f'"))


def test_its_lines_are_asterisks():
    text = MaskedStr(TEXT)

    assert text.splitlines() == ["********", "********"]
    assert text.splitlines(keepends=True) == ["********\n", "********\n"]
    assert MaskedStr().splitlines() == []


def test_what_is_no_text_stays_as_it_is():
    text = MaskedStr(TEXT)

    assert text.find("another") == TEXT.find("another")
    assert (len(text), hash(text), text.encode()) == (len(TEXT), hash(TEXT), TEXT.encode())
    with pytest.raises(TypeError):
        1 + text
    with pytest.raises(TypeError):
        text + 1


# A secret is no str


SHOWN = {
    "str": str,
    "repr": repr,
    "format": format,
    "f-string": lambda secret: f"Basic {secret}",
    "alignment": lambda secret: f"{secret:>40}",
    "percent": lambda secret: "Basic %s, %r" % (secret, secret),  # noqa: UP031
    "str.format": lambda secret: f"{secret} {secret!r}",
    "in a list": lambda secret: repr([secret]),
    "in a dict": lambda secret: str({"secret": secret}),
    "json by str": lambda secret: json.dumps(secret, default=str),
    "json by repr": lambda secret: json.dumps([secret], default=repr),
    "exception": lambda secret: str(ValueError(secret)),
    "join": lambda secret: ",".join(map(str, [secret])),
}


@pytest.mark.parametrize("secret", [Secret(TEXT), UndecryptableSecret(TEXT)], ids=["", "plain"])
@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_a_secret_shows_asterisks(show, secret):
    shown = show(secret)

    assert "********" in shown
    assert "fake" not in shown


TEXT_ONLY = {
    "json": json.dumps,
    "len": len,
    "iter": list,
    "slice": lambda secret: secret[:3],
    "bytes": bytes,
    "add": lambda secret: secret + "x",
    "radd": lambda secret: "Bearer " + secret,
    "join": "".join,
    "in": lambda secret: "fake" in secret,
    "in a text": lambda secret: secret in TEXT,
    "sort": lambda secret: sorted([secret, secret]),
    "vars": vars,
}


@pytest.mark.parametrize("use", TEXT_ONLY.values(), ids=TEXT_ONLY)
def test_a_secret_is_not_taken_for_text(use):
    with pytest.raises(TypeError) as caught:
        use(Secret(TEXT))

    assert "fake" not in str(caught.value)


def test_reveal_gives_the_text():
    revealed = Secret(TEXT).reveal()

    assert (revealed, type(revealed)) == (TEXT, MaskedStr)
    assert Secret().reveal() == ""


@pytest.mark.parametrize("text", ["", TEXT, "fake-\u00e9", "fake-\ud800"])
def test_it_is_equal_to_its_text_and_hashes_as_it(text):
    secret = Secret(text)

    assert secret == text == secret == Secret(text, "gAAAAAfake") == MaskedStr(text)
    assert hash(secret) == hash(text)
    assert {text: 1}[secret] == 1
    assert bool(secret) is bool(text)
    assert secret != f"{text} "
    assert secret != Secret(f"{text} ")


@pytest.mark.parametrize("other", [TEXT.encode(), None, 1, [TEXT], (TEXT,), object()])
def test_it_is_unequal_to_all_that_is_no_text(other):
    assert Secret(TEXT) != other
    assert other != Secret(TEXT)


def test_a_copy_is_the_same():
    for secret in (Secret(TEXT), UndecryptableSecret(TEXT)):
        assert copy.copy(secret) is copy.deepcopy(secret) is secret


def walk(value, depth=4):
    """Whatever is found by attribute, and by item, as tools do that show any object."""
    yield value
    if depth and not isinstance(value, str | type):
        if isinstance(value, list | tuple | set | dict):
            for item in value:
                yield from walk(item, depth - 1)
        for name in dir(value):
            if not name.startswith("__") or name in ("__dict__", "__slots__", "__wrapped__"):
                try:
                    found = getattr(value, name)
                except Exception:  # noqa: BLE001 - as those tools do
                    continue
                yield from walk(found, depth - 1)


@pytest.mark.parametrize(
    "secret",
    [
        Secret(TEXT),
        Secret(TEXT, "gAAAAAfake"),
        UndecryptableSecret(TEXT),
        UndecryptableSecret("gAAAAAfake"),
    ],
    ids=["given", "read", "plain text", "undecryptable"],
)
def test_no_attribute_holds_the_text(secret):
    assert not [value for value in walk(secret) if isinstance(value, str) and TEXT in value]
    assert not hasattr(secret, "__dict__")


def test_the_walk_finds_what_an_attribute_holds():
    class Holder:
        __slots__ = ("held",)

    holder = Holder()
    holder.held = [TEXT]
    assert TEXT in list(walk(holder))


def test_what_cannot_be_read_is_false_and_raises():
    secret = UndecryptableSecret("gAAAAAfake")

    assert not secret
    assert secret not in ("", "gAAAAAfake", Secret(""), Secret("gAAAAAfake"))
    assert secret == UndecryptableSecret("gAAAAAfake")
    assert secret != UndecryptableSecret("gAAAAAother")
    with pytest.raises(CredentialUndecryptableError, match="put the earlier encryption key back"):
        secret.reveal()
    assert secret.error_code == ""


def test_what_is_stored_in_clear_says_so_and_raises():
    secret = UndecryptableSecret("fake-plain")

    assert secret.error_code == "plaintext"
    assert secret.plain_text() == "fake-plain"
    with pytest.raises(CredentialUndecryptableError, match="stored as plain text") as caught:
        secret.reveal()
    assert "fake-plain" not in str(caught.value)


# Pickles


WITHOUT_FIELDS = """
import pickle
from django_certn.secret import MaskedStr, Secret, UndecryptableSecret
for kind in (MaskedStr, Secret, UndecryptableSecret):
    try:
        print(pickle.dumps(kind("fake-text")))
    except TypeError as error:
        print(error)
"""


def test_it_does_not_pickle_where_nothing_encrypts():
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_FIELDS],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert result.stdout.splitlines() == [
        f"A {kind} cannot be pickled: a pickle would hold it as plain text."
        for kind in ("MaskedStr", "Secret", "UndecryptableSecret")
    ]


def test_a_masked_str_pickles_as_ciphertext():
    pickled = pickle.dumps(MaskedStr(TEXT), 0)

    assert TEXT.encode() not in pickled
    assert b"gAAAAA" in pickled
    unpickled = pickle.loads(pickled)
    assert (unpickled, type(unpickled)) == (TEXT, MaskedStr)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "secret",
    [Secret(TEXT), Secret(TEXT).as_stored(), UndecryptableSecret("fake-text in clear")],
    ids=["given", "stored", "plain text"],
)
def test_a_secret_pickles_as_ciphertext(secret, protocol):
    pickled = pickle.dumps(secret, protocol)

    assert b"fake-text" not in pickled
    assert b"gAAAAA" in pickled
    unpickled = pickle.loads(pickled)
    assert (unpickled, type(unpickled)) == (secret, type(secret))
    assert unpickled.is_new is secret.is_new
