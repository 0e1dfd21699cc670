"""`manage.py certn_set_key` as a shell calls it: a site of its own, the sandbox, a terminal."""

import json
import signal
import sqlite3
import sys
import time

import pytest

from tests.integration.site import Site

NAME = ("certn_set_key", "acme", "--environment", "local")


@pytest.fixture
def site(tmp_path, sandbox):
    site = Site(tmp_path, sandbox.url)
    site.done("migrate", "--verbosity", "0")
    return site


@pytest.fixture
def key(sandbox):
    return sandbox.refresh_keys()


def rows(site):
    database = sqlite3.connect(site.folder / "site.sqlite3")
    try:
        query = "SELECT name, verified_status FROM django_certn_certncredential ORDER BY name"
        return database.execute(query).fetchall()
    finally:
        database.close()


def works(site):
    """Whether what is stored is what Certn has."""
    return site.manage("certn_check", "acme").returncode == 0


@pytest.mark.parametrize("source", ["pipe", "file", "variable"])
def test_from(site, key, source):
    client_id, secret = key
    path = site.folder / "mounted-secret"
    path.write_text(f"{secret}\n", encoding="utf-8")
    options, stdin, variables = {
        "pipe": ([], f"{secret}\n", {}),
        "file": (["--secret-file", str(path)], "", {}),
        "variable": (["--secret-env", "FAKE_CLIENT_SECRET"], "", {"FAKE_CLIENT_SECRET": secret}),
    }[source]
    done = site.manage(*NAME, "--client-id", client_id, *options, stdin=stdin, **variables)
    assert (done.returncode, done.stdout.partition(".")[0]) == (0, "acme (local): stored")
    assert secret not in done.stdout + done.stderr
    assert rows(site) == [("acme", "ok")]
    assert works(site)


def test_from_a_person_at_a_terminal(site, key):
    pexpect = pytest.importorskip("pexpect")
    client_id, secret = key
    typed = pexpect.spawn(
        sys.executable,
        ["-m", "django", *NAME, "--client-id", client_id],
        env=site.environment(),
        cwd=str(site.folder),
        encoding="utf-8",
        timeout=60,
    )
    typed.expect_exact("Client Secret: ")
    typed.sendline(secret)
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == 0
    assert "stored" in typed.before
    assert secret not in typed.before
    assert rows(site) == [("acme", "ok")]


def test_nobody_typed_anything(site):
    pexpect = pytest.importorskip("pexpect")
    typed = pexpect.spawn(
        sys.executable,
        ["-m", "django", *NAME, "--client-id", "fake-id"],
        env=site.environment(),
        cwd=str(site.folder),
        encoding="utf-8",
        timeout=60,
    )
    typed.expect_exact("Client Secret: ")
    typed.sendintr()
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == 3
    assert "Stopped." in typed.before
    assert "Traceback" not in typed.before


def test_no_secret_in_what_is_printed_of_an_error(site, sandbox):
    secret = "sandbox-secret-fake-Kx9Qw7Zt3Mark"
    bad = f'{{"name": "x", "client_secret": "{secret}"'
    for arguments, stdin in (
        ([*NAME, "--client-id", "fake-id"], secret),
        ([*NAME, "--client-id", "fake-id"], f'"{secret}"'),
        (["certn_set_key", "--from-jsonl", "-"], bad),
    ):
        done = site.manage(*arguments, "-v", "3", "--traceback", stdin=stdin)
        assert done.returncode in (1, 2)
        assert done.stderr
        assert secret not in done.stdout + done.stderr


def test_two_that_start_at_once(site, key, sandbox):
    client_id, secret = key
    started = [site.start(*NAME, "--client-id", client_id, "--if-missing") for _ in range(2)]
    for process in started:
        process.stdin.write(secret)
        process.stdin.close()
        process.stdin = None
    printed = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert rows(site) == [("acme", "ok")]


def test_killed_in_the_middle_and_run_again(site, key, sandbox):
    client_id, secret = key
    lines = [
        json.dumps(
            {
                "name": f"tenant-{number:02}",
                "environment": "local",
                "client_id": client_id,
                "client_secret": secret,
            }
        )
        for number in range(16)
    ]
    path = site.folder / "keys.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    process = site.start("certn_set_key", "--from-jsonl", str(path))
    deadline = time.monotonic() + 60
    while len(rows(site)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    stored = rows(site)
    assert 5 <= len(stored) < 16
    assert {status for _, status in stored} == {"ok"}

    before = sandbox.count()
    done = site.manage("certn_set_key", "--from-jsonl", str(path))
    assert done.returncode == 0
    assert [status for _, status in rows(site)] == ["ok"] * 16
    assert sandbox.count() - before == 16 - len(stored)


# A site that calls Certn all the time, until a file says that it is enough.
CALLS = """
import json, pathlib, time

import requests

from django_certn.client import auth_headers, base_url

calls, failures = 0, []
while not pathlib.Path("enough").exists():
    try:
        url = base_url("acme") + "/api/v1/users/"
        status = requests.get(url, headers=auth_headers("acme"), timeout=10).status_code
        if status != 200:
            failures.append(status)
    except Exception as error:
        failures.append(type(error).__name__)
    calls += 1
    pathlib.Path("calls").write_text(str(calls), encoding="utf-8")
    time.sleep(0.01)
print(json.dumps({"calls": calls, "failures": failures}))
"""


def test_a_site_that_runs_meanwhile(site, key, sandbox):
    def set_key(client_id, secret):
        return site.manage(*NAME, "--client-id", client_id, stdin=secret).returncode

    def wait_for_calls(number):
        deadline = time.monotonic() + 60
        path = site.folder / "calls"
        start = int(path.read_text(encoding="utf-8") or 0) if path.exists() else 0
        while not path.exists() or int(path.read_text(encoding="utf-8") or 0) < start + number:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert set_key(*key) == 0
    running = site.start("shell", "--verbosity", "0", "-c", CALLS)
    try:
        wait_for_calls(10)
        assert set_key(key[0], "sandbox-secret-fake-wrong-one") == 1
        assert works(site)
        wait_for_calls(10)
        new = sandbox.refresh_keys()
        assert set_key(*new) == 0
        assert works(site)
        wait_for_calls(10)
    finally:
        (site.folder / "enough").touch()
        stdout, stderr = running.communicate(timeout=60)
    seen = json.loads(stdout)
    assert seen["calls"] >= 30, stderr
    assert seen["failures"] == []
