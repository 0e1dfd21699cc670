"""The command, called in this process; tests/integration has it as a shell calls it."""

import io
import json
import sys
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import IntegrityError, OperationalError
from django.db.models.signals import post_save

from django_certn import bulk
from django_certn.expiry import today
from django_certn.management import base, sources, storing
from django_certn.models import CertnCredential
from django_certn.signals import credential_status_changed, credential_verified
from django_certn.tokens import get_token
from tests.conftest import CASE, NO_CASE
from tests.effort import effort
from tests.endpoint import Answer
from tests.leaks import Scan, everything_logged
from tests.pace import Limit, MovedClock

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-Kx9Qw7Zt3Mark"
OTHER = "fake-secret-Vb5Ny8Hd2Mark"
REFUSED = (401, {"error": "invalid_client"})
PAIR = {"environment": "scripted", "client_id": "fake-id"}


@pytest.fixture(autouse=True)
def own_environments(endpoint):
    return endpoint


class Called:
    def __init__(self, *args, stdin="", **options):
        stdout = io.StringIO()
        self.returncode, self.message, self.error = 0, "", None
        before, sys.stdin = sys.stdin, stdin if hasattr(stdin, "read") else io.StringIO(stdin)
        try:
            call_command("certn_set_key", *args, stdout=stdout, **options)
        except CommandError as error:
            self.returncode, self.message, self.error = error.returncode, str(error), error
        finally:
            sys.stdin = before
        self.stdout = stdout.getvalue()


def set_key(*args, stdin=SECRET, **options):
    return Called(*(args or ["acme"]), stdin=stdin, **PAIR | options)


def set_many(lines, **options):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return Called(from_jsonl="-", stdin=text, **options)


def line(name="acme", **members):
    return {"name": name, **PAIR, "client_secret": SECRET} | members


def stored(name="acme"):
    return CertnCredential.objects.get(name=name)


class TestOne:
    def test_is_verified_and_stored(self, endpoint):
        called = set_key()
        assert (called.returncode, called.stdout) == (
            0,
            "acme (scripted): stored. The key works: Certn (Scripted) issued a token.\n",
        )
        row = stored()
        assert (row.environment, row.client_id, row.client_secret) == (*PAIR.values(), SECRET)
        assert (row.verified_status, row.is_active) == ("ok", True)
        assert row.secret_changed_at
        assert endpoint.requests[0].basic == ("fake-id", SECRET)

    def test_the_token_of_the_verification_is_handed_out(self, endpoint):
        set_key()
        assert get_token("acme").value == "fake-token-1"
        assert endpoint.hits == 1

    def test_is_not_stored_when_it_does_not_work(self, endpoint):
        endpoint.answer(*REFUSED)
        called = set_key()
        assert called.returncode == 1
        assert called.message == "acme is not stored (rejected)."
        first, hint = called.stdout.splitlines()
        assert first.startswith("acme (scripted): rejected. Certn (Scripted) refuses this key")
        assert hint.startswith("    Copy both values again")
        assert "refresh" not in hint
        assert not CertnCredential.objects.exists()

    @pytest.mark.parametrize(
        ("answer", "status", "returncode"),
        [
            ((410,), "retired", 1),
            ((200, "<h1>Welcome</h1>"), "bad_response", 1),
            ((429, b"", {"Retry-After": "60"}), "rate_limited", 3),
            ((503,), "unreachable", 3),
        ],
    )
    def test_what_is_not_ok_is_not_stored(self, endpoint, answer, status, returncode):
        endpoint.answer(*answer)
        called = set_key()
        assert (called.returncode, endpoint.hits) == (returncode, 1)
        assert called.message == f"acme is not stored ({status})."
        assert not CertnCredential.objects.exists()

    def test_a_setting_at_fault(self, settings):
        settings.CERTN_CACHE_ALIAS = "nowhere"
        called = set_key()
        assert called.message == "acme is not stored (misconfigured)."
        assert called.returncode == 1

    @pytest.mark.parametrize("answer", [REFUSED, (503,)])
    def test_the_earlier_key_stays_in_force(self, endpoint, answer):
        set_key()
        token = get_token("acme")
        endpoint.answer(*answer)
        called = set_key(stdin=OTHER)
        assert called.returncode in (1, 3)
        assert called.message.endswith("The earlier key stays in force.")
        assert stored().client_secret == SECRET
        assert stored().verified_status == "ok"
        assert get_token("acme").value == token.value

    def test_another_key_takes_its_place(self, endpoint):
        set_key()
        CertnCredential.objects.update(is_active=False)
        called = set_key(stdin=OTHER, client_id="fake-id-2")
        assert called.returncode == 0
        assert "The credential is switched off, and stays so." in called.stdout
        row = stored()
        assert (row.client_id, row.client_secret, row.is_active) == ("fake-id-2", OTHER, False)
        assert (row.verified_status, endpoint.hits) == ("ok", 2)

    def test_what_somebody_else_changes_meanwhile_stays(self, monkeypatch):
        set_key()
        prepare = storing.prepare

        def switch_off(*args):
            CertnCredential.objects.update(is_active=False)
            return prepare(*args)

        monkeypatch.setattr(storing, "prepare", switch_off)
        set_key(stdin=OTHER)
        assert (stored().client_secret, stored().is_active) == (OTHER, False)

    def test_the_same_key_again_sends_nothing(self, endpoint):
        set_key()
        before = CertnCredential.objects.values().get()
        called = set_key()
        assert called.returncode == 0
        assert called.stdout == "acme (scripted): there already. Nothing was sent.\n"
        assert CertnCredential.objects.values().get() == before
        assert endpoint.hits == 1

    def test_the_same_key_of_another_environment_is_another(self, endpoint, settings):
        set_key()
        settings.CERTN_ENVIRONMENTS |= {"twin": {"base_url": endpoint.url}}
        assert set_key(environment="twin").returncode == 0
        assert (stored().environment, endpoint.hits) == ("twin", 2)

    def test_a_secret_that_cannot_be_read_is_replaced(self, settings):
        set_key()
        settings.FIELD_ENCRYPTION_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
        assert set_key().returncode == 0
        assert stored().client_secret == SECRET

    def test_unverified(self, endpoint):
        called = set_key(no_verify=True)
        assert called.stdout == "acme (scripted): stored. It was not verified.\n"
        assert stored().verified_status == ""
        assert endpoint.hits == 0

    def test_if_missing_leaves_what_is_there(self, endpoint):
        set_key()
        called = set_key(stdin=None, if_missing=True, secret_file="/no/such/file")
        assert called.returncode == 0
        assert called.stdout == "acme (scripted): left as it is. Nothing was sent.\n"
        assert (stored().client_secret, endpoint.hits) == (SECRET, 1)

    def test_if_missing_stores_what_is_not_there(self):
        assert set_key(if_missing=True).returncode == 0
        assert stored().client_secret == SECRET

    def test_quiet(self, endpoint):
        assert set_key(verbosity=0).stdout == ""
        endpoint.answer(*REFUSED)
        assert "rejected" in set_key(stdin=OTHER, verbosity=0).stdout

    @pytest.mark.django_db(databases=["default", "other"])
    def test_a_database(self, endpoint):
        set_key(database="other")
        assert not CertnCredential.objects.using("default").exists()
        assert CertnCredential.objects.using("other").get().verified_status == "ok"

    def test_a_time_limit(self, endpoint):
        endpoint.answer(delay=5)
        called = set_key(timeout=0.2)
        assert (called.returncode, called.message) == (3, "acme is not stored (unreachable).")


class TestAPIKey:
    KEY = {"environment": "centric", "client_id": None}  # noqa: RUF012

    def test_is_verified_and_stored(self, centric):
        called = set_key(**self.KEY)
        assert called.returncode == 0
        row = stored()
        assert (row.client_id, row.client_secret, row.verified_status) == ("", SECRET, "ok")
        assert row.expires_on == today() + timedelta(days=365)
        assert centric.requests[0].headers["Authorization"] == f"Api-Key {SECRET}"

    def test_its_end(self, centric):
        set_key("acme", "--expires-on", "2031-02-03", **self.KEY)
        assert stored().expires_on == date(2031, 2, 3)

    def test_another_end_of_the_same_key_needs_no_request(self, centric):
        set_key(**self.KEY)
        called = set_key("acme", "--expires-on", "2031-02-03", **self.KEY)
        assert "there already" in called.stdout
        assert (stored().expires_on, centric.hits) == (date(2031, 2, 3), 1)
        assert stored().verified_status == "ok"
        set_key(**self.KEY)
        assert stored().expires_on == date(2031, 2, 3)

    def test_another_key_has_an_end_of_its_own(self, centric):
        set_key("acme", "--expires-on", "2031-02-03", **self.KEY)
        set_key(stdin=OTHER, **self.KEY)
        assert stored().expires_on == today() + timedelta(days=365)

    def test_is_not_stored_when_it_is_refused(self, centric):
        centric.answer(401, NO_CASE, path=CASE)
        assert set_key(**self.KEY).returncode == 1
        assert not CertnCredential.objects.exists()

    def test_a_pair_becomes_an_api_key(self, centric):
        set_key()
        set_key(stdin=OTHER, **self.KEY)
        assert (stored().environment, stored().client_id) == ("centric", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Bytes:
    """Standard input as a process has it."""

    closed = False

    def __init__(self, content):
        self.buffer = io.BytesIO(content)

    def isatty(self):
        return False

    def read(self):
        raise AssertionError


class TestSource:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "secret"

    @pytest.mark.parametrize(
        "text", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f" \ufeff{SECRET}\u200b\t\n"]
    )
    def test_is_trimmed_as_a_form_trims(self, text, path, monkeypatch):
        path.write_bytes(text.encode())
        monkeypatch.setenv("FAKE_SECRET", text)
        for number, options in enumerate(
            [
                {"stdin": text},
                {"stdin": Bytes(text.encode())},
                {"secret_file": str(path), "stdin": None},
                {"secret_env": "FAKE_SECRET", "stdin": None},
            ]
        ):
            assert set_key(f"tenant-{number}", **options).returncode == 0
        assert [each.client_secret for each in CertnCredential.objects.all()] == [SECRET] * 4

    def test_a_prompt_when_standard_input_is_a_terminal(self, monkeypatch):
        asked = []
        monkeypatch.setattr(sources, "getpass", lambda prompt: asked.append(prompt) or SECRET)
        assert set_key(stdin=Terminal()).returncode == 0
        set_key("beta", stdin=Terminal(), environment="centric-ca", client_id=None, no_verify=True)
        assert asked == ["Client Secret: ", "API key: "]

    @pytest.mark.parametrize(
        ("error", "returncode", "message"),
        [
            (EOFError, 2, "There is no secret typed."),
            (KeyboardInterrupt, 3, "Stopped."),
            (sources.GetPassWarning, 2, "cannot be hidden"),
            (UnicodeDecodeError("ascii", SECRET.encode() + b"\xe9", 23, 24, "fake"), 2, "ASCII"),
        ],
    )
    def test_a_prompt_without_an_answer(self, monkeypatch, error, returncode, message):
        def getpass(prompt):
            raise error

        monkeypatch.setattr(sources, "getpass", getpass)
        called = set_key(stdin=Terminal())
        assert called.returncode == returncode
        assert message in called.message
        link = called.error
        while link:
            assert SECRET not in repr(link)
            link = link.__cause__ or link.__context__

    @pytest.mark.parametrize("text", ["", " \n", "\ufeff"])
    def test_none(self, text, path, monkeypatch):
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("FAKE_SECRET", text)
        for options, where in (
            ({"stdin": text}, "on standard input"),
            ({"secret_file": str(path)}, "in the file that --secret-file names"),
            ({"secret_env": "FAKE_SECRET"}, "in the variable that --secret-env names"),
            ({"secret_env": "FAKE_SECRET_UNSET"}, "in the variable that --secret-env names"),
        ):
            called = set_key(**options)
            assert (called.returncode, called.message) == (2, f"There is no secret {where}.")

    @pytest.mark.parametrize("closed", [None, "closed"])
    def test_no_standard_input_at_all(self, closed, monkeypatch):
        stdin = io.StringIO()
        stdin.close()
        monkeypatch.setattr(sys, "stdin", stdin if closed else None)
        with pytest.raises(CommandError, match="no secret on standard input") as caught:
            call_command("certn_set_key", "acme", **PAIR)
        assert caught.value.returncode == 2

    def test_standard_input_that_can_only_be_written(self, path):
        with path.open("wb") as written, io.TextIOWrapper(written, encoding="utf-8") as stdin:
            called = set_key(stdin=stdin)
        assert (called.returncode, called.message) == (2, "There is no secret on standard input.")

    def test_a_file_that_cannot_be_read(self, path, tmp_path):
        path.write_bytes(b"\xff\xfe" + SECRET.encode("utf-16-le"))
        for name, reason in (
            (path, "in UTF-8?"),
            (tmp_path, "Is a directory."),
            (tmp_path / "x", "No such file or directory."),
            ("a\0b", "There is no such file."),
        ):
            called = set_key(secret_file=str(name))
            assert called.returncode == 2
            assert called.message.endswith(reason)

    def test_what_is_no_text(self):
        called = set_key(stdin=Bytes(b"\xff" + SECRET.encode()))
        assert (called.returncode, "not text in UTF-8" in called.message) == (2, True)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (f'"{SECRET}"', "in quotes"),
            (f"CERTN_SECRET={SECRET}", "NAME=value"),
            (f"{SECRET}\n{SECRET}", "a line end"),
            ("********", "in place of a secret"),
            ("gAAAAA" + SECRET, "encrypted value"),
            ("x" * 2000, "too long"),
            ("x" * 1_000_000, "too long"),
        ],
    )
    def test_what_clearly_is_no_secret(self, endpoint, text, reason):
        called = set_key(stdin=text)
        assert called.returncode == 2
        assert reason in called.message
        assert SECRET not in called.message
        assert endpoint.hits == 0


class TestWrongCall:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"environment": None}, "Say by --environment"),
            ({"environment": "nowhere"}, "The environment is one of production, demo, "),
            ({"client_id": None}, "--client-id: A key of this environment has a Client ID"),
            ({"client_id": " "}, "--client-id: A key of this environment has a Client ID"),
            ({"client_id": '"fake-id"'}, "client_id: This is in quotes"),
            ({"client_id": SECRET}, "one was pasted twice"),
            ({"environment": "centric-ca"}, "--client-id: An API key has no Client ID"),
            ({"expires_on": date(2031, 1, 1)}, "leave --expires-on out"),
            ({"secret_file": "a", "secret_env": "b"}, "There is one secret"),
            ({"from_jsonl": "-"}, "leave out NAME and --environment and --client-id"),
            ({"timeout": 0}, "above 0"),
            ({"parallel": 0}, "from 1 to 100"),
            ({"database": "nowhere"}, "no database 'nowhere'"),
        ],
    )
    def test_exits_2(self, endpoint, options, words):
        called = set_key(**options)
        assert called.returncode == 2
        assert words in called.message
        assert SECRET not in called.message
        assert endpoint.hits == 0
        assert not CertnCredential.objects.exists()

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", "name: "),
            ("a\nb", "name: This holds a character that cannot be seen"),
            ("\udce9", "name: This holds a character that cannot be seen"),
            ("a\0b", "name: "),
            ("x" * 101, "name: "),
        ],
    )
    def test_a_name_that_cannot_be_one(self, name, words):
        called = set_key(name)
        assert called.returncode == 2
        assert words in called.message
        assert set_key(name, if_missing=True).returncode == 2

    def test_neither_a_name_nor_a_file(self):
        called = Called()
        assert (called.returncode, "Name the credential" in called.message) == (2, True)

    def test_without_the_table(self, monkeypatch):
        monkeypatch.setattr(base, "is_migrated", lambda using: False)
        called = set_key()
        assert (called.returncode, "run migrate first" in called.message) == (2, True)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["acme", "--environment", "nowhere"], "choose from"),
            (["acme", "--secret-env", "A", "--secret-file", "B"], "not allowed with"),
            (["acme", "--from-jsonl", "-", "--secret-file", "B"], "not allowed with"),
            (["acme", "--expires-on", "soon"], "not a date such as"),
            (["acme", "--client-secret", SECRET], "unrecognized"),
            (["acme", SECRET], "unrecognized"),
        ],
    )
    def test_a_wrong_command_line(self, capsys, arguments, words):
        command = load_command_class("django_certn", "certn_set_key")
        with pytest.raises(SystemExit) as caught:
            command.run_from_argv(["manage.py", "certn_set_key", *arguments])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err

    def test_no_option_takes_a_secret(self):
        parser = load_command_class("django_certn", "certn_set_key").create_parser("m", "c")
        secret = {a.dest for a in parser._actions if "secret" in a.dest or "key" in a.dest}
        assert secret == {"secret_file", "secret_env"}

    @pytest.mark.parametrize("option", ["secret_file", "secret_env"])
    def test_a_secret_where_a_place_was_to_be_is_not_repeated(self, option):
        called = set_key(**{option: SECRET})
        assert called.returncode == 2
        assert SECRET not in called.message + called.stdout


class TestDatabase:
    def test_out_of_reach(self, monkeypatch):
        def is_migrated(using):
            raise OperationalError("fake: no route")

        monkeypatch.setattr(base, "is_migrated", is_migrated)
        called = set_key()
        assert called.returncode == 3
        assert called.message == "The database cannot be used now: fake: no route."

    def test_lost_before_it_is_stored(self, monkeypatch):
        def save(*args, **options):
            raise OperationalError("fake: gone away")

        monkeypatch.setattr(CertnCredential, "save", save)
        called = set_key()
        assert called.returncode == 3
        assert called.message.endswith("fake: gone away. Not stored: acme.")

    @pytest.mark.parametrize(("theirs", "word"), [(SECRET, "there already"), (OTHER, "stored")])
    def test_another_process_was_first(self, endpoint, monkeypatch, theirs, word):
        """It looks, finds nothing, and finds something when it comes to store."""
        find, meanwhile = storing.find, iter([None, None])

        def found(name, using):
            return next(meanwhile, None) or (find(name, using) if self_done(meanwhile) else None)

        def self_done(numbers):
            return not numbers.__length_hint__()

        CertnCredential.objects.create(name="acme", client_secret=theirs, **PAIR)
        monkeypatch.setattr(storing, "find", found)
        called = set_key()
        assert called.returncode == 0
        assert f"acme (scripted): {word}." in called.stdout
        assert (stored().client_secret, stored().verified_status) == (SECRET, "ok")

    def test_a_name_that_the_database_takes_for_another(self, monkeypatch):
        def save(*args, **options):
            raise IntegrityError("fake: duplicate key")

        monkeypatch.setattr(CertnCredential, "save", save)
        called = set_key()
        assert called.returncode == 1
        assert called.message == "acme is not stored (name taken)."


class TestSignals:
    @pytest.fixture
    def sent(self):
        calls = []

        def on_save(**kwargs):
            calls.append("saved")

        def on_verified(verification, using, **kwargs):
            row = CertnCredential.objects.using(using).get(name=verification.name)
            calls.append(("verified", verification.status, row.verified_status))

        def on_change(verification, previous_status, using, **kwargs):
            calls.append(("changed", previous_status, verification.status))

        post_save.connect(on_save, sender=CertnCredential)
        credential_verified.connect(on_verified)
        credential_status_changed.connect(on_change)
        yield calls
        post_save.disconnect(on_save, sender=CertnCredential)
        credential_verified.disconnect(on_verified)
        credential_status_changed.disconnect(on_change)

    def test_are_sent_after_storing(self, sent):
        set_key()
        assert sent == ["saved", ("verified", "ok", "ok"), ("changed", "", "ok")]

    @pytest.mark.parametrize("answer", [REFUSED, (503,)])
    def test_none_of_what_is_not_stored(self, endpoint, sent, answer):
        set_key()
        sent.clear()
        endpoint.answer(*answer)
        set_key(stdin=OTHER)
        assert sent == []

    def test_none_of_what_was_not_verified(self, sent):
        set_key(no_verify=True)
        set_key()
        assert sent == ["saved"]


class TestMany:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        clock = MovedClock(takes=0.2)
        monkeypatch.setattr(bulk, "Workers", lambda parallel: clock)
        return clock

    def test_of_both_kinds(self, centric):
        called = set_many(
            [
                line("acme"),
                "",
                {"name": "beta", "environment": "centric", "client_secret": SECRET},
                line("gamma", environment="centric", client_id=None, expires_on="2031-02-03"),
            ]
        )
        assert called.returncode == 0
        assert [each.partition(".")[0] for each in called.stdout.splitlines()] == [
            "acme (scripted): stored",
            "beta (centric): stored",
            "gamma (centric): stored",
        ]
        assert stored("gamma").expires_on == date(2031, 2, 3)

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            ('{"name": "x", "client_secret": "fake-secret-Kx9Qw7Zt3Mark"', "not JSON."),
            (SECRET, "not JSON."),
            ("[" * 100_000, "not JSON."),
            (f'["{SECRET}"]', "not a JSON object."),
            ("null", "not a JSON object."),
            ({"name": "x", **PAIR}, "client_secret: missing."),
            (line(client_secret=""), "client_secret: missing."),
            (line(name=""), "name: missing."),
            (line(name=None), "name: not a string."),
            (line(client_secret=5), "client_secret: not a string."),
            (line(client_secret=[SECRET]), "client_secret: not a string."),
            (line(secret=SECRET), "it has other members than client_id, "),
            (line(environment="nowhere"), "environment: it is one of production, "),
            (line(environment=SECRET), "environment: it is one of production, "),
            (line(client_id=None), "client_id: A key of this environment has a Client ID"),
            (line(environment="centric-ca"), "client_id: An API key has no Client ID"),
            (line(client_id=SECRET), "one was pasted twice"),
            (line(client_secret=f'"{SECRET}"'), "client_secret: This is in quotes"),
            (line(client_secret="********"), "client_secret: This is what a page shows"),
            (line(client_secret="  "), "client_secret: Enter"),
            (line(name="a\nb"), "name: This holds a character that cannot be seen"),
            (line(name="\udce9"), "name: This holds a character that cannot be seen"),
            (line(expires_on="2031-01-01"), "expires_on: a Client Secret does not end"),
            (line(expires_on="soon"), "expires_on: not a date such as"),
            (line("zeta"), "line 1 is of the same name."),
            (line(" zeta "), "line 1 is of the same name."),
        ],
    )
    def test_a_bad_line_stops_no_other(self, endpoint, bad, reason):
        called = set_many([line("zeta"), bad, line("beta")])
        assert called.returncode == 1
        assert called.message == "1 of 3 not stored: line 2."
        (told,) = [text for text in called.stdout.splitlines() if text.startswith("line ")]
        assert told.startswith("line 2: ")
        assert reason in told
        assert SECRET not in called.stdout
        assert {row.name for row in CertnCredential.objects.all()} == {"zeta", "beta"}
        assert endpoint.hits == 2

    def test_a_line_that_is_no_text(self, tmp_path):
        path = tmp_path / "keys.jsonl"
        good = json.dumps(line()).encode()
        path.write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\xff" + SECRET.encode() + b"\n")
        called = Called(from_jsonl=str(path))
        assert (called.returncode, "line 2: not text in UTF-8." in called.stdout) == (1, True)
        assert stored().verified_status == "ok"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"from_jsonl": "/no/such/file"}, "cannot be read: No such file or directory."),
            ({"from_jsonl": "-", "stdin": ""}, "has no line"),
            ({"from_jsonl": "-", "stdin": " \n\n"}, "has no line"),
            ({"from_jsonl": "-", "stdin": Terminal()}, "Standard input is a terminal"),
        ],
    )
    def test_no_lines(self, options, words):
        called = Called(**options)
        assert called.returncode == 2
        assert words in called.message

    def test_no_standard_input(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(CommandError, match="There is no standard input: pipe") as caught:
            call_command("certn_set_key", from_jsonl="-")
        assert caught.value.returncode == 2

    def test_1_wins_over_3(self, endpoint):
        endpoint.answer(503, times=1)
        assert set_many([line(), line("beta")]).returncode == 3
        endpoint.answer(503, times=1)
        assert set_many([line(client_secret=OTHER), "x"]).returncode == 1

    def test_five_of_each_hundred_are_bad(self, endpoint, clock):
        number = effort(123, thorough=500)
        lines = [
            line(f"tenant-{n:03}", client_id=f"fake-id-{n:03}", client_secret=f"{SECRET}-{n}")
            for n in range(number)
        ]
        hundreds = range(0, number, 100)
        status = {}
        for n in hundreds:
            lines[n + 7] = "{"
            lines[n + 8] = line(f"tenant-{n + 8:03}", client_secret="")
            status[f"fake-id-{n + 20:03}"] = Answer(*REFUSED)
            status[f"fake-id-{n + 21:03}"] = Answer(410)
            status[f"fake-id-{n + 22:03}"] = Answer(503)
        many, bad, good = len(hundreds), 5 * len(hundreds), number - 5 * len(hundreds)

        def names(number):
            return ", ".join(f"tenant-{n + number:03}" for n in hundreds)

        limit = Limit(240, clock.now)
        endpoint.decide(lambda request: limit(request) or status.get(request.basic[0]))

        called = set_many(lines)
        assert called.returncode == 1
        assert limit.refused == 0
        assert CertnCredential.objects.filter(verified_status="ok").count() == good
        assert CertnCredential.objects.count() == good
        assert called.stdout.splitlines()[-1] == (
            f"{good} stored, {many} rejected: {names(20)}; "
            f"{many} unreachable: {names(22)}; {many} retired: {names(21)}; "
            f"{2 * many} bad lines: {', '.join(f'{n + 8}, {n + 9}' for n in hundreds)}."
        )
        assert called.message.startswith(f"{bad} of {number} not stored: tenant-020 (rejected), ")
        assert ": stored." not in called.stdout

        before, hits = clock.now(), endpoint.hits
        endpoint.decide(limit)
        again = set_many(lines)
        assert again.returncode == 1
        assert endpoint.hits - hits == 3 * many  # nothing is sent for those that are stored
        assert clock.now() - before < 5
        assert again.stdout.splitlines()[-1].startswith(
            f"{3 * many} stored, {good} there already, {2 * many} bad lines"
        )

    def test_api_keys_at_their_own_pace(self, centric, clock):
        number = effort(30, thorough=500)
        limit = Limit(60, clock.now)
        centric.decide(limit)
        lines = [
            {"name": f"tenant-{n:03}", "environment": "centric", "client_secret": f"{SECRET}-{n}"}
            for n in range(number)
        ]
        called = set_many(lines)
        assert (called.returncode, called.stdout) == (0, f"{number} stored.\n")
        assert limit.refused == 0
        assert 0.98 * number < clock.now() - 1000 < 1.1 * number

    def test_if_missing(self, endpoint):
        set_many([line()])
        called = set_many([line(client_secret=OTHER), line("beta")], if_missing=True)
        assert called.returncode == 0
        assert "acme (scripted): left as it is. Nothing was sent." in called.stdout
        assert (stored().client_secret, endpoint.hits) == (SECRET, 2)

    def test_unverified(self, endpoint):
        assert set_many([line(), line("beta")], no_verify=True).returncode == 0
        assert endpoint.hits == 0
        assert CertnCredential.objects.count() == 2

    def test_stopped_and_run_again(self, endpoint, clock):
        lines = [line(f"tenant-{n:02}") for n in range(30)]
        clock.interrupt_at = 1000 + 10 * 0.255 + 0.1
        called = set_many(lines)
        assert called.returncode == 3
        assert called.message.startswith("Stopped. Not stored: tenant-11, tenant-12, ")
        assert CertnCredential.objects.filter(verified_status="ok").count() == 11
        assert set_many(lines).returncode == 0
        assert (CertnCredential.objects.count(), endpoint.hits) == (30, 30)

    def test_what_nobody_foresaw_stops_no_other(self, monkeypatch):
        find = storing.find
        monkeypatch.setattr(storing, "find", lambda n, u: 1 / 0 if n == "beta" else find(n, u))
        called = set_many([line(), line("beta"), line("gamma")])
        assert called.returncode == 3
        assert called.message == (
            "ZeroDivisionError; --traceback shows where it comes from. Not stored: beta."
        )
        assert CertnCredential.objects.count() == 2

    def test_waits_when_it_is_asked_to(self, endpoint, clock):
        endpoint.answer(429, b"", {"Retry-After": "60"}, times=1)
        stderr = Terminal()
        called = set_many([line(), line("beta")], stderr=stderr)
        assert called.returncode == 0
        assert "scripted asks to wait 60 s." in stderr.getvalue()
        assert clock.now() - 1000 > 60

    def test_a_bar_for_who_looks(self):
        stderr = Terminal()
        set_many([line(f"tenant-{n:02}") for n in range(25)], stderr=stderr)
        assert stderr.getvalue().endswith("] 100 %\n")


class TestNoSecretIsShown:
    def shown(self, *calls):
        scan, found = Scan(SECRET, OTHER), set()
        with everything_logged() as logged:
            for call in calls:
                called = call()
                found |= scan.text(called.stdout + called.message)
                if called.error:
                    found |= scan.error(called.error)
        return found | scan.text("\n".join(logged))

    def test_when_all_is_well(self):
        assert not self.shown(set_key, set_key, lambda: set_key(stdin=OTHER, verbosity=3))

    def test_when_it_is_not(self, endpoint):
        endpoint.answer(401, {"error": "invalid_client", "error_description": SECRET})
        assert not self.shown(
            set_key,
            lambda: set_key(stdin=f'"{SECRET}"'),
            lambda: set_key(stdin=f"{SECRET}\n{OTHER}"),
            lambda: set_key(stdin=Bytes(b"\xff" + SECRET.encode())),
            lambda: set_many([f'{{"client_secret": "{SECRET}"', line(), line("b", client_id=5)]),
            lambda: set_many([line(client_secret=f"x {SECRET}"), line(environment=SECRET)]),
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            [SECRET],
            *(
                [f"{option}={SECRET}"]
                for option in ("--sec", "--secret", "--client-secret", "--api-key")
            ),
            *([option, SECRET] for option in ("--sec", "--secret", "--client-secret", "--api-key")),
            ["--password", SECRET],
        ],
        ids=" ".join,
    )
    def test_when_it_is_an_argument(self, arguments, capsys):
        command = load_command_class("django_certn", "certn_set_key")
        with pytest.raises(SystemExit) as caught:
            command.run_from_argv(["manage.py", "certn_set_key", "acme", *arguments])
        assert caught.value.code == 2
        printed = "".join(capsys.readouterr())
        assert "which is never an argument" in printed
        assert not Scan(SECRET).text(printed)

    def test_when_an_error_was_not_foreseen(self, monkeypatch):
        def save(*args, **options):
            raise RuntimeError("fake trouble")

        monkeypatch.setattr(CertnCredential, "save", save)
        assert not self.shown(set_key, lambda: set_many([line()]))


def test_help_states_the_exit_codes_and_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    load_command_class("django_certn", "certn_set_key").print_help("manage.py", "certn_set_key")
    # Before Python 3.13 argparse keeps options that exclude each other on one line of the usage.
    _usage, _, rest = capsys.readouterr().out.partition("\n\n")
    assert max(map(len, rest.splitlines())) <= 80
