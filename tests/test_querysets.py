"""Statements about a row whose secret is stored as plain text do not hold it."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_certn.models import CertnCredential
from django_certn.querysets import holding, replace_plain_text

pytestmark = pytest.mark.django_db

PLAIN = "fake-plain-text-0123456789"
OTHER = "fake-plain-text-of-another"


def column_of(row):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client_secret FROM django_certn_certncredential WHERE id = %s", [row.pk]
        )
        return cursor.fetchone()[0]


def write_column(row, text):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_certn_certncredential SET client_secret = %s WHERE id = %s",
            [text, row.pk],
        )


@pytest.fixture
def row():
    return CertnCredential.objects.create(name="acme", client_secret="fake-secret")


@pytest.fixture
def plain(row):
    write_column(row, PLAIN)
    return row


@pytest.fixture
def rows():
    return CertnCredential._base_manager.all()


def test_the_row_that_holds_a_ciphertext(row, rows):
    CertnCredential.objects.create(name="other", client_secret="fake-secret")

    assert holding(rows, column_of(row)).get() == row
    assert holding(rows, column_of(row)).update(verified_status="ok") == 1
    assert not holding(rows, f"{column_of(row)}=").exists()


def test_a_row_that_holds_plain_text(plain, rows):
    CertnCredential.objects.create(name="other", client_secret="fake-secret")
    with CaptureQueriesContext(connection) as log:
        assert holding(rows, PLAIN).get() == plain
        assert holding(rows, PLAIN).update(verified_status="undecryptable") == 1

    assert PLAIN not in str(log.captured_queries)


def test_plain_text_is_replaced(plain, rows):
    with CaptureQueriesContext(connection) as log:
        assert replace_plain_text(rows, plain.pk, PLAIN, PLAIN)

    assert PLAIN not in str(log.captured_queries)
    assert column_of(plain).startswith("gAAAAA")
    assert CertnCredential.objects.get().client_secret == PLAIN


@pytest.mark.parametrize("now", [OTHER, "", "gAAAAA-fake"])
def test_what_changed_meanwhile_stays(plain, rows, now):
    write_column(plain, now)

    assert not replace_plain_text(rows, plain.pk, PLAIN, PLAIN)
    assert column_of(plain) == now


def test_a_row_that_is_gone(plain, rows):
    pk = plain.pk
    plain.delete()

    assert not replace_plain_text(rows, pk, PLAIN, PLAIN)
