"""What clearly is no key is refused, and a key never."""

import base64
import random
import string
import uuid

import pytest
from django.core.exceptions import ValidationError

from django_certn.pasted import clean_secret, validate_key, validate_secret

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
    for clean in (validate_key, validate_secret, clean_secret):
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
