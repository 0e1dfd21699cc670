"""With the root logger at DEBUG, no library logs what we send, or what we get."""

import http.client
import logging
from io import StringIO

import pytest
import sentry_sdk
from django.core.cache import cache
from django.core.management import CommandError, call_command
from sentry_sdk.integrations.stdlib import StdlibIntegration

from django_certn.client import auth_headers
from django_certn.exceptions import CredentialRejectedError
from django_certn.models import CertnCredential
from django_certn.oauth import exchange
from django_certn.tokens.service import installed
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan, everything_logged

PERSON = "ann.private@example.com"
SCAN = Scan(SECRET, TOKEN, PERSON)


@pytest.fixture
def key(endpoint, make_credential):
    installed().clear()
    endpoint.answer(200, {"access_token": TOKEN, "expires_in": 36000})
    endpoint.answer(200, {"count": 1, "results": [{"email": PERSON}]}, path="/api/v1/users/")
    make_credential(environment="scripted", client_id=CLIENT_ID, client_secret=SECRET)


def use():
    call_command("certn_check", probe=True, stdout=StringIO())
    cache.clear()
    installed().clear()
    auth_headers()


def logged(call):
    with everything_logged() as lines:
        call()
    return lines


@pytest.mark.django_db(transaction=True)
class TestNothingIsLogged:
    def test_of_what_is_sent_and_comes(self, key, endpoint):
        lines = logged(use)
        assert endpoint.count() == 2
        assert any("urllib3" in line for line in lines)  # they do log
        assert SCAN.text("\n".join(lines)) == set()
        assert not any("Authorization" in line or "Basic " in line for line in lines)

    @pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
    def test_of_a_refusal(self, key, endpoint, status):
        body = {"error": SECRET, "error_description": TOKEN, "detail": PERSON}
        endpoint.answer(status, body, {"Location": f"/{TOKEN}", "X-Echo": SECRET})

        def fail():
            with pytest.raises(CommandError):
                use()

        assert SCAN.text("\n".join(logged(fail))) == set()

    def test_by_the_oauth_packages(self, key):
        """requests-oauthlib logs headers, body and token on the way that it would go by itself."""
        assert not any("oauthlib" in line for line in logged(use))

    def test_whatever_the_loggers_are_set_to(self, key):
        names = ["requests_oauthlib", "oauthlib", "requests", "urllib3", "http.client", "asyncio"]
        levels = {name: logging.getLogger(name).level for name in names}
        for name in names:
            logging.getLogger(name).setLevel(1)
        try:
            assert SCAN.text("\n".join(logged(use))) == set()
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def test_the_logging_of_a_site_is_left_alone():
    assert logging.getLogger("requests_oauthlib.oauth2_session").filters == []
    assert logging.getLogger("django_certn").handlers == []
    assert http.client.HTTPConnection.debuglevel == 0


class Spans(sentry_sdk.transport.Transport):
    def __init__(self):
        super().__init__()
        self.envelopes = []

    def capture_envelope(self, envelope):
        self.envelopes.append(envelope.serialize().decode("utf-8", "replace"))


@pytest.mark.django_db(transaction=True)
def test_no_span_of_a_tracker_holds_what_an_endpoint_echoes(key, endpoint):
    """In the reason phrase, the one part of a head that sentry-sdk writes into a span."""
    head = f"HTTP/1.1 401 {SECRET} {TOKEN}\r\nContent-Length: 0\r\n\r\n".encode()
    endpoint.raw(lambda connection: connection.sendall(head))
    spans = Spans()
    with sentry_sdk.isolation_scope():
        sentry_sdk.init(
            dsn="https://fake@sentry.invalid/1",
            transport=spans,
            traces_sample_rate=1.0,
            default_integrations=False,
            integrations=[StdlibIntegration()],
        )
        with sentry_sdk.start_transaction(name="site"), pytest.raises(CredentialRejectedError):
            exchange(CertnCredential.objects.get().key(), timeout=10)
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    shown = "\n".join(spans.envelopes)
    assert "http.client" in shown  # there is a span of the request
    assert '"reason"' in shown
    assert SCAN.text(shown) == set()
