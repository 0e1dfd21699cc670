"""The plugin of pytest, each time in a pytest of its own and installed as from an index.

With Django and the runners of a site it is seen in tests/integration/test_site_tests.py.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import django_certn
from tests.sandbox import environment

pytestmark = pytest.mark.standalone

METADATA = "Metadata-Version: 2.1\nName: django-certn\nVersion: {version}\n"
ROOT = Path(django_certn.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
((NAME, MODULE),) = PROJECT["entry-points"]["pytest11"].items()
ENTRY_POINT = f"[pytest11]\n{NAME} = {MODULE}\n"
# pytest rewrites what a distribution with a plugin says it holds.
RECORD = "django_certn/__init__.py,,\ndjango_certn/pytest_plugin.py,,\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder in which the metadata are that an installer writes."""
    folder = tmp_path_factory.mktemp("installed")
    metadata = folder / f"django_certn-{django_certn.__version__}.dist-info"
    metadata.mkdir()
    texts = {
        "METADATA": METADATA.format(version=django_certn.__version__),
        "entry_points.txt": ENTRY_POINT,
        "RECORD": RECORD,
    }
    for name, text in texts.items():
        (metadata / name).write_text(text, encoding="utf-8")
    return folder


# Each takes its time to start, and has nothing to do with this.
OTHERS = sorted({each.name for each in entry_points(group="pytest11")} - {"anyio", NAME})


@pytest.fixture
def run(installed, tmp_path):
    """Run pytest on a test module, in a folder of its own; return what it printed."""

    def run(content, *arguments, fails=False, command=("-m", "pytest")):
        (tmp_path / "test_it.py").write_text(content, encoding="utf-8")
        own = environment()
        path = os.pathsep.join([str(installed), own["PYTHONPATH"]])
        without = [argument for name in OTHERS for argument in ("-p", f"no:{name}")]
        done = subprocess.run(
            [sys.executable, *command, "-W", "error", "-ra", *without, *arguments],
            cwd=tmp_path,
            env=own | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == int(fails), done.stdout + done.stderr
        return done.stdout

    return run


# Two runs in one process: when the second begins, all of it is there.
TWICE = """
import sys
import pytest
assert pytest.main(["-p", "no:django_certn", *sys.argv[1:]]) == 1
import django_certn.pytest_plugin
sys.exit(pytest.main(sys.argv[1:]))
"""

NEITHER_DJANGO_NOR_THE_APP = """
import sys

def test_nothing_is_loaded(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("django_certn")
    own = {name for name in sys.modules if name.startswith("django_certn.")}
    assert own == {"django_certn.pytest_plugin"}
    assert "django" not in sys.modules
"""


def test_a_project_without_django_has_nothing_of_it_but_the_plugin_or_not_even_that(run):
    strict = ("--strict-config", "--strict-markers")
    # pytest warns of a module that it would rewrite and cannot, since it is there.
    printed = run(NEITHER_DJANGO_NOR_THE_APP, *strict, command=("-c", TWICE))
    assert "test_nothing_is_loaded - AssertionError" in printed  # without the plugin
    assert "1 failed" in printed
    assert "1 passed" in printed


WITHOUT_PYTEST_DJANGO = """
import django
import pytest
from django.conf import settings

settings.configure(
    SECRET_KEY="fake",
    FIELD_ENCRYPTION_KEY="dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE=",
    INSTALLED_APPS=["django_certn"],
)
django.setup()

from django.test import SimpleTestCase

from django_certn.client import auth_headers
from django_certn.exceptions import CredentialRejectedError
from django_certn.testing import fake_certn
from django_certn.tokens import get_token
from django_certn.tokens.service import installed
from django_certn.verification import averify, verify

REAL = installed()

with pytest.raises(RuntimeError, match="no test run"):  # while tests are collected
    fake_certn().enable()


def test_no_database_is_needed(certn):
    assert auth_headers() == {"Authorization": "Bearer fake-certn-token-1"}
    assert verify("acme").ok


def test_the_next_has_another(certn):
    assert certn.calls == []
    assert get_token().value == "fake-certn-token-1"


def test_without_it_there_is_none():
    assert installed() is REAL


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_coroutine(certn, anyio_backend):
    assert (await averify("acme")).ok


@fake_certn(kwarg_name="fake")
def test_decorated(fake, request):
    assert get_token().value == "fake-certn-token-1"
    assert fake.exchanges == 1


@pytest.mark.usefixtures("certn")
class TestAClass:
    def test_it(self):
        assert get_token()


def test_unmet(certn):
    certn.reject(times=1)


def test_unmet_and_failed(certn):
    certn.reject(times=1)
    _ = 1 / 0


def test_unmet_and_skipped(certn):
    certn.reject(times=1)
    pytest.skip("for a reason")


@fake_certn()
class TestCases(SimpleTestCase):
    def test_case_unmet(self):
        self.certn.reject(times=1)

    def test_case_unmet_and_failed(self):
        self.certn.reject(times=1)
        _ = 1 / 0

    def test_case_unmet_and_skipped(self):
        self.certn.reject(times=1)
        self.skipTest("for a reason")


@pytest.fixture
def rejected(certn):
    certn.reject()


def test_a_fixture_of_the_site_may_build_on_it(rejected):
    with pytest.raises(CredentialRejectedError):
        get_token()
"""


def test_it_needs_neither_pytest_django_nor_a_database(run):
    printed = run(WITHOUT_PYTEST_DJANGO, fails=True)

    found = dict(re.findall(r"^(?:FAILED|ERROR) .*::(test_\w+) - (\w+)", printed, re.MULTILINE))
    assert found == {
        "test_unmet": "AssertionError",
        "test_unmet_and_failed": "ZeroDivisionError",
        "test_case_unmet": "AssertionError",
        "test_case_unmet_and_failed": "ZeroDivisionError",
    }
    assert "= 3 failed, 8 passed, 2 skipped, 1 error in" in printed
