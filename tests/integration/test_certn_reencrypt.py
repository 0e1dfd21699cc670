"""`manage.py certn_reencrypt` that is killed, runs twice at once, and while secrets are saved."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from django_certn.fields import is_current
from django_certn.models import CertnCredential
from tests.effort import effort

OLD_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
NEW_KEY = "ZmFrZS1lbmNyeXB0aW9uLWtleS1udW1iZXItMi4uLi4="
ROOT = Path(__file__).resolve().parent.parent.parent

SETTINGS = """
import json
import os

SECRET_KEY = "fake"
FIELD_ENCRYPTION_KEY = os.environ["SITE_ENCRYPTION_KEYS"].split(",")
INSTALLED_APPS = ["django_certn"]
USE_TZ = True
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
"""


class Site:
    """A site that runs the command in processes of its own; its rows are seen from here."""

    rows = CertnCredential.objects.using("site")

    def __init__(self, folder, database):
        (folder / "reencrypt_settings.py").write_text(SETTINGS, encoding="utf-8")
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "reencrypt_settings",
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "SITE_DATABASE": json.dumps(database),
            "SITE_ENCRYPTION_KEYS": f"{NEW_KEY},{OLD_KEY}",
        }

    def seed(self, total):
        """Store that many credentials under the old key."""
        names = [f"acme-{number:05}" for number in range(total)]
        with override_settings(FIELD_ENCRYPTION_KEY=OLD_KEY):
            self.rows.bulk_create(
                [CertnCredential(name=name, client_secret=secret_of(name)) for name in names],
                batch_size=1000,
            )

    def look(self):
        """Return the secrets by name, and how many of them are under the new key."""
        found = list(self.rows.all())
        current = sum(is_current(row.client_secret.column()) for row in found)
        return {row.name: row.client_secret for row in found}, current

    def start(self, *options):
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "django", "certn_reencrypt", *options],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pipesize=4096,  # soon full: a process that nobody reads from waits
        )


def secret_of(name):
    return f"fake-secret-of-{name}"


def done(process):
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    return stdout


def counts_in(stdout):
    column = "django_certn.CertnCredential.client_secret: "
    (said,) = [line for line in stdout.splitlines() if line.startswith(column)]
    parts = [part.partition(" ") for part in said.removeprefix(column).split(", ")]
    return Counter({words: int(count) for count, _, words in parts})


def read_up_to(process, name):
    for line in process.stdout:
        if line.startswith(name):
            return
    pytest.fail(process.stderr.read())


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def site(request, tmp_path, settings, django_db_blocker):
    # What a disk holds after a power failure is not the question; SIGKILL leaves it alone.
    if request.param == "sqlite":
        database = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "site.sqlite3"),
            "OPTIONS": {"timeout": 60, "init_command": "PRAGMA synchronous=OFF"},
        }
    else:
        database = request.getfixturevalue(request.param)
    if request.param == "postgresql":
        asynchronous = {"options": "-c synchronous_commit=off"}
        database = database | {"OPTIONS": database["OPTIONS"] | asynchronous}
    settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]
    configured = connections.configure_settings({"default": {}, "site": database})
    connections.settings["site"] = configured["site"]
    with django_db_blocker.unblock():
        call_command("migrate", "django_certn", database="site", verbosity=0)
        Site.rows.all().delete()
        yield Site(tmp_path, database)
        Site.rows.all().delete()
        connections["site"].close()
    del connections["site"], connections.settings["site"]


def test_killed_half_way_and_run_again(site, settings):
    # Many more than the command can print before it has to wait for its reader.
    total = effort(600, thorough=4_000)
    site.seed(total)
    with site.start("-v", "2") as process:
        read_up_to(process, f"acme-{total // 2:05}")
        process.kill()
    secrets, half = site.look()
    assert total // 2 < half < total
    assert secrets == {name: secret_of(name) for name in secrets}

    counts = counts_in(done(site.start()))
    # A server still commits what it was sent before the end.
    assert counts["already current"] in (half, half + 1)
    assert counts["re-encrypted"] + counts["already current"] == total
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    assert site.look() == (secrets, total)


def test_two_at_once(site, settings):
    total = effort(200, thorough=1_000)
    site.seed(total)
    counts = [counts_in(done(process)) for process in [site.start(), site.start()]]
    assert [sum(run.values()) for run in counts] == [total, total]
    assert sum(run["re-encrypted"] for run in counts) == total
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    secrets, current = site.look()
    assert current == total
    assert secrets == {name: secret_of(name) for name in secrets}


def test_a_secret_that_is_saved_during_it_stays(site, settings):
    total = effort(600, thorough=1_000)
    site.seed(total)
    with site.start("-v", "2") as process:
        read_up_to(process, "acme-00100")
        for row in site.rows.filter(name__endswith="0"):
            row.client_secret = f"fake-new-secret-of-{row.name}"
            row.save()
        counts = counts_in(done(process))
    # It had read some of them before they were saved. On SQLite it writes all that it has read
    # before it goes on.
    on_sqlite = connections["site"].vendor == "sqlite"
    assert counts["changed meanwhile"] >= (0 if on_sqlite else 20)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    secrets, current = site.look()
    assert len(secrets) == current == total
    for name, secret in secrets.items():
        assert secret == (f"fake-new-secret-of-{name}" if name[-1] == "0" else secret_of(name))
