import asyncio
import dataclasses
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
import responses
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from django_certn import oauth, recording
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialNotFoundError,
    CredentialRejectedError,
    Status,
)
from django_certn.models import CertnCredential
from django_certn.oauth import TokenResponse
from django_certn.secret import MaskedStr
from django_certn.tokens import get_token
from django_certn.verification import Verification, averify, verify
from tests.conftest import CASE, NO_CASE
from tests.services import free_port

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-0123456789"
ANOTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="


@pytest.fixture
def credential(make_credential, endpoint):
    return make_credential(environment="scripted", client_secret=SECRET)


def read(credential):
    return CertnCredential.objects.get(pk=credential.pk)


def column(credential):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client_secret FROM django_certn_certncredential WHERE id = %s", [credential.pk]
        )
        return cursor.fetchone()[0]


def meanwhile(monkeypatch, act):
    """Let something happen while the exchange is under way."""

    def exchange(key, *, timeout):
        act()
        return TokenResponse(MaskedStr("fake-token"), 60.0)

    monkeypatch.setattr(oauth, "exchange", exchange)


class TestOutcome:
    def test_ok(self, credential, endpoint):
        began = datetime.now(UTC)
        outcome = verify("default")

        assert outcome.ok is True
        assert outcome.status == "ok"
        assert (outcome.name, outcome.environment) == ("default", "scripted")
        assert (outcome.http_status, outcome.error_code) == (200, "")
        assert outcome.expires_in == 36000
        assert 0 <= outcome.latency < 5
        assert began <= outcome.verified_at <= datetime.now(UTC)
        assert outcome.detail == "The key works: Certn (Scripted) issued a token."
        assert outcome.hint == ""
        assert endpoint.requests[0].basic == ("fake-client-id", SECRET)

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ((401, {"error": "invalid_client"}), ("rejected", 401, "invalid_client")),
            ((400, {"error": "unauthorized_client"}), ("rejected", 400, "unauthorized_client")),
            ((429, {"detail": "Slow down."}), ("rate_limited", 429, "")),
            ((503, "<h1>Down</h1>"), ("unreachable", 503, "")),
            ((410, {"detail": "Gone."}), ("retired", 410, "")),
            ((200, "<h1>Welcome</h1>"), ("bad_response", 200, "")),
            ((200, {"access_token": None}), ("bad_response", 200, "")),
            ((307, "", {"Location": "/elsewhere/"}), ("bad_response", 307, "redirect")),
            ((404, {"detail": "Not found."}), ("bad_response", 404, "")),
        ],
    )
    def test_not_ok(self, credential, endpoint, answer, expected):
        endpoint.answer(*answer)
        outcome = verify(credential)

        assert outcome.ok is False
        assert (outcome.status, outcome.http_status, outcome.error_code) == expected
        assert outcome.expires_in is None
        assert outcome.latency is not None
        assert f"HTTP {outcome.http_status}" in outcome.detail
        assert outcome.hint
        row = read(credential)
        recorded = (row.verified_status, row.verified_http_status, row.verified_error_code)
        assert recorded == expected
        assert endpoint.hits == 1

    def test_how_long_it_asks_to_wait_is_not_stored(self, credential, endpoint):
        endpoint.answer(429, b"", {"Retry-After": "30"})
        outcome = verify("default")
        assert outcome.retry_after == outcome.as_dict()["retry_after"] == 30
        assert "asks to wait 30 s (Retry-After)" in outcome.hint
        stored = Verification.of(read(credential))
        assert stored.retry_after is None
        assert "in a few minutes" in stored.hint

    @pytest.mark.parametrize(("minutes", "is_new"), [(0, True), (9, True), (11, False)])
    def test_a_secret_that_was_entered_just_now(self, credential, endpoint, minutes, is_new):
        changed_at = timezone.now() - timedelta(minutes=minutes)
        CertnCredential.objects.update(secret_changed_at=changed_at)
        endpoint.answer(401, {"error": "invalid_client"})
        for outcome in (verify("default"), Verification.of(read(credential))):
            assert outcome.secret_changed_at == changed_at
            assert "Copy both values again" in outcome.hint
            assert ("refresh keys" not in outcome.hint) is is_new
        assert datetime.fromisoformat(outcome.as_dict()["secret_changed_at"]) == changed_at

    def test_a_secret_of_which_nobody_knows_when(self, credential, endpoint):
        CertnCredential.objects.update(secret_changed_at=None)
        endpoint.answer(401, {"error": "invalid_client"})
        outcome = verify("default")
        assert outcome.as_dict()["secret_changed_at"] is None
        assert "refresh keys" in outcome.hint

    def test_no_answer_in_time(self, credential, endpoint):
        endpoint.answer(delay=5)
        outcome = verify("default", timeout=0.2)

        assert (outcome.status, outcome.http_status) == ("unreachable", None)
        assert outcome.error_code == "timeout"
        assert 0.2 <= outcome.latency < 1.2
        assert outcome.detail == f"{endpoint.url} did not answer in time."

    def test_nobody_there(self, make_credential, settings):
        url = f"http://127.0.0.1:{free_port()}"
        settings.CERTN_ENVIRONMENTS = {"local": {"base_url": url}}
        outcome = verify(make_credential())

        assert (outcome.status, outcome.error_code) == ("unreachable", "refused")
        assert outcome.detail == f"{url} cannot be reached: the connection was refused."
        assert url in outcome.hint

    def test_a_certificate_that_is_not_trusted(self, make_credential, tls_endpoint):
        outcome = verify(make_credential(environment="scripted"))

        assert (outcome.status, outcome.error_code) == ("unreachable", "certificate")
        assert "certificate is not trusted" in outcome.detail
        assert tls_endpoint.hits == 0

    @pytest.mark.parametrize(
        ("environment", "host"),
        [("production", "api.certn.co"), ("demo", "demo-api.certn.co")],
    )
    @responses.activate
    def test_asks_certn_itself(self, make_credential, environment, host):
        answer = {"access_token": "fake-token", "expires_in": 36000}
        responses.post(f"https://{host}/token/", json=answer)

        assert verify(make_credential(environment=environment)).ok
        assert len(responses.calls) == 1


class TestUndecryptable:
    def test_sends_nothing_and_loses_nothing(self, credential, endpoint, settings):
        stored = column(credential)
        with_the_key = settings.FIELD_ENCRYPTION_KEY
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        outcome = verify("default")

        assert (outcome.status, outcome.error_code) == ("undecryptable", "")
        assert (outcome.http_status, outcome.latency) == (None, None)
        assert "FIELD_ENCRYPTION_KEY" in outcome.hint
        assert "new pair" in outcome.hint
        assert endpoint.hits == 0
        assert read(credential).verified_status == "undecryptable"
        assert column(credential) == stored

        settings.FIELD_ENCRYPTION_KEY = with_the_key
        assert verify("default").ok


class TestMisconfigured:
    def check(self, name, culprit, endpoint):
        outcome = verify(name)
        assert (outcome.status, outcome.error_code) == ("misconfigured", culprit)
        assert (outcome.http_status, outcome.latency) == (None, None)
        assert "nothing was sent" in outcome.detail
        assert outcome.hint
        assert endpoint.hits == 0
        assert read(CertnCredential.objects.get(name=name)).verified_status == "misconfigured"
        return outcome

    def test_an_environment_that_is_not_in_the_settings(self, make_credential, endpoint):
        make_credential(environment="gone")
        outcome = self.check("default", "environment", endpoint)
        assert "“gone”" in outcome.detail

    @pytest.mark.parametrize(
        "environments", [{"local": {"base_url": "http://example.com"}}, ["local"]]
    )
    def test_an_environment_that_cannot_be_used(
        self, make_credential, endpoint, settings, environments
    ):
        settings.CERTN_ENVIRONMENTS = environments
        make_credential()
        outcome = self.check("default", "CERTN_ENVIRONMENTS", endpoint)
        assert "“local”" in outcome.hint

    @pytest.mark.parametrize(
        ("variable", "value", "culprit"),
        [
            ("REQUESTS_CA_BUNDLE", "/dev/null", "ca_bundle"),
            ("HTTPS_PROXY", "http://", "proxy_url"),
        ],
    )
    def test_a_variable_of_the_environment(
        self, make_credential, endpoint, monkeypatch, variable, value, culprit
    ):
        for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, value)
        make_credential(environment="demo")
        outcome = self.check("default", culprit, endpoint)
        assert variable in outcome.hint
        with pytest.raises(CertnConfigurationError, match=variable):
            get_token()

    @pytest.mark.parametrize("half", ["client_id", "client_secret"])
    def test_half_a_key(self, credential, endpoint, half):
        CertnCredential._base_manager.update(**{half: ""})
        self.check("default", half, endpoint)

    @pytest.mark.parametrize(
        ("setting", "value"), [("CERTN_REQUEST_TIMEOUT", "10"), ("CERTN_CACHE_ALIAS", "nowhere")]
    )
    def test_a_setting(self, credential, endpoint, settings, setting, value):
        setattr(settings, setting, value)
        outcome = self.check("default", setting, endpoint)
        assert setting in outcome.hint


class TestTimeout:
    @pytest.mark.parametrize("timeout", [0, -1, True, "5", float("inf"), float("nan")])
    def test_is_a_number_above_zero(self, credential, endpoint, timeout):
        with pytest.raises(ValueError, match="above 0"):
            verify("default", timeout=timeout)
        assert endpoint.hits == 0

    @pytest.mark.parametrize(
        ("timeout", "budget"), [(None, 7.0), (3, 3), (0.5, 0.5), (1e300, 3600)]
    )
    def test_is_the_budget_of_the_exchange(
        self, credential, settings, monkeypatch, timeout, budget
    ):
        settings.CERTN_REQUEST_TIMEOUT = 7
        given = []

        def exchange(key, *, timeout):
            given.append(timeout)
            return TokenResponse(MaskedStr("fake-token"), 60.0)

        monkeypatch.setattr(oauth, "exchange", exchange)
        assert verify("default", timeout=timeout).ok
        assert given == [budget]

    def test_stands_in_for_a_wrong_setting(self, credential, settings):
        settings.CERTN_REQUEST_TIMEOUT = "soon"
        assert verify("default", timeout=5).ok


class TestTokens:
    def test_a_cached_token_never_satisfies(self, credential, endpoint):
        first = get_token()
        assert verify("default").ok
        assert verify("default").ok
        assert endpoint.count() == 3
        assert get_token().value != first.value
        assert endpoint.count() == 3

    def test_a_cached_token_does_not_hide_a_lost_key(self, credential, endpoint):
        get_token()
        endpoint.answer(401, {"error": "invalid_client"})
        assert verify("default").status == "rejected"

    def test_success_clears_the_memory_of_failure(self, credential, endpoint):
        endpoint.answer(401, {"error": "invalid_client"}, times=1)
        for _ in range(2):
            with pytest.raises(CredentialRejectedError):
                get_token()
        assert endpoint.count() == 1

        assert verify("default").ok
        assert get_token().value
        assert endpoint.count() == 2

    def test_so_does_failure(self, credential, endpoint):
        endpoint.answer(401, {"error": "invalid_client"}, times=2)
        with pytest.raises(CredentialRejectedError):
            get_token()

        assert not verify("default").ok
        assert get_token().value
        assert endpoint.count() == 3


READ_ONLY = {  # what makes a connection so, and what ends it
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": (
        "SET default_transaction_read_only = on",
        "SET default_transaction_read_only = off",
    ),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@pytest.fixture
def read_only(credential):
    begin, end = READ_ONLY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(begin)
    yield
    with connection.cursor() as cursor:
        cursor.execute(end)


class TestRecord:
    def test_on_the_row(self, credential):
        outcome = verify("default")
        row = read(credential)

        assert row.verified_status == "ok"
        assert row.verified_http_status == 200
        assert row.verified_error_code == ""
        assert row.verified_at == outcome.verified_at
        assert row.client_secret == SECRET
        assert column(credential) == row.client_secret.column()

    def test_replaces_the_earlier_outcome(self, credential, endpoint):
        endpoint.answer(401, {"error": "invalid_client"}, times=1)
        assert verify("default").status == "rejected"
        assert verify("default").ok
        row = read(credential)
        assert (row.verified_status, row.verified_error_code) == ("ok", "")

    def test_is_no_change_of_the_row(self, credential):
        earlier = timezone.now() - timedelta(days=3)
        CertnCredential.objects.update(updated_at=earlier)
        saves = []

        def receiver(**kwargs):
            saves.append(kwargs)

        post_save.connect(receiver, sender=CertnCredential)
        try:
            verify("default")
        finally:
            post_save.disconnect(receiver, sender=CertnCredential)
        assert saves == []
        assert read(credential).updated_at == earlier

    @pytest.mark.parametrize(
        "change",
        [
            {"client_secret": "another-fake-secret"},
            {"client_id": "another-fake-id"},
            {"environment": "demo"},
        ],
    )
    @pytest.mark.parametrize("by", ["save", "update"])
    def test_not_when_the_key_changed_meanwhile(self, credential, monkeypatch, change, by):
        def act():
            if by == "update":
                CertnCredential.objects.update(**change)
                return
            row = read(credential)
            for field, value in change.items():
                setattr(row, field, value)
            row.save()

        meanwhile(monkeypatch, act)
        outcome = verify(credential)

        assert outcome.ok
        row = read(credential)
        assert (row.verified_status, row.verified_at) == ("", None)
        assert credential.verified_status == ""

    def test_not_when_the_row_is_gone(self, credential, monkeypatch):
        meanwhile(monkeypatch, CertnCredential.objects.all().delete)
        assert verify("default").ok
        assert not CertnCredential.objects.exists()

    def test_when_another_field_changed_meanwhile(self, credential, monkeypatch):
        meanwhile(monkeypatch, lambda: CertnCredential.objects.update(is_active=False))
        verify("default")
        row = read(credential)
        assert (row.verified_status, row.is_active) == ("ok", False)

    def test_when_the_same_secret_was_encrypted_again_meanwhile(self, credential, monkeypatch):
        stored = column(credential)
        meanwhile(monkeypatch, lambda: CertnCredential.objects.update(client_secret=SECRET))
        verify("default")
        assert read(credential).verified_status == "ok"
        assert column(credential) != stored

    def test_gives_up_when_that_goes_on(self, credential, monkeypatch):
        monkeypatch.setattr(recording, "ATTEMPTS", 1)
        meanwhile(monkeypatch, lambda: CertnCredential.objects.update(client_secret=SECRET))
        assert verify("default").ok
        assert read(credential).verified_status == ""

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("is_open", [False, True], ids=["", "in a transaction"])
    @pytest.mark.parametrize("ask", [verify, async_to_sync(averify)], ids=["sync", "async"])
    def test_a_database_that_cannot_be_written(self, credential, read_only, ask, is_open):
        with transaction.atomic() if is_open else nullcontext():
            assert ask(credential).ok
            assert read(credential).verified_status == ""  # and it can still be read
        assert credential.verified_status == ""

    def test_a_database_that_went_away(self, credential, monkeypatch):
        def gone(*args):
            raise OperationalError("fake: gone away")

        monkeypatch.setattr(recording, "record", gone)
        with pytest.raises(OperationalError, match="fake: gone away"):
            verify(credential)

    def test_without_time_zones(self, credential, settings):
        settings.USE_TZ = False
        outcome = verify(credential)

        assert timezone.is_aware(outcome.verified_at)
        row = read(credential)
        assert timezone.is_naive(row.verified_at)
        assert timezone.make_aware(row.verified_at) == outcome.verified_at
        assert Verification.of(row).verified_at == outcome.verified_at


class TestCredential:
    def test_an_unknown_name(self, credential, endpoint):
        with pytest.raises(CredentialNotFoundError, match="'acme'"):
            verify("acme")
        assert endpoint.hits == 0

    def test_the_name_in_another_case(self, credential, endpoint):
        with pytest.raises(CredentialNotFoundError):
            verify("Default")
        assert endpoint.hits == 0

    def test_an_unsaved_one(self, endpoint):
        unsaved = CertnCredential(
            environment="scripted", client_id="fake-id", client_secret="fake-secret"
        )
        with pytest.raises(CredentialNotFoundError):
            verify(unsaved)
        assert endpoint.hits == 0

    def test_an_inactive_one(self, make_credential, endpoint):
        make_credential(environment="scripted", is_active=False)
        assert verify("default").ok

    def test_one_of_several(self, credential, make_credential):
        other = make_credential("acme", environment="scripted")
        verify("acme")
        assert read(other).verified_status == "ok"
        assert read(credential).verified_status == ""

    def test_an_instance_stands_for_its_row(self, credential, endpoint):
        credential.client_secret = "typed-but-not-saved"
        credential.environment = "production"
        assert verify(credential).environment == "scripted"
        assert endpoint.requests[0].basic == ("fake-client-id", SECRET)

    def test_an_instance_takes_over_the_outcome(self, credential):
        outcome = verify(credential)
        assert Verification.of(credential) == dataclasses.replace(
            outcome, expires_in=None, latency=None
        )
        credential.is_active = False
        credential.save()
        assert read(credential).verified_status == "ok"

    @pytest.mark.django_db(databases=["default", "other"])
    def test_in_another_database(self, make_credential, endpoint):
        make_credential(environment="demo")
        row = CertnCredential.objects.using("other").create(
            environment="scripted", client_id="other-fake-id", client_secret="other-fake-secret"
        )
        assert verify(row).ok
        assert endpoint.requests[0].basic == ("other-fake-id", "other-fake-secret")
        assert CertnCredential.objects.using("other").get().verified_status == "ok"
        assert CertnCredential.objects.using("default").get().verified_status == ""


class TestVerification:
    outcome = Verification("acme", "demo", Status.REJECTED, 401, "invalid_client", None, 0.25)

    def test_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            self.outcome.status = Status.OK

    def test_json(self, credential):
        as_read = json.loads(json.dumps(verify("default").as_dict()))
        assert list(as_read) == [
            "name",
            "environment",
            "status",
            "ok",
            "http_status",
            "error_code",
            "expires_in",
            "latency",
            "expires_on",
            "verified_at",
            "retry_after",
            "secret_changed_at",
            "detail",
            "hint",
        ]
        assert as_read["status"] == "ok"
        assert as_read["ok"] is True
        assert datetime.fromisoformat(as_read["verified_at"]).tzinfo is not None

    def test_holds_neither_secret_nor_token(self, credential):
        outcome = verify("default")
        shown = repr(outcome) + str(outcome.as_dict())
        assert SECRET not in shown
        assert get_token().value not in shown

    def test_speaks_the_language_of_whoever_reads(self, credential, settings):
        settings.CERTN_ENVIRONMENTS = {
            "demo": {"label": gettext_lazy("Monday"), "base_url": "https://demo-api.certn.co"}
        }
        with translation.override("de"):
            assert "Montag" in self.outcome.detail
            assert "Montag" in self.outcome.hint
            assert "Monday" in self.outcome.as_dict()["hint"]
        with translation.override("en"):
            assert "Monday" in self.outcome.detail

    def test_of_a_stored_row(self, credential, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        outcome = verify("default")
        stored = Verification.of(read(credential))
        assert stored == dataclasses.replace(outcome, latency=None)
        assert (stored.detail, stored.hint) == (outcome.detail, outcome.hint)

    @pytest.mark.parametrize("status", ["", "of-a-later-version"])
    def test_of_a_row_without_one(self, credential, status):
        CertnCredential.objects.update(verified_status=status, verified_at=timezone.now())
        assert Verification.of(read(credential)) is None


def test_what_is_stored_as_plain_text_does_not_get_into_the_sql_log(credential):
    plain = "fake-plain-text-of-the-row"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_certn_certncredential SET client_secret = %s", [plain])
    with CaptureQueriesContext(connection) as log:
        assert verify(credential).status == "undecryptable"

    assert plain not in str(log.captured_queries)
    assert CertnCredential.objects.get().verified_status == "undecryptable"


API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"


class TestAPIKey:
    @pytest.fixture
    def api_key(self, make_credential, centric):
        return make_credential("acme", environment="centric", client_id="", client_secret=API_KEY)

    def test_ok(self, api_key, centric):
        outcome = verify("acme")
        assert (outcome.status, outcome.http_status, outcome.error_code) == ("ok", 404, "")
        assert outcome.expires_in is None
        assert outcome.expires_on == api_key.expires_on
        assert 0 <= outcome.latency < 5
        assert (outcome.detail, outcome.hint) == ("The key works: Certn (Centric) takes it.", "")
        row = read(api_key)
        assert (row.verified_status, row.verified_http_status) == ("ok", 404)
        assert [(request.method, request.path) for request in centric.requests] == [("GET", CASE)]

    @pytest.mark.parametrize(
        ("answer", "status", "reported"),
        [
            ((401, NO_CASE), "rejected", ["refuses this key (HTTP 401", "Copy", "another region"]),
            ((403, b""), "bad_response", ["does not permit", "lacks permissions"]),
            ((410, b""), "retired", ["has retired", "which API follows"]),
            ((429, b""), "rate_limited", ["too many requests", "again in a few minutes"]),
            ((503, b""), "unreachable", ["failed (HTTP 503)", "again in a few minutes"]),
            ((404, "<h1>x</h1>"), "bad_response", ["not an answer of Certn", "a proxy"]),
        ],
    )
    def test_not_ok(self, api_key, centric, answer, status, reported):
        centric.answer(*answer, path=CASE)
        outcome = verify("acme")
        assert (outcome.status, outcome.http_status) == (status, answer[0])
        for words in reported:
            assert words in f"{outcome.detail} {outcome.hint}"
        for misleading in ("refresh keys", "Partner tab", "pair", "CertnCentric", "token"):
            assert misleading not in f"{outcome.detail} {outcome.hint}"
        assert read(api_key).verified_status == status

    def test_a_key_that_cannot_be_read(self, api_key, centric, settings):
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        outcome = verify("acme")
        assert outcome.status == "undecryptable"
        assert "make a new API key" in outcome.hint
        assert "pair" not in outcome.hint
        assert centric.hits == 0

    def test_a_key_that_is_missing(self, api_key, centric):
        CertnCredential._base_manager.update(client_secret="")
        outcome = verify("acme")
        assert (outcome.status, outcome.error_code) == ("misconfigured", "client_secret")
        assert outcome.detail == "The credential has no API key; nothing was sent."
        assert centric.hits == 0

    def test_no_cache_is_needed(self, api_key, settings):
        settings.CERTN_CACHE_ALIAS = "absent"
        assert verify("acme").ok

    def test_a_wrong_time_limit_is_named(self, api_key, settings):
        settings.CERTN_CACHE_ALIAS, settings.CERTN_REQUEST_TIMEOUT = "absent", 0
        assert verify("acme").error_code == "CERTN_REQUEST_TIMEOUT"

    def test_the_last_outcome_knows_the_end(self, api_key):
        verify(api_key)
        assert Verification.of(api_key).expires_on == api_key.expires_on
        assert verify("acme").as_dict()["expires_on"] == api_key.expires_on.isoformat()

    def test_a_pair_has_no_end(self, credential):
        assert verify("default").as_dict()["expires_on"] is None


class TestAsync:
    """One database connection serves these tests, and Django's thread for a coroutine is theirs."""

    def run(self, *args, **kwargs):
        return async_to_sync(averify)(*args, **kwargs)

    def test_the_same_outcome_recorded(self, credential, endpoint):
        outcome = self.run("default")
        assert (outcome.status, outcome.expires_in) == ("ok", 36000)
        assert read(credential).verified_status == "ok"
        assert endpoint.hits == 1

    def test_on_the_instance_too(self, credential, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        assert self.run(credential).status == credential.verified_status == "rejected"

    def test_the_errors(self, credential):
        with pytest.raises(CredentialNotFoundError):
            self.run("absent")
        with pytest.raises(ValueError, match="number of seconds"):
            self.run("default", timeout=0)

    def test_others_go_on_meanwhile(self, credential, endpoint):
        endpoint.answer(delay=0.5)

        async def both():
            async def tick():
                ticks = 0
                while not verification.done():
                    await asyncio.sleep(0.02)
                    ticks += 1
                return ticks

            verification = asyncio.ensure_future(averify("default"))
            return await tick(), await verification

        ticks, outcome = async_to_sync(both)()
        assert outcome.ok
        assert ticks > 10
