"""What a site's start must not load: each of its commands and workers would pay for it."""

import json
import os
import subprocess
import sys

import pytest

import django_certn

pytestmark = pytest.mark.standalone

ROOT = django_certn.__path__[0] + "/.."

# What a request to Certn takes, and nothing else does.
PACKAGES = {"oauthlib", "requests", "requests_oauthlib", "urllib3"}
MODULES = {f"django_certn.{name}" for name in ("client", "oauth", "probe", "transport")}
SANDBOX = {"oauth2_provider", "django_certn.sandbox"}


def loaded_by(code):
    """The names of the modules that are there after the code, in a process of its own."""
    code = f"import json, sys, django\ndjango.setup()\n{code}\nprint(json.dumps([*sys.modules]))"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return set(json.loads(process.stdout))


def test_it_loads_nothing_that_only_a_request_needs():
    loaded = loaded_by("")
    assert {"django_certn.admin", "django_certn.tokens"} <= loaded
    assert loaded & (PACKAGES | MODULES | SANDBOX) == set()


@pytest.mark.parametrize("command", ["certn_check", "certn_reencrypt"])
def test_nor_do_the_commands_before_they_make_a_request(command):
    module = f"django_certn.management.commands.{command}"
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert loaded & (PACKAGES | MODULES) == set()


FORK = """
import os, sys, threading, time, warnings
from importlib.abc import MetaPathFinder

warnings.simplefilter("ignore")  # of a fork beside a thread
began = threading.Event()

class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "requests":
            began.set()
            time.sleep(0.5)

sys.meta_path.insert(0, Slow())

from django_certn.tokens import exchange

exchange.preload()
assert began.wait(10)
child = os.fork()
if not child:
    from django_certn import oauth

    os._exit(0 if hasattr(oauth, "exchange") else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
free = threading.Thread(target=lambda: exchange.loading.acquire(timeout=5) or os._exit(2))
free.start()
free.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_meanwhile_leaves_no_module_half_loaded():
    assert "django_certn.oauth" in loaded_by(FORK)


def test_an_exchange_loads_it():
    loaded = loaded_by("import django_certn.oauth")
    assert loaded >= PACKAGES | {"django_certn.transport"}
