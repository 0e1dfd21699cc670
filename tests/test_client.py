import asyncio
import subprocess
import sys

import pytest
import requests
from asgiref.sync import async_to_sync

import django_certn
from django_certn import client
from django_certn.client import aauth_headers, auth_headers, base_url
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialInactiveError,
    CredentialNotFoundError,
)
from django_certn.models import CertnCredential
from django_certn.tokens import get_token

pytestmark = pytest.mark.django_db

API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"


def aauth_headers_now(*args):
    return async_to_sync(aauth_headers)(*args)


BOTH = pytest.mark.parametrize("headers", [auth_headers, aauth_headers_now])


@pytest.fixture
def credential(make_credential, endpoint):
    return make_credential(environment="scripted")


@pytest.fixture
def api_key(make_credential, centric):
    return make_credential("acme", environment="centric", client_id="", client_secret=API_KEY)


@BOTH
def test_one_line_gives_the_right_header(headers, credential, endpoint):
    assert headers() == {"Authorization": f"Bearer {get_token().value}"}
    assert endpoint.hits == 1


@BOTH
def test_for_either_kind_of_key(headers, api_key, centric):
    assert headers("acme") == {"Authorization": f"Api-Key {API_KEY}"}
    assert centric.hits == 0


@BOTH
def test_is_the_callers_own_dict(headers, credential):
    headers()["Authorization"] = "spoilt"
    assert headers()["Authorization"].startswith("Bearer ")


@BOTH
def test_takes_a_name_or_a_credential(headers, credential, make_credential):
    other = make_credential("acme", environment="scripted", client_id="other-fake-id")
    assert headers("acme") == headers(other) != headers()


def test_is_what_certn_takes(local, make_credential):
    client_id, secret = local.refresh_keys()
    make_credential(client_id=client_id, client_secret=secret)
    answer = requests.get(base_url() + "/api/v1/users/", headers=auth_headers(), timeout=5)
    assert (answer.status_code, answer.json()["count"]) == (200, 3)


@BOTH
def test_does_not_show_the_token(headers, credential, api_key):
    assert get_token().value not in repr(headers())
    assert API_KEY not in repr(headers("acme"))


@BOTH
def test_passes_on_the_errors(headers, credential, make_credential, api_key):
    with pytest.raises(CredentialNotFoundError):
        headers("unknown")
    make_credential("off", environment="scripted", is_active=False)
    with pytest.raises(CredentialInactiveError):
        headers("off")
    CertnCredential.objects.filter(name="acme").update(is_active=False)
    with pytest.raises(CredentialInactiveError):
        headers(CertnCredential.objects.get(name="acme"))


def test_an_api_key_has_no_token(api_key, centric):
    with pytest.raises(CertnConfigurationError, match=r"API key.*auth_headers\(\)"):
        get_token("acme")
    assert centric.hits == 0


def test_where_requests_go(credential, api_key, endpoint, centric):
    assert base_url() == get_token().base_url == endpoint.url
    assert base_url("acme") == base_url(api_key) == centric.url


def test_the_base_url_follows_the_row(api_key, endpoint):
    assert base_url("acme") == endpoint.url
    api_key.environment = "centric-ca"
    api_key.save()
    assert base_url("acme") == "https://api.ca.certn.co"
    assert auth_headers("acme") == {"Authorization": f"Api-Key {API_KEY}"}


def test_calls_at_once_cost_one_exchange(credential, endpoint):
    async def all_at_once():
        return await asyncio.gather(*(aauth_headers() for _ in range(100)))

    first, *others = async_to_sync(all_at_once)()
    assert all(header == first for header in others)
    assert endpoint.hits == 1


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        client.absent  # noqa: B018


@pytest.mark.standalone
@pytest.mark.parametrize(
    ("code", "is_loaded"),
    [
        ("from django_certn.client import auth_headers, aauth_headers, base_url", False),
        ("from django_certn.client import CertnAuth", True),
        ("from django_certn.client import CertnSession", True),
    ],
)
def test_requests_is_loaded_by_whoever_uses_it(code, is_loaded):
    code = f"import sys, django\ndjango.setup()\n{code}\nprint('requests' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=django_certn.__path__[0] + "/..",
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=60,
    ).stdout
    assert printed.strip() == str(is_loaded)
