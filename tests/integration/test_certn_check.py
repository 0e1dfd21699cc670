"""`manage.py certn_check` as a script calls it: a shell, a site of its own, the sandbox."""

import json
import signal
import time

import pytest

from tests import warm
from tests.integration.site import Site as AnySite

OTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="

SEED = """
from django_certn.models import CertnCredential

add = CertnCredential.objects.create
add(name="good", environment="local", client_id="{client_id}", client_secret="{secret}")
for name in ("rejected", "rate-limited", "unavailable", "retired", "not-json", "redirect", "slow"):
    add(
        name=name,
        environment="local",
        client_id="sandbox-" + name,
        client_secret="sandbox-any",
        is_active=False,
    )
for name in ("nobody", "gone"):
    add(name=name, environment=name, client_id="x", client_secret="sandbox-any", is_active=False)
"""


# Several calls in one process, for most of the time is Django's start. What a shell sees of a call
# that has a process of its own, other tests say for each exit code.
CALLS = """
import contextlib, io, json, sys

from django.core.management import execute_from_command_line


def call(arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            execute_from_command_line(["manage.py", *arguments])
        except SystemExit as end:
            return end.code, stdout.getvalue(), stderr.getvalue()
    return 0, stdout.getvalue(), stderr.getvalue()


print(json.dumps([call(arguments) for arguments in json.loads(sys.argv[1])]))
"""


class Site(AnySite):
    """It knows how a script reads what the command prints."""

    def check(self, *args, **environment):
        """Return the exit code and the document, the whole of stdout."""
        process = self.manage("certn_check", "--format", "json", *args, **environment)
        return process.returncode, document_in(process.returncode, process.stdout, process.stderr)

    def check_each(self, calls, **variables):
        """Return the same of each of several calls, which are made in one process."""
        calls = [["certn_check", "--format", "json", *arguments] for arguments in calls]
        environment = self.environment(**variables)
        process = warm.run("-c", CALLS, json.dumps(calls), cwd=self.folder, env=environment)
        assert (process.returncode, process.stderr) == (0, "")
        return [(seen[0], document_in(*seen)) for seen in json.loads(process.stdout)]


def document_in(returncode, stdout, stderr):
    document = json.loads(stdout)
    assert list(document) == ["version", "results", "skipped", "error"]
    assert "Traceback" not in stderr
    assert bool(stderr) == bool(returncode)
    return document


@pytest.fixture(scope="module")
def running(running_sandbox):
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture(scope="module")
def key(running):
    return running.refresh_keys()


@pytest.fixture(scope="module")
def site(running, key, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"), running.url)
    site.done("migrate", "--verbosity", "0")
    client_id, secret = key
    site.done("shell", "--verbosity", "0", "-c", SEED.format(client_id=client_id, secret=secret))
    return site


STATUSES = [
    (["good"], 0, "ok"),
    (["rejected"], 1, "rejected"),
    (["retired"], 1, "retired"),
    (["not-json"], 1, "bad_response"),
    (["redirect"], 1, "bad_response"),
    (["gone"], 1, "misconfigured"),
    (["rate-limited"], 3, "rate_limited"),
    (["unavailable"], 3, "unreachable"),
    (["nobody"], 3, "unreachable"),
    (["slow", "--timeout", "0.5"], 3, "unreachable"),
]


def test_each_status(site):
    seen = site.check_each([arguments for arguments, *_ in STATUSES])
    for (arguments, returncode, status), (code, document) in zip(STATUSES, seen, strict=True):
        (result,) = document["results"]
        assert (code, result["name"], result["status"]) == (returncode, arguments[0], status)
        assert document["error"] is None


def test_another_encryption_key(site, running):
    before = len(running.requests())
    code, document = site.check("good", SITE_ENCRYPTION_KEY=OTHER_KEY)
    assert (code, document["results"][0]["status"]) == (1, "undecryptable")
    assert len(running.requests()) == before

    code, document = site.check("good")
    assert (code, document["results"][0]["status"]) == (0, "ok")


def test_a_verdict_wins_over_none(site):
    code, document = site.check("unavailable", "rejected", "good")
    assert code == 1
    statuses = [(result["name"], result["status"]) for result in document["results"]]
    assert statuses == [("good", "ok"), ("rejected", "rejected"), ("unavailable", "unreachable")]


def test_without_a_name_the_active_ones(site):
    code, document = site.check()
    assert (code, [result["name"] for result in document["results"]]) == (0, ["good"])


FAILURES = [
    (["good", "unknown"], 2, "unknown_name"),
    (["--environment", "demo"], 2, "nothing_to_check"),
    (["--database", "empty"], 2, "not_migrated"),
    (["--database", "missing"], 3, "database_unreachable"),
    (["--database", "postgresql"], 3, "database_unreachable"),
]


def test_nothing_is_exchanged(site, running):
    before = len(running.requests())
    seen = site.check_each([arguments for arguments, *_ in FAILURES], SITE_HAS_POSTGRESQL="1")
    for (_, returncode, error), (code, document) in zip(FAILURES, seen, strict=True):
        found = (code, document["results"], document["error"]["code"])
        assert found == (returncode, [], error)
    assert len(running.requests()) == before


def test_a_site_that_fails_its_checks(site):
    assert site.manage("check", SITE_FAILS_ITS_CHECKS="1").returncode != 0
    code, document = site.check("good", SITE_FAILS_ITS_CHECKS="1")
    assert (code, document["results"][0]["status"]) == (0, "ok")


def test_a_wrong_call(site):
    process = site.manage("certn_check", "--environment", "nowhere", "--format", "json")
    assert process.returncode == 2
    assert process.stdout == ""
    assert "choose from" in process.stderr


def test_a_cached_token_never_satisfies(site, running):
    script = "from django_certn.tokens import get_token; get_token('good')"
    site.done("shell", "--verbosity", "0", "-c", script)
    before = running.count()
    site.done("shell", "--verbosity", "0", "-c", script)
    assert running.count() == before  # it is in the cache that the processes share
    for number in (1, 2):
        assert site.check("good")[0] == 0
        assert running.count() == before + number


def test_probe(site, key):
    code, document = site.check("good", "rejected", "--probe")
    assert code == 1
    good, rejected = document["results"]
    assert good["probe"] == {"status": "ok", "http_status": 200, "count": 3}
    assert rejected["probe"] is None


@pytest.mark.parametrize(
    ("fault", "status", "returncode", "http_status"),
    [
        ("rejected", "rejected", 1, 401),
        ("rate-limited", "rate_limited", 3, 429),
        ("unavailable", "unreachable", 3, 503),
        ("retired", "retired", 1, 410),
    ],
)
def test_a_probe_that_fails(site, running, fault, status, returncode, http_status):
    running.fault(fault, path="/api/v1/users/")
    code, document = site.check("good", "--probe")
    assert code == returncode
    (result,) = document["results"]
    assert result["probe"] == {"status": status, "http_status": http_status, "count": None}
    assert (result["ok"], bool(result["hint"])) == (False, True)


def test_text_is_the_result_and_stderr_the_trouble(site, key):
    process = site.manage("certn_check", "good", "rejected")
    assert process.returncode == 1
    good, rejected, hint = process.stdout.splitlines()
    assert good == "good (local): ok. The key works: Certn (Sandbox) issued a token."
    assert rejected == (
        "rejected (local): rejected. Certn (Sandbox) refuses this key (HTTP 401, invalid_client)."
    )
    assert "Copy both values again" in hint
    log_line, error = process.stderr.splitlines()
    assert log_line.startswith("Exchange for 'rejected' (local): rejected (401 invalid_client) in ")
    assert error == "CommandError: 1 of 2 not ok: rejected (rejected)."


def test_no_secret_anywhere(site, key):
    for arguments in (["-v", "3", "--traceback"], ["--format", "json"]):
        process = site.manage("certn_check", "good", "rejected", "--probe", *arguments)
        assert key[1] not in process.stdout + process.stderr
        assert "sandbox-any" not in process.stdout + process.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["latin-1", "C locale"],
)
def test_each_row_is_checked_whatever_stdout_can_encode(site, key, variables):
    add = f"""
from django_certn.models import CertnCredential

CertnCredential.objects.get_or_create(
    name="\u9375",
    environment="twin",
    client_id="{key[0]}",
    defaults={{"client_secret": "{key[1]}"}},
)
CertnCredential.objects.get_or_create(
    name="other",
    environment="twin",
    client_id="sandbox-rejected",
    defaults={{"client_secret": "sandbox-any"}},
)
"""
    site.done("shell", "--verbosity", "0", "-c", add)
    process = site.manage("certn_check", "--environment", "twin", **variables)
    site.done(
        "shell",
        "--verbosity",
        "0",
        "-c",
        add.partition("\n\n")[0] + "\nCertnCredential.objects.filter(environment='twin').delete()",
    )
    rejected, _, good = process.stdout.splitlines()
    assert process.returncode == 1
    assert rejected.startswith("other (twin): rejected.")
    assert good.startswith(r"\u9375 (twin): ok.")


def test_ctrl_c(site, running):
    before = running.count()
    names = ["good", "slow", "unavailable"]
    options = ["--format", "json", "--timeout", "3", "--parallel", "1"]
    process = site.start("certn_check", *names, *options)
    deadline = time.monotonic() + 30
    while running.count() < before + 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    document = json.loads(stdout)
    assert process.returncode == 3
    assert document["error"]["code"] == "stopped"
    seen = {result["name"]: result["status"] for result in document["results"]}
    assert seen == {"good": "ok", "slow": "unreachable"}  # what has begun ends, and is recorded
    assert "Not checked: unavailable." in stderr
    assert "Traceback" not in stderr
