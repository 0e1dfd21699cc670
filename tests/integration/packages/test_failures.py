"""What shows errors shows no secret and no token, however long, but where SECURITY.md says so."""

import base64
import subprocess
import sys

import pytest

from tests import services
from tests.effort import each_of_each
from tests.integration.packages.parts import seen_in, value_of
from tests.integration.packages.process import printed_by
from tests.sandbox import ROOT, environment

LENGTHS = [30, 128, 2000]
# They show the variables of frames: without this, the scan would prove nothing.
SHOW_VARIABLES = {
    "HTML mail",
    "debug page",
    "elastic-apm",
    "rich",
    "rollbar",
    "sentry",
    "stackprinter",
    "structlog",
    "traceback",
}
SHOW_TEXT = {"debug text", "mail"}
# They take whatever is a `str` for one, and a token has to be one. Ours are in no variable of ours
# when something fails; what the site puts into a variable of its own is.
TAKE_EVERY_STR = {"elastic-apm", "rollbar", "stackprinter"}


@pytest.fixture(scope="module", params=LENGTHS)
def seen(request):
    for package in ("rollbar", "elasticapm", "stackprinter", "structlog", "rich"):
        services.driver(package)
    return printed_by("failing_site", str(request.param))


def test_each_failure_is_seen_by_each(seen):
    assert {"a refused key", "nobody there", "a bug of the site", "a bug in the form"} <= set(seen)
    for failure, tools in seen.items():
        assert set(tools) == SHOW_VARIABLES | SHOW_TEXT, failure
        assert all(found is not None for found in tools.values()), failure
        assert {tool for tool, found in tools.items() if "control" in found} == SHOW_VARIABLES


def test_none_shows_the_secret(seen):
    assert not {
        (failure, tool)
        for failure, tools in seen.items()
        for tool, found in tools.items()
        if "secret" in found
    }


def test_a_token_is_seen_in_a_variable_of_the_site_alone_and_by_those_that_are_named(seen):
    shown = {
        (failure, tool)
        for failure, tools in seen.items()
        for tool, found in tools.items()
        if "token" in found
    }
    assert shown == {("a bug of the site", tool) for tool in TAKE_EVERY_STR}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", ["secret", "token"])
def test_the_scan_knows_each_part(name, length):
    value = value_of(name, length)
    assert len(value) == length
    for part in (value, value[:20], f"...{value[-12:]}", base64.b64encode(f"id:{value}".encode())):
        assert seen_in(str(part)) == [name]
    assert seen_in("fake-id and nothing else") == []


ASSERTIONS = """
import os
import sys
import unittest
from django_certn.secret import MaskedStr, Secret

VALUE = os.environ["VALUE"]
token, secret = MaskedStr(VALUE), Secret(VALUE)
other = MaskedStr("fake-other-0123456789-0123456789-0123456789-0123456789")
header = MaskedStr("Bearer ") + token

def test_plain(): assert token == "fake-other"
def test_both(): assert token == other
def test_start(): assert header == "Bearer fake-other"
def test_slice(): assert token[:20] == "fake-other"
def test_words(): assert header.split() == ["Bearer", "fake-other"]
def test_in(): assert "fake-other" in token
def test_not_in(): assert "fake" not in token
def test_list(): assert [token, 1] == ["fake-other", 1]
def test_dict(): assert {"Authorization": token} == {"Authorization": "fake-other"}
def test_set(): assert {token} == {"fake-other"}
def test_secret(): assert secret == "fake-other"
def test_secrets(): assert [secret] == ["fake-other"]
def test_local():
    value, headers, lines = token, {"Authorization": token}, [token[:9], *token.split()]
    assert not lines

class TestCase(unittest.TestCase):
    def test_equal(self): self.assertEqual(token, "fake-other")
    def test_both(self): self.assertEqual(token, other)
    # Before 3.12, this formats the lines of a difference with "%s".
    if sys.version_info >= (3, 12):
        def test_multi_line(self): self.assertMultiLineEqual(token, other)
    def test_in(self): self.assertIn("fake-other", token)
    def test_not_in(self): self.assertNotIn("fake", token)
    def test_list(self): self.assertEqual([token], ["fake-other"])
    def test_dict(self): self.assertEqual({"a": token}, {"a": "fake-other"})
    def test_regex(self): self.assertRegex(token, "fake-other")
    def test_secret(self): self.assertEqual(secret, "fake-other")
"""

RUNNERS = {
    "pytest": ["pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "test_it.py"],
    "pytest -vv": ["pytest", "-vvl", "-p", "no:cacheprovider", "-c", "/dev/null", "test_it.py"],
    "unittest": ["unittest", "-v", "--locals", "test_it"],
}


@pytest.mark.parametrize(("runner", "length"), each_of_each([*RUNNERS], LENGTHS))
def test_the_output_of_an_assertion(runner, length, tmp_path):
    (tmp_path / "test_it.py").write_text(ASSERTIONS, encoding="utf-8")
    path = f"{ROOT}:{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", *RUNNERS[runner]],
        cwd=tmp_path,
        env=environment(PYTHONPATH=path, VALUE=value_of("token", length)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr

    assert "failed" in output.lower()
    assert "fake-other" in output
    assert "passed" not in output
    assert seen_in(output) == []
