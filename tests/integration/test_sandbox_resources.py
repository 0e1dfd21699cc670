"""What both of the sandbox's APIs have: pages, receipts, redirects, and tokens that end early."""

import hashlib
import http.client
import io
import socket
from urllib.parse import urlsplit

import pytest

from tests.integration.web import Web, any_secret

USERS = "/api/v1/users/"
APPLICANTS = "/api/v1/hr/applicants/"
CASES = "/api/public/cases/"
ONE = "00000000-0000-4000-8000-000000000101/"
CONTENT = b"fake content \xff" * 100


@pytest.fixture
def ask(sandbox, web):
    """Call either API with what it takes."""
    token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
    key = sandbox.make_api_key()

    def ask(method, path, **kwargs):
        credential = {"key": key} if path.startswith("/api/public/") else {"token": token}
        return web.call(method, path, **credential, **kwargs)

    return ask


class TestPages:
    @pytest.mark.parametrize("path", [USERS, CASES])
    def test_links_lead_through_the_list_and_back(self, ask, sandbox, path):
        seen, url = [], sandbox.url + path
        while url:
            assert url.startswith(f"{sandbox.url}{path}")
            page = ask("GET", url.removeprefix(sandbox.url)).json()
            assert len(page["results"]) <= 2
            seen.append([each["id"] for each in page["results"]])
            url = page["next"]
        flat = [number for page in seen for number in page]
        assert len(flat) == len(set(flat)) == page["count"] > 2
        back = urlsplit(page["previous"])
        page = ask("GET", f"{back.path}?{back.query}").json()
        assert [each["id"] for each in page["results"]] == seen[-2]

    def test_the_size_of_a_page(self, ask):
        page = ask("GET", f"{USERS}?page_size=1").json()
        assert len(page["results"]) == 1
        assert page["next"].endswith("?page_size=1&page=2")
        assert len(ask("GET", f"{USERS}?page_size=1000").json()["results"]) == 3
        assert len(ask("GET", f"{USERS}?page_size=no").json()["results"]) == 2

    @pytest.mark.parametrize("number", ["0", "4", "-1", "x", "", "9" * 5000, "\u00b2"])
    def test_a_page_that_is_not_there(self, ask, number):
        answer = ask("GET", f"{USERS}?page={number}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})

    def test_an_empty_list_has_a_page(self, ask):
        page = ask("GET", APPLICANTS).json()
        assert page == {"count": 0, "next": None, "previous": None, "results": []}


class TestReceipts:
    @pytest.mark.parametrize("path", [APPLICANTS, CASES])
    @pytest.mark.parametrize(
        ("method", "below", "status"),
        [("POST", "", 201), ("PUT", ONE, 200), ("PATCH", ONE, 200), ("OPTIONS", "", 200)],
    )
    def test_they_say_what_arrived(self, ask, path, method, below, status):
        answer = ask(method, path + below, data=CONTENT)
        assert answer.status_code == status
        assert answer.json()["received"] == {
            "method": method,
            "content_type": "text/plain",  # Python's WSGI server has it for none.
            "size": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }

    @pytest.mark.parametrize("path", [APPLICANTS, CASES])
    def test_delete_and_head(self, ask, path):
        answer = ask("DELETE", path + ONE)
        assert (answer.status_code, answer.content) == (204, b"")
        answer = ask("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")

    @pytest.mark.parametrize(
        "body",
        [
            {"json": {"fake": 1}},
            {"data": {"fake": "1"}},
            {"files": {"fake": ("fake.pdf", CONTENT, "application/pdf")}},
        ],
        ids=["json", "form", "file"],
    )
    def test_whatever_kind_of_body_it_is(self, ask, body):
        answer = ask("POST", APPLICANTS, **body)
        assert answer.status_code == 201
        sent = answer.request.body
        sent = sent.encode() if isinstance(sent, str) else sent
        received = answer.json()["received"]
        assert (received["size"], received["sha256"]) == (
            len(sent),
            hashlib.sha256(sent).hexdigest(),
        )
        assert answer.request.headers["Content-Type"].startswith(received["content_type"])

    @pytest.mark.parametrize("pieces", [[], [b"a"], [b"a" * 70_000] * 60])
    def test_a_body_that_comes_in_pieces(self, ask, pieces):
        for _ in range(2):  # Over one connection: the second request begins where the first ends.
            answer = ask("POST", CASES, data=iter(pieces))
            assert answer.request.headers["Transfer-Encoding"] == "chunked"
            assert answer.status_code == 201
            assert answer.json()["received"]["size"] == sum(map(len, pieces))
            assert answer.json()["received"]["sha256"] == (
                hashlib.sha256(b"".join(pieces)).hexdigest()
            )

    def test_a_file_that_is_sent_as_it_is_read(self, ask):
        answer = ask("POST", CASES, data=io.BytesIO(CONTENT * 5000))
        assert answer.json()["received"]["size"] == len(CONTENT) * 5000

    @pytest.mark.parametrize("body", [b"x\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"5\r\nab", b"-1\r\n"])
    def test_pieces_that_are_none(self, sandbox, body):
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=60) as connection:
            connection.sendall(
                f"POST {CASES} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
                + b"Transfer-Encoding: chunked\r\n\r\n"
                + body
            )
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 400
        assert sandbox.errors == ""

    def test_who_is_refused_is_refused_before_anything_is_said_about_it(self, web):
        for path in (APPLICANTS, CASES):
            answer = web.call("POST", path, data=CONTENT)
            assert answer.status_code == 401
            assert "received" not in answer.text


class TestRedirects:
    @pytest.mark.parametrize("path", [USERS, APPLICANTS, CASES])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_without_the_trailing_slash(self, ask, path, method):
        answer = ask(method, path.rstrip("/"))
        assert (answer.status_code, answer.headers["Location"]) == (301, path)

    @pytest.mark.parametrize("path", [APPLICANTS, CASES])
    def test_to_where_a_test_wants(self, ask, sandbox, path):
        location = "http://localhost:9/elsewhere?page=1"
        sandbox.fault("redirect", 2, path, location)
        (pending,) = sandbox.control("GET", "faults")["faults"]
        assert pending["location"] == location
        for method in ("GET", "POST"):
            answer = ask(method, path)
            assert (answer.status_code, answer.headers["Location"]) == (307, location)
        assert ask("GET", path).status_code == 200

    def test_to_a_resource_that_is_there(self, ask, sandbox):
        sandbox.fault("redirect", path=APPLICANTS, location=USERS)
        answer = ask("GET", APPLICANTS, follow=True)
        assert answer.json()["count"] == 3

    @pytest.mark.parametrize(
        "wanted",
        [
            {"fault": "slow", "location": "/"},
            {"fault": "redirect", "location": ""},
            {"fault": "redirect", "location": 1},
            {"fault": "redirect", "location": "/\r\nX: y"},
            {"fault": "redirect", "location": "/\u00ff"},
            {"fault": "redirect", "location": "/" * 2001},
        ],
    )
    def test_a_location_that_is_none(self, sandbox, web, wanted):
        answer = web.put("/__sandbox__/faults", json=wanted)
        assert answer.status_code == 400
        assert "location" in answer.json()["error"]
        assert sandbox.control("GET", "faults") == {"faults": []}


class TestTokensThatEndEarly:
    def test_all_of_them(self, sandbox, web):
        keys = [sandbox.refresh_keys(), ("sandbox-expires-soon", any_secret())]
        tokens = [web.exchange(*key).json()["access_token"] for key in keys]
        assert [web.users(token).status_code for token in tokens] == [200, 200]
        assert sandbox.revoke_tokens() == 2
        assert [web.users(token).status_code for token in tokens] == [401, 401]
        assert sandbox.revoke_tokens() == 0
        # The key still buys another one, and the journal still says whose the dead one was.
        assert sandbox.requests(USERS)[-2]["client_id"] == keys[0][0]
        assert web.users(web.exchange(*keys[0]).json()["access_token"]).status_code == 200

    def test_those_of_one_client(self, sandbox, web):
        keys = [sandbox.refresh_keys(), ("sandbox-dies-once", any_secret())]
        web.exchange(*keys[1])
        tokens = [web.exchange(*key).json()["access_token"] for key in keys]
        assert sandbox.revoke_tokens(keys[1][0]) == 1
        assert [web.users(token).status_code for token in tokens] == [200, 401]

    @pytest.mark.parametrize("wanted", [{"client_id": "sandbox-unknown"}, {"client": "x"}, []])
    def test_a_wish_that_is_not_understood(self, sandbox, web, wanted):
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        assert web.post("/__sandbox__/revoke-tokens", json=wanted).status_code == 400
        assert web.users(token).status_code == 200


def test_a_page_of_another_origin_can_do_none_of_it(sandbox):
    key = sandbox.make_api_key()
    foreign = {"Origin": "https://certn.example"}
    with Web(sandbox.url) as web:
        for method, path in [
            ("POST", "/__sandbox__/api-keys"),
            ("DELETE", "/__sandbox__/api-keys"),
            ("GET", "/__sandbox__/api-keys"),
            ("POST", "/__sandbox__/revoke-tokens"),
            ("POST", "/partner/api-keys/"),
            ("POST", CASES),
        ]:
            assert web.request(method, path, json={}, headers=foreign).status_code == 403
    assert [each["prefix"] for each in sandbox.api_keys()] == [key.partition(".")[0]]
