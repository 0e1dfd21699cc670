"""The stand-ins that other tests rely on do what those tests believe."""

import socket
import threading
import time
from contextlib import suppress
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import requests
from django.core.cache import cache
from django.db import connection

from tests import distribution, effort, services


def test_the_endpoint_gives_a_fresh_token_to_each(endpoint):
    tokens = [requests.post(endpoint.url + "/token/", timeout=5).json() for _ in range(2)]

    assert [token["token_type"] for token in tokens] == ["Bearer", "Bearer"]
    assert tokens[0]["access_token"] != tokens[1]["access_token"]
    assert endpoint.hits == endpoint.count() == endpoint.count("/token/", "POST") == 2
    assert endpoint.count("/token/", "GET") == endpoint.count("/") == 0


def test_the_endpoint_records_what_arrives(endpoint):
    requests.post(
        endpoint.url + "/token/?a=1", auth=("id%3A", "fake%2Bsecret"), data={"b": "2"}, timeout=5
    )

    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/token/?a=1")
    assert request.basic == ("id:", "fake+secret")
    assert request.form == {"b": ["2"]}
    assert endpoint.count("/token/") == 1


def test_the_endpoint_follows_its_script(endpoint):
    endpoint.answer(503, "later", {"Retry-After": "7", "content-type": "text/plain"}, times=2)
    endpoint.answer(401, {"error": "invalid_client"}, path="/api/")

    first, second, third = (requests.post(endpoint.url, timeout=5) for _ in range(3))
    elsewhere = requests.get(endpoint.url + "/api/?page=1", timeout=5)

    assert (first.status_code, first.text) == (second.status_code, second.text) == (503, "later")
    assert first.headers["Retry-After"] == "7"
    assert first.headers["Content-Type"] == "text/plain"
    assert third.status_code == 200
    assert (elsewhere.status_code, elsewhere.json()) == (401, {"error": "invalid_client"})

    endpoint.reset()
    assert endpoint.hits == 0
    assert requests.get(endpoint.url + "/api/", timeout=5).status_code == 200


def test_the_endpoint_serves_many_at_once(endpoint):
    endpoint.answer(delay=0.3)
    began = time.monotonic()
    threads = [
        threading.Thread(target=requests.post, args=(endpoint.url,), kwargs={"timeout": 5})
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert endpoint.hits == 20
    assert time.monotonic() - began < 3


def test_the_endpoint_lets_a_test_write_to_the_socket(endpoint):
    endpoint.raw(lambda connection: connection.sendall(b"garbage\r\n\r\n"), times=1)
    endpoint.raw(
        lambda connection: endpoint.drip(
            connection, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", every=0.001
        ),
        times=1,
    )

    with pytest.raises(requests.ConnectionError):
        requests.post(endpoint.url, timeout=5)
    assert requests.post(endpoint.url, timeout=5).text == "ok"


@pytest.mark.parametrize("kind", ["delay", "drip", "silence"])
def test_closing_the_endpoint_ends_what_is_under_way(endpoint, kind):
    if kind == "delay":
        endpoint.answer(delay=60)
    elif kind == "drip":
        endpoint.raw(lambda connection: endpoint.drip(connection, b"HTTP/1.1 200", every=60))
    else:
        endpoint.raw(lambda connection: connection.recv(1))

    def call():
        with suppress(requests.RequestException):  # cut off before the answer, or within it
            requests.post(endpoint.url, timeout=30)

    thread = threading.Thread(target=call)
    thread.start()
    while not endpoint.hits:
        time.sleep(0.01)
    endpoint.close()
    thread.join(timeout=5)

    assert not thread.is_alive()


def test_a_body_is_sent_as_it_is(endpoint):
    endpoint.answer(body=b"\xff", times=1)
    endpoint.answer(body=[1], times=1)

    assert requests.get(endpoint.url, timeout=5).content == b"\xff"
    assert requests.get(endpoint.url, timeout=5).content == b"[1]"


def test_a_credential_is_made(make_credential):
    assert make_credential().environment == "local"
    made = make_credential("acme", environment="scripted", client_secret="fake-secret-acme")
    assert (made.name, made.environment, made.client_secret) == (
        "acme",
        "scripted",
        "fake-secret-acme",
    )


def test_the_endpoint_over_tls(tls_endpoint):
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(tls_endpoint.url, timeout=5)
    assert tls_endpoint.hits == 0

    assert requests.post(tls_endpoint.url, timeout=5, verify=tls_endpoint.ca_file).ok


def test_the_sandbox_starts_anew_for_each_test(local, settings):
    environment = settings.CERTN_ENVIRONMENTS["local"]
    assert environment["base_url"] == local.url
    assert local.count() == 0

    client_id, secret = local.refresh_keys()
    requests.post(local.url + "/token/", auth=(client_id, secret), timeout=5)
    assert local.count("/token/", "POST") == 1
    local.reset()
    assert local.count() == 0


def test_a_test_cannot_leave_this_computer():
    with socket.socket() as outward, pytest.raises(AssertionError, match="not loopback"):
        outward.connect(("192.0.2.1", 443))


def test_the_shared_cache_is_there(shared_cache):
    assert cache.add("key", "value", 30) is True
    assert cache.add("key", "other", 30) is False
    assert cache.get("key") == "value"


@pytest.mark.django_db(transaction=True)
def test_the_shared_cache_also_in_a_test_without_a_transaction(shared_cache):
    assert not connection.in_atomic_block
    cache.set("key", "value", 30)
    assert cache.get("key") == "value"


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_database_service_is_a_database_of_our_own(request, name):
    database = request.getfixturevalue(name)

    assert database["NAME"].startswith("certn_service_")


def test_an_absent_service_is_a_reason_to_skip_unless_all_are_required(monkeypatch):
    monkeypatch.delenv("CERTN_TEST_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        services.program("no-such-program")

    monkeypatch.setenv("CERTN_TEST_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        services.program("no-such-program")
    with pytest.raises(pytest.fail.Exception, match="no_such_module is not installed"):
        services.driver("no_such_module")


def test_a_sample_has_a_case_of_each_test_and_another_number_another_case(monkeypatch):
    def sampled(number):
        monkeypatch.setattr(effort, "SAMPLE", str(number))
        items = [Mock(nodeid=nodeid) for nodeid in nodeids]
        gone = []

        def deselected(items):
            gone.extend(items)

        hook = SimpleNamespace(pytest_deselected=deselected)
        distribution.keep_a_sample(SimpleNamespace(hook=hook), items)
        assert len(items) + len(gone) == len(nodeids)
        return [item.nodeid for item in items]

    nodeids = ["a.py::one", "a.py::two[x]", "a.py::two[y]", "b.py::two[x-1]", "b.py::two[y-2]"]
    assert sampled(1) == ["a.py::one", "a.py::two[y]", "b.py::two[y-2]"]
    assert sampled(2) == ["a.py::one", "a.py::two[x]", "b.py::two[x-1]"]
