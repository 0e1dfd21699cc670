"""What the page of the commands has one paste, run: in a container, by cron, by a signal."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.endpoint import TokenEndpoint
from tests.integration.site import FIRST_KEY, Site
from tests.test_docs import blocks_of, section

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None, reason="the commands are those of a shell"
)

(DOCKERFILE,) = blocks_of(section("In a container"), "dockerfile")
(ENTRYPOINT,) = blocks_of(section("In a container"), "sh")
(CRON,) = blocks_of(section("Monitoring"), "crontab")
RECEIVER = blocks_of(section("Monitoring"), "python")[0]

MANAGE = """
import os
from django.core.management import execute_from_command_line
import sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
execute_from_command_line(sys.argv)
"""

# As README has the encryption key, and an app of the site with the receiver.
SETTINGS = """
FIELD_ENCRYPTION_KEY = os.environ["FIELD_ENCRYPTION_KEY"].split(",")
INSTALLED_APPS += ["django.contrib.staticfiles", "alarm.apps.Alarm"]
STATIC_URL, STATIC_ROOT = "static/", "{folder}/static"
CHAT_URL = "{chat}"
"""

APP = """
from django.apps import AppConfig

class Alarm(AppConfig):
    name = "alarm"

    def ready(self):
        from alarm import receivers
"""


class Container(Site):
    """The folder of a site, in which the commands of the page are run by a shell."""

    def __init__(self, folder, sandbox_url, chat):
        super().__init__(folder, sandbox_url)
        with (folder / "site_settings.py").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS.format(folder=folder, chat=chat))
        (folder / "alarm").mkdir()
        for path, text in (
            ("manage.py", MANAGE),
            ("alarm/__init__.py", ""),
            ("alarm/apps.py", APP),
            ("alarm/receivers.py", RECEIVER),
            ("bin", None),
            ("bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'),
        ):
            if text is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_text(text, encoding="utf-8")
        (folder / "bin" / "python").chmod(0o700)

    def shell(self, *command, **variables):
        environment = self.environment(**variables)
        environment["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"
        return subprocess.run(
            ["sh", *command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )


@pytest.fixture
def chat():
    with TokenEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def container(tmp_path, sandbox, chat):
    return Container(tmp_path, sandbox.url, chat.url)


def test_the_image_is_built_without_a_secret(container):
    commands = [line[4:] for line in DOCKERFILE.splitlines() if line.startswith("RUN ")]
    install, *others = commands
    assert install.startswith("pip install ")
    assert others
    for command in others:
        built = container.shell("-c", command)
        assert built.returncode == 0, built.stderr
        bare = container.shell("-c", command.partition(") ")[2])
        assert "FIELD_ENCRYPTION_KEY" in bare.stderr
        assert bare.returncode == 1


def test_the_container_starts_and_tells_when_the_key_ends(container, sandbox, chat):
    client_id, secret = sandbox.refresh_keys()
    folder = container.folder
    (folder / "partner_secret").write_text(f"{secret}\n", encoding="utf-8")
    script = ENTRYPOINT.replace("/run/secrets", str(folder)).replace("production", "local")
    (folder / "entrypoint.sh").write_text(script, encoding="utf-8")
    entrypoint = json.loads(
        next(
            line.partition(" ")[2]
            for line in DOCKERFILE.splitlines()
            if line.startswith("ENTRYPOINT")
        )
    )
    assert entrypoint[0] == "sh"
    variables = {"PARTNER_ID": client_id, "FIELD_ENCRYPTION_KEY": FIRST_KEY}

    started = container.shell(*entrypoint[1:], "echo", "served", **variables)
    assert started.returncode == 0, started.stderr
    assert started.stdout.endswith("issued a token.\nserved\n")
    again = container.shell(*entrypoint[1:], "echo", "served", **variables)
    assert again.stdout.endswith("left as it is. Nothing was sent.\nserved\n")
    assert sandbox.count() == 1
    assert secret not in started.stdout + started.stderr

    fields = CRON.split(maxsplit=5)
    assert len(fields) == 6
    nightly = fields[5].replace("/site", str(folder)).strip()
    quiet = container.shell("-c", nightly, **variables)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    sandbox.refresh_keys()
    loud = container.shell("-c", nightly, **variables)
    assert loud.returncode == 1
    assert "default (local): rejected." in loud.stdout
    container.shell("-c", nightly, **variables)

    texts = [json.loads(request.body)["text"] for request in chat.requests]
    assert len(texts) == 2
    assert texts[0] == "Certn key default: new -> ok. "
    assert texts[1].startswith("Certn key default: ok -> rejected. Copy both values again")


def test_a_key_that_does_not_work_ends_the_start(container, sandbox):
    folder = container.folder
    (folder / "partner_secret").write_text("sandbox-secret-fake-wrong", encoding="utf-8")
    script = ENTRYPOINT.replace("/run/secrets", str(folder)).replace("production", "local")
    variables = {"PARTNER_ID": "sandbox-rejected", "FIELD_ENCRYPTION_KEY": FIRST_KEY}
    started = container.shell("-c", script, "sh", "echo", "served", **variables)
    assert started.returncode == 1
    assert "served" not in started.stdout
    unasked = script.replace("--if-missing", "--if-missing --no-verify")
    assert "served" in container.shell("-c", unasked, "sh", "echo", "served", **variables).stdout
