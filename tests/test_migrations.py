import os
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from django_certn.models import CertnCredential
from django_certn.secret import UndecryptableSecret

SECRET = "fake-secret-0123456789abcdef"

# A site that left most settings to Django, whose defaults differ between versions.
CHECK = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_certn"],
    FIELD_ENCRYPTION_KEY="dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE=",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LANGUAGE_CODE="fr",
    **eval(__import__("os").environ["SETTINGS"]),
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "makemigrations", "--check", "--dry-run"])
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
            "CERTN_ENVIRONMENTS": {"local": {"base_url": "http://localhost"}},
            "USE_TZ": False,
        },
    ],
    ids=["defaults", "other settings"],
)
def test_no_site_is_asked_to_make_a_migration(settings):
    result = subprocess.run(
        [sys.executable, "-c", CHECK],
        env={"SETTINGS": repr(settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "No changes detected\n"


@pytest.mark.django_db
def test_the_migrations_are_complete():
    call_command("makemigrations", "django_certn", check=True, dry_run=True, verbosity=0)


def test_there_is_one_last_migration():
    graph = MigrationLoader(None).graph
    assert len(graph.leaf_nodes("django_certn")) == 1


@pytest.mark.django_db(transaction=True)
def test_there_and_back():
    (last,) = MigrationLoader(None).graph.leaf_nodes("django_certn")
    table = CertnCredential._meta.db_table
    try:
        MigrationExecutor(connection).migrate([("django_certn", None)])
        assert table not in connection.introspection.table_names()
    finally:
        MigrationExecutor(connection).migrate([last])
    assert table in connection.introspection.table_names()
    assert not CertnCredential.objects.exists()


@pytest.mark.django_db
def test_a_sites_own_data_migration_meets_the_same_field():
    apps = MigrationLoader(connection).project_state().apps
    historical = apps.get_model("django_certn", "CertnCredential")
    row = historical.objects.create(environment="demo", client_id="i", client_secret=SECRET)

    assert SECRET not in repr(vars(row))
    assert CertnCredential.objects.get().client_secret == SECRET
    assert historical.objects.get().client_secret == SECRET
    assert not isinstance(historical.objects.get().client_secret, UndecryptableSecret)
