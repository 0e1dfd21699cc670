"""One bounded request: what is sent where, and what is not sent any more."""

import contextvars
import http.client
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest
import requests
import trustme
import urllib3
from requests.auth import HTTPBasicAuth

from django_certn.answers import FAILURES, MAX_BODY
from django_certn.failures import ca_bundle
from django_certn.transport import MAX_WIRE, Sockets, fetch
from tests.endpoint import TokenEndpoint
from tests.services import free_port

BUDGET = 0.3  # seconds
PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy")
AUTH = HTTPBasicAuth("fake-client-id", "fake-secret-0123456789")


def fetched(url, timeout=10.0, session=None):
    request = requests.Request("POST", f"{url}/token/", auth=AUTH, data="a=b")
    return fetch(session or requests.Session(), request, timeout=timeout)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*PROXY_VARIABLES, "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def requests_under_way():
    return [thread for thread in threading.enumerate() if thread.name == "certn-request"]


def test_an_answer(endpoint):
    endpoint.answer(418, "tea", {"X-Kind": "green"})
    answer = fetched(endpoint.url)
    assert (answer.status, answer.body, answer.failure) == (418, b"tea", "")
    assert answer.headers["x-kind"] == "green"
    (request,) = endpoint.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"].startswith("django-certn/")
    assert "Cookie" not in request.headers


def test_neither_head_nor_body_is_shown(endpoint):
    endpoint.answer(200, "fake-token", {"X-Echo": "fake-token"})
    assert "fake-token" not in repr(fetched(endpoint.url))


def test_what_a_library_does_on_the_way_is_in_the_callers_context(endpoint, monkeypatch):
    """Request ids are there in what it logs, and the parents of what it traces."""
    request_id = contextvars.ContextVar("request_id", default="")
    seen = []
    send = requests.Session.send

    def spy(self, *args, **kwargs):
        seen.append(request_id.get())
        return send(self, *args, **kwargs)

    monkeypatch.setattr(requests.Session, "send", spy)
    request_id.set("fake-request-1")
    assert fetched(endpoint.url).status == 200
    assert seen == ["fake-request-1"]


def test_the_reason_phrase_reaches_nobody(endpoint, monkeypatch):
    """A server may put there what it was sent, and sentry-sdk writes it into a span."""
    echo = b"HTTP/1.1 401 Basic fake-echo\r\nContent-Length: 0\r\n\r\n"
    endpoint.raw(lambda connection: connection.sendall(echo))
    seen = []
    getresponse = http.client.HTTPConnection.getresponse

    def spy(self):
        response = getresponse(self)
        seen.append(response.reason)
        return response

    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", spy)
    responses = []
    build = requests.adapters.HTTPAdapter.build_response

    def spy_too(self, request, response):
        responses.append(build(self, request, response))
        return responses[-1]

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "build_response", spy_too)
    assert fetched(endpoint.url).status == 401
    assert seen == [""]
    assert [(one.reason, one.raw.reason) for one in responses] == [("", "")]


def test_http_client_prints_nothing(endpoint, monkeypatch, capsys):
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    assert fetched(endpoint.url).status == 200
    assert capsys.readouterr() == ("", "")


def chunks(size):
    def script(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(0, MAX_BODY, size):
            connection.sendall(b"%x\r\n%s\r\n" % (size, b"x" * size))
        connection.sendall(b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("size", [256, 16 * 1024])
def test_a_body_in_chunks(endpoint, size):
    endpoint.raw(chunks(size))
    assert fetched(endpoint.url).body == b"x" * MAX_BODY


def test_a_full_body_is_read_in_large_pieces(endpoint, monkeypatch):
    """Byte by byte it took 0.3 s of CPU."""
    calls = []
    read = urllib3.HTTPResponse.read

    def spy(self, *args, **kwargs):
        calls.append(args)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(urllib3.HTTPResponse, "read", spy)
    endpoint.answer(200, b"x" * MAX_BODY)
    assert len(fetched(endpoint.url).body) == MAX_BODY
    assert 1 <= len(calls) < 9


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, MAX_BODY + 999])
def test_the_body_is_cut_off_one_byte_after_the_limit(endpoint, size):
    endpoint.answer(200, b"x" * size)
    assert len(fetched(endpoint.url).body) == min(size, MAX_BODY + 1)


def test_all_heads_together_are_bounded(endpoint):
    line = b"HTTP/1.1 100 Continue\r\n\r\n"
    sent = []

    def script(connection):
        while True:
            connection.sendall(line)
            sent.append(len(line))

    endpoint.raw(script)
    answer = fetched(endpoint.url)
    assert (answer.status, answer.body, answer.failure) == (None, None, "not_http")
    assert sum(sent) >= MAX_WIRE


@pytest.mark.parametrize("expires", ["", f"; expires=1-Jan-{'1' * 5000}"])
def test_no_cookie_is_looked_at(endpoint, expires):
    """http.cookiejar would warn of the second, and a warning is an error here."""
    session = requests.Session()
    endpoint.answer(200, b"", [("Set-Cookie", f"a=b{expires}"), ("Set-Cookie2", "c=d")])
    assert fetched(endpoint.url, session=session).status == 200
    assert list(session.cookies) == []


class TestFailures:
    def test_each_has_words(self, endpoint):
        assert all(isinstance(words, str) and words for words in FAILURES.values())

    def test_refused(self):
        assert fetched(f"http://127.0.0.1:{free_port()}").failure == "refused"

    def test_broken(self, endpoint):
        endpoint.raw(lambda connection: None)
        assert fetched(endpoint.url).failure == "broken"

    def test_not_http(self, endpoint):
        endpoint.raw(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))
        assert fetched(endpoint.url).failure == "not_http"

    def test_dns(self, monkeypatch):
        def fail(*args, **kwargs):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        assert fetched("https://certn.test").failure == "dns"

    def test_certificate(self, tls_endpoint):
        assert fetched(tls_endpoint.url).failure == "certificate"

    def test_tls(self, endpoint):
        assert fetched(endpoint.url.replace("http:", "https:")).failure == "tls"

    def test_no_thread(self, endpoint, monkeypatch):
        def fail(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fail)
        assert fetched(endpoint.url).failure == "no_thread"
        monkeypatch.undo()
        assert endpoint.hits == 0

    def test_of_another_kind(self, monkeypatch, endpoint):
        def fail(*args, **kwargs):
            raise KeyError("fake-secret")

        monkeypatch.setattr(requests.Session, "request", fail)
        assert fetched(endpoint.url).failure == "KeyError"


class TestTime:
    def test_silence(self, endpoint):
        endpoint.answer(delay=30)
        began = time.monotonic()
        assert fetched(endpoint.url, BUDGET).failure == "timeout"
        assert time.monotonic() - began < BUDGET + 1
        assert eventually(lambda: not requests_under_way())

    def test_a_name_that_resolves_too_late(self, endpoint, monkeypatch):
        """The caller has gone on, so the secret stays here."""
        resolve, late = socket.getaddrinfo, threading.Event()

        def stalled(*args, **kwargs):
            late.wait(6)
            return resolve(*args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", stalled)
        began = time.monotonic()
        assert fetched(endpoint.url, BUDGET).failure == "timeout"
        assert time.monotonic() - began < BUDGET + 1
        assert endpoint.hits == 0
        late.set()
        assert eventually(lambda: not requests_under_way())
        assert endpoint.hits == 0

    @pytest.mark.parametrize(
        "at_once",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nX: ",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9999\r\n\r\n",
        ],
        ids=["status line", "head", "body", "body of a known length", "chunk", "redirect"],
    )
    def test_what_drips_ends_in_time_and_so_does_its_thread(self, endpoint, at_once):
        def script(connection):
            connection.sendall(at_once)
            endpoint.drip(connection, b"H" * 9999, 0.02)

        endpoint.raw(script)
        began = time.monotonic()
        answer = fetched(endpoint.url, BUDGET)
        assert (answer.body, answer.failure) == (None, "timeout")
        assert time.monotonic() - began < BUDGET + 1
        assert eventually(lambda: not requests_under_way(), seconds=2)

    def test_a_dripping_body_over_tls(self, tls_endpoint, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_endpoint.ca_file)

        def script(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            tls_endpoint.drip(connection, b"x" * 9999, 0.02)

        tls_endpoint.raw(script)
        assert fetched(tls_endpoint.url, BUDGET).failure == "timeout"
        assert eventually(lambda: not requests_under_way(), seconds=2)

    def test_a_handshake_that_stalls(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            answer = fetched(f"https://localhost:{server.getsockname()[1]}", BUDGET)
            assert answer.failure == "timeout"
            assert eventually(lambda: not requests_under_way())

    def test_shutting_down_keeps_the_encryption_on(self, certificate):
        """SSLSocket.shutdown() takes it off: whoever sends at that moment sends in clear."""
        context, ca_file = certificate
        with TokenEndpoint(context=context, host="localhost") as endpoint:
            port = int(endpoint.url.rpartition(":")[2])
            trusting = ssl.create_default_context(cafile=ca_file)
            with (
                socket.create_connection(("127.0.0.1", port)) as sock,
                trusting.wrap_socket(sock, server_hostname="localhost") as encrypted,
            ):
                sockets = Sockets()
                sockets.add(SimpleNamespace(socket=encrypted))  # within the TLS of a proxy
                sockets.add(encrypted)
                sockets.shut_down()
                assert encrypted.version()
                with pytest.raises(OSError):
                    encrypted.sendall(b"fake-secret")


class TestCertificates:
    def test_of_a_server_that_is_not_trusted_it_gets_no_request(self, tls_endpoint):
        assert fetched(tls_endpoint.url).status is None
        assert tls_endpoint.hits == 0

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_the_same_server_trusted(self, tls_endpoint, monkeypatch, variable):
        monkeypatch.setenv(variable, tls_endpoint.ca_file)
        assert fetched(tls_endpoint.url).status == 200

    def test_one_for_another_name(self, far_endpoint):
        address = far_endpoint.url.replace("certn.test", "localhost")
        assert fetched(address).failure == "certificate"
        assert far_endpoint.hits == 0

    @pytest.mark.parametrize(
        "variables",
        [
            {"CURL_CA_BUNDLE": ""},
            {"REQUESTS_CA_BUNDLE": ""},
            {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "PYTHONHTTPSVERIFY": "0"},
            {"REQUESTS_CA_BUNDLE": "False"},
            {"REQUESTS_CA_BUNDLE": "/dev/null"},
        ],
        ids=str,
    )
    def test_no_variable_switches_the_check_off(self, tls_endpoint, monkeypatch, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert fetched(tls_endpoint.url).status is None
        assert tls_endpoint.hits == 0
        assert ca_bundle()

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    @pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\x30\x82\x01"], ids=str)
    def test_a_file_that_cannot_be_used(
        self, tls_endpoint, monkeypatch, tmp_path, variable, content
    ):
        bundle = tmp_path / "ca.pem"
        if content is not None:
            bundle.write_bytes(content)
        monkeypatch.setenv(variable, str(bundle))
        answer = fetched(tls_endpoint.url)
        assert (answer.status, answer.failure, answer.variable) == (None, "ca_bundle", variable)
        assert tls_endpoint.hits == 0

    def test_a_file_of_another_authority(self, tls_endpoint, monkeypatch, tmp_path):
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert fetched(tls_endpoint.url).failure == "certificate"

    def test_a_directory_without_the_authority(self, tls_endpoint, monkeypatch, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        assert fetched(tls_endpoint.url).failure == "certificate"

    def test_the_file_does_not_matter_to_plain_http(self, endpoint, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
        assert fetched(endpoint.url).status == 200
        assert fetched(f"http://127.0.0.1:{free_port()}").failure == "refused"

    def test_nor_does_the_session(self, tls_endpoint):
        session = requests.Session()
        session.verify = False
        assert fetched(tls_endpoint.url, session=session).failure == "certificate"
        assert tls_endpoint.hits == 0


class Proxy:
    """A proxy that knows CONNECT only, and takes every name for one address."""

    def __init__(self, port):
        self.port = port
        self.asked = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.tunnel, args=(client,), daemon=True).start()

    def tunnel(self, client):
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.asked.append(head.decode())
            if not head.startswith(b"CONNECT"):
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self.port)) as target:
                back = threading.Thread(target=pump, args=(target, client), daemon=True)
                back.start()
                pump(client, target)
                back.join()


def pump(source, target):
    with suppress(OSError):
        while chunk := source.recv(4096):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_to(url):
    proxy = Proxy(int(url.rpartition(":")[2]))
    try:
        yield proxy
    finally:
        proxy.server.shutdown(socket.SHUT_RDWR)
        proxy.server.close()


@pytest.fixture
def far_endpoint(tmp_path, monkeypatch):
    """An endpoint that is trusted as certn.test, and the proxy that leads there."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("certn.test").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with (
        TokenEndpoint(context=context, host="certn.test") as endpoint,
        proxy_to(endpoint.url) as proxy,
    ):
        endpoint.proxy = proxy
        yield endpoint


class TestProxies:
    @pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    def test_for_https_it_is_a_tunnel(self, far_endpoint, monkeypatch, variable):
        monkeypatch.setenv(variable, far_endpoint.proxy.url)
        assert fetched("https://certn.test").status == 200
        (request,) = far_endpoint.requests
        assert request.headers["Authorization"].startswith("Basic ")
        (asked,) = far_endpoint.proxy.asked
        assert asked.startswith("CONNECT certn.test:443 HTTP/1.")
        assert "Authorization" not in asked

    def test_that_fails(self, monkeypatch):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
        assert fetched("https://certn.test").failure == "proxy"

    def test_behind_which_the_certificate_is_not_trusted(self, far_endpoint, monkeypatch):
        """As of a company's proxy that inspects TLS."""
        monkeypatch.setenv("https_proxy", far_endpoint.proxy.url)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        assert fetched("https://certn.test").failure == "certificate"
        assert len(far_endpoint.proxy.asked) == 1
        assert far_endpoint.hits == 0

    def test_behind_which_the_certificate_is_for_another_name(self, far_endpoint, monkeypatch):
        monkeypatch.setenv("https_proxy", far_endpoint.proxy.url)
        assert fetched("https://demo.certn.test").failure == "certificate"
        assert far_endpoint.hits == 0

    @pytest.mark.parametrize("status", [b"403 Forbidden", b"407 Login", b"502 Bad Gateway"])
    def test_that_refuses(self, endpoint, monkeypatch, status):
        head = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status
        endpoint.raw(lambda connection: connection.sendall(head))
        monkeypatch.setenv("https_proxy", endpoint.url)
        answer = fetched("https://certn.test")
        assert (answer.status, answer.failure) == (None, "proxy")
        assert "Authorization" not in endpoint.requests[0].headers

    def test_whose_name_does_not_resolve(self, monkeypatch):
        def fail(*args, **kwargs):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
        assert fetched("https://certn.test").failure == "proxy"

    @pytest.mark.parametrize(
        "address",
        [
            "http://",
            "http://:3128",
            "http://[proxy:3128",
            "http://[::1]evil:3128",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:port",
            "ftp://127.0.0.1:3128",
            "://127.0.0.1",
            "socks5://127.0.0.1:3128",
            "http://user:p/ss@127.0.0.1:3128",
        ],
    )
    @pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
    def test_whose_address_cannot_be_used(self, monkeypatch, variable, address):
        monkeypatch.setenv(variable, address)
        answer = fetched("https://certn.test")
        assert (answer.status, answer.failure, answer.variable) == (None, "proxy_url", variable)

    def test_without_a_scheme(self, far_endpoint, monkeypatch):
        monkeypatch.setenv("https_proxy", far_endpoint.proxy.url.removeprefix("http://"))
        assert fetched("https://certn.test").status == 200

    def test_that_is_not_for_this_host(self, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://")
        monkeypatch.setenv("no_proxy", "certn.test")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: 1 / 0)
        assert fetched("https://certn.test").failure == "ZeroDivisionError"

    def test_that_answers_with_an_endless_head(self, monkeypatch, endpoint):
        endpoint.raw(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nX: y" * MAX_WIRE))
        monkeypatch.setenv("https_proxy", endpoint.url)
        answer = fetched("https://certn.test")
        assert (answer.status, answer.body) == (None, None)

    def test_never_on_this_computer(self, endpoint, tls_endpoint, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_endpoint.ca_file)
        with proxy_to(endpoint.url) as proxy:
            for name in (*PROXY_VARIABLES, "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            assert fetched(endpoint.url).status == 200
            assert fetched(tls_endpoint.url).status == 200
            assert fetched(tls_endpoint.url.replace("localhost", "127.0.0.1")).status == 200
            assert proxy.asked == []


def test_netrc_does_not_matter(endpoint, far_endpoint, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    machines = ("127.0.0.1", "certn.test")
    netrc.write_text(
        "".join(f"machine {name} login fake password no\n" for name in machines), encoding="utf-8"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth("https://certn.test/token/") == ("fake", "no")
    monkeypatch.setenv("https_proxy", far_endpoint.proxy.url)

    for address, counterpart in {
        endpoint.url: endpoint,
        "https://certn.test": far_endpoint,
    }.items():
        assert fetched(address).status == 200
        (request,) = counterpart.requests
        assert request.basic == (AUTH.username, AUTH.password)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(endpoint, status):
    endpoint.answer(status, b"", {"Location": f"{endpoint.url}/elsewhere/"})
    assert fetched(endpoint.url).status == status
    assert endpoint.hits == 1


def test_what_cannot_be_read_of_a_head_is_let_go(endpoint):
    endpoint.raw(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\n\r\n{}")
    )
    answer = fetched(endpoint.url)
    assert (answer.status, answer.headers, answer.body) == (200, {"A": "b"}, b"{}")
