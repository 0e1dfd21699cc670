"""A small site of which a test sees what a shell sees."""

import subprocess
import sys

from tests import sandbox as stand_in
from tests import warm
from tests.services import free_port

FIRST_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="

SETTINGS = """
import os

SECRET_KEY = "fake"
FIELD_ENCRYPTION_KEY = os.environ.get("SITE_ENCRYPTION_KEY", "{key}")
INSTALLED_APPS = ["django_certn"]
if "SITE_FAILS_ITS_CHECKS" in os.environ:
    ROOT_URLCONF = "no_such_module"
USE_TZ = True
DATABASES = {{
    "default": {default},
    "empty": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/empty.sqlite3"}},
    "missing": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/no/such/db.sqlite3"}},
}}
if "SITE_HAS_POSTGRESQL" in os.environ:  # whose driver takes as long to import as Django
    DATABASES["postgresql"] = {{
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": "{closed_port}",
        "NAME": "nobody-there",
    }}
CACHES = {{
    "default": {{
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": "{folder}/cache",
    }}
}}
CERTN_ENVIRONMENTS = {{
    "local": {{"label": "Sandbox", "base_url": "{sandbox}"}},
    "twin": {{"label": "Zwilling \u9375", "base_url": "{sandbox}"}},
    "nobody": {{"label": "Nobody there", "base_url": "http://127.0.0.1:{closed_port}"}},
}}
"""


class Site:
    """A small site in a folder of its own, that is only ever called from the shell.

    Its database is an SQLite file in the folder, unless it is given one.
    """

    def __init__(self, folder, sandbox_url, database=None):
        self.folder = folder
        self.sqlite = folder / "site.sqlite3"
        content = SETTINGS.format(
            key=FIRST_KEY,
            folder=folder,
            sandbox=sandbox_url,
            closed_port=free_port(),
            default=database or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.sqlite)},
        )
        (folder / "site_settings.py").write_text(content, encoding="utf-8")

    def environment(self, **more):
        return stand_in.environment(DJANGO_SETTINGS_MODULE="site_settings", **more)

    def start(self, *args, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "django", *args],
            env=self.environment(**environment),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *args, stdin="", **environment):
        return warm.run(
            "-m",
            "django",
            *args,
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=stdin,
        )

    def done(self, *args):
        process = self.manage(*args)
        assert process.returncode == 0, process.stderr
        return process.stdout
