"""`manage.py certn_reencrypt`: what it does to each kind of row, and what it says of it."""

import io
import re

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command, load_command_class
from django.db import OperationalError, ProgrammingError, connection, connections
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from django_certn import reencryption
from django_certn.fields import encrypt, is_current
from django_certn.management import base
from django_certn.management.commands import certn_reencrypt
from django_certn.models import CertnCredential
from tests.records.models import Person
from tests.test_docs import section, table

pytestmark = pytest.mark.django_db(databases="__all__")

OLD_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="  # of tests/settings.py
NEW_KEY = "ZmFrZS1lbmNyeXB0aW9uLWtleS1udW1iZXItMi4uLi4="
LOST_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
SECRET = "fake-secret-0123456789"
OURS = "django_certn.CertnCredential.client_secret"


class Outcome:
    def __init__(self, *args, **options):
        stdout, stderr = io.StringIO(), io.StringIO()
        self.returncode, self.message = 0, ""
        try:
            call_command("certn_reencrypt", *args, stdout=stdout, stderr=stderr, **options)
        except CommandError as error:
            self.returncode, self.message = error.returncode, str(error)
        self.stdout, self.stderr = stdout.getvalue(), stderr.getvalue()
        assert SECRET not in self.stdout + self.stderr + self.message

    def counts_of(self, column):
        """What was said of that column, by its words."""
        lines = [line.partition(": ") for line in self.stdout.splitlines()]
        (said,) = [said for name, _, said in lines if name == column]
        parts = [part.partition(" ") for part in said.split(", ")]
        return {words: int(count) for count, _, words in parts}

    @property
    def counts(self):
        return self.counts_of(OURS)


def reencrypt(*args, **options):
    return Outcome(*args, **options)


@pytest.fixture
def rotate(settings):
    """Put a new key in front, as a site does that is about to drop the old one."""

    def rotate():
        settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]

    return rotate


@pytest.fixture
def only(settings):
    """Drop all keys but one."""

    def only(key):
        settings.FIELD_ENCRYPTION_KEY = key

    return only


def columns(credential, using="default"):
    """The row as a database shell shows it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT * FROM django_certn_certncredential WHERE id = %s", [credential.pk])
        names = [column[0] for column in cursor.description]
        return dict(zip(names, cursor.fetchone(), strict=True))


def older_of(text):
    """The text under the older key, whatever is in front now."""
    return Fernet(OLD_KEY).encrypt(text.encode()).decode()


def column(credential, using="default"):
    return columns(credential, using)["client_secret"]


def write_column(credential, text):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_certn_certncredential SET client_secret = %s WHERE id = %s",
            [text, credential.pk],
        )


def secret_of(credential):
    return CertnCredential.objects.get(pk=credential.pk).client_secret


class TestRow:
    def test_under_an_older_key(self, make_credential, rotate, only):
        credential = make_credential(client_secret=SECRET)
        rotate()
        assert reencrypt().counts == {"re-encrypted": 1}
        only(NEW_KEY)
        assert secret_of(credential) == SECRET

    def test_nothing_else_of_it_changes(self, make_credential, rotate):
        credential = make_credential(verified_status="ok", verified_error_code="fake")
        before = columns(credential)
        sent = []
        post_save.connect(lambda **kwargs: sent.append(kwargs), weak=False, dispatch_uid="fake")
        rotate()
        reencrypt()
        post_save.disconnect(dispatch_uid="fake")
        after = columns(credential)
        assert {name for name in before if before[name] != after[name]} == {"client_secret"}
        assert sent == []

    def test_already_current_is_not_written(self, make_credential, rotate):
        rotate()
        credential = make_credential()
        before = column(credential)
        assert reencrypt().counts == {"already current": 1}
        assert column(credential) == before

    def test_again(self, make_credential, rotate):
        make_credential("acme")
        make_credential("beta")
        rotate()
        assert reencrypt().counts["re-encrypted"] == 2
        assert reencrypt().counts == {"already current": 2}

    def test_inactive_ones_too(self, make_credential, rotate):
        credential = make_credential(is_active=False)
        rotate()
        reencrypt()
        assert is_current(column(credential))

    def test_one_key_that_is_no_list(self, make_credential):
        make_credential()
        outcome = reencrypt()
        assert outcome.counts == {"already current": 1}
        assert "behind the first" not in outcome.stdout

    def test_what_becomes_of_the_earlier_keys_is_said(self, make_credential, rotate):
        make_credential()
        rotate()
        assert "behind the first" not in reencrypt(dry_run=True).stdout
        *_, last = reencrypt().stdout.splitlines()
        assert last.startswith(
            "Nothing of this needs the encryption keys behind the first. A backup may"
        )
        assert "behind the first" not in reencrypt(database="default").stdout

    def test_none_at_all(self):
        outcome = reencrypt()
        assert (outcome.returncode, outcome.stdout) == (0, "Nothing is stored.\n")

    @pytest.mark.parametrize("dry_run", [False, True])
    @pytest.mark.parametrize("plain_too", [False, True])
    def test_unreadable(self, make_credential, only, dry_run, plain_too):
        only(LOST_KEY)
        lost = make_credential("lost")
        before = column(lost)
        only(OLD_KEY)
        make_credential("well")
        outcome = reencrypt(encrypt_plaintext=plain_too, dry_run=dry_run)
        assert outcome.returncode == 1
        assert outcome.message == (
            f"Unreadable, and left as it is: {OURS} (1). "
            "Put the encryption key that opens it back, behind the first one."
        )
        assert outcome.stderr.startswith("lost: no encryption key in FIELD_ENCRYPTION_KEY opens")
        assert "behind the first one. Only if that is lost" in outcome.stderr
        assert outcome.counts == {"already current": 1, "unreadable": 1}
        assert column(lost) == before

    def test_unreadable_and_the_others_go_on(self, make_credential, only, settings):
        only(LOST_KEY)
        make_credential("acme")
        only(OLD_KEY)
        beta = make_credential("beta", client_secret=SECRET)
        settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts["re-encrypted"]) == (1, 1)
        assert is_current(column(beta))

    @pytest.mark.parametrize("plain_too", [False, True])
    def test_encrypted_twice(self, make_credential, rotate, plain_too):
        credential = make_credential(client_secret=SECRET)
        twice = encrypt(column(credential))
        write_column(credential, twice)
        rotate()
        outcome = reencrypt(encrypt_plaintext=plain_too)
        assert (outcome.returncode, outcome.counts) == (1, {"unreadable": 1})
        assert column(credential) == twice


class TestPlainText:
    def test_is_unreadable(self, make_credential):
        credential = make_credential()
        write_column(credential, SECRET)
        outcome = reencrypt()
        assert outcome.returncode == 1
        assert outcome.stderr.startswith(
            "default: it is stored as plain text. With --encrypt-plaintext"
        )
        assert column(credential) == SECRET

    @pytest.mark.parametrize("around", ["{}", " {}\n", "\u200b{}\r\n"])
    def test_is_encrypted_on_request(self, make_credential, around):
        credential = make_credential()
        write_column(credential, around.format(SECRET))
        with CaptureQueriesContext(connection) as log:
            outcome = reencrypt("--encrypt-plaintext")
        assert SECRET not in str(log.captured_queries)
        assert outcome.returncode == 0
        assert outcome.counts == {"plain text encrypted": 1}
        assert is_current(column(credential))
        assert secret_of(credential) == SECRET
        assert reencrypt("--encrypt-plaintext").counts == {"already current": 1}

    def test_what_is_readable_stays(self, make_credential):
        credential = make_credential()
        before = column(credential)
        assert reencrypt("--encrypt-plaintext").counts == {"already current": 1}
        assert column(credential) == before

    @pytest.mark.parametrize(
        "text",
        [
            "gAAAAAfake",
            " gAAAAAfake",
            "'gAAAAAfake'",
            "b'gAAAAAfake'",
            "",
            " ",
            "ü",
            "a\nb",
            "a" * 1025,
        ],
    )
    def test_what_cannot_be_a_secret_is_never_encrypted(self, make_credential, text):
        credential = make_credential()
        write_column(credential, text)
        outcome = reencrypt("--encrypt-plaintext")
        assert (outcome.returncode, outcome.counts) == (1, {"unreadable": 1})
        assert "no encryption key in FIELD_ENCRYPTION_KEY opens it" in outcome.stderr
        assert column(credential) == text


class TestSavedMeanwhile:
    """Between the moment when a row is read and the one when it is written."""

    @pytest.fixture
    def meanwhile(self, monkeypatch):
        def meanwhile(act):
            original = reencryption.is_current

            def is_current(ciphertext):
                monkeypatch.setattr(reencryption, "is_current", original)
                act()
                return original(ciphertext)

            monkeypatch.setattr(reencryption, "is_current", is_current)

        return meanwhile

    def test_the_new_secret_wins(self, make_credential, rotate, meanwhile):
        credential = make_credential()
        rotate()

        def save():
            row = CertnCredential.objects.get()
            row.client_secret = SECRET
            row.save()

        meanwhile(save)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (0, {"changed meanwhile": 1})
        assert secret_of(credential) == SECRET

    def test_another_field(self, make_credential, rotate, meanwhile):
        credential = make_credential()
        rotate()
        meanwhile(lambda: CertnCredential.objects.update(client_id="another-fake-id"))
        assert reencrypt().counts["re-encrypted"] == 1
        credential.refresh_from_db()
        assert credential.client_id == "another-fake-id"

    def test_another_run_was_faster(self, make_credential, rotate, meanwhile):
        make_credential(client_secret=SECRET)
        rotate()
        meanwhile(reencrypt)
        assert reencrypt().counts == {"changed meanwhile": 1}
        assert reencrypt().counts == {"already current": 1}

    def test_by_a_process_that_has_not_heard_of_the_new_key(
        self, make_credential, rotate, meanwhile
    ):
        credential = make_credential()
        older = column(credential)
        write_column(credential, older_of(SECRET))
        rotate()
        meanwhile(lambda: write_column(credential, older))
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (
            1,
            {"in need of an older encryption key": 1},
        )
        assert outcome.message == (
            "Keep the encryption keys behind the first: they are needed by 1 value.\n"
            "Saved meanwhile by a process that does not have the first encryption key: "
            f"{OURS} (1). Restart all processes of the site, and run this again."
        )
        assert column(credential) == older

    def test_by_one_that_has_none_of_the_keys(self, make_credential, rotate, meanwhile):
        credential = make_credential()
        rotate()
        meanwhile(lambda: write_column(credential, "gAAAAAfake"))
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (1, {"unreadable": 1})
        assert column(credential) == "gAAAAAfake"

    def test_deleted(self, make_credential, rotate, meanwhile):
        make_credential()
        rotate()
        meanwhile(CertnCredential.objects.all().delete)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (0, {"changed meanwhile": 1})
        assert not CertnCredential.objects.exists()


class TestDryRun:
    @pytest.fixture
    def rows(self, make_credential, rotate):
        rows = [make_credential("acme"), make_credential("beta")]
        write_column(rows[1], SECRET)
        rotate()
        return rows

    def test_says_what_would_be_done_and_writes_nothing(self, rows):
        before = [columns(row) for row in rows]
        with CaptureQueriesContext(connection) as queries:
            outcome = reencrypt("--dry-run", "--encrypt-plaintext")
        assert outcome.stdout.splitlines()[:2] == [
            "Dry run: nothing was written.",
            f"{OURS}: 1 to be re-encrypted, 1 plain text to be encrypted",
        ]
        assert not any("UPDATE" in query["sql"] for query in queries)
        assert [columns(row) for row in rows] == before

    def test_its_exit_code_says_whether_the_older_keys_are_needed_now(self, rows):
        outcome = reencrypt("--dry-run", "--encrypt-plaintext")
        assert outcome.returncode == 1
        assert outcome.message == (
            "Keep the encryption keys behind the first: they are needed by 1 value.\n"
            f"Without --dry-run, this re-encrypts {OURS} (1)."
        )
        assert reencrypt("--encrypt-plaintext").returncode == 0
        assert reencrypt("--dry-run").returncode == 0


class TestBatches:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(reencryption, "BATCH", 3)

    @pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7])
    def test_every_row_has_its_turn_once(self, make_credential, rotate, number):
        for index in range(number):
            make_credential(f"acme-{index}")
        rotate()
        assert reencrypt().counts["re-encrypted"] == number
        assert reencrypt().counts["already current"] == number

    def test_no_more_than_a_batch_is_read_at_a_time(self, make_credential):
        for index in range(7):
            make_credential(f"acme-{index}")
        with CaptureQueriesContext(connection) as queries:
            reencrypt()
        reads = [query["sql"] for query in queries if "ORDER BY" in query["sql"]]
        ours = [sql for sql in reads if "django_certn_certncredential" in sql]
        assert len([sql for sql in ours if sql.endswith("LIMIT 3")]) == 4

    def test_one_transaction_for_a_batch_where_there_are_no_locks_on_rows(
        self, make_credential, rotate
    ):
        for index in range(4):
            make_credential(f"acme-{index}")
        rotate()
        with CaptureQueriesContext(connection) as queries:
            reencrypt("--database", "default")
        kinds = [query["sql"].split()[0] for query in queries]
        first, last = kinds.index("UPDATE"), len(kinds) - kinds[::-1].index("UPDATE")
        locks_rows = connection.features.has_select_for_update
        assert kinds[first - 1 : last] == (
            ["SELECT", *["UPDATE"] * 3, "SELECT", "UPDATE"]
            if locks_rows
            else ["SAVEPOINT", *["UPDATE"] * 3, "RELEASE", "SELECT", "SAVEPOINT", "UPDATE"]
        )


class TestExitCode:
    def test_2_without_any_table(self, monkeypatch):
        monkeypatch.setattr(reencryption.Column, "exists", lambda column: False)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.stdout) == (2, "")
        assert outcome.message.endswith("run migrate first, in default, other.")

    def test_2_a_wrong_call_from_python(self):
        outcome = reencrypt(database="nowhere")
        assert (outcome.returncode, outcome.stdout) == (2, "")

    @pytest.mark.parametrize("arguments", [["--database", "nowhere"], ["acme"], ["--fast"]])
    def test_2_a_wrong_command_line(self, arguments, capsys):
        command = load_command_class("django_certn", "certn_reencrypt")
        with pytest.raises(SystemExit) as caught:
            command.run_from_argv(["manage.py", "certn_reencrypt", *arguments])
        assert caught.value.code == 2

    @pytest.mark.parametrize("keys", [f"{NEW_KEY},{OLD_KEY}", [NEW_KEY, f" {OLD_KEY}"]])
    def test_2_a_malformed_key(self, make_credential, only, keys):
        credential = make_credential()
        before = column(credential)
        only(keys)
        outcome = reencrypt()
        assert outcome.returncode == 2
        assert "FIELD_ENCRYPTION_KEY" in outcome.message
        assert OLD_KEY not in outcome.message
        assert column(credential) == before

    @pytest.fixture
    def unreachable(self, monkeypatch):
        def ensure_connection():
            raise OperationalError("fake: no route\nmore of it")

        monkeypatch.setattr(connections["other"], "ensure_connection", ensure_connection)

    def test_3_a_database_is_out_of_reach(self, unreachable, make_credential, rotate):
        credential = make_credential()
        rotate()
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (3, {"re-encrypted": 1})
        assert outcome.message == (
            "The database 'other' cannot be used now: fake: no route.\n"
            "Run this again; what is done stays done."
        )
        assert is_current(column(credential))

    def test_3_it_says_nothing_of_what_it_could_not_look_at(self, unreachable):
        outcome = reencrypt("--database", "other")
        assert (outcome.returncode, outcome.stdout) == (3, "")

    def test_3_a_table_that_cannot_be_read_keeps_nobody_from_the_others(
        self, make_credential, rotate, monkeypatch
    ):
        credential = make_credential()
        rotate()
        original = reencryption.Column.exists

        def exists(column):
            if column.using == "default" and column.field.name == "phone":
                raise ProgrammingError("fake: permission denied\nmore of it")
            return original(column)

        monkeypatch.setattr(reencryption.Column, "exists", exists)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (3, {"re-encrypted": 1})
        assert outcome.message == (
            "records.Person.phone cannot be used now: fake: permission denied.\n"
            "Run this again; what is done stays done."
        )
        assert is_current(column(credential))

    @pytest.fixture
    def lost_on_the_way(self, make_credential, rotate, monkeypatch):
        """The connection that breaks after the first batch."""
        monkeypatch.setattr(reencryption, "BATCH", 1)
        rows = [make_credential("acme"), make_credential("beta")]
        rotate()
        original = reencryption.is_current

        def is_current(ciphertext):
            if ciphertext == column(rows[1]):
                raise OperationalError("fake: gone away")
            return original(ciphertext)

        monkeypatch.setattr(reencryption, "is_current", is_current)
        return rows

    def test_3_it_is_lost_on_the_way(self, lost_on_the_way):
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (3, {"re-encrypted": 1})
        assert outcome.message == (
            f"{OURS} cannot be used now: fake: gone away.\nRun this again; what is done stays done."
        )
        assert is_current(column(lost_on_the_way[0]))

    def test_3_a_lost_connection_is_mentioned_once(self, lost_on_the_way, monkeypatch):
        Person.objects.create(phone=SECRET)
        monkeypatch.setattr(connections["default"], "is_usable", lambda: False)
        outcome = reencrypt()
        assert outcome.returncode == 3
        assert outcome.message.count("cannot be used now") == 1

    def test_1_wins_over_3(self, lost_on_the_way):
        write_column(lost_on_the_way[0], SECRET)
        outcome = reencrypt()
        assert (outcome.returncode, outcome.counts) == (1, {"in plain text": 1})
        assert outcome.stderr.startswith("acme: ")
        assert "Run this again" in outcome.message

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (KeyboardInterrupt(), "Stopped."),
            (
                BrokenPipeError("fake-secret-in-a-message"),
                "BrokenPipeError; --traceback shows where it comes from.",
            ),
        ],
    )
    def test_3_stopped_and_what_nobody_foresaw(
        self, make_credential, rotate, monkeypatch, error, message
    ):
        def note(*args):
            raise error

        make_credential()
        rotate()
        monkeypatch.setattr(certn_reencrypt.Run, "note", note)
        outcome = reencrypt()
        assert outcome.returncode == 3
        assert outcome.message == f"{message} Run this again; what is done stays done."

    def test_it_runs_whatever_else_is_wrong_with_the_site(self, make_credential, settings):
        make_credential()
        settings.CERTN_REQUEST_TIMEOUT = "wrong"
        assert reencrypt().returncode == 0


class TestDatabases:
    @pytest.fixture
    def rows(self, make_credential, rotate):
        here = make_credential()
        there = CertnCredential.objects.using("other").create(name="there", client_secret=SECRET)
        rotate()
        return here, there

    def test_all(self, rows):
        here, there = rows
        outcome = reencrypt()
        assert outcome.counts == {"re-encrypted": 1}
        assert outcome.counts_of(f"{OURS} in the database 'other'") == {"re-encrypted": 1}
        assert is_current(column(here))
        assert is_current(column(there, using="other"))

    def test_one(self, rows):
        here, there = rows
        outcome = reencrypt("--database", "other")
        assert outcome.counts_of(f"{OURS} in the database 'other'") == {"re-encrypted": 1}
        assert is_current(column(there, using="other"))
        assert not is_current(column(here))

    def test_one_that_is_not_configured_is_passed_over(self, rows, monkeypatch):
        monkeypatch.setattr(connections["other"], "vendor", "unknown")  # as Django's dummy
        assert reencrypt().returncode == 0
        assert not is_current(column(rows[1], using="other"))


class TestWhatIsShown:
    def test_quiet(self, make_credential, rotate):
        make_credential()
        rotate()
        outcome = reencrypt(verbosity=0)
        assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")

    def test_each_row(self, make_credential, rotate):
        make_credential("acme")
        rotate()
        make_credential("beta")
        lines = reencrypt("--dry-run", verbosity=2).stdout.splitlines()
        assert lines[:2] == ["acme: to be re-encrypted", "beta: already current"]

    def test_exit_codes_are_in_the_help_and_in_the_readme(self, capsys):
        with pytest.raises(SystemExit):
            call_command("certn_reencrypt", "--help")
        printed = re.findall(r"^  (\d)  ", capsys.readouterr().out, re.MULTILINE)
        listed = [code for code, _ in table(section("Rotating the encryption key"))]
        assert printed == listed == ["0", "1", "2", "3"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestBar:
    @pytest.fixture(autouse=True)
    def much_to_do(self, make_credential, monkeypatch):
        monkeypatch.setattr(base, "MANY", 4)
        for index in range(4):
            make_credential(f"acme-{index}")

    def run(self, stream, **options):
        stdout = io.StringIO()
        call_command("certn_reencrypt", stdout=stdout, stderr=stream, no_color=True, **options)
        return stream.getvalue()

    def test_on_a_terminal(self):
        half = "[" + "#" * 20 + " " * 20 + "]  50 %"
        *bars, end = self.run(Terminal()).split("\r")[1:]
        assert [bars[0][-5:], bars[1], end] == [" 25 %", half, "[" + "#" * 40 + "] 100 %\n"]

    @pytest.mark.parametrize("verbosity", [0, 2])
    def test_not_when_less_or_more_is_wanted(self, verbosity):
        assert self.run(Terminal(), verbosity=verbosity) == ""

    def test_not_in_a_pipe(self):
        assert self.run(io.StringIO()) == ""

    def test_not_for_little(self):
        CertnCredential.objects.first().delete()
        assert self.run(Terminal()) == ""

    def test_the_line_is_ended_when_it_breaks_off(self, monkeypatch):
        monkeypatch.setattr(reencryption, "BATCH", 1)
        calls = iter([True])

        def is_current(ciphertext):
            if next(calls, None) is None:
                raise OperationalError("fake: gone away")
            return True

        monkeypatch.setattr(reencryption, "is_current", is_current)
        stream = Terminal()
        with pytest.raises(CommandError):
            self.run(stream)
        assert stream.getvalue().endswith(" 25 %\n")
