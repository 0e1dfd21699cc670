import json
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.integration.web import GRANT, Web, any_secret
from tests.sandbox import RunningSandbox, environment

HEADER = "Certn-Sandbox"
MAGIC = (
    "rejected forbidden rate-limited unavailable retired slow not-json redirect expires-soon "
    "dies-once"
)


def run(*args, before="", **kwargs):
    """Run the sandbox to its end and return how it went."""
    code = f"import sys\n{before}\nfrom django_certn.sandbox.command import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        env=environment(),
        check=False,
        **kwargs,
    )


class TestTheApi:
    def test_a_key_buys_a_token_and_the_token_a_list(self, sandbox, web):
        answer = web.exchange(*sandbox.refresh_keys())
        assert answer.status_code == 200
        token = answer.json()
        assert token.pop("access_token").startswith("sandbox-")
        assert token == {"expires_in": 36000, "token_type": "Bearer", "scope": "certn"}

        answer = web.users(web.exchange(*sandbox.refresh_keys()).json()["access_token"])
        assert answer.status_code == 200
        assert list(answer.json()) == ["count", "next", "previous", "results"]
        people = answer.json()["results"]
        assert len(people) == 2
        assert all(person["email"].endswith("@example.com") for person in people)

    def test_a_key_in_the_body_works_too(self, sandbox, web):
        client_id, secret = sandbox.refresh_keys()
        pair = {"client_id": client_id, "client_secret": secret}
        assert web.post("/token/", data=GRANT | pair).status_code == 200
        assert sandbox.requests("/token/")[0]["client_id"] == client_id

    @pytest.mark.parametrize("which", ["id", "secret", "none", "not base64", "not ASCII"])
    def test_a_wrong_key_is_refused(self, sandbox, web, which):
        client_id, secret = sandbox.refresh_keys()
        answer = {
            "id": lambda: web.exchange("sandbox-id-of-nobody", secret),
            "secret": lambda: web.exchange(client_id, "sandbox-wrong"),
            "none": lambda: web.post("/token/", data=GRANT),
            "not base64": lambda: web.post(
                "/token/", data=GRANT, headers={"Authorization": "Basic !"}
            ),
            "not ASCII": lambda: web.post(
                "/token/", data=GRANT, headers={"Authorization": "Basic \u00ff!"}
            ),
        }[which]()
        assert answer.status_code == 401
        assert answer.json() == {"error": "invalid_client"}
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_client"'

    def test_another_grant_is_refused(self, sandbox, web):
        answer = web.post("/token/", auth=sandbox.refresh_keys(), data={"grant_type": "magic"})
        assert answer.status_code == 400
        assert answer.json() == {"error": "unsupported_grant_type"}

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sandbox-token-fake"}])
    def test_the_api_refuses_as_certn_does_and_says_why_in_the_header(self, web, headers):
        answer = web.get("/api/v1/users/", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Authentication credentials were not provided."}
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_token_in_the_query_is_refused(self, sandbox, web):
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        assert web.get(f"/api/v1/users/?access_token={token}").status_code == 401

    def test_a_post_without_the_trailing_slash_becomes_a_get(self, sandbox, web):
        auth = sandbox.refresh_keys()
        answer = web.post("/token", auth=auth, data=GRANT)
        assert (answer.status_code, answer.headers["Location"]) == (301, "/token/")
        assert web.post("/token", auth=auth, data=GRANT, follow=True).status_code == 405
        assert [entry["status"] for entry in sandbox.requests()] == [301, 301, 405]

    def test_what_is_not_there(self, web):
        answer = web.get("/api/v1/superteams/")
        assert answer.status_code == 404
        assert "/api/v1/users/" in answer.json()["detail"]

    def test_resetting_while_tokens_are_issued_breaks_nothing(self, sandbox):
        def exchange(_):
            with Web(sandbox.url) as web:
                return web.exchange("sandbox-expires-soon", any_secret()).status_code

        with ThreadPoolExecutor(9) as pool:
            statuses = pool.map(exchange, range(64))
            for _ in range(20):
                sandbox.reset()
            assert set(statuses) <= {200, 401}
        assert sandbox.errors == ""

    def test_sixty_four_callers_at_once(self, sandbox):
        key = sandbox.refresh_keys()

        def exchange(_):
            with Web(sandbox.url) as web:
                return web.exchange(*key).status_code

        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(exchange, range(64))) == [200] * 64
        assert sandbox.count() == 64
        assert sandbox.errors == ""


class TestKeys:
    def test_refreshing_loses_the_earlier_key_at_once(self, sandbox, web):
        earlier, later = sandbox.refresh_keys(), sandbox.refresh_keys()
        assert web.exchange(*earlier).status_code == 401
        assert web.exchange(*later).status_code == 200
        assert sandbox.control("GET", "keys") == {"client_id": later[0]}

    @pytest.mark.parametrize(("revoke_tokens", "status"), [(False, 200), (True, 401)])
    def test_live_tokens_stay_valid_unless_asked(self, sandbox, web, revoke_tokens, status):
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        sandbox.refresh_keys(revoke_tokens=revoke_tokens)
        assert web.users(token).status_code == status

    def test_everything_says_where_it_comes_from(self, sandbox):
        client_id, secret = sandbox.refresh_keys()
        assert client_id.startswith("sandbox-")
        assert secret.startswith("sandbox-")

    def test_reset(self, sandbox, web):
        key = sandbox.refresh_keys()
        token = web.exchange(*key).json()["access_token"]
        sandbox.fault("retired", 5)
        sandbox.reset()
        assert sandbox.control("GET", "keys") == {"client_id": None}
        assert sandbox.control("GET", "faults") == {"faults": []}
        assert sandbox.requests() == []
        assert web.exchange(*key).status_code == 401
        assert web.users(token).status_code == 401

    @pytest.mark.parametrize(
        "body", ['{"revoke_tokens": 1}', '{"revoke": true}', "[]", "{", "\xff", "[" * 5000]
    )
    def test_a_call_that_is_not_understood_refreshes_nothing(self, sandbox, web, body):
        client_id, _ = sandbox.refresh_keys()
        answer = web.post(
            "/__sandbox__/keys",
            data=body.encode("latin-1"),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert sandbox.control("GET", "keys") == {"client_id": client_id}


class TestThePartnerTab:
    def refresh(self, web, **fields):
        answer = web.submit("/partner/refresh/", **fields)
        assert answer.status_code == 303
        return answer.headers["Location"]

    def test_refresh_keys_by_hand(self, sandbox, web):
        assert web.get("/").headers["Location"] == "/partner/"
        assert "There is no key yet." in web.get("/partner/").text
        assert "Previously generated keys will be lost." in web.get("/partner/refresh/").text
        page = web.get(self.refresh(web)).text
        client_id = re.search(r'id="client-id">(.+?)<', page)[1]
        secret = re.search(r'id="client-secret">(.+?)<', page)[1]
        assert web.exchange(client_id, secret).status_code == 200
        assert f'id="client-id">{client_id}<' in web.get("/partner/").text

    def test_asking_changes_nothing(self, sandbox, web):
        key = sandbox.refresh_keys()
        web.get("/partner/refresh/")
        assert web.exchange(*key).status_code == 200

    def test_the_secret_is_shown_once(self, web):
        address = self.refresh(web)
        assert "sandbox-secret-" in web.get(address).text
        again = web.get(address)
        assert again.status_code == 410
        assert "sandbox-secret-" not in again.text + web.get("/partner/").text

    def test_a_secret_is_not_shown_after_the_next_refresh(self, web):
        address = self.refresh(web)
        self.refresh(web)
        assert "sandbox-secret-" not in web.get(address).text

    @pytest.mark.parametrize(("fields", "status"), [({}, 200), ({"revoke_tokens": "on"}, 401)])
    def test_live_tokens(self, sandbox, web, fields, status):
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        self.refresh(web, **fields)
        assert web.users(token).status_code == status

    def test_faults_by_button(self, sandbox, web):
        page = web.get("/partner/").text
        assert all(f">{name}</button>" in page for name in MAGIC.split())
        web.submit(
            "/partner/", "/partner/faults/", fault="retired", path="/api/v1/users/", count="2"
        )
        assert sandbox.control("GET", "faults") == {
            "faults": [{"fault": "retired", "count": 2, "path": "/api/v1/users/"}]
        }
        assert "for the next 2 requests" in web.get("/partner/").text
        web.submit("/partner/", "/partner/faults/", clear="")
        # What can happen at one address alone happens there, whatever else is chosen.
        assert 'value="dies-once /token/"' in page
        web.submit(
            "/partner/", "/partner/faults/", fault="dies-once /token/", path="/api/", count="1"
        )
        assert sandbox.control("GET", "faults")["faults"][0]["path"] == "/token/"
        web.submit("/partner/", "/partner/faults/", clear="")
        assert sandbox.control("GET", "faults") == {"faults": []}

    @pytest.mark.parametrize("fields", [{}, {"fault": "retired /token/", "count": "\u00b2"}])
    def test_a_form_that_is_not_understood(self, sandbox, web, fields):
        assert web.submit("/partner/", "/partner/faults/", **fields).status_code == 400
        assert sandbox.control("GET", "faults") == {"faults": []}

    def test_it_shows_what_was_asked(self, web):
        web.exchange("sandbox-unavailable", any_secret())
        page = web.get("/partner/").text
        assert "POST /token/" in page
        assert "503" in page

    def test_reset_by_hand(self, sandbox, web):
        sandbox.refresh_keys()
        assert web.submit("/partner/", "/partner/reset/").status_code == 303
        assert sandbox.control("GET", "keys") == {"client_id": None}

    @pytest.mark.parametrize("page", ["refresh", "faults", "reset"])
    def test_a_form_without_its_csrf_token_is_refused(self, sandbox, web, page):
        client_id, _ = sandbox.refresh_keys()
        assert web.post(f"/partner/{page}/", data={}).status_code == 403
        assert sandbox.control("GET", "keys") == {"client_id": client_id}

    def test_no_script_and_nothing_from_elsewhere(self, web):
        for page in ("/partner/", "/partner/refresh/", "/partner/api-keys/", self.refresh(web)):
            html = web.get(page).text
            assert "A stand-in for Certn on this computer. Not Certn." in html
            assert not re.search(r"<script|\bon\w+=|style=|javascript:", html)
            assert set(re.findall(r'(?:src|href)="([^/][^"]*)"', html)) <= {"data:,"}
        assert web.get("/partner/style.css").headers["Content-Type"] == "text/css"


class TestFaults:
    EXPECTED = (
        ("forbidden", 403),
        ("rate-limited", 429),
        ("unavailable", 503),
        ("retired", 410),
        ("not-json", 200),
        ("redirect", 307),
    )

    def check(self, name, answer):
        if name == "rate-limited":
            assert answer.headers["Retry-After"] == "30"
        if name == "redirect":
            assert answer.headers["Location"] == answer.request.path_url + "elsewhere/"
        if name == "not-json":
            assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers[HEADER]

    @pytest.mark.parametrize(("name", "status"), EXPECTED)
    def test_a_magic_id_misbehaves_always(self, sandbox, web, name, status):
        for _ in range(2):
            answer = web.exchange(f"sandbox-{name}", any_secret())
            assert answer.status_code == status
            self.check(name, answer)
        assert [entry["fault"] for entry in sandbox.requests("/token/")] == [name, name]

    @pytest.mark.parametrize("path", ["/token/", "/api/v1/users/"])
    @pytest.mark.parametrize(("name", "status"), [*EXPECTED, ("rejected", 401)])
    def test_a_counted_fault_misbehaves_so_often(self, sandbox, web, name, status, path):
        key = sandbox.refresh_keys()
        token = web.exchange(*key).json()["access_token"]
        ask = {"/token/": lambda: web.exchange(*key), "/api/v1/users/": lambda: web.users(token)}
        elsewhere = next(other for other in ask if other != path)
        sandbox.fault(name, 2, path)
        assert ask[elsewhere]().status_code == 200
        for _ in range(2):
            answer = ask[path]()
            assert answer.status_code == status
            self.check(name, answer)
        answer = ask[path]()
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("name", MAGIC.split())
    def test_a_magic_id_wants_a_sandbox_secret(self, web, name):
        answer = web.exchange(f"sandbox-{name}", "fake-secret-of-a-real-account")
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})

    def test_rejected(self, web):
        answer = web.exchange("sandbox-rejected", any_secret())
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})

    def test_a_counted_rejection_looks_like_the_toolkits(self, sandbox, web):
        wrong = web.exchange("sandbox-rejected", any_secret())
        sandbox.fault("rejected")
        asked = web.exchange(*sandbox.refresh_keys())
        assert asked.json() == wrong.json()
        for name in ("WWW-Authenticate", "Content-Type"):
            assert asked.headers[name] == wrong.headers[name]

    def test_slow_is_later_than_the_default_budget(self, sandbox, web):
        from django_certn.sandbox import faults

        assert 10 < faults.SLOW_SECONDS < 60
        with pytest.raises(requests.ReadTimeout):
            web.exchange("sandbox-slow", any_secret(), timeout=0.3)
        sandbox.fault("slow", path="/api/v1/users/")
        with pytest.raises(requests.ReadTimeout):
            web.get("/api/v1/users/", timeout=0.3)
        # Nobody else waits, and who gave up is in the journal.
        assert web.get("/__sandbox__/health", timeout=2).json() == {"status": "ok"}
        assert [entry["status"] for entry in sandbox.requests()] == [None, None]

    @pytest.mark.parametrize("how", ["magic", "counted"])
    def test_dies_once(self, sandbox, web, how):
        key = ("sandbox-dies-once", any_secret())
        if how == "counted":
            key = sandbox.refresh_keys()
            sandbox.fault("dies-once")
        first, second = web.exchange(*key), web.exchange(*key)
        assert (first.status_code, first.json()["expires_in"]) == (200, 36000)
        assert web.users(first.json()["access_token"]).status_code == 401
        assert web.users(second.json()["access_token"]).status_code == 200
        assert sandbox.requests("/api/v1/users/")[0]["client_id"] == key[0]

    def test_dies_once_in_parallel(self, sandbox):
        secrets = [any_secret() for _ in range(4)]

        def statuses(secret):
            with Web(sandbox.url) as web:
                token = web.exchange("sandbox-dies-once", secret).json()["access_token"]
                return secret, web.users(token).status_code

        with ThreadPoolExecutor(16) as pool:
            seen = list(pool.map(statuses, secrets * 4))
        for secret in secrets:
            assert sorted(status for mine, status in seen if mine == secret) == [200, 200, 200, 401]

    def test_expires_soon(self, sandbox, web):
        sandbox.fault("expires-soon")
        tokens = [
            web.exchange(*sandbox.refresh_keys()).json(),
            web.exchange("sandbox-expires-soon", any_secret()).json(),
        ]
        assert [token["expires_in"] for token in tokens] == [5, 5]
        api_key = f"sandbox-expires-soon-{any_secret()}"

        def statuses_of_the_key():
            return [
                web.call("GET", "/api/public/cases/", key=api_key).status_code for _ in range(2)
            ]

        assert [web.users(token["access_token"]).status_code for token in tokens] == [200, 200]
        assert statuses_of_the_key() == [200, 200]
        assert web.exchange(*sandbox.refresh_keys()).json()["expires_in"] == 36000
        time.sleep(5.1)
        assert statuses_of_the_key() == [401, 401]
        assert [web.users(token["access_token"]).status_code for token in tokens] == [401, 401]

    def test_several_happen_in_the_order_asked_for(self, sandbox, web):
        sandbox.fault("retired", 1)
        sandbox.fault("unavailable", 2)
        sandbox.fault("rate-limited", 1)
        sandbox.fault("rate-limited", 0)
        key = sandbox.refresh_keys()
        assert [web.exchange(*key).status_code for _ in range(4)] == [410, 503, 503, 200]

    def test_the_whole_list_at_once(self, sandbox):
        sandbox.fault("slow", 3)
        wanted = [{"fault": "retired", "count": 2, "path": "/api/v1/users/"}]
        assert sandbox.control("PUT", "faults", {"faults": wanted}) == {"faults": wanted}
        assert sandbox.control("PUT", "faults", {"faults": []}) == {"faults": []}

    def test_counting_is_exact_when_many_ask(self, sandbox):
        key = sandbox.refresh_keys()
        sandbox.fault("unavailable", 10)

        def exchange(_):
            with Web(sandbox.url) as web:
                return web.exchange(*key).status_code

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(exchange, range(32))) == [200] * 22 + [503] * 10

    @pytest.mark.parametrize(
        ("wanted", "named"),
        [
            ({}, "rejected"),
            ({"fault": "unknown"}, "rate-limited"),
            ({"fault": ["slow"]}, "fault"),
            ({"fault": "slow", "count": -1}, "count"),
            ({"fault": "slow", "count": True}, "count"),
            ({"fault": "slow", "count": 1.5}, "count"),
            ({"fault": "slow", "count": 10**6}, "count"),
            ({"fault": "slow", "path": "/elsewhere/"}, "path"),
            ({"fault": "slow", "path": ["/token/"]}, "path"),
            ({"fault": "dies-once", "path": "/api/v1/users/"}, "path"),
            ({"fault": "slow", "times": 1}, "times"),
            ({"faults": {}}, "faults"),
            ({"faults": ["slow"]}, "object"),
            ({"faults": [{"fault": "slow", "times": 1}]}, "times"),
            ({"faults": [], "count": 1}, "faults"),
        ],
    )
    def test_a_wish_that_is_not_understood(self, sandbox, web, wanted, named):
        answer = web.put("/__sandbox__/faults", json=wanted)
        assert answer.status_code == 400
        assert named in answer.json()["error"]
        assert sandbox.control("GET", "faults") == {"faults": []}


class TestTheJournal:
    def test_an_entry(self, sandbox, web):
        client_id, secret = sandbox.refresh_keys()
        web.exchange(client_id, secret)
        (entry,) = sandbox.requests()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry.pop("time"))
        assert entry == {
            "method": "POST",
            "path": "/token/",
            "status": 200,
            "client_id": client_id,
            "api_key": None,
            "fault": None,
        }

    def test_no_credential_is_in_it(self, sandbox, web):
        client_id, secret = sandbox.refresh_keys()
        token = web.exchange(client_id, secret).json()["access_token"]
        web.users(token)
        web.exchange(secret, client_id)  # swapped
        web.post("/token/", data=GRANT | {"client_id": secret, "client_secret": secret})
        web.get(f"/api/v1/users/{token}/")
        web.get(f"/api/v1/users/?access_token={token}&secret={secret}")
        entries = sandbox.requests()
        assert len(entries) == 6
        written = json.dumps(entries)
        assert secret.removeprefix("sandbox-") not in written
        assert token.removeprefix("sandbox-") not in written
        assert [entry["client_id"] for entry in entries] == [client_id] * 2 + [None] * 4
        page = web.get("/partner/").text
        assert secret not in page
        assert token not in page

    def test_it_can_be_cleared(self, sandbox, web):
        web.exchange(*sandbox.refresh_keys())
        assert (sandbox.count(), sandbox.count(method="GET")) == (1, 0)
        sandbox.control("DELETE", "requests")
        assert sandbox.requests() == []

    def test_the_page_and_the_control_calls_are_not_in_it(self, sandbox, web):
        web.get("/")
        web.get("/partner/")
        web.get("/__sandbox__/health")
        assert sandbox.requests() == []


class TestBesideABrowser:
    def test_it_says_what_it_is_on_every_answer(self, sandbox, web):
        web.users("sandbox-fake")
        answers = [
            web.get("/"),
            web.get("/partner/"),
            web.get("/partner/style.css"),
            web.get("/nothing"),
            web.get("/token"),
            web.get("/token/"),
            web.get("/partner/", headers={"Host": "certn.example"}),
            web.post("/partner/refresh/"),
            web.get("/__sandbox__/health"),
            web.exchange("sandbox-unavailable", any_secret()),
            web.exchange("sandbox-retired", any_secret()),
        ]
        assert [answer.status_code for answer in answers] == (
            [302, 200, 200, 404, 301, 405, 400, 403, 200, 503, 410]
        )
        for answer in answers:
            assert answer.headers[HEADER] == "A stand-in for Certn on this computer. Not Certn."
            assert answer.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert not [name for name in answer.headers if name.startswith("Access-Control")]

    def test_it_says_so_even_to_what_is_not_http(self, sandbox):
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/9.9\r\n\r\n")
            assert HEADER.encode() in connection.recv(4096)

    @pytest.mark.parametrize("host", ["certn.example", "127.0.0.1.example", "localhost.example:80"])
    @pytest.mark.parametrize("path", ["/token/", "/__sandbox__/keys", "/partner/refresh/"])
    def test_another_host_is_refused(self, sandbox, web, host, path):
        client_id, _ = sandbox.refresh_keys()
        answer = web.post(path, json={}, headers={"Host": host})
        assert (answer.status_code, HEADER in answer.headers) == (400, True)
        assert sandbox.control("GET", "keys") == {"client_id": client_id}

    def test_localhost_is_not_another_host(self, sandbox, web):
        answer = web.get("/partner/", headers={"Host": f"localhost:{sandbox.port}"})
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://certn.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_a_foreign_page_is_refused(self, sandbox, web, headers):
        client_id, _ = sandbox.refresh_keys()
        asked = [
            web.post("/__sandbox__/keys", json={}, headers=headers),
            web.post("/__sandbox__/reset", json={}, headers=headers),
            web.put("/__sandbox__/faults", json={"fault": "slow"}, headers=headers),
            web.delete("/__sandbox__/requests", json={}, headers=headers),
            web.get("/__sandbox__/requests", headers=headers),
            web.options("/__sandbox__/keys", headers=headers),
            web.post("/token/", data=GRANT, headers=headers),
        ]
        assert [answer.status_code for answer in asked] == [403] * 7
        assert sandbox.control("GET", "keys") == {"client_id": client_id}
        assert sandbox.control("GET", "faults") == {"faults": []}

    def test_its_own_page_is_not_foreign(self, sandbox, web):
        own = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
        assert web.post("/__sandbox__/keys", json={}, headers=own).status_code == 200

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
    )
    def test_control_calls_are_json(self, sandbox, web, content_type):
        client_id, _ = sandbox.refresh_keys()
        headers = {"Content-Type": content_type}
        assert web.post("/__sandbox__/keys", data="{}", headers=headers).status_code == 415
        assert sandbox.control("GET", "keys") == {"client_id": client_id}

    def test_its_cookie_is_nobody_elses(self, web):
        answer = web.get("/partner/")
        assert list(answer.cookies.keys()) == ["certn_sandbox_csrftoken"]
        cookie = answer.headers["Set-Cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/partner/"):
            assert part in cookie
        assert not web.get("/__sandbox__/health").cookies


class TestTheCommand:
    def test_a_port_in_use(self, sandbox):
        ended = run("--port", str(sandbox.port))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == (
            f"Port {sandbox.port} is in use. "
            f"Take another: python -m django_certn.sandbox --port {sandbox.port + 1}\n"
        )

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
    def test_only_loopback(self, host):
        ended = run("--host", host)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "is not a loopback address" in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize("port", ["-1", "65536", "http"])
    def test_not_a_port(self, port):
        ended = run("--port", port)
        assert ended.returncode == 2
        assert "is not a port" in ended.stderr

    def test_without_the_extra(self):
        ended = run(before="sys.modules['oauth2_provider'] = None")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == (
            "The sandbox needs its extra: pip install 'django-certn[sandbox]'\n"
        )

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_at_once_and_leaves_nothing(self, number, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        with RunningSandbox.start() as running:
            assert len(list(tmp_path.iterdir())) == 1
            _hold_a_slow_caller(running)
            running.process.send_signal(number)
            assert running.process.wait(3) == 0
            assert running.errors == ""
        assert list(tmp_path.iterdir()) == []

    def test_what_it_prints(self, sandbox):
        assert sandbox.printed.startswith("A stand-in for Certn on this computer. Not Certn.\n")
        assert f"{sandbox.url}/partner/\n" in sandbox.printed
        assert f"{sandbox.url}/partner/api-keys/\n" in sandbox.printed
        assert "a temporary file, removed when this process ends" in sandbox.printed
        line = re.search(r"^CERTN_ENVIRONMENTS = .+$", sandbox.printed, re.MULTILINE)[0]
        settings = {}
        exec(line, settings)
        assert settings["CERTN_ENVIRONMENTS"] == {
            "local": {"label": "Sandbox", "base_url": sandbox.url},
            "local-centric": {
                "label": "Sandbox, API keys",
                "base_url": sandbox.url,
                "scheme": "api_key",
            },
        }
        assert sandbox.printed.endswith("\nReady. Press Ctrl-C to quit.\n")

    def test_a_kept_database_outlives_it(self, tmp_path):
        path = tmp_path / "kept.sqlite3"
        with RunningSandbox.start("--database", str(path)) as running, Web(running.url) as web:
            assert str(path) in running.printed
            key = running.refresh_keys()
            token = web.exchange(*key).json()["access_token"]
            assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in tmp_path.iterdir())
        with RunningSandbox.start("--database", str(path)) as running, Web(running.url) as web:
            assert running.control("GET", "keys") == {"client_id": key[0]}
            assert web.users(token).status_code == 200
            assert web.exchange(*key).status_code == 200
            assert web.exchange("sandbox-retired", any_secret()).status_code == 410
        kept = path.read_bytes()
        assert key[0].encode() in kept
        assert key[1].encode() not in kept
        assert token.encode() not in kept

    def test_a_path_that_the_terminal_cannot_show(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        path = tmp_path / "gar\u00e7on.sqlite3"
        with RunningSandbox.start("--database", str(path)) as running:
            assert r"gar\xe7on.sqlite3" in running.printed
        assert path.exists()

    def test_the_database_of_something_else_is_left_alone(self, tmp_path):
        path = tmp_path / "site.sqlite3"
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE orders (id)")
        database.close()
        before = path.read_bytes()
        ended = run("--port", "0", "--database", str(path))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "holds something else" in ended.stderr
        assert path.read_bytes() == before

    @pytest.mark.parametrize("name", ["text.sqlite3", "missing/state.sqlite3", "."])
    def test_a_file_that_cannot_be_a_database(self, tmp_path, name):
        (tmp_path / "text.sqlite3").write_text("not a database " * 100, encoding="utf-8")
        ended = run("--port", "0", "--database", str(tmp_path / name))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert str(tmp_path) in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_no_warning_in_its_own_process(self, monkeypatch):
        monkeypatch.setenv("PYTHONWARNINGS", "error")
        with RunningSandbox.start() as running, Web(running.url) as web:
            token = web.exchange(*running.refresh_keys()).json()["access_token"]
            assert web.users(token).status_code == 200
            assert web.submit("/partner/refresh/").status_code == 303
            assert running.errors == ""

    def test_it_needs_and_reads_nothing_of_a_site(self):
        code = """
import pathlib, sys
from django_certn.sandbox import settings
settings.configure(host="127.0.0.1", database=pathlib.Path("unused"))
import django
django.setup()
import django_certn.sandbox.command, django_certn.sandbox.urls
loaded = [name for name in sys.modules if name.startswith(("django_certn", "encrypted_model"))]
print([name for name in loaded if not name.startswith("django_certn.sandbox")])
"""
        imported = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            check=True,
            env=environment(DJANGO_SETTINGS_MODULE="no.such.settings"),
        )
        assert imported.stdout == "['django_certn']\n"


def _hold_a_slow_caller(running):
    with Web(running.url) as web, pytest.raises(requests.ReadTimeout):
        web.exchange("sandbox-slow", any_secret(), timeout=0.2)
