"""What other apps have encrypted with the same keys: found, counted, put under the first key."""

import datetime as dt
import uuid

import pytest
from cryptography.fernet import Fernet
from django.db import ProgrammingError, connection, connections, models
from django.test.utils import CaptureQueriesContext

from django_certn import reencryption
from django_certn.fields import decrypt, encrypt, is_current
from django_certn.models import CertnCredential
from django_certn.reencryption import encrypted_columns
from tests.bare.models import BareCredential
from tests.records.models import (
    Elsewhere,
    Employee,
    Line,
    Mirror,
    Opening,
    Person,
    Ticket,
    Visitor,
)
from tests.test_certn_reencrypt import LOST_KEY, NEW_KEY, OLD_KEY, Outcome

pytestmark = pytest.mark.django_db(databases="__all__")

TEXT = "fake-text-0123456789"
PHONE = "records.Person.phone"


def reencrypt(*args, **options):
    outcome = Outcome(*args, **options)
    said = outcome.stdout + outcome.stderr + outcome.message
    assert TEXT not in said
    assert "gAAAAA" not in said
    return outcome


@pytest.fixture
def rotate(settings):
    def rotate():
        settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]

    return rotate


def every(model):
    """All rows, whatever its managers hide."""
    return models.QuerySet(model)


def stored(model, name, using="default"):
    """The column as a database shell shows it, in the order of the primary key."""
    connection, meta = connections[using], model._meta
    quote = connection.ops.quote_name
    keys = ", ".join(quote(field.column) for field in meta.pk_fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {quote(meta.get_field(name).column)} FROM {quote(meta.db_table)} "
            f"ORDER BY {keys}"
        )
        return [value for (value,) in cursor.fetchall()]


def write(model, name, text):
    """Put the text into the column of every row, past the field."""
    quote = connection.ops.quote_name
    column, table = quote(model._meta.get_field(name).column), quote(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s", [text])


class TestColumns:
    def test_each_is_found_once_and_ours_comes_first(self):
        assert [str(column) for column in encrypted_columns("default")] == [
            "django_certn.CertnCredential.client_secret",
            "bare.BareCredential.client_secret",
            PHONE,
            "records.Person.note",
            "records.Person.born",
            "records.Person.visits",
            "records.Person.is_vip",
            "records.Employee.salary",
            "records.Line.text",
            "records.Ticket.holder",
            "records.Opening.code",
            "records.Elsewhere.text",
        ]
        there = [column for column in encrypted_columns("default") if column.exists()]
        assert there == encrypted_columns("default")[:-1]

    def test_a_table_that_is_there_and_cannot_be_read(self, monkeypatch):
        def execute(column, sql, parameters=()):
            raise ProgrammingError("fake: permission denied")

        monkeypatch.setattr(reencryption.Column, "execute", execute)
        with pytest.raises(ProgrammingError, match="permission denied"):
            encrypted_columns("default")[0].exists()


class TestWithoutAllModels:
    def test_they_are_counted_and_left_as_they_are(self, make_credential, rotate):
        make_credential()
        BareCredential.objects.create(client_secret=TEXT)
        Person.objects.create(phone=TEXT)
        before = stored(Person, "phone"), stored(BareCredential, "client_secret")
        rotate()
        Person.objects.create(phone=TEXT)
        outcome = reencrypt()
        assert outcome.returncode == 1
        assert outcome.counts == {"re-encrypted": 1}
        assert outcome.counts_of(PHONE) == {
            "already current": 1,
            "in need of an older encryption key": 1,
        }
        assert outcome.message == (
            "Keep the encryption keys behind the first: they are needed by 2 values.\n"
            "With --all-models, it re-encrypts bare.BareCredential.client_secret (1), "
            f"{PHONE} (1)."
        )
        assert stored(Person, "phone")[:1] == before[0]
        assert stored(BareCredential, "client_secret") == before[1]

    def test_nothing_of_theirs_needs_an_older_key(self, make_credential, rotate):
        make_credential()
        rotate()
        Person.objects.create(phone=TEXT)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.message) == (0, "")

    @pytest.mark.parametrize("around", ['"{}"', " {}", "\n{}"], ids=repr)
    def test_whatever_can_be_read_is_not_taken_for_plain_text(self, rotate, around):
        text = around.format(encrypt(TEXT))
        Person.objects.create()
        write(Person, "phone", text)
        rotate()
        is_read = decrypt(text) is not None  # Pythons differ
        assert Person.objects.get().phone == (TEXT if is_read else text)
        outcome = reencrypt()
        assert outcome.returncode == int(is_read)
        words = "in need of an older encryption key" if is_read else "in plain text"
        assert outcome.counts_of(PHONE) == {words: 1}
        assert reencrypt("--all-models").returncode == 0

    def test_what_is_nowhere_stored_is_not_mentioned(self, rotate):
        rotate()
        first, *more = reencrypt().stdout.splitlines()
        assert first == "Nothing is stored."
        assert not [line for line in more if not line.startswith("Nothing of this needs the keys")]

    def test_in_another_database(self, rotate):
        Person.objects.using("other").create(phone=TEXT)
        rotate()
        assert reencrypt("--database", "default").returncode == 0
        outcome = reencrypt()
        assert outcome.returncode == 1
        assert f"{PHONE} in the database 'other' (1)" in outcome.message


class TestAllModels:
    def test_a_dry_run_writes_nothing(self, rotate):
        Person.objects.create(phone=TEXT)
        before = stored(Person, "phone")
        rotate()
        outcome = reencrypt("--all-models", "--dry-run")
        assert outcome.returncode == 1
        assert outcome.counts_of(PHONE) == {"to be re-encrypted": 1}
        assert outcome.message.endswith(f"Without --dry-run, this re-encrypts {PHONE} (1).")
        assert stored(Person, "phone") == before

    def test_each_kind_of_field(self, rotate, settings):
        values = {
            "phone": TEXT,
            "note": f"{TEXT} \u20ac\n" * 100,
            "born": dt.date(2001, 2, 3),
            "is_vip": True,
        }
        Person.objects.create(**values)
        write(Person, "visits", encrypt("12"))
        rotate()
        assert reencrypt("--all-models").returncode == 0
        assert reencrypt("--all-models").counts_of("records.Person.visits") == {
            "already current": 1
        }
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        person = Person.objects.get()
        assert {name: getattr(person, name) for name in values} == values
        assert person.visits == 12

    def test_rows_that_the_managers_hide(self, rotate):
        Person.objects.create(phone=TEXT, is_gone=True)
        rotate()
        assert reencrypt("--all-models").counts_of(PHONE) == {"re-encrypted": 1}
        assert all(map(is_current, stored(Person, "phone")))

    def test_through_a_proxy(self, rotate):
        Visitor.objects.create(phone=TEXT)
        rotate()
        assert reencrypt("--all-models").counts_of(PHONE) == {"re-encrypted": 1}

    def test_a_table_beside_that_of_the_parent(self, rotate, settings):
        Person.objects.create(phone=TEXT)
        Employee.objects.create(phone=TEXT, salary="1000")
        rotate()
        outcome = reencrypt("--all-models")
        assert outcome.counts_of(PHONE) == {"re-encrypted": 2}
        assert outcome.counts_of("records.Employee.salary") == {"re-encrypted": 1}
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        assert every(Employee).get().salary == "1000"

    @pytest.mark.parametrize("batch", [1, 2, 3, 100])
    def test_composite_primary_keys(self, rotate, settings, monkeypatch, batch):
        monkeypatch.setattr(reencryption, "BATCH", batch)
        for order in [uuid.UUID(int=number) for number in (1, 2, 3)]:
            for number in (1, 2, 3):
                Line.objects.create(order=order, number=number, text=f"{TEXT} {order} {number}")
        rotate()
        assert reencrypt("--all-models").counts_of("records.Line.text") == {"re-encrypted": 9}
        assert reencrypt("--all-models").counts_of("records.Line.text") == {"already current": 9}
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        assert all(line.text == f"{TEXT} {line.order} {line.number}" for line in every(Line))

    @pytest.mark.parametrize("batch", [1, 2, 100])
    def test_primary_keys_that_are_no_numbers(self, rotate, settings, monkeypatch, batch):
        monkeypatch.setattr(reencryption, "BATCH", batch)
        for day in (1, 2, 3):
            at = dt.datetime(2001, 2, day, 4, 5, 6, day % 2 * 7, tzinfo=dt.UTC)
            Opening.objects.create(at=at, code=TEXT)
            Ticket.objects.create(holder=TEXT)
        rotate()
        outcome = reencrypt("--all-models")
        assert outcome.counts_of("records.Opening.code") == {"re-encrypted": 3}
        assert outcome.counts_of("records.Ticket.holder") == {"re-encrypted": 3}
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        assert {row.code for row in every(Opening)} == {TEXT}
        assert {row.holder for row in every(Mirror)} == {TEXT}

    def test_in_every_database(self, rotate):
        Person.objects.using("other").create(phone=TEXT)
        rotate()
        assert reencrypt("--all-models").returncode == 0
        assert all(map(is_current, stored(Person, "phone", using="other")))

    def test_a_table_that_the_list_of_tables_does_not_show(self, rotate):
        # On SQLite and MariaDB; as everywhere with one in another schema.
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE records_elsewhere (id integer PRIMARY KEY, text text)"
            )
            try:
                Elsewhere.objects.create(pk=1, text=TEXT)
                rotate()
                outcome = reencrypt("--all-models")
                assert outcome.counts_of("records.Elsewhere.text") == {"re-encrypted": 1}
                assert all(map(is_current, stored(Elsewhere, "text")))
            finally:
                temporary = "TEMPORARY" if connection.vendor == "mysql" else ""
                cursor.execute(f"DROP {temporary} TABLE records_elsewhere")

    def test_no_statement_holds_what_was_encrypted(self, rotate):
        Person.objects.create(phone=TEXT, note=TEXT)
        write(Person, "note", TEXT)
        rotate()
        with CaptureQueriesContext(connection) as queries:
            reencrypt("--all-models")
        assert any("UPDATE" in query["sql"] for query in queries)
        assert not any(TEXT in query["sql"] for query in queries)


class TestWhatIsStored:
    def test_null(self, rotate):
        Person.objects.create(phone=TEXT, note=None)
        rotate()
        assert "records.Person.note" not in reencrypt("--all-models").stdout
        assert stored(Person, "note") == [None]

    @pytest.mark.parametrize("text", ["", TEXT, "5", "gAAAA"])
    @pytest.mark.parametrize("options", [[], ["--all-models"], ["--encrypt-plaintext"]])
    def test_plain_text_needs_no_key(self, rotate, text, options):
        Person.objects.create(phone=TEXT)
        write(Person, "phone", text)
        rotate()
        outcome = reencrypt(*options)
        assert (outcome.returncode, outcome.counts_of(PHONE)) == (0, {"in plain text": 1})
        assert stored(Person, "phone") == [text]

    @pytest.mark.parametrize("options", [[], ["--all-models"], ["--all-models", "--dry-run"]])
    def test_what_no_key_opens(self, rotate, options):
        Person.objects.create(phone=TEXT)
        lost = Fernet(LOST_KEY).encrypt(TEXT.encode()).decode()
        write(Person, "phone", lost)
        rotate()
        outcome = reencrypt(*options)
        assert (outcome.returncode, outcome.counts_of(PHONE)) == (1, {"unreadable": 1})
        assert outcome.message == (
            f"Unreadable, and left as it is: {PHONE} (1). Put the encryption key that opens "
            "it back, behind the first one."
        )
        assert stored(Person, "phone") == [lost]

    def test_what_the_package_encrypted_twice(self, rotate, settings):
        Person.objects.create(phone=TEXT)
        (once,) = stored(Person, "phone")
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        every(Person).get().save()
        (twice,) = stored(Person, "phone")
        assert decrypt(twice) == once
        rotate()
        outcome = reencrypt("--all-models")
        assert (outcome.returncode, outcome.counts_of(PHONE)) == (1, {"unreadable": 1})
        assert stored(Person, "phone") == [twice]

    def test_what_is_saved_meanwhile_stays(self, rotate, monkeypatch):
        Person.objects.create(phone=TEXT)
        rotate()
        original, newer = reencryption.is_current, encrypt("fake-newer")

        def is_current(ciphertext):
            monkeypatch.setattr(reencryption, "is_current", original)
            write(Person, "phone", newer)
            return original(ciphertext)

        monkeypatch.setattr(reencryption, "is_current", is_current)
        assert reencrypt("--all-models").counts_of(PHONE) == {"changed meanwhile": 1}
        assert stored(Person, "phone") == [newer]


def test_dropping_the_older_key_when_it_says_so_loses_nothing(make_credential, rotate, settings):
    make_credential()
    BareCredential.objects.create(client_secret=TEXT)
    Employee.objects.create(phone=TEXT, salary="1000", note=TEXT, is_gone=True)
    rotate()
    assert [reencrypt().returncode, reencrypt("--all-models").returncode] == [1, 0]
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    assert CertnCredential.objects.get().client_secret == "fake-secret-0123456789"
    assert BareCredential.objects.get().client_secret == TEXT
    employee = every(Employee).get()
    assert (employee.phone, employee.note, employee.salary) == (TEXT, TEXT, "1000")
