"""The data migration of the documentation, on a site that has stored keys of its own."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from tests import warm
from tests.test_docs import blocks_of, section

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
OTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="

(BLOCK,) = blocks_of(section("From a key that your site has stored already"), "python")

MODELS = """
from django.db import models
from encrypted_model_fields.fields import EncryptedCharField


class Partner(models.Model):
    name = models.CharField(max_length=100)
    certn_id = models.CharField(max_length=255)
    certn_secret = {field}(max_length=1024)
"""

START = """
import os
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["shop", "django_certn"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    FIELD_ENCRYPTION_KEY=os.environ["SITE_ENCRYPTION_KEY"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {name!r}}}}},
    USE_TZ=True,
)
import django
django.setup()
from django.core.management import call_command
from django_certn.models import CertnCredential
from shop.models import Partner
"""


class Site:
    def __init__(self, folder, field):
        self.folder = folder
        (folder / "shop" / "migrations").mkdir(parents=True)
        for path in ("shop/__init__.py", "shop/migrations/__init__.py"):
            (folder / path).touch()
        (folder / "shop" / "models.py").write_text(MODELS.format(field=field), encoding="utf-8")
        self.run(
            """
            call_command("makemigrations", "shop", verbosity=0)
            call_command("migrate", verbosity=0)
            Partner.objects.create(name="acme", certn_id="fake-id", certn_secret="fake-secret-1")
            Partner.objects.create(name="beta", certn_id="fake-id", certn_secret="fake-secret-2")
            """
        )
        migration = folder / "shop" / "migrations" / "0002_take_over.py"
        migration.write_text(BLOCK, encoding="utf-8")

    def run(self, code, key=KEY):
        path = f"{self.folder}{os.pathsep}{ROOT}"
        return warm.run(
            "-c",
            START.format(name=str(self.folder / "site.sqlite3")) + dedent(code),
            env=os.environ | {"PYTHONPATH": path, "SITE_ENCRYPTION_KEY": key},
            timeout=120,
        )


SHOW = """
for row in CertnCredential.objects.order_by("name"):
    print(row.name, row.environment, row.client_id, row.client_secret.reveal())
"""


@pytest.mark.parametrize("field", ["models.CharField", "EncryptedCharField"])
def test_keys_are_taken_over(tmp_path, field):
    site = Site(tmp_path, field)
    result = site.run('call_command("migrate", verbosity=0)' + SHOW)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "acme production fake-id fake-secret-1",
        "beta production fake-id fake-secret-2",
    ]


def test_a_value_that_no_key_opens_is_not_taken_for_a_secret(tmp_path):
    site = Site(tmp_path, "EncryptedCharField")
    result = site.run('call_command("migrate", verbosity=0)', key=OTHER_KEY)
    assert result.returncode == 1
    assert "ValueError: client_secret is given a value that is encrypted already" in result.stderr
    assert "fake-secret" not in result.stderr
    assert site.run(SHOW).stdout == ""
