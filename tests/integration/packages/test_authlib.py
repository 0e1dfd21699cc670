"""The exchange with a second OAuth server beside the sandbox's: Authlib's."""

import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from django_certn.answers import MAX_LIFETIME
from django_certn.tokens import get_token
from django_certn.verification import verify
from tests import services
from tests.conftest import add_environment

pytestmark = pytest.mark.django_db

CLIENT_ID = "fake id/+%41:"
SECRET = "fake secret+%/:~&="


class Silent(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def clients():
    return {CLIENT_ID: (SECRET, ["client_credentials"])}


@pytest.fixture(autouse=True)
def authlib(settings, clients):
    services.driver("authlib")
    from tests.integration.packages.authlib_server import Server

    with make_server("127.0.0.1", 0, Server(clients), handler_class=Silent) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}"
        add_environment(settings, "authlib", "Authlib", url)
        yield url
        httpd.shutdown()
        thread.join()


@pytest.fixture
def stored(make_credential):
    def store(client_id=CLIENT_ID, secret=SECRET):
        return make_credential(environment="authlib", client_id=client_id, client_secret=secret)

    return store


def test_a_key_that_works(stored):
    stored()
    outcome = verify("default")
    assert (outcome.status, outcome.http_status) == ("ok", 200)
    assert outcome.expires_in == MAX_LIFETIME  # Authlib says ten days
    assert get_token().value


@pytest.mark.parametrize("secret", ["fake-other-secret", SECRET.replace("%", "%25")])
def test_a_wrong_secret(stored, secret):
    stored(secret=secret)
    outcome = verify("default")
    assert (outcome.status, outcome.http_status, outcome.error_code) == (
        "rejected",
        401,
        "invalid_client",
    )
    assert "Copy both values again" in outcome.hint


def test_an_unknown_client(stored):
    stored(client_id="fake-other-id")
    assert verify("default").status == "rejected"


def test_a_grant_that_is_not_allowed(stored, clients):
    clients[CLIENT_ID] = (SECRET, [])
    stored()
    outcome = verify("default")
    assert (outcome.status, outcome.http_status, outcome.error_code) == (
        "rejected",
        400,
        "unauthorized_client",
    )
    assert "A new pair cannot help" in outcome.hint
