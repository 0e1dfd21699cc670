"""The example site and `manage.py demo`, from the outside: as commands and over HTTP."""

import json
import re
import shutil
import signal
import socket
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.effort import THOROUGH
from tests.integration.demo import RunningDemo, manage
from tests.sandbox import ROOT

pytestmark = pytest.mark.standalone


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def nobody_listens(*ports, seconds=60):
    deadline = time.monotonic() + seconds
    while any(listens(port) for port in ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def sandbox_port(printed):
    return int(
        re.search(r"^Sandbox: +http://127\.0\.0\.1:(\d+)/partner/", printed, re.MULTILINE)[1]
    )


def credential(folder, code=""):
    """Do something to the stored credential, and return what it is afterwards."""
    done = manage(
        folder,
        "shell",
        "--verbosity=0",
        "-c",
        "from django_certn.models import CertnCredential\n"
        "credential = CertnCredential.objects.get(name='default')\n"
        f"{code}\n"
        "print(credential.environment, credential.client_id)",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The first run of a demo, and the folder that it made."""
    folder = tmp_path_factory.mktemp("first") / "kept"
    done = manage(folder, "demo", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


@pytest.fixture
def kept(first, tmp_path):
    """A folder as the first run left it, for this test alone."""
    return shutil.copytree(first[0], tmp_path / "kept")


class TestCheck:
    def test_leaves_nothing_running(self, first):
        _, done = first
        assert 'stored as "default"' in done.stdout
        assert 'stored as "centric"' in done.stdout
        assert "Warning" not in done.stderr
        assert nobody_listens(sandbox_port(done.stdout))

    def test_prints_no_secret_but_its_own_password(self, first):
        folder, done = first
        printed = done.stdout + done.stderr
        lines = (folder / "environment").read_text(encoding="utf-8").splitlines()
        made = dict(line.split("=", 1) for line in lines)
        assert made["DEMO_PASSWORD"] in printed
        assert made["SECRET_KEY"] not in printed
        assert made["FIELD_ENCRYPTION_KEY"] not in printed
        assert "sandbox-secret" not in printed
        assert "sandbox-token" not in printed
        assert "sandbox-key" not in printed

    def test_only_its_owner_can_read_what_it_keeps(self, first):
        folder, _ = first
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "environment").stat().st_mode) == 0o600
        assert not list(folder.glob("tmp*"))

    def test_a_second_time_everything_is_as_it_was(self, first, kept):
        stored = credential(kept)
        with held(8000), held(8765):  # it needs no port of its own
            done = manage(kept, "demo", "--check")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("keeps it") == 2
        assert admin_line(done) == admin_line(first[1])
        assert (kept / "environment").read_text(encoding="utf-8") == (
            first[0] / "environment"
        ).read_text(encoding="utf-8")
        assert credential(kept) == stored

    def test_a_key_that_works_no_longer_is_replaced(self, kept):
        stored = credential(kept)
        for file in kept.glob("sandbox.sqlite3*"):
            file.unlink()
        done = manage(kept, "demo", "--check")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("issued a new one") == 2
        assert credential(kept) != stored

    def test_a_key_for_another_environment_is_left_alone(self, kept):
        stored = credential(
            kept,
            # Inactive, so that certn_check does not send it anywhere.
            "credential.environment = 'production'\ncredential.is_active = False\n"
            "credential.save()",
        )
        done = manage(kept, "demo", "--check")
        assert "stays as it is" in done.stdout
        assert credential(kept) == stored
        assert done.returncode == 0  # that of certn_check, which checked the other one


def admin_line(done):
    return re.search("^Admin:.*", done.stdout, re.MULTILINE)[0]


@contextmanager
def held(port):
    """Let somebody listen on the port, unless somebody does."""
    if listens(port):
        yield
    else:
        with socket.create_server(("127.0.0.1", port)):
            yield


class TestPorts:
    def test_the_site_s_port_is_in_use(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            done = manage(tmp_path, "demo", "--port", str(port), "--sandbox-port", "1")
        assert done.returncode == 2
        assert re.search(rf"port {port}: Address already in use.* demo --port \d+$", done.stderr)
        assert len(done.stderr.splitlines()) == 1

    def test_the_sandbox_s_port_is_in_use(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            done = manage(tmp_path, "demo", "--check", "--sandbox-port", str(port))
        assert done.returncode == 2
        assert re.search(
            rf"port {port}: Address already in use.* demo --sandbox-port \d+$", done.stderr
        )

    def test_something_that_is_no_port(self, tmp_path):
        done = manage(tmp_path, "demo", "--port", "http")
        assert done.returncode == 2
        assert "'http' is not a port" in done.stderr


class TestOnWindows:
    """What differs there and can be seen from here."""

    @pytest.mark.parametrize("platform", ["win32", "linux"])
    def test_the_command_for_another_terminal(self, monkeypatch, platform):
        monkeypatch.syspath_prepend(str(ROOT / "example_project"))
        from demo.command import in_a_shell

        monkeypatch.setattr(sys, "platform", platform)
        variables = {"A": "C:\\my folder", "B": "1"}
        typed = in_a_shell(["C:\\my python.exe", "manage.py"], variables)
        assert (
            typed
            == {
                "win32": 'set "A=C:\\my folder" && set "B=1" && "C:\\my python.exe" manage.py',
                "linux": "A='C:\\my folder' B=1 'C:\\my python.exe' manage.py",
            }[platform]
        )

    @pytest.mark.parametrize("error", [FileExistsError, PermissionError])
    def test_a_file_system_without_links(self, monkeypatch, tmp_path, error):
        monkeypatch.syspath_prepend(str(ROOT / "example_project"))
        from demo import state

        def no_link(self, target):
            raise error

        made, named = tmp_path / "made", tmp_path / "environment"
        made.write_text("A=1", encoding="utf-8")
        monkeypatch.setattr(Path, "hardlink_to", no_link)
        monkeypatch.setattr(state, "ENVIRONMENT", named)
        state.give_name(made)
        assert named.exists() == (error is not FileExistsError)


class TestTheEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, *([signal.SIGTERM] if THOROUGH else [])])
    def test_a_signal_ends_both_servers(self, kept, number):
        with RunningDemo(kept) as demo:
            assert listens(demo.port)
            assert listens(demo.sandbox_port)
            assert demo.end(number) == 0
            assert not listens(demo.port)
            assert not listens(demo.sandbox_port)
            assert "Traceback" not in demo.printed

    def test_the_sandbox_does_not_outlive_a_demo_that_is_killed(self, kept):
        with RunningDemo(kept) as demo:
            demo.end(signal.SIGKILL)
            assert nobody_listens(demo.port, demo.sandbox_port)


class TestSettings:
    @pytest.mark.parametrize("missing", ["SECRET_KEY", "FIELD_ENCRYPTION_KEY"])
    def test_a_missing_key_is_named_in_the_last_line(self, tmp_path, missing):
        keys = {"SECRET_KEY": "fake", "FIELD_ENCRYPTION_KEY": "fake"} | {missing: ""}
        done = manage(tmp_path, "certn_check", **keys)
        assert done.returncode != 0
        last = done.stderr.splitlines()[-1]
        assert f"Set the environment variable {missing}." in last
        assert "python -c" in last


@pytest.fixture(scope="module")
def demo(first, tmp_path_factory):
    folder = shutil.copytree(first[0], tmp_path_factory.mktemp("demo") / "kept")
    with RunningDemo(folder) as running:
        yield running


@pytest.fixture(scope="module")
def staff(demo):
    with log_in(demo) as session:
        yield session


@contextmanager
def log_in(demo):
    """A session in which the admin is logged in, as in a browser."""
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(f"{demo.url}/", timeout=60)
        assert "/admin/login/" in page.url
        form = {
            "username": "admin",
            "password": demo.password,
            "csrfmiddlewaretoken": session.cookies["certn_example_csrftoken"],
            "next": "/admin/",
        }
        assert session.post(page.url, data=form, timeout=60).url == f"{demo.url}/admin/"
        yield session


def control(demo, method, name, content):
    answer = requests.request(
        method, f"{demo.sandbox_url}/__sandbox__/{name}", json=content, timeout=60
    )
    answer.raise_for_status()


class TestPage:
    @pytest.mark.parametrize(
        ("path", "shown"),
        # The first and the last one: the list has two pages.
        [("/", ["ada.example@example", "cleo.stand-in@"]), ("/centric/", ["0101", "0103"])],
    )
    def test_lists_what_the_key_is_for(self, demo, staff, path, shown):
        page = staff.get(f"{demo.url}{path}", timeout=60)
        assert page.status_code == 200
        assert all(each in page.text for each in shown)
        assert "no-store" in page.headers["Cache-Control"]

    def test_is_for_staff(self, demo):
        page = requests.get(demo.url, timeout=60)
        assert "ada.example@example.com" not in page.text
        assert "/admin/login/" in page.url

    def test_a_token_that_died_is_replaced_at_once(self, demo, staff):
        control(demo, "PUT", "faults", {"fault": "rejected", "path": "/api/v1/users/"})
        page = staff.get(demo.url, timeout=60)
        assert page.status_code == 200
        assert "ada.example@example.com" in page.text

    @pytest.mark.parametrize(
        ("fault", "sentence"),
        [
            ("retired", "Certn answered with the HTTP status 410."),
            ("not-json", "The list could not be fetched."),
        ],
    )
    def test_says_what_failed_at_the_api(self, demo, staff, fault, sentence):
        for path in ("/", "/centric/"):
            control(demo, "PUT", "faults", {"fault": fault, "path": "/api/"})
            page = staff.get(f"{demo.url}{path}", timeout=60)
            assert page.status_code == 503
            assert sentence in page.text

    def test_the_command_works_in_another_terminal(self, demo):
        done = demo.manage("certn_check", "--probe", "--format", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads(done.stdout)["results"]
        assert {(each["name"], each["environment"], each["status"]) for each in results} == {
            ("default", "local", "ok"),
            ("centric", "local-centric", "ok"),
        }


# The last one with this demo, whose key is lost then.
def test_the_row_decides(demo):
    kept = demo.folder
    with log_in(demo) as session:
        key = session.post(f"{demo.sandbox_url}/__sandbox__/api-keys", json={}, timeout=60).json()
        credential(
            kept,
            "credential.environment, credential.client_id = 'local-centric', ''\n"
            f"credential.client_secret = {key['api_key']!r}\n"
            "credential.save()",
        )
        page = session.get(demo.url, timeout=60)
        assert page.status_code == 200
        assert "Cases at Certn" in page.text

        credential(
            kept,
            "credential.environment, credential.client_id = 'local', 'sandbox-rejected'\n"
            "credential.client_secret = 'sandbox-fake'\n"
            "credential.save()",
        )
        page = session.get(demo.url, timeout=60)
        assert page.status_code == 503
        assert "/admin/django_certn/certncredential/" in page.text

        credential(kept, "credential.delete()")
        page = session.get(demo.url, timeout=60)
        assert page.status_code == 503
        assert "/admin/django_certn/certncredential/add/" in page.text
        assert "<code>default</code>" in page.text
