"""The token service against the sandbox, a real OAuth server, on each cache."""

import pytest
import requests
from django.core.cache import cache
from django.db import connection

from django_certn.client import auth_headers
from django_certn.tokens import get_token, invalidate_token
from django_certn.tokens.shared_cache import slot_of

# The database cache is written on a connection of its own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared_cache(shared_cache):
    if shared_cache == "database" and connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer, and a database in memory one at a time.")
    return shared_cache


def test_a_hundred_calls_cost_one_exchange(shared_cache, local, make_credential):
    client_id, secret = local.refresh_keys()
    credential = make_credential(client_id=client_id, client_secret=secret)
    tokens = {str(get_token().value) for _ in range(100)}
    assert len(tokens) == 1
    assert local.count() == 1
    users = requests.get(f"{local.url}/api/v1/users/", headers=auth_headers(), timeout=60)
    assert users.json()["count"] == 3
    (token,) = tokens
    entry = cache.get(slot_of(credential.key()))
    assert entry
    assert token not in str(entry)


def test_another_secret_gets_another_token_at_once(shared_cache, local, make_credential):
    client_id, secret = local.refresh_keys()
    credential = make_credential(client_id=client_id, client_secret=secret)
    earlier = get_token().value
    credential.client_id, credential.client_secret = local.refresh_keys()
    credential.save()
    assert get_token().value != earlier
    assert local.count() == 2


def test_a_token_that_died_is_replaced_once(shared_cache, local, make_credential):
    make_credential(client_id="sandbox-dies-once", client_secret=f"sandbox-{shared_cache}")
    url = f"{local.url}/api/v1/users/"
    token = get_token()
    assert requests.get(url, headers=auth_headers(), timeout=60).status_code == 401
    assert invalidate_token("default", token) is True
    assert requests.get(url, headers=auth_headers(), timeout=60).status_code == 200
    assert local.count() == 2
