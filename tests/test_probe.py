import logging
import time

import pytest
import requests
import responses

from django_certn.answers import MAX_BODY
from django_certn.conf import conf
from django_certn.exceptions import Status, TokenError
from django_certn.keys import Key
from django_certn.probe import CASE_PATH, check_api_key, probe
from django_certn.secret import MaskedStr, Secret

TOKEN = MaskedStr("fake-token-of-a-probe")
PATH = "/api/v1/users/"


def probed(timeout=5.0):
    return probe(conf.environment("scripted"), TOKEN, timeout=timeout)


def test_one_get_with_the_token(endpoint):
    endpoint.answer(body={"count": 3, "next": None, "previous": None, "results": []})
    outcome = probed()
    assert (outcome.status, outcome.http_status, outcome.count) == ("ok", 200, 3)
    (request,) = endpoint.requests
    assert (request.method, request.path, request.body) == ("GET", PATH, b"")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize("count", [None, True, "3", 3.5, [3], {"people": 3}])
def test_a_count_that_is_none(endpoint, count):
    endpoint.answer(body={"count": count})
    outcome = probed()
    assert (outcome.status, outcome.count) == ("ok", None)


@pytest.mark.parametrize(
    ("http_status", "status"),
    [
        (201, Status.BAD_RESPONSE),
        (204, Status.BAD_RESPONSE),
        (400, Status.BAD_RESPONSE),
        (401, Status.REJECTED),
        (403, Status.BAD_RESPONSE),
        (410, Status.RETIRED),
        (429, Status.RATE_LIMITED),
        (502, Status.UNREACHABLE),
    ],
)
def test_a_status_that_is_not_200(endpoint, http_status, status):
    endpoint.answer(http_status, b"")
    outcome = probed()
    assert (outcome.status, outcome.http_status, outcome.count) == (status, http_status, None)


@pytest.mark.parametrize("body", ["", "<h1>Log in</h1>", [], "3", b"\xff"])
def test_a_body_that_is_not_certns(endpoint, body):
    endpoint.answer(body=body)
    outcome = probed()
    assert (outcome.status, outcome.http_status) == ("bad_response", 200)


def test_a_list_too_long_to_read(endpoint):
    endpoint.answer(body={"count": 9000, "results": ["fake@example.com"] * MAX_BODY})
    outcome = probed()
    assert (outcome.status, outcome.count) == ("ok", None)


def test_a_redirect_is_not_followed(endpoint):
    endpoint.answer(302, b"", {"Location": f"{endpoint.url}/elsewhere/"})
    assert probed().status == "bad_response"
    assert endpoint.hits == 1


def test_the_body_of_a_redirect_is_not_waited_for(endpoint):
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere/\r\nContent-Length: 9999999\r\n\r\n"

    def script(connection):
        connection.sendall(head + b"x" * (MAX_BODY + 1))
        endpoint.drip(connection, b"x" * 500, 0.05)

    endpoint.raw(script)
    began = time.monotonic()
    assert probed(timeout=5).status == "bad_response"
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("at_once", [b"", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_headers_and_bodies_that_drip(endpoint, at_once):
    def script(connection):
        connection.sendall(at_once)
        endpoint.drip(connection, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500, 0.05)

    endpoint.raw(script)
    began = time.monotonic()
    assert probed(timeout=0.5).status == "unreachable"
    assert time.monotonic() - began < 1.5


@responses.activate
def test_netrc_does_not_matter(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login fake password fake\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    url = "https://api.certn.co" + PATH
    assert requests.utils.get_netrc_auth(url) == ("fake", "fake")
    responses.get(url, json={"count": 3})

    assert probe(conf.environment("production"), TOKEN, timeout=5).count == 3
    assert responses.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_no_proxy_on_this_computer(endpoint, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert probed().status == "ok"


def test_a_certificate_that_is_not_trusted(tls_endpoint):
    assert probed().status == "unreachable"
    assert tls_endpoint.hits == 0


def test_the_token_is_in_no_log(endpoint, caplog):
    caplog.set_level(logging.DEBUG)
    probed()
    assert TOKEN not in caplog.text


API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"


def error(code, kind="client_error"):
    return {"type": kind, "errors": [{"code": code, "detail": API_KEY, "attr": None}]}


class TestAPIKey:
    @pytest.fixture(autouse=True)
    def endpoint(self, centric):
        return centric

    def checked(self, timeout=5.0):
        return check_api_key(
            Key("acme", conf.environment("centric"), "", Secret(API_KEY)), timeout=timeout
        )

    def refused(self, **kwargs):
        with pytest.raises(TokenError) as caught:
            self.checked(**kwargs)
        assert API_KEY not in str(caught.value)
        assert "'acme'" in str(caught.value)
        return caught.value

    def test_one_get_of_what_is_not_there(self, endpoint):
        assert self.checked() == 404
        (request,) = endpoint.requests
        assert (request.method, request.path, request.body) == ("GET", CASE_PATH, b"")
        assert request.headers["Authorization"] == f"Api-Key {API_KEY}"

    def test_or_of_what_is(self, endpoint):
        endpoint.answer(200, {"id": "fake"}, path=CASE_PATH)
        assert self.checked() == 200

    @pytest.mark.parametrize(
        ("answer", "status", "code"),
        [
            ((401, error("authentication_failed")), "rejected", "authentication_failed"),
            ((401, error(API_KEY)), "rejected", ""),
            ((401, {"errors": "x"}), "rejected", ""),
            ((401, {"errors": []}), "rejected", ""),
            ((401, {"errors": ["x"]}), "rejected", ""),
            ((401, {"errors": [{"code": ["x"]}]}), "rejected", ""),
            ((403, error("permission_denied")), "bad_response", "permission_denied"),
            ((403, {"error": "invalid_client"}), "bad_response", ""),
            ((403, "<h1>No</h1>"), "bad_response", ""),
            ((410, b""), "retired", ""),
            ((429, error("throttled")), "rate_limited", "throttled"),
            ((500, error("error", "server_error")), "unreachable", ""),
            ((503, b""), "unreachable", ""),
            ((200, "<h1>Log in</h1>"), "bad_response", ""),
            ((404, "<h1>Not found</h1>"), "bad_response", ""),
            ((404, []), "bad_response", ""),
            ((404, b""), "bad_response", ""),
            ((400, error("invalid")), "bad_response", ""),
            ((204, b""), "bad_response", ""),
        ],
    )
    def test_what_an_answer_says(self, endpoint, answer, status, code):
        endpoint.answer(*answer, path=CASE_PATH)
        error = self.refused()
        assert (error.status, error.http_status, error.error_code) == (status, answer[0], code)

    def test_how_long_to_wait(self, endpoint):
        endpoint.answer(429, b"", {"Retry-After": "7"}, path=CASE_PATH)
        assert self.refused().retry_after == 7

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_not_followed(self, endpoint, status):
        endpoint.answer(status, b"", {"Location": f"{endpoint.url}/elsewhere/"}, path=CASE_PATH)
        assert self.refused().status == "bad_response"
        assert endpoint.hits == 1

    def test_no_answer_in_time(self, endpoint):
        endpoint.answer(delay=5, path=CASE_PATH)
        error = self.refused(timeout=0.2)
        assert (error.status, error.error_code) == ("unreachable", "timeout")

    @pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
    def test_an_answer_that_breaks_off(self, endpoint, status):
        head = f"HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n{{".encode()
        endpoint.raw(lambda connection: connection.sendall(head), path=CASE_PATH)
        assert (self.refused().status, self.refused().error_code) == ("unreachable", "broken")

    def test_an_object_too_long_to_read(self, endpoint):
        endpoint.answer(404, {"detail": "x" * MAX_BODY}, path=CASE_PATH)
        assert self.refused().status == "bad_response"

    def test_one_line_in_the_log_and_no_key(self, endpoint, caplog):
        caplog.set_level(logging.DEBUG)
        self.checked()
        endpoint.answer(401, b"", path=CASE_PATH)
        self.refused()
        logged = [record for record in caplog.records if record.name == "django_certn"]
        assert [record.levelname for record in logged] == ["INFO", "WARNING"]
        assert "'acme' (centric): ok in" in logged[0].getMessage()
        assert "'acme' (centric): rejected" in logged[1].getMessage()
        assert API_KEY not in caplog.text

    @pytest.mark.parametrize("secret", ["fake-\u20ac", "fake\r\nX-Other: header"])
    def test_what_cannot_be_sent_is_not(self, endpoint, secret):
        key = Key("acme", conf.environment("centric"), "", Secret(secret))
        with pytest.raises(TokenError) as caught:
            check_api_key(key, timeout=5)
        assert secret not in str(caught.value)
        assert endpoint.hits == 0
