import logging
import time

import pytest
import requests
import responses

from django_certn.answers import MAX_BODY
from django_certn.conf import conf
from django_certn.exceptions import Status
from django_certn.probe import probe
from django_certn.secret import MaskedStr

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
