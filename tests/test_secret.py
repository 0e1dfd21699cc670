"""What is kept in memory shows nothing unless it is asked."""

import copy
import pickle
import subprocess
import sys

import pytest

from django_certn.secret import MaskedStr

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
