"""What `python -m tests.live` reports, asked of the sandbox: else it is for who has a key."""

import getpass
import json

import pytest

from tests import live

pytestmark = pytest.mark.standalone


@pytest.fixture
def run(monkeypatch, capsys):
    """Run it for a person who types these lines, and return its report."""

    def run(*arguments, typed, meanwhile=lambda: None):
        lines = iter(typed)

        def read(prompt):
            if "Partner tab" in prompt:
                meanwhile()
                return ""
            return next(lines)

        monkeypatch.setattr("builtins.input", read)
        monkeypatch.setattr(getpass, "getpass", read)
        live.main(list(arguments))
        printed = capsys.readouterr().out
        for line in typed:
            assert line not in printed
        assert "@example.com" not in printed
        return json.loads(printed)

    return run


def test_of_a_pair(run, sandbox):
    key = sandbox.refresh_keys()
    report = run("--base-url", sandbox.url, "--refused", typed=key)
    exchange, get = report["exchange"], report["get"]
    assert exchange["status"] == get["status"] == 200
    assert exchange["body"]["token_type"] == "Bearer"
    assert exchange["body"]["expires_in"] == 36000
    assert exchange["body"]["access_token"] == "str"
    assert " characters: digits, lower-case letters, " in exchange["access_token"]
    assert get["body"]["count"] == "int"
    assert get["body"]["results"] == {"list of": ["email", "first_name", "id", "last_name"]}
    assert get["next_link"] == "on the own origin"
    assert report["get_without_header"]["status"] == 401
    assert report["get_without_header"]["body"] == {"detail": "str"}
    assert (sandbox.count(), sandbox.count("/api/v1/users/", "GET")) == (1, 2)


@pytest.mark.parametrize("revoked", [True, False])
def test_whether_a_token_outlives_a_refresh(run, sandbox, revoked):
    report = run(
        "--base-url",
        sandbox.url,
        "--refresh",
        typed=sandbox.refresh_keys(),
        meanwhile=lambda: sandbox.refresh_keys(revoke_tokens=revoked),
    )
    assert report["get_after_refresh"]["status"] == (401 if revoked else 200)
    assert sandbox.count() == 1


def test_of_an_api_key(run, sandbox):
    key = sandbox.make_api_key()
    report = run("--base-url", sandbox.url, "--scheme", "api_key", typed=[key])
    assert "exchange" not in report
    assert report["get"]["status"] == 404
    assert report["get"]["body"]["type"] == "client_error"
    assert report["get"]["body"]["errors"]["list of"]["code"] == "not_found"
    assert len(sandbox.requests("/token/")) == 0


def test_of_a_key_that_is_refused(run, sandbox, capsys):
    with pytest.raises(SystemExit, match="no token"):
        run("--base-url", sandbox.url, typed=["sandbox-absent", "sandbox-fake-secret"])
    report = json.loads(capsys.readouterr().out)
    assert report["exchange"]["status"] == 401
    assert report["exchange"]["body"] == {"error": "invalid_client"}


def test_an_answer_that_echoes_the_token_is_not_printed(run, endpoint, capsys):
    echo = {"access_token": "fake-token-echoed", "token_type": "fake-token-echoed"}
    endpoint.answer(200, echo)
    with pytest.raises(SystemExit, match="echoes"):
        run("--base-url", endpoint.url, typed=["fake-id", "fake-secret"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [[], ["--environment", "moon"], ["--base-url", "http://a.b"]])
def test_what_is_no_environment(arguments):
    with pytest.raises(SystemExit) as caught:
        live.main(arguments)
    assert "environment" in str(caught.value) or "base_url" in str(caught.value)
