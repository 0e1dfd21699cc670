"""What is wrong with `FIELD_ENCRYPTION_KEY` is said in one sentence, the same on each Python."""

import re
import subprocess
import sys

import pytest
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured

from django_certn.encryption_key import (
    encryption_keys,
    mistakes,
    places_to_respell,
    spelled_for_the_package,
)
from django_certn.fields import decrypt, encrypt, is_current

pytestmark = pytest.mark.standalone

KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
OTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
STANDARD = "+/" + KEY[2:]
URL_SAFE = "-_" + KEY[2:]

RESTORE = (
    "Put back the encryption key that encrypted what is stored; only a site that has stored "
    'nothing makes a new one, by python -c "from cryptography.fernet import Fernet; '
    'print(Fernet.generate_key().decode())".'
)


@pytest.fixture
def found(settings):
    """Return what is said of a value of the setting."""

    def found(value):
        settings.FIELD_ENCRYPTION_KEY = value
        return [str(mistake) for mistake in mistakes()]

    return found


class TestWell:
    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            (KEY, [KEY]),
            (KEY.encode(), [KEY]),
            ([KEY], [KEY]),
            ((KEY, OTHER_KEY), [KEY, OTHER_KEY]),
            ([KEY.encode(), OTHER_KEY], [KEY, OTHER_KEY]),
            (f"{KEY},{OTHER_KEY}".split(","), [KEY, OTHER_KEY]),
            (URL_SAFE, [URL_SAFE]),
            (STANDARD, [URL_SAFE]),
            ([KEY, STANDARD.encode()], [KEY, URL_SAFE]),
        ],
    )
    def test_keys(self, found, value, keys):
        assert found(value) == []
        assert encryption_keys() == keys


class TestMistakes:
    @pytest.mark.parametrize("value", ["", b"", [], (), [""], [None]])
    def test_empty(self, found, value):
        assert found(value) == [f"FIELD_ENCRYPTION_KEY is empty. {RESTORE}"]

    def test_none(self, found):
        assert found(None) == [f"FIELD_ENCRYPTION_KEY is not set. {RESTORE}"]

    def test_absent(self, settings):
        del settings.FIELD_ENCRYPTION_KEY
        (mistake,) = mistakes()
        assert str(mistake) == f"FIELD_ENCRYPTION_KEY is not set. {RESTORE}"

    @pytest.mark.parametrize("length", [1, 20, 43, 45, 88])
    @pytest.mark.parametrize("make", [str, str.encode, lambda text: [text]])
    def test_cut_or_too_long(self, found, length, make):
        (said,) = found(make((KEY[:43] + KEY[:43] + KEY)[:length]))
        assert said == (
            f"FIELD_ENCRYPTION_KEY is not a whole encryption key: it has {length} characters, and "
            f"one has 44, of URL-safe base64, the last an equals sign. {RESTORE}"
        )

    @pytest.mark.parametrize("value", [KEY[:43] + "A", KEY[:42] + "==", "." + KEY[1:], "\xe9" * 44])
    def test_other_characters(self, found, value):
        (said,) = found(value)
        assert said == (
            "FIELD_ENCRYPTION_KEY is no encryption key: one is URL-safe base64, its last character "
            f"an equals sign. {RESTORE}"
        )

    @pytest.mark.parametrize(
        "between", [",", ";", " ", ", ", "\n", "|", '","', "=,", "", ",FIELD_ENCRYPTION_KEY="]
    )
    @pytest.mark.parametrize("second", [OTHER_KEY, OTHER_KEY[:30], OTHER_KEY[:43]])
    @pytest.mark.parametrize("make", [str, str.encode])
    def test_several_in_one_string(self, found, between, second, make):
        (said,) = found(make(KEY + between + second))
        assert said.startswith("FIELD_ENCRYPTION_KEY is several keys in one string. Put commas")
        assert '.split(",")' in said

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("", ","),
            ("", ";"),
            ("", " "),
            ("", "\n"),
            ("", "\r\n"),
            ("", "="),
            ("", "==="),
            (" ", ""),
            ("\n", ""),
            ("\ufeff", ""),
            ('"', '"'),
            ("'", "'"),
            ("b'", "'"),
            ("", ",old"),
            ("FIELD_ENCRYPTION_KEY=", ""),
        ],
    )
    @pytest.mark.parametrize("make", [str, str.encode])
    def test_something_around_it(self, found, before, after, make):
        (said,) = found(make(before + KEY + after))
        assert said.startswith("FIELD_ENCRYPTION_KEY has something around the encryption key. Take")

    @pytest.mark.parametrize(("value", "kind"), [(5, "int"), ({KEY}, "set"), ({KEY: KEY}, "dict")])
    def test_another_type(self, found, value, kind):
        assert found(value) == [
            f"FIELD_ENCRYPTION_KEY is of the type {kind}: it has to be an encryption key, or a "
            "list of them. " + RESTORE
        ]

    @pytest.mark.parametrize("value", [f"{KEY},".split(","), [KEY, None], (KEY, b"")])
    def test_a_comma_too_many(self, found, value):
        (said,) = found(value)
        assert said == (
            "Item 2 of 2 in FIELD_ENCRYPTION_KEY is empty. Take out a comma that is one too many. "
            f"If an encryption key is missing there, p{RESTORE[1:]}"
        )

    def test_each_bad_item_is_named(self, found):
        said = found(["", KEY, KEY[:9], f'"{OTHER_KEY}"', f"{KEY};{OTHER_KEY}", 5])
        assert [sentence.partition(" in ")[0] for sentence in said] == [
            f"Item {number} of 6" for number in (1, 3, 4, 5, 6)
        ]


WRONG = [
    None,
    "",
    [],
    5,
    KEY[:30],
    KEY[:43],
    KEY + "\n",
    f"{KEY},{OTHER_KEY}",
    [KEY, OTHER_KEY[:30]],
    [KEY, f'"{OTHER_KEY}"'],
    [KEY, ""],
    {KEY},
]


class TestSentences:
    @pytest.mark.parametrize("value", WRONG)
    def test_no_key_is_shown(self, found, value):
        for said in found(value):
            assert not re.search(f"{KEY[:6]}|{KEY[-6:-1]}|{OTHER_KEY[:6]}|{OTHER_KEY[-6:-1]}", said)

    @pytest.mark.parametrize("value", WRONG)
    def test_no_new_key_before_the_earlier_one(self, found, value):
        for said in found(value):
            before, _, after = said.partition("generate_key")
            assert not after or "ut back the encryption key that encrypted what is stored" in before

    @pytest.mark.parametrize("value", [*WRONG, KEY[:42] + "=="])
    def test_an_encryption_key_is_called_so(self, found, value):
        """Certn issues keys too."""
        for said in found(value):
            rest = said.replace("is several keys in one string", "")
            assert not re.search(r"(?<!encryption )\bkeys?\b", rest)

    @pytest.mark.parametrize("value", WRONG)
    def test_the_first_one_is_raised(self, found, value):
        first = found(value)[0]
        with pytest.raises(ImproperlyConfigured) as caught:
            encryption_keys()
        assert str(caught.value) == first


class TestOtherBase64:
    """A key with `+` or `/`, as `openssl rand -base64 32` makes them."""

    def test_the_item_is_named(self, settings):
        settings.FIELD_ENCRYPTION_KEY = [KEY, STANDARD, URL_SAFE, STANDARD[:9]]
        assert places_to_respell() == ["Item 2 of 4 in FIELD_ENCRYPTION_KEY"]

    def test_it_is_the_same_key(self, settings):
        settings.FIELD_ENCRYPTION_KEY = [STANDARD]
        ciphertext = encrypt("fake-secret")
        settings.FIELD_ENCRYPTION_KEY = URL_SAFE
        assert decrypt(ciphertext) == "fake-secret"
        assert is_current(ciphertext)

    @pytest.mark.parametrize("value", [STANDARD, [KEY, STANDARD]])
    def test_the_setting_stays_as_it_was_written(self, settings, value):
        settings.FIELD_ENCRYPTION_KEY = value
        with spelled_for_the_package():
            assert encryption_keys() == site.FIELD_ENCRYPTION_KEY
        assert site.FIELD_ENCRYPTION_KEY is value
        with pytest.raises(ZeroDivisionError), spelled_for_the_package():
            1 / 0  # noqa: B018
        assert site.FIELD_ENCRYPTION_KEY is value

    def test_a_setting_that_is_well_is_not_touched(self, settings):
        settings.FIELD_ENCRYPTION_KEY = URL_SAFE
        with spelled_for_the_package():
            assert site.FIELD_ENCRYPTION_KEY is URL_SAFE


# The next Pythons read base64 more strictly; this one is made to.
START = """
import base64, binascii, re

def strict(data):
    text = data if isinstance(data, str) else bytes(data).decode()
    if not re.fullmatch("[A-Za-z0-9_-]*={0,2}", text):
        raise binascii.Error("fake: not of the alphabet")
    return read(data)

read, base64.urlsafe_b64decode = base64.urlsafe_b64decode, strict

from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "tests.bare", "django.contrib.auth", "django.contrib.contenttypes", "django_certn",
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    **{settings},
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check"])
"""


def start(**settings):
    """Start a site whose first app, in the order of the settings, uses the package itself."""
    return subprocess.run(
        [sys.executable, "-c", START.replace("{settings}", repr(settings))],
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestStart:
    def test_well(self):
        result = start(FIELD_ENCRYPTION_KEY=[KEY, OTHER_KEY.encode()])
        assert (result.returncode, result.stderr) == (0, "")

    def test_with_a_character_that_newer_pythons_will_not_read(self):
        result = start(FIELD_ENCRYPTION_KEY=[STANDARD, KEY])
        assert result.returncode == 0
        assert "django_certn.W007" in result.stderr

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ({}, "FIELD_ENCRYPTION_KEY is not set."),
            ({"FIELD_ENCRYPTION_KEY": f"{KEY},{OTHER_KEY}"}, "FIELD_ENCRYPTION_KEY is several"),
            ({"FIELD_ENCRYPTION_KEY": [KEY, ""]}, "Item 2 of 2 in FIELD_ENCRYPTION_KEY is empty."),
        ],
    )
    def test_the_last_line_says_what_is_wrong(self, settings, problem):
        result = start(**settings)
        assert result.returncode == 1
        name, _, said = result.stderr.splitlines()[-1].partition(": ")
        assert name == "django.core.exceptions.ImproperlyConfigured"
        assert said.startswith(problem)
        assert KEY[:6] not in result.stderr.replace(START, "")
