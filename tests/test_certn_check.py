import io
import itertools
import json
import os
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import OperationalError, connection
from django.utils import translation

from django_certn import bulk, recording
from django_certn.exceptions import Status
from django_certn.expiry import today
from django_certn.management import base, checking
from django_certn.management.commands import certn_check
from django_certn.management.report import Result
from django_certn.models import CertnCredential
from django_certn.probe import Probe
from django_certn.tokens import get_token
from django_certn.verification import Verification
from tests.conftest import CASE, NO_CASE
from tests.effort import effort
from tests.endpoint import Answer
from tests.pace import Limit, MovedClock

pytestmark = pytest.mark.django_db

ANOTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
USERS = "/api/v1/users/"


@pytest.fixture
def make(make_credential, endpoint):
    """Store a credential for an endpoint that answers well unless a test says otherwise."""

    def make(name="default", **fields):
        return make_credential(name, **{"environment": "scripted"} | fields)

    return make


class Outcome:
    def __init__(self, *args, **options):
        stdout = io.StringIO()
        self.returncode, self.message = 0, ""
        try:
            call_command("certn_check", *args, stdout=stdout, **options)
        except CommandError as error:
            self.returncode, self.message = error.returncode, str(error)
        self.stdout = stdout.getvalue()

    @property
    def json(self):
        document = json.loads(self.stdout)
        assert list(document) == ["version", "results", "skipped", "error"]
        assert document["version"] == 1
        return document

    @property
    def statuses(self):
        return {result["name"]: result["status"] for result in self.json["results"]}

    @property
    def error_code(self):
        assert self.json["error"]["message"] == self.message
        return self.json["error"]["code"]


def interrupted(do, at):
    """Do it, and have Ctrl-C pressed when it comes to that name."""

    def wrapper(name, *args, **options):
        if name == at:
            raise KeyboardInterrupt
        return do(name, *args, **options)

    return wrapper


def broken(do, at):
    def wrapper(name, *args, **options):
        return 1 / 0 if name == at else do(name, *args, **options)

    return wrapper


class Terminal(io.StringIO):
    def isatty(self):
        return True


def check(*args, **options):
    return Outcome(*args, **options)


def check_json(*args, **options):
    return Outcome(*args, format="json", **options)


class TestExitCode:
    def test_0_all_well(self, make):
        make("acme")
        make("beta")
        outcome = check_json()
        assert outcome.returncode == 0
        assert outcome.statuses == {"acme": "ok", "beta": "ok"}
        assert outcome.json["error"] is None

    @pytest.mark.parametrize(
        ("answer", "status", "returncode"),
        [
            ((401, {"error": "invalid_client"}), "rejected", 1),
            ((410,), "retired", 1),
            ((200, "<h1>Welcome</h1>"), "bad_response", 1),
            ((429,), "rate_limited", 3),
            ((503,), "unreachable", 3),
        ],
    )
    def test_of_an_answer(self, make, endpoint, answer, status, returncode):
        make()
        endpoint.answer(*answer)
        outcome = check_json()
        assert outcome.returncode == returncode
        assert outcome.statuses == {"default": status}
        assert outcome.json["error"] is None
        assert outcome.message == f"1 of 1 not ok: default ({status})."

    def test_1_undecryptable_and_nothing_is_sent(self, make, endpoint, settings):
        make()
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        outcome = check_json()
        assert outcome.returncode == 1
        assert outcome.statuses == {"default": "undecryptable"}
        assert endpoint.hits == 0

    def test_1_misconfigured(self, make):
        make(environment="gone")
        outcome = check_json()
        assert outcome.returncode == 1
        assert outcome.statuses == {"default": "misconfigured"}

    def test_1_wins_over_3(self, make, endpoint):
        for name in ("acme", "beta", "gamma"):
            make(name)
        endpoint.answer(503, times=1)
        endpoint.answer(401, {"error": "invalid_client"}, times=1)
        outcome = check_json()
        assert outcome.returncode == 1
        assert outcome.statuses == {"acme": "unreachable", "beta": "rejected", "gamma": "ok"}

    def test_2_an_unknown_name_and_nothing_is_exchanged(self, make, endpoint):
        make("acme")
        outcome = check_json("acme", "zeta", "Acme")
        assert outcome.returncode == 2
        assert outcome.error_code == "unknown_name"
        assert "'Acme', 'zeta'" in outcome.message
        assert outcome.json["results"] == []
        assert endpoint.hits == 0

    @pytest.mark.parametrize("name", ["\udce9", "a\0b", ""])
    def test_2_a_name_that_no_database_takes(self, make, name):
        make("acme")
        outcome = check_json("acme", name)
        assert outcome.returncode == 2
        assert outcome.error_code == "unknown_name"
        assert repr(name) in outcome.message

    def test_2_nothing_to_check(self):
        outcome = check_json()
        assert outcome.returncode == 2
        assert outcome.error_code == "nothing_to_check"

    def test_2_only_inactive_ones(self, make, endpoint):
        make(is_active=False)
        outcome = check_json()
        assert outcome.returncode == 2
        assert outcome.error_code == "nothing_to_check"
        assert outcome.json["skipped"] == ["default"]
        assert "switched off: default. Activate one in the admin" in outcome.message
        assert endpoint.hits == 0

    def test_2_without_the_table(self, make, endpoint, monkeypatch):
        make()
        monkeypatch.setattr(connection.introspection, "table_names", lambda cursor: [])
        outcome = check_json()
        assert outcome.returncode == 2
        assert outcome.error_code == "not_migrated"
        assert "run migrate first" in outcome.message
        assert endpoint.hits == 0

    def test_2_without_a_column(self, make, monkeypatch):
        make()
        describe = connection.introspection.get_table_description
        monkeypatch.setattr(
            connection.introspection,
            "get_table_description",
            lambda cursor, table: describe(cursor, table)[:-1],
        )
        assert check_json().error_code == "not_migrated"

    @pytest.mark.parametrize("options", [{"timeout": -1}, {"database": "nowhere"}, {"parallel": 0}])
    def test_2_a_wrong_call_from_python(self, make, options):
        make()
        outcome = check_json(**options)
        assert outcome.returncode == 2
        assert outcome.error_code == "wrong_call"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--environment", "nowhere"], "choose from"),
            (["--database", "nowhere"], "choose from"),
            (["--format", "xml"], "choose from"),
            (["--timeout", "0"], "above 0"),
            (["--timeout", "soon"], "above 0"),
            (["--timeout", "inf"], "above 0"),
            (["--parallel", "0"], "from 1 to 100"),
            (["--parallel", "101"], "from 1 to 100"),
            (["--parallel", "x"], "from 1 to 100"),
            (["--client-secret", "fake"], "unrecognized"),
        ],
    )
    def test_2_a_wrong_command_line(self, capsys, arguments, words):
        command = load_command_class("django_certn", "certn_check")
        with pytest.raises(SystemExit) as caught:
            command.run_from_argv(["manage.py", "certn_check", *arguments])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err

    def test_2_deleted_since_it_was_selected(self, make, monkeypatch):
        make("acme")
        make("beta")
        selection = certn_check.Selection(dict.fromkeys(["acme", "alpha", "beta"], "scripted"), [])
        monkeypatch.setattr(certn_check, "select", lambda *args: selection)
        outcome = check_json()
        assert outcome.returncode == 2
        assert outcome.error_code == "unknown_name"
        assert outcome.message == "Not checked, deleted meanwhile: alpha."
        assert outcome.statuses == {"acme": "ok", "beta": "ok"}

    def test_3_the_database_is_out_of_reach(self, make, monkeypatch):
        def is_migrated(using):
            raise OperationalError("fake: no route\nmore of it")

        monkeypatch.setattr(base, "is_migrated", is_migrated)
        outcome = check_json()
        assert outcome.returncode == 3
        assert outcome.error_code == "database_unreachable"
        assert outcome.message == "The database cannot be used now: fake: no route."

    @pytest.mark.parametrize(("answer", "returncode"), [(200, 3), (503, 3), (401, 1)])
    def test_what_was_found_out_before_that_counts(
        self, make, endpoint, monkeypatch, answer, returncode
    ):
        make("acme")
        make("beta")
        endpoint.answer(answer)
        record = recording.record

        def fail(row, outcome):
            if row.name == "beta":
                raise OperationalError("fake: gone away")
            return record(row, outcome)

        monkeypatch.setattr(recording, "record", fail)
        outcome = check_json()
        assert outcome.returncode == returncode
        assert outcome.error_code == "database_unreachable"
        assert list(outcome.statuses) == ["acme"]
        assert outcome.json["error"]["message"].endswith("fake: gone away. Not checked: beta.")

    @pytest.mark.parametrize("form", ["json", "text"])
    @pytest.mark.parametrize(("answer", "returncode"), [(200, 3), (401, 1)])
    def test_3_stopped(self, make, endpoint, monkeypatch, form, answer, returncode):
        for name in ("acme", "beta", "gamma"):
            make(name)
        endpoint.answer(answer)
        monkeypatch.setattr(checking, "stored", interrupted(checking.stored, "beta"))
        outcome = check(format=form)
        assert outcome.returncode == returncode
        assert outcome.message == "Stopped. Not checked: beta, gamma."
        assert endpoint.hits == 1
        if form == "json":
            assert outcome.error_code == "stopped"
            assert list(outcome.statuses) == ["acme"]

    def test_3_stopped_before_anything(self, make, monkeypatch):
        def select(*args):
            raise KeyboardInterrupt

        make()
        monkeypatch.setattr(certn_check, "select", select)
        outcome = check_json()
        assert (outcome.returncode, outcome.message) == (3, "Stopped.")

    @pytest.mark.parametrize("form", ["json", "text"])
    def test_3_an_error_that_nobody_foresaw(self, make, monkeypatch, form):
        def select(*args):
            raise ZeroDivisionError("fake-secret-in-a-message")

        make()
        monkeypatch.setattr(certn_check, "select", select)
        outcome = check(format=form)
        assert outcome.returncode == 3
        assert outcome.message == "ZeroDivisionError; --traceback shows where it comes from."
        assert "fake-secret" not in outcome.stdout
        if form == "json":
            assert outcome.error_code == "unexpected"

    @pytest.mark.parametrize(("options", "many"), [({"format": "json"}, 1), ({}, 2), ({}, 1)])
    def test_3_what_is_printed_cannot_be_written(self, make, monkeypatch, options, many):
        monkeypatch.setattr(certn_check, "MANY", many)
        make()

        def write(text):
            raise OSError(28, "No space left on device")

        stdout = io.StringIO()
        monkeypatch.setattr(stdout, "write", write)
        with pytest.raises(CommandError, match="OSError") as caught:
            call_command("certn_check", stdout=stdout, **options)
        assert caught.value.returncode == 3

    def test_the_cause_is_there_for_traceback(self, make, monkeypatch):
        make()
        monkeypatch.setattr(certn_check, "select", lambda *args: 1 / 0)
        with pytest.raises(CommandError) as caught:
            call_command("certn_check")
        assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)


class TestSelection:
    def test_all_that_are_active_by_name(self, make):
        for name in ("beta", "acme", "Zeta"):
            make(name)
        make("off", is_active=False)
        outcome = check_json()
        assert list(outcome.statuses) == ["Zeta", "acme", "beta"]
        assert outcome.json["skipped"] == ["off"]

    def test_names(self, make):
        for name in ("acme", "beta", "gamma"):
            make(name)
        assert list(check_json("gamma", "acme").statuses) == ["acme", "gamma"]

    def test_an_inactive_one_by_name(self, make):
        make("off", is_active=False)
        make("also off", is_active=False)
        outcome = check_json("off")
        assert outcome.statuses == {"off": "ok"}
        assert outcome.json["skipped"] == []

    def test_duplicates_collapse(self, make, endpoint):
        make("acme")
        assert list(check_json("acme", "acme").statuses) == ["acme"]
        assert endpoint.hits == 1

    def test_an_environment(self, make):
        make("acme")
        make("beta", environment="demo")
        make("gamma", environment="demo", is_active=False)
        outcome = check_json(environment="scripted")
        assert list(outcome.statuses) == ["acme"]
        assert outcome.json["skipped"] == []

    def test_an_environment_without_any(self, make, endpoint):
        make("acme")
        outcome = check_json(environment="demo")
        assert outcome.error_code == "nothing_to_check"
        assert "'demo'" in outcome.message
        assert endpoint.hits == 0

    def test_a_name_of_another_environment_is_unknown_there(self, make, endpoint):
        make("acme")
        outcome = check_json("acme", environment="demo")
        assert outcome.returncode == 2
        assert outcome.error_code == "unknown_name"
        assert endpoint.hits == 0

    @pytest.mark.django_db(databases=["default", "other"])
    def test_a_database(self, make, endpoint):
        make("acme")
        CertnCredential.objects.using("other").create(
            name="beta", environment="scripted", client_id="fake-id", client_secret="fake-secret"
        )
        assert check_json(database="other").statuses == {"beta": "ok"}
        assert CertnCredential.objects.using("other").get().verified_status == "ok"
        assert CertnCredential.objects.using("default").get().verified_status == ""


class TestExchange:
    def test_is_live_whatever_is_cached(self, make, endpoint):
        make()
        get_token()
        assert check().returncode == check().returncode == 0
        assert endpoint.count() == 3

    def test_is_recorded(self, make, endpoint):
        credential = make()
        endpoint.answer(401, {"error": "invalid_client"})
        check()
        credential.refresh_from_db()
        assert credential.verified_status == "rejected"

    def test_has_the_time_that_it_is_given(self, make, endpoint):
        make()
        endpoint.answer(delay=5)
        (result,) = check_json("--timeout", "0.2").json["results"]
        assert result["error_code"] == "timeout"
        assert result["latency"] < 1.2


class TestProbe:
    def test_gives_the_number_of_users_and_nothing_of_them(self, make, local):
        client_id, secret = local.refresh_keys()
        make(environment="local", client_id=client_id, client_secret=secret)
        outcome = check_json(probe=True)
        assert outcome.returncode == 0
        (result,) = outcome.json["results"]
        assert result["probe"] == {"status": "ok", "http_status": 200, "count": 3}
        assert (result["ok"], result["hint"]) == (True, "")
        assert "example.com" not in outcome.stdout

    def test_is_made_with_the_new_token(self, make, endpoint):
        make()
        get_token()
        check(probe=True)
        assert endpoint.requests[-1].headers["Authorization"] == "Bearer fake-token-2"

    def test_is_not_made_unasked(self, make, endpoint):
        make()
        assert "probe" not in check_json().json["results"][0]
        assert endpoint.count(USERS, "GET") == 0

    def test_is_not_made_without_a_token(self, make, endpoint):
        make()
        endpoint.answer(401, {"error": "invalid_client"})
        (result,) = check_json(probe=True).json["results"]
        assert result["probe"] is None
        assert result["ok"] is False
        assert endpoint.count(USERS, "GET") == 0

    @pytest.mark.parametrize(
        ("answer", "status", "returncode", "detail", "hint"),
        [
            ((401,), "rejected", 1, "issued a token, and refuses it at /api", "ask Certn whether"),
            ((403,), "bad_response", 1, "does not answer as Certn does", "no right to list users"),
            ((404,), "bad_response", 1, "does not answer as Certn does", "something else answers"),
            ((410,), "retired", 1, "has retired /api/v1/users/", "CertnCentric"),
            ((429,), "rate_limited", 3, "had too many requests", "Try again"),
            ((500,), "unreachable", 3, "/api/v1/users/ failed", "Try again"),
        ],
    )
    def test_fails(self, make, endpoint, answer, status, returncode, detail, hint):
        credential = make()
        endpoint.answer(*answer, path=USERS)
        outcome = check_json(probe=True)
        assert outcome.returncode == returncode
        (result,) = outcome.json["results"]
        assert (result["status"], result["ok"]) == ("ok", False)
        assert result["probe"] == {"status": status, "http_status": answer[0], "count": None}
        assert detail in result["detail"]
        assert f"(HTTP {answer[0]})" in result["detail"]
        assert hint in result["hint"]
        assert outcome.message == f"1 of 1 not ok: default (probe: {status})."
        credential.refresh_from_db()
        assert credential.verified_status == "ok"

    def test_takes_no_longer_than_it_may(self, make, endpoint):
        make()
        endpoint.answer(delay=5, path=USERS)
        outcome = check_json(probe=True, timeout=0.3)
        assert outcome.returncode == 3
        (result,) = outcome.json["results"]
        assert result["probe"] == {"status": "unreachable", "http_status": None, "count": None}
        assert "gave no answer, or none in time" in result["detail"]

    @pytest.mark.parametrize("status", set(Status) - {Status.OK})
    def test_each_failure_has_its_words(self, status):
        known = Verification("acme", "production", Status.OK, http_status=200)
        for http_status in (None, 500):
            result = Result(known, Probe(status, http_status, None), is_probed=True)
            if status in (Status.UNDECRYPTABLE, Status.MISCONFIGURED):  # these are of no answer
                continue
            assert result.detail.endswith(".")
            assert result.hint.endswith(".")
            assert "%" not in result.detail + result.hint


class TestText:
    def test_a_line_for_each(self, make):
        make("acme")
        make("beta")
        outcome = check()
        assert outcome.stdout == (
            "acme (scripted): ok. The key works: Certn (Scripted) issued a token.\n"
            "beta (scripted): ok. The key works: Certn (Scripted) issued a token.\n"
        )

    def test_what_to_do_next(self, make, endpoint):
        make()
        endpoint.answer(401, {"error": "invalid_client"})
        line, hint = check().stdout.splitlines()
        assert line == (
            "default (scripted): rejected. "
            "Certn (Scripted) refuses this key (HTTP 401, invalid_client)."
        )
        assert "Copy both values again" in hint

    def test_failures_only(self, make, endpoint):
        make("acme")
        make("beta")
        endpoint.answer(503, times=1)
        outcome = check(verbosity=0)
        assert "acme (scripted): unreachable." in outcome.stdout
        assert "beta" not in outcome.stdout

    def test_endpoint_and_lifetime(self, make, endpoint):
        make()
        assert f"{endpoint.url}/token/" not in check(verbosity=1).stdout
        outcome = check(verbosity=2)
        assert f"    POST {endpoint.url}/token/: " in outcome.stdout
        assert "    The token lives 36000 s.\n" in outcome.stdout

    def test_endpoint_of_what_was_not_sent(self, make):
        make(environment="gone")
        assert "POST" not in check(verbosity=2).stdout

    @pytest.mark.parametrize(
        ("answer", "line"),
        [
            ((200, {"count": 7}), "ok (HTTP 200, 7 users)"),
            ((200, {"count": 1}), "ok (HTTP 200, 1 user)"),
            ((200, {"count": None}), "ok (HTTP 200)"),
        ],
    )
    def test_probe(self, make, endpoint, answer, line):
        make()
        endpoint.answer(*answer, path=USERS)
        assert f"    GET {USERS}: {line}\n" in check(probe=True).stdout

    def test_a_probe_that_fails_is_the_result(self, make, endpoint):
        make()
        endpoint.answer(401, path=USERS)
        line, hint = check(probe=True, verbosity=0).stdout.splitlines()
        assert line == (
            "default (scripted): probe rejected. "
            "Certn (Scripted) issued a token, and refuses it at /api/v1/users/ (HTTP 401)."
        )
        assert hint.startswith("    The key is not at fault, and a new pair will not help.")

    def test_what_was_switched_off_is_named(self, make, endpoint):
        for number in range(22):
            make(f"off-{number:02}", is_active=False)
        make()
        last = check().stdout.splitlines()[-1]
        assert last.startswith("Not checked, switched off: off-00, off-01, ")
        assert last.endswith("off-19 and 2 more")
        assert check(verbosity=0).stdout == ""
        assert "switched off" not in check("default").stdout

    def test_a_name_that_would_do_something_to_a_terminal(self, make, endpoint):
        make("a\x1b[2Jb")
        make("c\u202ed", environment="gone\x07")
        make("e\rf", is_active=False)
        outcome = check()
        assert outcome.returncode == 1
        assert r"'a\x1b[2Jb' (scripted): ok." in outcome.stdout
        assert r"'c\u202ed' ('gone\x07'): misconfigured." in outcome.stdout
        assert r"The environment “gone\x07” is not in the settings" in outcome.stdout
        assert r"switched off: 'e\rf'" in outcome.stdout
        assert outcome.message == r"1 of 2 not ok: 'c\u202ed' (misconfigured)."

    @pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
    @pytest.mark.parametrize("form", ["json", "text"])
    def test_each_row_is_checked_whatever_stdout_can_encode(self, make, endpoint, encoding, form):
        make("Zo\xeb")
        make("\u9375")
        make("acme", environment="gone")
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
        with pytest.raises(CommandError) as caught:
            call_command("certn_check", stdout=stream, format=form)
        assert caught.value.returncode == 1
        stream.flush()
        printed = stream.buffer.getvalue().decode(encoding)
        assert "\\u9375" in printed
        assert endpoint.hits == 2
        if form == "json":
            names = {result["name"] for result in json.loads(printed)["results"]}
            assert names == {"Zo\xeb", "\u9375", "acme"}

    def test_colours_are_for_the_word(self, make):
        make()
        assert "\x1b[32;1mok\x1b[0m." in check(force_color=True).stdout

    def test_nothing_on_stdout_when_there_is_no_result(self):
        assert check("unknown").stdout == ""


class TestMany:
    """On a clock that is moved; the endpoint takes 200 ms, and counts what comes in a minute."""

    BAD = {  # noqa: RUF012
        "rejected": Answer(401, {"error": "invalid_client"}),
        "retired": Answer(410),
        "unreachable": Answer(503),
        "bad_response": Answer(200, "<h1>Welcome</h1>"),
    }

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = MovedClock(takes=0.2)
        monkeypatch.setattr(bulk, "Workers", lambda parallel: clock)
        return clock

    def store(self, number, **fields):
        CertnCredential.objects.bulk_create(
            CertnCredential(
                name=f"tenant-{n:03}",
                **{
                    "environment": "scripted",
                    "client_id": f"fake-id-{n:03}",
                    "client_secret": f"fake-secret-{n:03}",
                }
                | {key: value.format(n) for key, value in fields.items()},
            )
            for n in range(number)
        )

    def spoil(self, names):
        """Let four of every five of them be refused in a way of its own, the fifth lacks half."""
        statuses = itertools.cycle([*self.BAD, "misconfigured"])
        bad = dict(zip(names, statuses, strict=False))
        missing = [name for name, status in bad.items() if status == "misconfigured"]
        CertnCredential.objects.filter(name__in=missing).update(client_id="")
        return bad

    def test_pairs(self, endpoint, clock):
        number = effort(60, thorough=500)
        self.store(number)
        bad = self.spoil([f"tenant-{n:03}" for n in range(7, number, 10)])
        limit = Limit(240, clock.now)
        by_id = {name.replace("tenant", "fake-id"): status for name, status in bad.items()}
        endpoint.decide(lambda request: limit(request) or self.BAD.get(by_id.get(request.basic[0])))

        outcome = check_json()
        assert outcome.returncode == 1
        assert outcome.statuses == {f"tenant-{n:03}": "ok" for n in range(number)} | bad
        assert list(outcome.statuses) == sorted(outcome.statuses)
        assert limit.refused == 0
        sent = number - list(bad.values()).count("misconfigured")
        assert endpoint.hits == sent
        assert 0.98 * sent / 240 < (clock.now() - 1000) / 60 < 1.1 * sent / 240
        assert clock.most <= 4

    def test_api_keys(self, centric, clock):
        number = effort(30, thorough=500)
        self.store(number, environment="centric", client_id="", client_secret="fake-key-{:03}")
        limit = Limit(60, clock.now)
        centric.decide(limit)
        outcome = check_json()
        assert outcome.returncode == 0
        assert set(outcome.statuses.values()) == {"ok"}
        assert limit.refused == 0
        assert 0.98 * number < clock.now() - 1000 < 1.1 * number

    def test_both_kinds_and_their_probes(self, centric, clock):
        """They share an endpoint, and each kind has a limit of its own."""
        self.store(150)
        CertnCredential.objects.filter(name__lt="tenant-050").update(
            environment="centric", client_id=""
        )
        pairs, api_keys = Limit(240, clock.now), Limit(60, clock.now)
        centric.decide(lambda request: (api_keys if request.path == CASE else pairs)(request))
        outcome = check_json(probe=True)
        assert outcome.returncode == 0
        assert centric.hits == 50 + 2 * 100
        assert pairs.refused == api_keys.refused == 0
        assert (clock.now() - 1000) < 1.1 * 200 / 240 * 60

    def test_pairs_that_are_sent_encoded_and_plain(self, endpoint, clock):
        number = effort(40, thorough=300)
        self.store(number, client_secret="fake secret {}")
        limit = Limit(240, clock.now)
        endpoint.decide(lambda request: limit(request) or Answer(401))
        assert set(check_json().statuses.values()) == {"rejected"}
        assert endpoint.hits == 2 * number
        assert limit.refused == 0

    def test_a_limit_that_is_lower_than_it_should_be(self, endpoint, clock):
        self.store(40)
        limit = Limit(30, clock.now, {"Retry-After": "60"}.items())
        endpoint.decide(limit)
        outcome = check_json()
        assert set(outcome.statuses.values()) == {"ok"}
        assert 0 < limit.refused <= 4

    def test_one_alone_hears_at_once(self, endpoint, clock):
        self.store(1)
        endpoint.answer(429, headers={"Retry-After": "60"})
        outcome = check_json()
        assert outcome.statuses == {"tenant-000": "rate_limited"}
        assert endpoint.hits == 1

    def test_a_summary_and_what_is_not_ok(self, endpoint, clock):
        self.store(60)
        bad = self.spoil(["tenant-005", "tenant-020"]) | {"tenant-007": "rejected"}
        by_id = {name.replace("tenant", "fake-id"): status for name, status in bad.items()}
        endpoint.decide(lambda request: self.BAD.get(by_id.get(request.basic[0])))
        outcome = check()
        assert outcome.returncode == 1
        lines = outcome.stdout.splitlines()
        assert lines[-1] == ("57 ok, 2 rejected: tenant-005, tenant-007; 1 retired: tenant-020.")
        assert [line.partition(" ")[0] for line in lines[:-1] if line[0] != " "] == sorted(bad)
        assert outcome.message == (
            "3 of 60 not ok: tenant-005 (rejected), tenant-007 (rejected), tenant-020 (retired)."
        )

    def test_all_well(self, endpoint, clock):
        self.store(21)
        assert check().stdout == "21 ok.\n"
        assert check(verbosity=0).stdout == ""

    def test_a_line_for_each_on_request(self, endpoint, clock):
        self.store(21)
        lines = check(verbosity=2).stdout.splitlines()
        assert sum(": ok." in line for line in lines) == 21
        assert lines[-1] == "21 ok."

    def test_an_end_that_is_near_is_news(self, centric, clock):
        self.store(21, environment="centric", client_id="")
        CertnCredential.objects.filter(name="tenant-003").update(expires_on=today())
        line, end, summary = check().stdout.splitlines()
        assert line.startswith("tenant-003 (centric): ok.")
        assert "in 0 days" in end
        assert summary == "21 ok."

    def test_many_that_are_not_ok_are_counted(self, endpoint, clock):
        self.store(30)
        endpoint.answer(503)
        outcome = check()
        assert outcome.returncode == 3
        assert outcome.stdout.splitlines()[-1].startswith("30 unreachable: tenant-000, ")
        assert outcome.stdout.endswith("tenant-019 and 10 more.\n")
        assert outcome.message.endswith("tenant-019 (unreachable) and 10 more.")

    def test_a_bar_for_who_looks(self, endpoint, clock):
        self.store(25)
        endpoint.answer(401, times=1)
        stderr = Terminal()
        check(stderr=stderr)
        drawn = stderr.getvalue().split("\r")
        assert drawn[1] == "[#" + " " * 39 + "]   4 %"
        assert drawn[-1] == "[" + "#" * 40 + "] 100 %\n"
        stderr = Terminal()
        check(stderr=stderr, verbosity=2)
        assert "%" not in stderr.getvalue()

    def test_a_wait_is_said_to_who_looks(self, endpoint, clock):
        self.store(2)
        endpoint.answer(429, headers={"Retry-After": "60"}, times=1)
        stderr = Terminal()
        check(stderr=stderr)
        assert "scripted asks to wait 60 s." in stderr.getvalue()

    def test_stopped_in_the_middle(self, endpoint, clock):
        self.store(30)
        clock.interrupt_at = 1000 + 10 * 0.255 + 0.1
        outcome = check_json()
        assert (outcome.returncode, outcome.error_code) == (3, "stopped")
        done = CertnCredential.objects.filter(verified_status="ok").values_list("name", flat=True)
        assert list(outcome.statuses) == list(done) == [f"tenant-{n:03}" for n in range(11)]
        assert "Not checked: tenant-011, " in outcome.message

    def test_what_one_row_does_stops_no_other(self, endpoint, clock, monkeypatch):
        self.store(3)
        monkeypatch.setattr(checking, "stored", broken(checking.stored, "tenant-001"))
        outcome = check_json()
        assert outcome.returncode == 3
        assert list(outcome.statuses) == ["tenant-000", "tenant-002"]
        assert outcome.error_code == "unexpected"
        assert outcome.message.endswith("Not checked: tenant-001.")


class TestJson:
    def test_is_in_english(self, make, settings):
        make(environment="gone")
        with translation.override("de"):
            (result,) = check_json().json["results"]
        assert result["detail"] == (
            "The environment “gone” is not in the settings; nothing was sent."
        )

    def test_holds_no_secret(self, make, endpoint):
        credential = make()
        outcome = check_json(probe=True, verbosity=3)
        assert credential.client_secret.reveal() not in outcome.stdout
        assert "fake-token" not in outcome.stdout

    def test_is_the_same_at_each_verbosity(self, make):
        make()
        assert check_json(verbosity=0).json["results"][0]["status"] == "ok"


def test_help_states_the_exit_codes(capsys, monkeypatch):
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    command = load_command_class("django_certn", "certn_check")
    command.print_help("manage.py", "certn_check")
    printed = capsys.readouterr().out
    for line in certn_check.EXIT_CODES.splitlines():
        assert line in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_no_secret_can_be_given(capsys):
    command = load_command_class("django_certn", "certn_check")
    parser = command.create_parser("manage.py", "certn_check")
    own = {action.dest for action in parser._actions}
    assert {"names", "environment", "probe", "format", "database", "timeout", "parallel"} <= own
    assert not any("secret" in option or "key" in option for option in own)


API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"


class TestAPIKey:
    @pytest.fixture(autouse=True)
    def api_key(self, make_credential, centric):
        return make_credential("acme", environment="centric", client_id="", client_secret=API_KEY)

    def end(self, left):
        day = today() + timedelta(days=left)
        CertnCredential.objects.filter(name="acme").update(expires_on=day)
        return day

    def test_both_kinds_are_checked(self, make):
        make("beta")
        outcome = check_json()
        assert (outcome.returncode, outcome.statuses) == (0, {"acme": "ok", "beta": "ok"})

    def test_json_names_the_end(self, make, api_key):
        make("beta")
        acme, beta = check_json().json["results"]
        assert (acme["expires_on"], beta["expires_on"]) == (str(api_key.expires_on), None)
        assert acme["expires_in"] is None

    def test_a_probe_adds_nothing(self, centric):
        outcome = check_json(probe=True)
        assert outcome.json["results"][0]["probe"] is None
        assert (outcome.returncode, centric.hits) == (0, 1)

    @pytest.mark.parametrize(
        ("left", "line"),
        [
            (-1, "The API key has ended on {} (UTC)."),
            (0, "The API key ends on {} (UTC), in 0 days."),
            (1, "The API key ends on {} (UTC), in 1 day."),
            (30, "The API key ends on {} (UTC), in 30 days."),
        ],
    )
    def test_text_names_an_end_that_is_near(self, left, line):
        day = self.end(left)
        assert f"\n    {line.format(day)}\n" in check().stdout

    def test_and_one_that_is_far_when_asked_for_more(self):
        day = self.end(31)
        assert str(day) not in check().stdout
        assert f"    The API key ends on {day} (UTC), in 31 days.\n" in check(verbosity=2).stdout

    def test_more_names_the_request(self, centric):
        assert f"    GET {centric.url}{CASE}: 0." in check(verbosity=2).stdout

    def test_a_refusal(self, centric):
        centric.answer(401, NO_CASE, path=CASE)
        outcome = check()
        assert outcome.returncode == 1
        assert (
            "acme (centric): rejected. Certn (Centric) refuses this key (HTTP 401" in outcome.stdout
        )
        assert API_KEY not in outcome.stdout
