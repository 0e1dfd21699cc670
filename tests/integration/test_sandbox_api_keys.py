"""The sandbox as CertnCentric: API keys, cases and groups."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
import requests

from tests.integration.web import Web, any_secret
from tests.sandbox import RunningSandbox, environment

CASES = "/api/public/cases/"
GROUPS = "/api/public/groups/"
NOBODY = f"{CASES}00000000-0000-0000-0000-000000000000/"
SHAPE = {"type": "client_error"}


def code_of(answer):
    """The one error of an answer, which has CertnCentric's shape and no other."""
    content = answer.json()
    (error,) = content.pop("errors")
    assert content == SHAPE
    assert list(error) == ["code", "detail", "attr"]
    assert error["detail"].endswith(".")
    assert error["attr"] is None
    return error["code"]


def change(path, *statements):
    with closing(sqlite3.connect(path)) as database, database:
        for statement, values in statements:
            database.execute(statement, values)


class TestTheApi:
    @pytest.mark.parametrize("path", [CASES, GROUPS])
    def test_a_key_gets_lists(self, sandbox, web, path):
        answer = web.call("GET", path, key=sandbox.make_api_key())
        assert answer.status_code == 200
        assert list(answer.json()) == ["count", "next", "previous", "results"]

    def test_the_nil_uuid_is_no_case(self, sandbox, web):
        answer = web.call("GET", NOBODY, key=sandbox.make_api_key())
        assert (answer.status_code, code_of(answer)) == (404, "not_found")

    def test_a_case_of_the_list_is_one(self, sandbox, web):
        key = sandbox.make_api_key()
        (case, *_) = web.call("GET", CASES, key=key).json()["results"]
        assert web.call("GET", f"{CASES}{case['id']}/", key=key).json() == case

    @pytest.mark.parametrize("path", [CASES, GROUPS, NOBODY])
    def test_who_brings_nothing_hears_so(self, web, path):
        answer = web.call("GET", path)
        assert (answer.status_code, code_of(answer)) == (401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"] == "Api-Key"

    @pytest.mark.parametrize("path", [CASES, GROUPS, NOBODY])
    @pytest.mark.parametrize("wrong", ["another", "cut", "not ASCII", "prefix"])
    def test_a_wrong_key_is_refused(self, sandbox, web, path, wrong):
        key = sandbox.make_api_key()
        given = {
            "another": f"{key.partition('.')[0]}.fake",
            "cut": key[:-1],
            "not ASCII": "sandbox-\u00ff",
            "prefix": key.partition(".")[0],
        }[wrong]
        answer = web.call("GET", path, key=given)
        assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")

    def test_each_api_has_its_own_scheme(self, sandbox, web):
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        key = sandbox.make_api_key()
        answer = web.call("GET", CASES, token=token)
        assert (answer.status_code, code_of(answer)) == (401, "not_authenticated")
        answer = web.call("GET", "/api/v1/users/", key=key)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Authentication credentials were not provided."}
        # And a key in the place of a token is none.
        assert web.call("GET", "/api/v1/users/", token=key).status_code == 401
        assert web.call("GET", CASES, key=token).status_code == 401

    def test_what_is_not_there(self, sandbox, web):
        answer = web.call("GET", "/api/public/checks/", key=sandbox.make_api_key())
        assert (answer.status_code, code_of(answer)) == (404, "not_found")

    def test_a_method_that_a_list_has_not(self, sandbox, web):
        answer = web.call("POST", GROUPS, key=sandbox.make_api_key())
        assert (answer.status_code, code_of(answer)) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, HEAD"


class TestTheKeys:
    def test_several_live_until_one_is_revoked(self, sandbox, web):
        first, second, third = (sandbox.make_api_key(name) for name in ("first", "", "third"))
        assert [key["name"] for key in sandbox.api_keys()] == ["third", "", "first"]
        assert {web.call("GET", CASES, key=key).status_code for key in (first, third)} == {200}
        sandbox.revoke_api_key(second)
        answer = web.call("GET", CASES, key=second)
        assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
        assert {web.call("GET", CASES, key=key).status_code for key in (first, third)} == {200}
        assert len(sandbox.api_keys()) == 2

    def test_what_is_shown_of_a_key(self, sandbox):
        key = sandbox.make_api_key("for staging")
        assert re.fullmatch(r"sandbox-key-[0-9a-f]{8}\.[\w-]{32}", key)
        (shown,) = sandbox.api_keys()
        made = datetime.fromisoformat(shown["created_at"])
        assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
        assert date.fromisoformat(shown["expires_on"]) - made.date() == timedelta(days=365)
        assert (shown["prefix"], shown["name"]) == (key.partition(".")[0], "for staging")
        assert key.partition(".")[2] not in json.dumps(shown)

    def test_reset(self, sandbox, web):
        key = sandbox.make_api_key()
        sandbox.reset()
        assert sandbox.api_keys() == []
        assert web.call("GET", CASES, key=key).status_code == 401

    @pytest.mark.parametrize(
        ("method", "wanted", "named"),
        [
            ("POST", {"name": 1}, "name"),
            ("POST", {"name": "x" * 101}, "name"),
            ("POST", {"name": "a\nb"}, "name"),
            ("POST", {"prefix": "sandbox-key-00000000"}, "prefix"),
            ("DELETE", {}, "prefix"),
            ("DELETE", {"prefix": "sandbox-key-00000000"}, "prefix"),
            ("DELETE", {"name": ""}, "name"),
            ("DELETE", [], "object"),
        ],
    )
    def test_a_wish_that_is_not_understood(self, sandbox, web, method, wanted, named):
        sandbox.make_api_key()
        answer = web.request(method, "/__sandbox__/api-keys", json=wanted)
        assert answer.status_code == 400
        assert named in answer.json()["error"]
        assert len(sandbox.api_keys()) == 1

    def test_a_kept_file_keeps_their_hashes_and_their_end(self, tmp_path):
        path = tmp_path / "kept.sqlite3"
        with RunningSandbox.start("--database", str(path)) as running:
            key, old = running.make_api_key(), running.make_api_key()
        now = datetime.now(UTC).replace(tzinfo=None)
        change(
            path,
            ("UPDATE sandbox_apikey SET created_at = ?", [str(now - timedelta(days=365))]),
            (
                "UPDATE sandbox_apikey SET created_at = ? WHERE prefix = ?",
                [str(now - timedelta(days=365, minutes=-1)), key.partition(".")[0]],
            ),
        )
        with RunningSandbox.start("--database", str(path)) as running, Web(running.url) as web:
            assert web.call("GET", CASES, key=key).status_code == 200
            assert web.call("GET", CASES, key=old).status_code == 401
        assert key.partition(".")[0].encode() in path.read_bytes()
        assert key.partition(".")[2].encode() not in path.read_bytes()

        # A file from before there were API keys gets their table.
        change(
            path,
            ("DROP TABLE sandbox_apikey", []),
            ("DELETE FROM django_migrations WHERE app = 'sandbox'", []),
        )
        with RunningSandbox.start("--database", str(path)) as running, Web(running.url) as web:
            assert web.call("GET", CASES, key=running.make_api_key()).status_code == 200

    def test_its_table_is_what_its_migration_makes(self):
        code = """
import pathlib
from django_certn.sandbox import settings
settings.configure(host="127.0.0.1", database=pathlib.Path(":memory:"))
import django
django.setup()
from django.core.management import call_command
call_command("makemigrations", "sandbox", check=True, dry_run=True)
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stdout + done.stderr


class TestThePage:
    def make(self, web, **fields):
        answer = web.submit("/partner/api-keys/", **fields)
        assert answer.status_code == 303
        return answer.headers["Location"]

    def test_make_list_and_revoke(self, sandbox, web):
        assert "There is no key yet." in web.get("/partner/api-keys/").text
        keys = []
        for name in ("for staging", ""):
            page = web.get(self.make(web, name=name)).text
            keys.append(re.search(r'id="api-key">(.+?)<', page)[1])
            assert f'id="expires-on">{sandbox.api_keys()[0]["expires_on"]}<' in page
        assert {web.call("GET", CASES, key=key).status_code for key in keys} == {200}

        page = web.get("/partner/api-keys/").text
        for key in keys:
            prefix, _, rest = key.partition(".")
            assert prefix in page
            assert rest not in page
        for shown in sandbox.api_keys():
            assert shown["expires_on"] in page

        prefix = keys[0].partition(".")[0]
        gone = web.submit("/partner/api-keys/", "/partner/api-keys/revoke/", prefix=prefix)
        assert (gone.status_code, gone.headers["Location"]) == (303, "/partner/api-keys/")
        statuses = [web.call("GET", CASES, key=key).status_code for key in keys]
        assert statuses == [401, 200]

    def test_each_is_shown_once(self, web):
        first, second = self.make(web), self.make(web)
        for address in (second, first):
            assert web.get(address).status_code == 200
            again = web.get(address)
            assert again.status_code == 410
            assert 'id="api-key"' not in again.text

    def test_a_name_that_cannot_be_one(self, sandbox, web):
        assert web.submit("/partner/api-keys/", name="x" * 101).status_code == 400
        assert sandbox.api_keys() == []

    def test_a_name_is_text_and_nothing_else(self, sandbox, web):
        sandbox.make_api_key("<b>bold</b>")
        assert "<b>bold" not in web.get("/partner/api-keys/").text

    @pytest.mark.parametrize("page", ["", "revoke/"])
    def test_a_form_without_its_csrf_token_is_refused(self, sandbox, web, page):
        prefix = sandbox.make_api_key().partition(".")[0]
        answer = web.post(f"/partner/api-keys/{page}", data={"prefix": prefix})
        assert answer.status_code == 403
        assert len(sandbox.api_keys()) == 1


class TestFaults:
    @pytest.mark.parametrize("path", [CASES, NOBODY, GROUPS])
    @pytest.mark.parametrize(
        ("name", "status", "code"),
        [
            ("rejected", 401, "authentication_failed"),
            ("forbidden", 403, "permission_denied"),
            ("rate-limited", 429, "throttled"),
            ("retired", 410, "gone"),
        ],
    )
    def test_errors_have_the_shape_of_the_api(self, sandbox, web, path, name, status, code):
        magic = web.call("GET", path, key=f"sandbox-{name}.{any_secret()}")
        sandbox.fault(name, path=GROUPS if path == GROUPS else CASES)
        counted = web.call("GET", path, key=sandbox.make_api_key())
        for answer in (magic, counted):
            assert (answer.status_code, code_of(answer)) == (status, code)
            assert answer.headers.get("Retry-After") == ("30" if status == 429 else None)
        assert [entry["fault"] for entry in sandbox.requests(path)] == [name, name]

    @pytest.mark.parametrize(("name", "status"), [("unavailable", 503), ("not-json", 200)])
    def test_pages_where_json_was_expected(self, web, name, status):
        answer = web.call("GET", CASES, key=f"sandbox-{name}")
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")

    def test_slow(self, web):
        with pytest.raises(requests.ReadTimeout):
            web.call("GET", CASES, key="sandbox-slow", timeout=0.3)

    def test_dies_once(self, web):
        keys = [f"sandbox-dies-once-{any_secret()}" for _ in range(2)]
        statuses = [web.call("GET", CASES, key=key).status_code for key in keys * 2]
        assert statuses == [401, 401, 200, 200]

    def test_one_fault_for_both_apis(self, sandbox, web):
        key = sandbox.make_api_key()
        token = web.exchange(*sandbox.refresh_keys()).json()["access_token"]
        sandbox.refuse_everything()
        for _ in range(2):
            assert web.call("GET", CASES, key=key).status_code == 401
            assert web.call("POST", "/api/v1/hr/applicants/", token=token).status_code == 401
        # The token endpoint is no part of it.
        assert web.exchange(*sandbox.refresh_keys()).status_code == 200


class TestTheJournal:
    def test_a_key_is_named_by_its_beginning(self, sandbox, web):
        key = sandbox.make_api_key()
        prefix, _, rest = key.partition(".")
        web.call("GET", CASES, key=key)
        web.call("GET", CASES, key=f"{prefix}.fake")
        web.call("GET", CASES, key="sandbox-forbidden.fake")
        web.call("GET", CASES, key="sandbox-key-ffffffff.fake")
        web.call("GET", f"{CASES}{key}/")
        web.call("GET", f"{CASES}?key={key}")
        named = [entry["api_key"] for entry in sandbox.requests()]
        assert named == [prefix, prefix, "sandbox-forbidden", None, None, None]
        assert rest not in json.dumps(sandbox.requests())
        assert rest not in web.get("/partner/").text
