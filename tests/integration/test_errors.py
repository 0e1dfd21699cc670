"""No error that a site gets to see holds the secret, the header or a token, however deep."""

import re
from base64 import b64encode
from io import StringIO
from urllib.parse import quote_plus

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from django_certn.client import auth_headers
from django_certn.exceptions import CertnError
from django_certn.models import CertnCredential
from django_certn.tokens import aget_token, get_token, invalidate_token, renewal, shared_cache
from django_certn.tokens.service import installed
from django_certn.verification import verify
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan

pytestmark = pytest.mark.django_db(transaction=True)

SCAN = Scan(
    SECRET, TOKEN, b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(SECRET)}".encode()).decode()
)


@pytest.fixture(autouse=True)
def stored(endpoint, make_credential, settings):
    """A key that Certn refuses with an answer that tells all, and nothing in memory."""
    installed().clear()
    settings.CERTN_REQUEST_TIMEOUT = 0.5
    endpoint.answer(401, {"error": SECRET, "access_token": TOKEN}, {"X": SECRET})
    make_credential(environment="scripted", client_id=CLIENT_ID, client_secret=SECRET)


def refused(settings, endpoint):
    """It is as it is."""


def silent(settings, endpoint):
    endpoint.answer(delay=30)


def chatty(settings, endpoint):
    endpoint.answer(200, {"access_token": TOKEN, "expires_in": f"{SECRET}"})


def inactive(settings, endpoint):
    CertnCredential.objects.update(is_active=False)


def deleted(settings, endpoint):
    CertnCredential.objects.all().delete()


def without_environment(settings, endpoint):
    settings.CERTN_ENVIRONMENTS = {}


def under_another_key(settings, endpoint):
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()


def without_its_half(settings, endpoint):
    CertnCredential.objects.update(client_id="")


TROUBLES = [
    refused,
    silent,
    chatty,
    inactive,
    deleted,
    without_environment,
    under_another_key,
    without_its_half,
]


# What is not async in it runs in this thread, on its connections.
awaited = async_to_sync(aget_token)

CALLS = {
    "get_token": get_token,
    "get_token that wants more": lambda: get_token(min_validity=99_999),
    "get_token in no time": lambda: get_token(timeout=0.01),
    "aget_token": awaited,
    "auth_headers": auth_headers,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_call_that_fails(settings, endpoint, trouble, call):
    trouble(settings, endpoint)
    with pytest.raises(CertnError) as raised:
        call()
    assert SCAN.error(raised.value) == set()
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


@pytest.mark.parametrize("trouble", TROUBLES[3:], ids=lambda trouble: trouble.__name__)
def test_invalidating_a_token(settings, endpoint, trouble):
    trouble(settings, endpoint)
    with pytest.raises(CertnError) as raised:
        invalidate_token("default", "another-fake-token")
    assert SCAN.error(raised.value) == set()


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize("output", ["text", "json"])
def test_the_command(settings, endpoint, trouble, output):
    trouble(settings, endpoint)
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("certn_check", "default", format=output, stdout=out, stderr=out)
    assert SCAN.error(raised.value) | SCAN.text(out.getvalue()) == set()


@pytest.mark.parametrize("call", [lambda: verify("other"), lambda: verify("default", timeout=0)])
def test_verify_raises_before_it_reads_the_key(call):
    with pytest.raises((CertnError, ValueError)) as raised:
        call()
    assert SCAN.error(raised.value) == set()


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (shared_cache.SharedCache, "read"),
        (shared_cache.SharedCache, "write_token"),
        (shared_cache.SharedCache, "lock"),
        (shared_cache.SharedCache, "load_token"),
        (renewal.Renewal, "keep"),
        (renewal.Renewal, "make_exchange"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize(
    "call",
    [lambda: get_token(min_validity=9), lambda: awaited(min_validity=9)],
    ids=["get_token", "aget_token"],
)
def test_a_bug_of_the_token_service(endpoint, monkeypatch, where, name, call):
    endpoint.answer(200, {"access_token": TOKEN, "expires_in": 2})

    def bug(*args, **kwargs):
        raise KeyError("nobody foresaw this")

    get_token()  # so that there is one to read
    installed().memos.forget()
    monkeypatch.setattr(where, name, bug)
    with pytest.raises(KeyError) as raised:
        call()
    assert SCAN.error(raised.value) == set()
    assert "nobody foresaw this" in str(raised.value)
    (note,) = raised.value.__notes__
    assert re.fullmatch(r"In test_errors\.py, line \d+\.", note)
