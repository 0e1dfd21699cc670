"""`manage.py certn_set_key` as a shell calls it: a site of its own, the sandbox, a terminal."""

import json
import shutil
import signal
import sqlite3
import sys
import threading
import time

import pytest

from tests.effort import THOROUGH, each_of_each
from tests.endpoint import TokenEndpoint
from tests.integration.site import Site

NAME = ("certn_set_key", "acme", "--environment", "local")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A database without rows."""
    site = Site(tmp_path_factory.mktemp("migrated"), "http://127.0.0.1:9")
    site.done("migrate", "--verbosity", "0")
    return site.folder / "site.sqlite3"


@pytest.fixture
def site(tmp_path, sandbox, migrated):
    shutil.copy(migrated, tmp_path)
    return Site(tmp_path, sandbox.url)


@pytest.fixture
def key(sandbox):
    return sandbox.refresh_keys()


def rows(site):
    database = sqlite3.connect(site.sqlite)
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


TOKEN = b'{"access_token": "fake-token", "token_type": "Bearer", "expires_in": 36000}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    ("database", "options"),
    each_of_each(
        ["postgresql", "sqlite"],
        [("acme", ["--if-missing"], "left as it is"), ("beta", [], "there already")],
    ),
)
def test_two_that_start_at_once(request, tmp_path, database, options):
    """Both find nothing, both ask and hear at one moment, and one of them stores the key."""
    name, option, other = options
    found = request.getfixturevalue("postgresql") if database == "postgresql" else None
    both = threading.Barrier(2)

    def answer(connection):
        both.wait(timeout=60)
        connection.sendall(ANSWER % (len(TOKEN), TOKEN))

    with TokenEndpoint() as endpoint:
        endpoint.raw(answer)
        site = Site(tmp_path, endpoint.url, found)
        site.done("migrate", "--verbosity", "0")
        call = ["certn_set_key", name, "--environment", "local", "--client-id", "fake-id"]
        started = [site.start(*call, "--timeout", "60", *option) for _ in range(2)]
        for process in started:
            process.stdin.write("fake-secret")
            process.stdin.close()
            process.stdin = None
        printed = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0, 0], printed
        words = {stdout.partition(": ")[2].partition(".")[0] for stdout, _ in printed}
        assert words == {"stored", other}
        assert endpoint.hits == 2
    rows = f"CertnCredential.objects.filter(name={name!r}).values_list('verified_status')"
    code = f"from django_certn.models import CertnCredential; print(*{rows})"
    assert site.done("shell", "--verbosity", "0", "-c", code) == "('ok',)\n"


def test_somebody_else_writes_meanwhile(site, key, sandbox):
    """SQLite lets one write at a time, and refuses at once who has read and then wants to write."""
    client_id, secret = key
    database = sqlite3.connect(site.sqlite, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        process = site.start(*NAME, "--client-id", client_id)
        process.stdin.write(secret)
        process.stdin.close()
        process.stdin = None
        deadline = time.monotonic() + 60
        while not sandbox.count():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.5)
        database.execute("COMMIT")
        stdout, stderr = process.communicate(timeout=60)
    finally:
        database.close()
    assert process.returncode == 0, stdout + stderr
    assert rows(site) == [("acme", "ok")]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, *([signal.SIGTERM] if THOROUGH else [])]
)
def test_ended_in_the_middle_and_run_again(site, key, sandbox, number):
    client_id, secret = key
    lines = [
        json.dumps(
            {
                "name": f"tenant-{each:02}",
                "environment": "local",
                "client_id": client_id,
                "client_secret": secret,
            }
        )
        for each in range(9)
    ]
    path = site.folder / "keys.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    process = site.start("certn_set_key", "--from-jsonl", str(path))
    deadline = time.monotonic() + 60
    while len(rows(site)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (3 if number == signal.SIGINT else -number)
    assert ("Stopped. Not stored: tenant-" in stderr) == (number == signal.SIGINT)
    stored = rows(site)
    assert 2 <= len(stored) < 9
    assert {status for _, status in stored} == {"ok"}

    before = sandbox.count()
    done = site.manage("certn_set_key", "--from-jsonl", str(path))
    assert done.returncode == 0
    assert [status for _, status in rows(site)] == ["ok"] * 9
    assert sandbox.count() - before == 9 - len(stored)


# A site that calls Certn all the time, until a file says that it is enough: four threads ask for
# the header, the fifth uses it as well. Another file says that it is later.
CALLS = """
import collections, json, pathlib, threading, time

import requests

from django_certn.client import auth_headers, base_url
from django_certn.tokens import get_token
from django_certn.tokens.process import TokenService
from django_certn.tokens.service import install
from django_certn.tokens.timing import Clocks

failures, waits, headers = collections.Counter(), [0.0], collections.Counter()
later = [0]
install(TokenService(clocks=Clocks(
    wall=lambda: time.time() + later[0], monotonic=lambda: time.monotonic() + later[0]
)))

def ask(function):
    while not pathlib.Path("enough").exists():
        began = time.monotonic()
        try:
            headers[function()] += 1
        except Exception as error:
            failures[type(error).__name__] += 1
        waits[0] = max(waits[0], time.monotonic() - began)
        time.sleep(0.02)

def use():
    later[0] = 13 if pathlib.Path("later").exists() else 0
    header = auth_headers("acme")
    answer = requests.get(base_url("acme") + "/api/v1/users/", headers=header, timeout=60)
    answer.raise_for_status()
    used.append(1)
    time.sleep(0.1)
    pathlib.Path("calls").write_text(str(len(used)), encoding="utf-8")
    return header["Authorization"]

used = []
by_token = lambda: get_token("acme").authorization
by_header = lambda: auth_headers("acme")["Authorization"]
functions = (by_token, by_token, by_header, by_header, use)
threads = [threading.Thread(target=ask, args=(function,)) for function in functions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({
    "asked": sum(headers.values()), "used": len(used), "headers": len(headers),
    "failures": failures, "slowest": waits[0],
}))
"""


def test_a_site_that_runs_meanwhile(site, key, sandbox):
    """Neither a wrong key nor the right one that comes after it fails any caller."""

    def set_key(client_id, secret):
        return site.manage(*NAME, "--client-id", client_id, stdin=secret).returncode

    def used():
        path = site.folder / "calls"
        return int((path.exists() and path.read_text(encoding="utf-8")) or 0)

    def wait_for_calls(number):
        deadline, start = time.monotonic() + 60, used()
        while used() < start + number:
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
        # It looks at the row again within ten seconds, a little more or less.
        (site.folder / "later").touch()
        wait_for_calls(10)
    finally:
        (site.folder / "enough").touch()
        stdout, stderr = running.communicate(timeout=60)
    seen = json.loads(stdout)
    assert seen["failures"] == {}, stderr
    assert seen["used"] >= 40
    assert seen["asked"] > seen["used"]
    assert seen["headers"] >= 2  # the token of the new key too
    assert seen["slowest"] < 5
    # What the site was served came from the commands, which had asked already.
    refused = [entry for entry in sandbox.requests("/token/") if entry["status"] == 401]
    assert len(refused) == 1
    assert sandbox.count() == 5
