"""Statements about a row whose secret is stored as plain text do not hold it."""

import pickle
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_certn.models import CertnCredential
from django_certn.querysets import PairValidator, holding, replace_plain_text

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


def write_a_field(row):
    row.name = "renamed"
    row.save()


SAVES = {
    "save": write_a_field,
    "save of the field": lambda row: row.save(update_fields=["name", "client_secret"]),
    "save of the field alone": lambda row: row.save(update_fields=["client_secret"]),
    "force_update": lambda row: row.save(force_update=True),
    "deferred": lambda row: CertnCredential.objects.defer("client_secret").get().save(),
    "pickle": lambda row: pickle.loads(pickle.dumps(row)).save(),
    "full_clean": lambda row: (row.full_clean(), row.save()),
    "update_or_create": lambda row: CertnCredential.objects.update_or_create(
        name=row.name, defaults={"is_active": False}
    ),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("text", [PLAIN, "fake \u20ac", "'gAAAAAfake'"])
def test_saving_the_row_keeps_plain_text_and_does_not_show_it(row, save, text):
    CertnCredential.objects.update(environment="demo", client_id="fake-id")
    write_column(row, text)
    read = CertnCredential.objects.get()
    with CaptureQueriesContext(connection) as log:
        save(read)

    assert "UPDATE" in str(log.captured_queries)
    assert text not in str(log.captured_queries)
    assert column_of(row) == text
    assert CertnCredential.objects.get().secret_changed_at == row.secret_changed_at


COPIES = {
    "create": lambda row, secret: CertnCredential.objects.create(name="b", client_secret=secret),
    "bulk_create": lambda row, secret: CertnCredential.objects.bulk_create(
        [CertnCredential(name="b", client_secret=secret)]
    ),
    "another row": lambda row, secret: assign(row, secret).save(),
    "update": lambda row, secret: CertnCredential.objects.filter(name="b").update(
        client_secret=secret
    ),
}


def assign(row, secret):
    row.client_secret = secret
    return row


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_what_another_row_gets_of_it_is_encrypted(plain, copy):
    other = CertnCredential.objects.create(name="other", client_secret="fake-secret")
    with CaptureQueriesContext(connection) as log:
        copy(other, CertnCredential.objects.get(name="acme").client_secret)

    assert PLAIN not in str(log.captured_queries)
    copied = CertnCredential.objects.exclude(name="acme")
    assert all(column_of(row).startswith("gAAAAA") for row in copied)
    assert column_of(plain) == PLAIN


def test_a_new_secret_takes_the_place_of_plain_text(plain):
    read = CertnCredential.objects.get()
    read.client_secret = "fake-new-secret"
    read.save()

    assert CertnCredential.objects.get().client_secret == "fake-new-secret"


class TestPairValidator:
    """By itself; tests/integration/packages has it in Django REST framework."""

    secret = SimpleNamespace(source="client_secret", read_only=False)

    def ask(self, row, value, fields=None, **data):
        fields = {"client_secret": self.secret} if fields is None else fields
        serializer = SimpleNamespace(instance=row, initial_data=data, fields=fields)
        field = SimpleNamespace(parent=serializer, source="client_id")
        PairValidator()(value, field)

    def test_another_half_needs_the_secret(self, row):
        with pytest.raises(ValidationError, match="belongs to the earlier Client ID"):
            self.ask(row, "fake-other-id")
        with pytest.raises(ValidationError, match="belongs to the earlier Client ID"):
            self.ask(row, "fake-other-id", client_secret="")
        self.ask(row, "fake-other-id", client_secret="fake-other-secret")
        self.ask(row, row.client_id)

    @pytest.mark.parametrize(
        "fields",
        [{}, {"client_secret": SimpleNamespace(source="client_secret", read_only=True)}],
        ids=["no field", "read-only"],
    )
    def test_a_secret_that_the_serializer_does_not_take_is_none(self, row, fields):
        with pytest.raises(ValidationError, match="belongs to the earlier Client ID"):
            self.ask(row, "fake-other-id", fields, client_secret="fake-other-secret")

    def test_the_secret_may_be_called_otherwise(self, row):
        self.ask(row, "fake-other-id", {"secret": self.secret}, secret="fake-other-secret")
        with pytest.raises(ValidationError, match="belongs to the earlier Client ID"):
            self.ask(row, "fake-other-id", {"secret": self.secret}, client_secret="fake-other")

    def test_it_holds_where_the_secret_cannot_be_read(self, plain):
        with pytest.raises(ValidationError):
            self.ask(CertnCredential.objects.get(), "fake-other-id")

    def test_where_no_secret_is_stored_there_is_none_to_go_along(self):
        self.ask(CertnCredential.objects.create(), "fake-id")
        self.ask(None, "fake-id")

    def test_django_gets_nothing_from_it(self):
        PairValidator()("fake-id")
        for half in ("environment", "client_id"):
            field = CertnCredential._meta.get_field(half)
            assert isinstance(field.validators[-1], PairValidator)
            assert "PairValidator" not in repr(field.deconstruct())
