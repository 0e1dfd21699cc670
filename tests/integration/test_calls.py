"""The clients against the sandbox, over plain HTTP and over TLS with a CA of our own."""

import asyncio
import hashlib
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
import requests
from asgiref.sync import async_to_sync
from django.db import connections

from django_certn.client import CertnAuth, CertnSession, base_url
from django_certn.exceptions import CredentialRejectedError
from django_certn.httpx import CertnAuth as HttpxCertnAuth
from django_certn.models import CertnCredential
from django_certn.tokens import get_token
from tests.clients import CLIENTS, call, trusting
from tests.conftest import add_environment
from tests.effort import THOROUGH, effort
from tests.tls import Front

pytestmark = pytest.mark.django_db(transaction=True)

USERS = "/api/v1/users/"
APPLICANTS = "/api/v1/hr/applicants/"
CASES = "/api/public/cases/"
MANY = effort(16, thorough=48)

EACH = pytest.mark.parametrize("client", CLIENTS)


class Site:
    """A site with a credential of either kind, and what its clients have to trust."""

    def __init__(self, sandbox, url, ca_file):
        self.sandbox = sandbox
        self.url = url
        self.verify = ca_file or True

    def call(self, client, method, path, **kwargs):
        name = "acme" if path.startswith("/api/public/") else "default"
        return call(client, method, path, name=name, verify=self.verify, **kwargs)

    def calls(self, path, method="GET"):
        return self.sandbox.count(path, method)


# With plain HTTP the other tests of the clients do as well.
@pytest.fixture(params=["https", *(["http"] if THOROUGH else [])])
def site(request, sandbox, settings, make_credential, monkeypatch):
    url, ca_file, front = sandbox.url, None, None
    if request.param == "https":
        context, ca_file = request.getfixturevalue("certificate")
        front = Front(context, sandbox.port)
        url = front.url
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
    add_environment(settings, "local", "Sandbox", url)
    add_environment(settings, "centric", "Centric", url, "api_key")
    client_id, secret = sandbox.refresh_keys()
    make_credential(client_id=client_id, client_secret=secret)
    key = sandbox.make_api_key()
    make_credential("acme", environment="centric", client_id="", client_secret=key)
    yield Site(sandbox, url, ca_file)
    if front:
        front.close()


@EACH
def test_either_api_is_called_by_the_same_line(site, client):
    for path in (USERS, CASES):
        outcome = site.call(client, "GET", path)
        assert (outcome.status, json.loads(outcome.body)["count"]) == (200, 3)


@EACH
def test_every_method(site, client):
    for path in (APPLICANTS, CASES):
        for method in ("DELETE", "OPTIONS", "HEAD"):
            assert 200 <= site.call(client, method, path).status < 300
        for method in ("POST", "PUT", "PATCH"):
            content = f"fake {method}".encode()
            received = json.loads(site.call(client, method, path, content=content).body)["received"]
            digest = hashlib.sha256(content).hexdigest()
            assert (received["method"], received["sha256"]) == (method, digest)


@pytest.mark.parametrize("client", ["requests", "session", "httpx"])
def test_a_streamed_upload(site, client):
    content = bytes(range(256)) * 4000
    for path in (APPLICANTS, CASES):
        outcome = site.call(client, "POST", path, content=io.BytesIO(content))
        received = json.loads(outcome.body)["received"]
        assert received["size"] == len(content)
        assert received["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("client", ["requests", "session", "httpx"])
def test_a_streamed_upload_that_meets_a_dead_token(site, client):
    content = bytes(range(256)) * 4000
    get_token()
    site.sandbox.revoke_tokens()
    outcome = site.call(client, "POST", APPLICANTS, content=io.BytesIO(content))
    assert outcome.status == 201
    assert json.loads(outcome.body)["received"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert site.calls(APPLICANTS, "POST") == 2


@EACH
def test_a_token_that_is_revoked_in_mid_life(site, client):
    assert site.call(client, "GET", USERS).status == 200
    assert site.sandbox.revoke_tokens() == 1
    assert site.call(client, "GET", USERS).status == 200
    assert site.call(client, "GET", USERS).status == 200
    assert site.sandbox.count() == 2
    assert site.calls(USERS) == 4


@EACH
def test_a_key_that_was_refreshed_and_is_not_in_the_admin_yet(site, client):
    site.call(client, "GET", USERS)
    site.sandbox.refresh_keys(revoke_tokens=True)
    for _ in range(5):
        with pytest.raises(CredentialRejectedError, match=r"'default'.*HTTP 401"):
            call(client, "GET", USERS, url=site.url + USERS, verify=site.verify)
    assert site.sandbox.count() == 2
    assert site.calls(USERS) == 2


@EACH
def test_an_api_that_answers_401_to_everything(site, client):
    site.sandbox.refuse_everything()
    assert {site.call(client, "GET", USERS).status for _ in range(5)} == {401}
    assert site.sandbox.count() == 2
    assert site.calls(USERS) == 6


@EACH
def test_an_api_key_that_was_revoked(site, client):
    stored = CertnCredential.objects.get(name="acme").client_secret.reveal()
    site.call(client, "GET", CASES)
    site.sandbox.revoke_api_key(stored)
    assert site.call(client, "GET", CASES).status == 401
    assert site.calls(CASES) == 2


@EACH
def test_an_api_key_that_another_process_replaced(site, client):
    earlier = CertnCredential.objects.get(name="acme").client_secret.reveal()
    site.call(client, "GET", CASES)
    CertnCredential.objects.filter(name="acme").update(client_secret=site.sandbox.make_api_key())
    site.sandbox.revoke_api_key(earlier)
    assert site.call(client, "GET", CASES).status == 200
    assert site.calls(CASES) == 3


@pytest.mark.parametrize("path", [USERS, CASES])
def test_pages(site, path):
    with CertnSession("acme" if path == CASES else "default") as session:
        pages = list(session.pages(path))
    assert [len(page["results"]) for page in pages] == [2, 1]


@pytest.mark.parametrize("client", ["requests", "session"])
def test_a_redirect_of_a_post_reaches_nobody(site, client):
    site.sandbox.fault("redirect", path=APPLICANTS)
    with pytest.raises(ValueError, match="slash at the end"):
        site.call(client, "POST", APPLICANTS, content=b"fake", follow=True)
    assert len(site.sandbox.requests()) == 2


@contextmanager
def own_connections():
    """Let a thread use the database, and leave no connection open behind it."""
    try:
        yield
    finally:
        for each in connections.all(initialized_only=True):
            if each.connection is not None:  # Django keeps one to a database in memory open
                each.connection.close()
                each.connection = None


class TestMany:
    """Callers that meet one dead token all succeed, after one exchange."""

    def dead(self, site):
        token = get_token()
        site.sandbox.revoke_tokens()
        return token

    def test_threads(self, site):
        self.dead(site)
        start = threading.Barrier(MANY)
        url = base_url() + USERS

        def ask(_):
            start.wait()
            with own_connections():
                return requests.get(url, auth=CertnAuth(), timeout=30).status_code

        with ThreadPoolExecutor(MANY) as pool:
            assert list(pool.map(ask, range(MANY))) == [200] * MANY
        assert site.sandbox.count() == 2

    def test_coroutines(self, site):
        self.dead(site)
        url = base_url() + USERS

        async def all_at_once():
            verify = trusting(site.verify if isinstance(site.verify, str) else None)
            auth = HttpxCertnAuth()
            async with httpx.AsyncClient(auth=auth, timeout=30, verify=verify) as client:
                return await asyncio.gather(*(client.get(url) for _ in range(MANY)))

        answers = async_to_sync(all_at_once)()
        assert [answer.status_code for answer in answers] == [200] * MANY
        assert site.sandbox.count() == 2
