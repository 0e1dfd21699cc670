"""A secret that somebody stored as plain text past this app: nothing that the app does shows it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_certn.exceptions import CredentialUndecryptableError
from django_certn.models import CertnCredential
from django_certn.tokens import get_token
from django_certn.verification import verify
from tests.leaks import Scan, everything_logged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

PLAIN = "fake-plain-text/Tn4+Gf8Mark"
FORM = {"name": "default", "environment": "scripted", "client_id": "fake-client-id"}


@pytest.fixture
def row(make_credential, endpoint):
    row = make_credential(environment="scripted")
    store(row)
    return CertnCredential.objects.get()


def store(row):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_certn_certncredential SET client_secret = %s", [PLAIN])


def column():
    with connection.cursor() as cursor:
        cursor.execute("SELECT client_secret FROM django_certn_certncredential")
        return cursor.fetchone()[0]


def run(*command, **options):
    out = StringIO()
    try:
        call_command(*command, stdout=out, stderr=out, **options)
    except CommandError as error:
        out.write(f"{error}")
    return out.getvalue()


def save(client, row):
    row.name = "default"
    row.save()


def ask_for_a_token(client, row):
    with pytest.raises(CredentialUndecryptableError, match="stored as plain text") as caught:
        get_token("default")
    return str(caught.value)


def page(client, address, **data):
    response = (client.post if data else client.get)(address, data, follow=True)
    return response.content.decode()


def change(client, row, **data):
    address = reverse("admin:django_certn_certncredential_change", args=[row.pk])
    return page(client, address, **data)


def verify_selected(client, row):
    address = reverse("admin:django_certn_certncredential_changelist")
    return page(client, address, action="verify_selected", _selected_action=row.pk)


ACTS = {
    "verify": lambda client, row: verify(row).detail,
    "verify by name": lambda client, row: verify("default").hint,
    "get_token": ask_for_a_token,
    "save": save,
    "save of the field": lambda client, row: row.save(update_fields=["client_secret"]),
    "certn_check": lambda client, row: run("certn_check", verbosity=2),
    "certn_check as JSON": lambda client, row: run("certn_check", format="json"),
    "check": lambda client, row: run("check", databases=["default"]),
    "certn_reencrypt": lambda client, row: run("certn_reencrypt", verbosity=2),
    "dry run": lambda client, row: run("certn_reencrypt", dry_run=True, encrypt_plaintext=True),
    "list": lambda client, row: page(client, "/admin/django_certn/certncredential/"),
    "form": change,
    "saved form": lambda client, row: change(client, row, **FORM, is_active="on"),
    "Save and verify": lambda client, row: change(client, row, **FORM, _verify="1"),
    "Verify selected": verify_selected,
    "dumpdata": lambda client, row: run("dumpdata", "django_certn"),
}

ENCRYPTS = {
    "certn_reencrypt": lambda client, row: run(
        "certn_reencrypt", encrypt_plaintext=True, verbosity=2
    ),
    "another secret": lambda client, row: change(client, row, **FORM, secret="fake-new-secret"),
}


@pytest.fixture
def act(admin_client, row):
    """Do something, and return all that could be read of it."""

    def act(do):
        with everything_logged() as lines, CaptureQueriesContext(connection) as log:
            shown = do(admin_client, row)
        queries = [query["sql"] for query in log.captured_queries]
        assert any("SELECT" in query for query in queries)
        return "\n".join([str(shown), *lines, *queries])

    return act


@pytest.mark.parametrize("do", ACTS.values(), ids=ACTS)
def test_it_is_not_shown_and_stays(act, do):
    assert not Scan(PLAIN).text(act(do))
    assert column() == PLAIN


@pytest.mark.parametrize("do", ENCRYPTS.values(), ids=ENCRYPTS)
def test_it_is_not_shown_while_it_goes(act, do):
    assert not Scan(PLAIN).text(act(do))
    assert column().startswith("gAAAAA")


def test_the_scan_looks_at_the_statements(act):
    assert Scan(PLAIN).text(
        act(lambda client, row: (store(row), list(CertnCredential.objects.all())))
    )


def test_what_is_recorded_says_so(row):
    outcome = verify(row)

    assert (outcome.status, outcome.error_code) == ("undecryptable", "plaintext")
    stored = CertnCredential.objects.get()
    assert (stored.verified_status, stored.verified_error_code) == ("undecryptable", "plaintext")
    assert "--encrypt-plaintext" in outcome.hint
    assert "plaintext" in run("certn_check", format="json")
    assert "--encrypt-plaintext" in run("certn_check")
