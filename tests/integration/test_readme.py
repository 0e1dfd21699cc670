"""README's code, run as a newcomer would: on a new site, in its order, against the sandbox."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest
import requests

from tests import sandbox as stand_in
from tests import warm
from tests.sandbox import ROOT, RunningSandbox
from tests.services import free_port
from tests.test_docs import DEMO, PAGES, README, TESTS, blocks_of, sections

pytestmark = [
    pytest.mark.standalone,
    pytest.mark.skipif(shutil.which("sh") is None, reason="the commands are those of a shell"),
]

PASSWORD = "fake-password-of-an-operator"

# Everything after README's own lines is what the test needs: a customer, and a cache that the
# processes of this site share.
SETTINGS = """
DATABASES["acme"] = DATABASES["default"] | {"NAME": BASE_DIR / "acme.sqlite3"}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": BASE_DIR / "cache",
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""

# The blocks that are run here, and those that .ci/run runs, by heading and place below it.
RUN = {
    ("See it work", 1): "try_readme_command demo",
    ("See it work", 2): "try_readme_command tests",
}


def blocks():
    """README's blocks of code by heading and place below it."""
    return {
        (heading, number): text
        for heading, part in sections(README)
        for number, text in enumerate(blocks_of(part, r"\w+"), start=1)
    }


def block(heading, number=1):
    RUN[heading, number] = "here"
    return blocks()[heading, number]


MAKE_ENCRYPTION_KEY = block("Install it in your site", 1)
ADD_TO_SETTINGS = block("Install it in your site", 2)
MIGRATE, CREATE_USER, SERVE = block("Install it in your site", 3).splitlines()
VIEW, CALL = block("Call Certn", 1), block("Call Certn", 2)
TESTS_OF_A_SITE = block("Your tests")
EACH_CUSTOMER = block("Several customers")
CHECK = block("Does the key work?").splitlines()


def test_every_block_of_the_readme_is_run():
    assert not set(blocks()) ^ set(RUN), "by heading and place below it"
    assert {blocks()["See it work", 1], blocks()["See it work", 2]} == {f"{DEMO}\n", f"{TESTS}\n"}
    commands = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for step in set(RUN.values()) - {"here"}:
        assert step in commands


SHELL = set("&;<>|$`*#\n")  # a command with one of these needs a shell


class NewSite:
    """What `startproject` makes, in a folder of its own, and then README's steps."""

    def __init__(self, folder, sandbox):
        self.folder = folder
        self.sandbox = sandbox
        self.variables = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = folder / "shop" / "settings.py"

    def environment(self):
        environment = stand_in.environment(**self.variables)
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        # `python` is the one that runs the tests, in a virtual environment or not.
        shims = self.folder.parent / "bin"
        shims.mkdir(exist_ok=True)
        if not (shims / "python").exists():
            script = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
            (shims / "python").write_text(script, encoding="utf-8")
            (shims / "python").chmod(0o700)
        return environment | {"PATH": f"{shims}{os.pathsep}{environment['PATH']}"}

    def run(self, command, stdin=""):
        python, *arguments = shlex.split(command)
        if python == "python" and not set(command.strip()) & SHELL:
            return warm.run(
                *arguments, cwd=self.folder, env=self.environment(), stdin=stdin, timeout=120
            )
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def done(self, command, stdin=""):
        process = self.run(command, stdin)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def execute(self, source):
        """Run Python in the site, as `manage.py shell` does."""
        return self.done("python manage.py shell --verbosity 0", stdin=source)

    def add_to_settings(self, text):
        with self.settings.open("a", encoding="utf-8") as settings:
            settings.write(f"\n{text}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site after README's steps of installation, with an operator and a server that listens."""
    folder = tmp_path_factory.mktemp("readme") / "site"
    folder.mkdir()
    with RunningSandbox.start() as sandbox:
        site = NewSite(folder, sandbox)
        site.done("python -m django startproject shop .")
        key = site.done(MAKE_ENCRYPTION_KEY).strip()
        site.add_to_settings(ADD_TO_SETTINGS)
        # A site that has no encryption key does not start, and says how one is made.
        stopped = site.run(MIGRATE)
        assert stopped.returncode == 1
        last = stopped.stderr.splitlines()[-1]
        assert "FIELD_ENCRYPTION_KEY is empty" in last
        assert MAKE_ENCRYPTION_KEY.strip() in last
        site.variables |= {"FIELD_ENCRYPTION_KEY": key, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        site.add_to_settings(
            re.search("^CERTN_ENVIRONMENTS = .*", sandbox.printed, re.MULTILINE)[0]
        )
        site.add_to_settings(SETTINGS)
        site.done(MIGRATE)
        site.done(f"{CREATE_USER} --noinput --username operator --email operator@example.com")
        with (folder / "served").open("w", encoding="utf-8") as served:
            server = subprocess.Popen(
                [sys.executable, *SERVE.split()[1:], str(site.port), "--noreload"],
                cwd=folder,
                env=site.environment(),
                stdout=served,
                stderr=served,
            )
        try:
            yield site
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture(scope="module")
def stored(site):
    """The site with the keys `default` and `acme`; the former was entered in the admin."""
    client_id, secret = site.sandbox.refresh_keys()
    with requests.Session() as browser:
        browser.trust_env = False
        page = wait_for(browser, f"{site.url}/admin/login/?next=/admin/")
        page = send(browser, page, username="operator", password=PASSWORD)
        assert "/admin/django_certn/certncredential/" in page.text
        page = browser.get(f"{site.url}/admin/django_certn/certncredential/add/", timeout=60)
        page = send(
            browser,
            page,
            name="default",
            environment="local",
            client_id=client_id,
            secret=secret,
            is_active="on",
            _verify="Save and verify",
        )
        assert "The key works" in page.text
        assert secret not in page.text
    command = f"python manage.py certn_set_key acme --environment local --client-id {client_id}"
    site.done(command, stdin=secret)
    shutil.copy(site.folder / "db.sqlite3", site.folder / "acme.sqlite3")
    return site


def wait_for(browser, url):
    for _ in range(100):
        try:
            return browser.get(url, timeout=60)
        except requests.ConnectionError:
            time.sleep(0.1)
    return browser.get(url, timeout=60)


def send(browser, page, **fields):
    token = re.search('name="csrfmiddlewaretoken" value="(.+?)"', page.text)[1]
    answer = browser.post(page.url, data={"csrfmiddlewaretoken": token} | fields, timeout=30)
    assert answer.ok, answer.text
    return answer


URLS = """
from shop.views import users

urlpatterns.append(path("users/", users))
"""


def test_call_certn(stored):
    stored.sandbox.control("DELETE", "requests", None)
    (stored.folder / "shop" / "views.py").write_text(VIEW, encoding="utf-8")
    with (stored.folder / "shop" / "urls.py").open("a", encoding="utf-8") as urls:
        urls.write(URLS)
    view = (
        "from django.test import Client\n"
        "print(Client(HTTP_HOST='localhost').get('/users/').json()['count'])\n"
    )
    printed = stored.execute(f"{view}\n{CALL}\nprint(len(ids), sorted(headers))\n")
    assert printed.split() == ["3", "3", "['Authorization']"]
    calls = stored.sandbox.requests("/api/v1/users/")
    assert [call["status"] for call in calls] == [200] * 4  # the list has two pages
    # All processes share the token of "Save and verify", and it is good for both names.
    assert stored.sandbox.count() == 0


def test_your_tests(stored):
    (stored.folder / "shop" / "tests.py").write_text(TESTS_OF_A_SITE, encoding="utf-8")
    ran = stored.run("python manage.py test shop")
    assert re.search(r"^Ran 2 tests .*^OK$", ran.stderr, re.MULTILINE | re.DOTALL), ran.stderr
    for number, more in enumerate(blocks_of(PAGES["django_certn/testing/README.md"], "python")):
        (stored.folder / f"test_more_{number}.py").write_text(more, encoding="utf-8")
    # Named here: an environment that is older than the plugin does not know it by itself.
    stored.variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    printed = stored.done(
        "python -m pytest -p pytest_django.plugin -p django_certn.pytest_plugin "
        "-p no:cacheprovider --ds shop.settings shop/tests.py test_more_0.py test_more_1.py"
    )
    assert "7 passed" in printed


def test_does_the_key_work(stored):
    all_active, one, _probe, document = map(stored.done, CHECK)
    assert "acme (local): ok" in all_active
    assert "default (local): ok" in all_active
    assert "acme (local): ok" in one
    assert "default" not in one
    assert {result["status"] for result in json.loads(document)["results"]} == {"ok"}
    assert stored.sandbox.count("/api/v1/users/", "GET") >= 2  # the probes


def test_each_customer(stored):
    printed = stored.run(EACH_CUSTOMER)  # there is no database of that name for the second one
    assert "acme (local): ok" in printed.stdout
    assert "'beta'" in printed.stderr


def test_monitoring(stored):
    named = re.search(r"cron run `(.+?)`", README)[1]
    assert stored.done(f"python manage.py {named}") == ""


def test_a_new_encryption_key(stored):
    new = stored.done(MAKE_ENCRYPTION_KEY).strip()
    old = stored.variables["FIELD_ENCRYPTION_KEY"]
    stored.variables["FIELD_ENCRYPTION_KEY"] = f"{new},{old}"
    command = re.search(r"`(python manage\.py certn_reencrypt)`", README)[1]
    assert stored.run(f"{command} --dry-run").returncode == 1
    stored.done(command)
    stored.variables["FIELD_ENCRYPTION_KEY"] = new
    stored.done("python manage.py certn_check acme")


# The last one: nothing of the app is left then.
def test_removal(stored):
    text = " ".join(README.splitlines())
    drop = re.search(r"`(python manage\.py migrate django_certn zero)`", text)[1]
    forget = re.search(r"`(python manage\.py remove_stale_contenttypes .+?)`", text)[1]
    named = re.search(r"\*\*(Can verify .+?)\*\*", text)[1]
    look = (
        "from django.contrib.auth.models import Permission\n"
        "from django.db import connection\n"
        f"print(Permission.objects.filter(name={named!r}).count())\n"
        "print(sum('certn' in name for name in connection.introspection.table_names()))\n"
    )
    assert stored.execute(look).split() == ["1", "1"]
    stored.done(drop)
    # README says "what imports it" too.
    urls = stored.folder / "shop" / "urls.py"
    urls.write_text(urls.read_text(encoding="utf-8").replace(URLS, ""), encoding="utf-8")
    stored.add_to_settings('INSTALLED_APPS.remove("django_certn")\n')
    stored.done(forget, stdin="yes\n")
    assert stored.execute(look).split() == ["0", "0"]
