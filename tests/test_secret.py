"""What is kept in memory shows nothing unless it is asked."""

import base64
import copy
import pickle
import random
import string
import subprocess
import sys
import uuid

import pytest
from django.core.exceptions import ValidationError

from django_certn.secret import MaskedStr, clean_secret, validate_key

TEXT = "fake-text another\nfake-line"


MADE_OF_IT = {
    "slice": lambda text: text[:9],
    "step": lambda text: text[::2],
    "character": lambda text: text[0],
    "characters": list,
    "lines": lambda text: text.splitlines(),
    "lines with ends": lambda text: text.splitlines(keepends=True),
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


def test_what_is_no_text_stays_as_it_is():
    text = MaskedStr(TEXT)

    assert text.find("another") == TEXT.find("another")
    assert (len(text), hash(text), text.encode()) == (len(TEXT), hash(TEXT), TEXT.encode())
    with pytest.raises(TypeError):
        1 + text
    with pytest.raises(TypeError):
        text + 1


WITHOUT_FIELDS = """
import pickle
from django_certn.secret import MaskedStr
try:
    print(pickle.dumps(MaskedStr("fake-text")))
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

    assert result.stdout == "A MaskedStr cannot be pickled: it would be in clear.\n"


def test_it_pickles_as_ciphertext():
    pickled = pickle.dumps(MaskedStr(TEXT), 0)

    assert TEXT.encode() not in pickled
    assert b"gAAAAA" in pickled
    unpickled = pickle.loads(pickled)
    assert (unpickled, type(unpickled)) == (TEXT, MaskedStr)


KEY = "fake0key1Of-Letters_and.digits~"

NO_KEY = {
    "asterisks": ("********", "masked"),
    "bullets": ("\u2022\u2022\u2022\u2022", "masked"),
    "double quotes": (f'"{KEY}"', "quoted"),
    "single quotes": (f"'{KEY}'", "quoted"),
    "backticks": (f"`{KEY}`", "quoted"),
    "code fence": (f"```\n{KEY}\n```", "quoted"),
    "quotes and a comma": (f'"{KEY}",', "quoted"),
    "quotes of a word processor": (f"\u201c{KEY}\u201d", "quoted"),
    "one of them": (f"\u201c{KEY}", "quoted"),
    "a member of JSON": (f'"client_secret": "{KEY}"', "quoted"),
    "JSON": (f'{{"client_id": "a", "client_secret": "{KEY}"}}', "json"),
    "JSON over lines": (f'{{\n  "client_secret": "{KEY}"\n}}', "json"),
    "a list": (f'["{KEY}"]', "json"),
    "Bearer": (f"Bearer {KEY}", "header"),
    "basic": (f"basic {KEY}", "header"),
    "Api-Key": (f"Api-Key {KEY}", "header"),
    "a header": (f"Authorization: Bearer {KEY}", "header"),
    "Client Secret:": (f"Client Secret: {KEY}", "labelled"),
    "client_secret:": (f"client_secret:{KEY}", "labelled"),
    "client_secret=": (f"client_secret={KEY}", "labelled"),
    "Client ID:": (f"Client ID: {KEY}", "labelled"),
    "API key:": (f"API key: {KEY}", "labelled"),
    "token=": (f"token = {KEY}", "labelled"),
    "both halves": (f"Client ID: {KEY}\nClient Secret: {KEY}", "labelled"),
    "a line of .env": (f"CERTN_CLIENT_SECRET={KEY}", "assigned"),
    "with spaces": (f"CERTN_CLIENT_SECRET = {KEY}", "assigned"),
    "of a shell": (f"export CERTN_SECRET={KEY}", "assigned"),
    "of Python": (f"certn_key='{KEY}'", "assigned"),
    "another name": (f"A_NAME={KEY}", "assigned"),
    "an address": ("https://demo-api.certn.co/token/", "address"),
    "a placeholder": ("<your-client-secret>", "placeholder"),
    "a space": (f"{KEY} {KEY}", "space"),
    "a line end": (f"{KEY}\n{KEY}", "space"),
    "a tab": (f"{KEY}\t{KEY}", "space"),
    "a no-break space": (f"{KEY}\u00a0{KEY}", "space"),
}


@pytest.mark.parametrize(("text", "code"), NO_KEY.values(), ids=NO_KEY)
def test_what_clearly_is_no_key_is_refused_with_what_it_is(text, code):
    for clean in (validate_key, clean_secret):
        with pytest.raises(ValidationError) as caught:
            clean(text)
        assert caught.value.code == code
        assert caught.value.messages[0].endswith(".")
        assert KEY not in repr(vars(caught.value))


def fake_keys():
    """Keys as programs make them, the same in each run."""
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits
    for length in (20, 32, 40, 64, 128):
        for _ in range(200):
            raw = chance.randbytes(length)
            yield "".join(chance.choices(letters, k=length))
            yield base64.b64encode(raw).decode()
            yield base64.urlsafe_b64encode(raw).decode()
            yield base64.b85encode(raw).decode()
            yield raw.hex()
            yield str(uuid.UUID(bytes=raw[:16]))
            yield "".join(chance.choices(letters + "!#$%&()*+,-./:;=?@^_~", k=length))


def test_a_random_key_is_never_refused():
    made_up = ["sk_test_4f3a", "abcd1234.0123456789abcdef0123456789abcdef", "sandbox-secret-a_b-c"]
    for key in [*made_up, "a=b", "a:b", "key=", "x==", "Bearer-a", "a*b", *fake_keys()]:
        assert clean_secret(key) == key
