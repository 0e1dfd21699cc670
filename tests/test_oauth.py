"""One exchange: what is sent, what comes of it, and that a failure carries nothing away."""

import base64
import logging
import pickle
import re
import time
from types import SimpleNamespace

import pytest
import requests

from django_certn import answers, oauth, transport
from django_certn.conf import conf
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialRejectedError,
    InvalidTokenResponseError,
    TokenError,
)
from django_certn.models import Key
from django_certn.oauth import exchange
from django_certn.secret import Secret
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan


def a_key(client_id=CLIENT_ID, secret=SECRET):
    return Key("acme", conf.environment("scripted"), client_id, Secret(secret))


def failed(key=None, kind=TokenError, timeout=10):
    with pytest.raises(kind) as raised:
        exchange(key or a_key(), timeout=timeout)
    return raised.value


class TestRequest:
    def test_it_is_certns_recipe(self, endpoint):
        response = exchange(a_key(), timeout=10)
        assert (response.access_token, response.expires_in) == ("fake-token-1", 36000)
        (request,) = endpoint.requests
        assert (request.method, request.path) == ("POST", "/token/")
        assert request.form == {"grant_type": ["client_credentials"]}
        assert request.headers.get_all("Content-Type") == ["application/x-www-form-urlencoded"]
        assert request.headers.get_all("Accept") == ["application/json"]
        assert request.basic == (CLIENT_ID, SECRET)

    @pytest.mark.parametrize(
        ("client_id", "secret", "sent"),
        [
            ("abc", "Az09._-", "abc:Az09._-"),
            ("a:b", "c:d", "a%3Ab:c%3Ad"),
            ("a b", "p+q%41:z", "a%20b:p%2Bq%2541%3Az"),
            ("~", "~!*'()", "~:~%21%2A%27%28%29"),
            ("a/b", "a/b", "a%2Fb:a%2Fb"),
        ],
    )
    def test_both_parts_are_percent_encoded(self, endpoint, client_id, secret, sent):
        """RFC 6749, section 2.3.1."""
        exchange(a_key(client_id, secret), timeout=10)
        (request,) = endpoint.requests
        scheme, encoded = request.headers["Authorization"].split(" ")
        assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", sent)
        assert request.basic == (client_id, secret)

    @pytest.mark.parametrize(("reading", "requests"), [("form", 1), ("percent", 1), ("plain", 2)])
    @pytest.mark.parametrize("half", [" ", "+", "%", "%20", "/", "a+b c%41"])
    def test_every_reading_of_it_is_served(self, endpoint, reading, requests, half):
        client_id, secret = f"fake{half}id", f"fake{half}secret:"
        endpoint.require(client_id, secret, reading)
        assert exchange(a_key(client_id, secret), timeout=10).access_token
        assert len(endpoint.requests) == requests
        assert endpoint.requests[-1].basic_as(reading) == (client_id, secret)

    def test_each_is_made_afresh(self, endpoint):
        endpoint.answer(headers={"Set-Cookie": "a=b"})
        tokens = {exchange(a_key(), timeout=10).access_token for _ in range(3)}
        assert len(tokens) == 3
        assert all("Cookie" not in request.headers for request in endpoint.requests)

    @pytest.mark.parametrize("value", ["0", "1", "false"])
    def test_no_variable_opens_http(self, settings, monkeypatch, value):
        """To oauthlib any text but an empty one means yes."""
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", value)
        settings.CERTN_ENVIRONMENTS = {
            "scripted": {"label": "", "base_url": "http://certn.test:8765"}
        }
        with pytest.raises(CertnConfigurationError):
            a_key()

    def test_none_is_needed_for_loopback(self, endpoint, monkeypatch):
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
        assert exchange(a_key(), timeout=10).access_token


def basic_header(request):
    return base64.b64decode(request.headers["Authorization"].split(" ")[1]).decode()


class TestPlainPair:
    """It is tried once, where the encoded one differs from it and is refused."""

    PLAIN = f"{CLIENT_ID}:{SECRET}"

    def test_once_and_its_answer_counts(self, endpoint):
        endpoint.answer(429, b"", {"Retry-After": "7"})
        endpoint.answer(401, {"error": "invalid_client"}, times=1)
        error = failed()
        assert (error.status, error.retry_after) == ("rate_limited", 7)
        encoded, plain = map(basic_header, endpoint.requests)
        assert plain == self.PLAIN != encoded

    def test_no_third_time(self, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        assert failed(kind=CredentialRejectedError).error_code == "invalid_client"
        assert endpoint.hits == 2

    def test_not_where_it_is_the_same(self, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        failed(a_key("fake-id", "fake-secret"), kind=CredentialRejectedError)
        assert endpoint.hits == 1

    @pytest.mark.parametrize("status", [200, 302, 400, 403, 429, 500])
    def test_not_after_another_answer(self, endpoint, status):
        endpoint.answer(status, {"error": "invalid_client"})
        failed()
        assert endpoint.hits == 1

    def test_not_when_no_answer_came(self, endpoint):
        endpoint.raw(lambda connection: None)
        failed()
        assert endpoint.hits == 1

    def test_in_the_time_that_is_left(self, endpoint):
        endpoint.answer(401, b"", delay=30)
        endpoint.answer(401, b"", delay=0.4, times=1)
        began = time.monotonic()
        error = failed(timeout=0.8)
        assert time.monotonic() - began < 1.1
        assert (error.status, error.error_code) == ("unreachable", "timeout")
        assert endpoint.hits == 2

    def test_not_when_none_is_left(self, endpoint, monkeypatch):
        clock = iter([0.0, 0.0, *[9.0] * 9])  # of the log, of the exchange, and then it is over
        monkeypatch.setattr(oauth, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        endpoint.answer(401, b"")
        failed(timeout=9, kind=CredentialRejectedError)
        assert endpoint.hits == 1

    def test_in_one_line_of_the_log(self, endpoint, caplog):
        caplog.set_level(logging.INFO, "django_certn")
        endpoint.require(CLIENT_ID, SECRET, "plain")
        exchange(a_key(), timeout=10)
        (record,) = caplog.records
        assert ": ok in " in record.getMessage()


class TestLog:
    def test_one_line_when_it_is_well(self, endpoint, caplog):
        caplog.set_level(logging.INFO, "django_certn")
        exchange(a_key(), timeout=10)
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("django_certn", "INFO")
        assert record.getMessage().startswith("Exchange for 'acme' (scripted): ok in ")

    def test_one_line_when_not(self, endpoint, caplog):
        caplog.set_level(logging.INFO, "django_certn")
        endpoint.answer(401, {"error": "invalid_client"})
        failed()
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert re.fullmatch(
            r"Exchange for 'acme' \(scripted\): rejected \(401 invalid_client\) in \d+ ms",
            record.getMessage(),
        )

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            ((401, b""), "rejected (401)"),
            ((401, "<h1>Log in</h1>"), "rejected (401 not_certn)"),
            ((400, {"error": SECRET}), "bad_response (400)"),
            ((429, b""), "rate_limited (429)"),
            ((302, b"", {"Location": f"/{SECRET}"}), "bad_response (302 redirect)"),
            (
                (503, {"error": "temporarily_unavailable"}),
                "unreachable (503 temporarily_unavailabl",
            ),
            ((200, "<h1>Welcome</h1>"), "bad_response (200)"),
        ],
        ids=str,
    )
    def test_it_says_why(self, endpoint, caplog, answer, outcome):
        caplog.set_level(logging.INFO, "django_certn")
        endpoint.answer(*answer)
        failed()
        (record,) = caplog.records
        assert f"(scripted): {outcome}" in record.getMessage()
        assert Scan(SECRET).text(caplog.text) == set()

    def test_why_no_answer_came(self, endpoint, caplog):
        endpoint.raw(lambda connection: None)
        failed()
        assert "(scripted): unreachable (broken) in " in caplog.text

    def test_an_error_that_nobody_foresaw(self, endpoint, caplog, monkeypatch):
        monkeypatch.delattr(transport, "fetch")
        failed()
        assert "(scripted): bad_response (AttributeError) in " in caplog.text


class TestErrors:
    def test_it_says_what_and_where(self, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        error = failed(kind=CredentialRejectedError)
        assert str(error) == (
            f"No token for 'acme' from {endpoint.url}: the key is refused (HTTP 401)."
        )
        assert (error.status, error.http_status, error.error_code) == (
            "rejected",
            401,
            "invalid_client",
        )

    def test_it_pickles(self, endpoint):
        endpoint.answer(429, {"error": "temporarily_unavailable"}, {"Retry-After": "9"})
        error = failed()
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))

    def test_it_holds_nothing_of_the_exchange(self, endpoint):
        endpoint.answer(400, {"access_token": TOKEN, "error": SECRET})
        error = failed()
        assert (error.__cause__, error.__context__) == (None, None)
        assert Scan(SECRET, TOKEN).error(error) == set()

    @pytest.mark.parametrize(
        ("where", "name"),
        [
            (oauth, "BackendApplicationClient"),
            (oauth, "OAuth2Session"),
            (oauth, "read_answer"),
            (transport, "fetch"),
            (transport.BoundedRequest, "answer"),
            (answers, "parse_object"),
            (answers, "parse_lifetime"),
            (answers, "is_token"),
            (answers, "TokenResponse"),
            (requests, "Request"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("bug", [KeyError, UnicodeError, RecursionError, MemoryError])
    def test_nor_does_one_that_nobody_foresaw(self, endpoint, monkeypatch, where, name, bug):
        def fail(*args, **kwargs):
            raise bug(SECRET, TOKEN, args, kwargs)

        endpoint.answer(200, {"access_token": TOKEN, "expires_in": 36000})
        monkeypatch.setattr(where, name, fail)
        error = failed(kind=InvalidTokenResponseError)
        assert error.error_code == bug.__name__
        assert f"{bug.__name__} in test_oauth.py, line " in str(error)
        assert (error.__cause__, error.__context__) == (None, None)
        assert Scan(SECRET, TOKEN).error(error) == set()

    @pytest.mark.parametrize("name", ["PairAuth.__call__", "b64encode"])
    def test_nor_one_in_the_thread_of_the_request(self, endpoint, monkeypatch, name):
        def fail(*args, **kwargs):
            raise KeyError(SECRET)

        monkeypatch.setattr(f"django_certn.oauth.{name}", fail)
        error = failed()
        assert error.error_code == "KeyError"
        assert Scan(SECRET, TOKEN).error(error) == set()
