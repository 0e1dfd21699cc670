"""Takes the app, as this Python has it installed, into a new site: no extra, and no folder of ours.

Everything runs with warnings as errors. What it started and stored goes with its folder.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SETTINGS = """
INSTALLED_APPS += ["django_certn"]
FIELD_ENCRYPTION_KEY = "ZmFrZS1lbmNyeXB0aW9uLWtleS1mb3ItYS13aGVlbCE="
ALLOWED_HOSTS = ["testserver"]
LANGUAGE_CODE = "fr-ca"
"""

# A site's own test, and pages as a browser gets them.
TESTS = """
from django.contrib.auth.models import User
from django.test import TestCase

from django_certn.client import auth_headers
from django_certn.testing import fake_certn


class SiteTests(TestCase):
    @fake_certn()
    def test_header(self):
        self.assertTrue(auth_headers()["Authorization"].startswith("Bearer "))

    def test_pages_in_french(self):
        self.client.force_login(User.objects.create_superuser("boss"))
        for page, words in {
            "": "tient lieu de Certn sur cet ordinateur",
            "add/": "Enregistrer et vérifier",
        }.items():
            shown = self.client.get(f"/admin/django_certn/certncredential/{page}")
            self.assertContains(shown, words)
"""


class SiteError(Exception):
    """Something did not do what it should."""


def run(*arguments: str, code: int, says: str) -> None:
    """Run a command with this Python; it must end with the code and say these words."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    print(f"$ python {' '.join(arguments)}\n{ran.stdout}")
    if ran.returncode != code or says not in ran.stdout or "Traceback" in ran.stdout:
        raise SiteError(f"It ended with {ran.returncode}, not {code}, or did not say {says!r}.")


def main() -> None:
    run("-m", "django", "startproject", "site_of_wheel", ".", code=0, says="")
    with Path("site_of_wheel/settings.py").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    Path("site_of_wheel/tests.py").write_text(TESTS, encoding="utf-8")
    run("manage.py", "check", code=0, says="(0 ")  # of any problem, in French
    run("manage.py", "makemigrations", "--check", "--dry-run", code=0, says="")
    run("manage.py", "migrate", code=0, says="django_certn.0001_initial")
    run("manage.py", "certn_check", code=2, says="no active Certn credential")
    run("manage.py", "test", code=0, says="Ran 2 tests")
    run("-m", "django_certn.sandbox", "--help", code=0, says="A stand-in for Certn")
    run("-m", "django_certn.sandbox", "--port", "0", code=2, says="django-certn[sandbox]")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            main()
        except SiteError as error:
            sys.exit(str(error))
        finally:
            os.chdir("/")
