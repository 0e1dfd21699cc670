"""The fake that a site's own tests use; with real runners in test_site_tests.py of integration."""

import asyncio
import gc
import inspect
import logging
import sys
import threading
import unittest
from importlib import import_module
from io import StringIO

import httpx
import pytest
import requests
import responses
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import SimpleTestCase, TestCase, override_settings
from django.test.runner import RemoteTestResult
from django.test.utils import _TestState
from django.urls import reverse

from django_certn import exceptions, probe, tokens
from django_certn.answers import Answer
from django_certn.client import CertnAuth, CertnSession, aauth_headers, auth_headers, base_url
from django_certn.exceptions import CertnConfigurationError, CredentialRejectedError, Status
from django_certn.httpx import CertnAuth as HttpxCertnAuth
from django_certn.models import CertnCredential
from django_certn.signals import credential_status_changed, credential_verified
from django_certn.testing import Call, FakeCertn, context, fake_certn, make_credential
from django_certn.testing import service as fake_service
from django_certn.testing.endpoint import answer_of
from django_certn.tokens import aget_token, exchange, get_token, invalidate_token
from django_certn.tokens.process import TokenService
from django_certn.tokens.service import install, installed
from django_certn.verification import averify, verify

URL = "https://certn.test/api/v1/users/"


@pytest.fixture
def certn():
    """The plugin's own fixture has this name; this one is here without the plugin too."""
    with fake_certn() as fake:
        yield fake


@pytest.fixture(autouse=True)
def left_as_it_was():
    service = installed()
    yield
    assert installed() is service
    assert context.entered == []


class TestTokensAndHeaders:
    def test_any_name_has_a_token_without_a_row_a_database_and_a_cache(self, certn):
        with override_settings(CACHES={}):
            token = get_token("whoever")

        assert token.value == "fake-certn-token-1"
        assert token.base_url == base_url("whoever") == certn.base_url == "https://certn.test"
        assert 35_990 < token.expires_in <= 36_000

    def test_the_tokens_are_numbered_in_the_order_of_their_exchanges(self, certn):
        assert [get_token(name).value[-2:] for name in ("a", "b", "a")] == ["-1", "-2", "-1"]
        assert certn.exchanges == 2

    def test_each_of_the_public_functions_has_it(self, certn):
        expected = {"Authorization": "Bearer fake-certn-token-1"}

        assert auth_headers() == async_to_sync(aauth_headers)() == expected
        assert async_to_sync(aget_token)() == tokens.get_token()
        assert tokens.stats()["default"]["exchanges"] == certn.exchanges == 1

    def test_what_was_asked_for_is_noted_and_no_value(self, certn):
        get_token()
        auth_headers("acme")
        async_to_sync(aget_token)("b")
        async_to_sync(aauth_headers)("c")
        verify("d")

        assert certn.calls == [
            ("token", "default"),
            ("headers", "acme"),
            ("token", "b"),
            ("headers", "c"),
            ("verify", "d"),
        ]
        assert certn.calls[0] == Call(kind="token", name="default")
        assert "fake-certn-token" not in repr(certn) + repr(certn.calls)

    def test_that_nobody_called_can_be_asserted(self, certn):
        assert certn.calls == []
        assert certn.exchanges == 0

    def test_an_api_key_has_a_header_and_no_token(self, certn):
        certn.api_key("acme")

        assert auth_headers("acme") == {"Authorization": "Api-Key fake-certn-api-key-1"}
        assert auth_headers("other") == {"Authorization": "Bearer fake-certn-token-1"}
        with pytest.raises(CertnConfigurationError, match="is an API key, which has no token"):
            get_token("acme")
        assert invalidate_token("acme", "whatever") is False

    def test_a_name_changes_its_kind_of_key_at_once(self, certn):
        get_token()
        certn.api_key()
        assert auth_headers()["Authorization"].startswith("Api-Key ")

    def test_a_token_is_replaced_as_in_production(self, certn):
        first = get_token()
        assert invalidate_token("default", first)
        second = get_token()
        assert second.value == "fake-certn-token-2"
        assert not invalidate_token("default", second)  # within a minute
        certn.advance(minutes=1, seconds=1)
        assert invalidate_token("default", get_token())

    def test_more_than_a_tokens_whole_life_is_one_exchange(self, certn):
        assert get_token(min_validity=99_999).expires_in <= 36_000
        assert certn.exchanges == 1

    def test_an_instance_stands_for_its_name_if_it_is_stored(self, certn, db):
        row = make_credential("acme")
        assert get_token(row) == get_token("acme")
        with pytest.raises(exceptions.CredentialNotFoundError, match="not stored"):
            get_token(CertnCredential(name="acme"))
        with pytest.raises(TypeError):
            get_token(7)

    @pytest.mark.parametrize("environment", ["production", "demo"])
    def test_no_row_is_read(self, certn, db, environment, django_assert_num_queries):
        row = make_credential(environment=environment)
        with django_assert_num_queries(0):
            assert base_url() == get_token(row).base_url == "https://certn.test"

    def test_a_name_is_the_same_under_each_tenant(self, certn, settings):
        settings.CERTN_TENANT = "tests.test_testing.changing_tenant"
        assert get_token() == get_token()
        assert async_to_sync(aget_token)() == get_token()


tenants = iter(range(1000))


def changing_tenant():
    return next(tenants)


VERBS = {
    "reject": (exceptions.CredentialRejectedError, "rejected", 401, "invalid_client"),
    "rate_limit": (exceptions.RateLimitedError, "rate_limited", 429, ""),
    "unavailable": (exceptions.CertnUnavailableError, "unreachable", 503, ""),
    "retire": (exceptions.EndpointRetiredError, "retired", 410, ""),
    "bad_response": (exceptions.InvalidTokenResponseError, "bad_response", 200, ""),
}


@pytest.mark.parametrize("verb", VERBS)
class TestEachFailure:
    def test_it_is_raised_at_once_and_until_recovery(self, certn, verb):
        kind, status, http_status, code = VERBS[verb]
        get_token()

        getattr(certn, verb)()
        for _ in range(3):
            with pytest.raises(kind) as caught:
                get_token()

        error = caught.value
        assert type(error) is kind
        assert (error.status, error.http_status, error.error_code) == (status, http_status, code)
        assert "'default'" in str(error)
        assert certn.exchanges == 2  # it is remembered
        certn.recover()
        assert get_token().value == "fake-certn-token-2"

    def test_a_coroutine_meets_it_too(self, certn, verb):
        getattr(certn, verb)("acme")
        with pytest.raises(VERBS[verb][0]):
            async_to_sync(aauth_headers)("acme")

    def test_it_is_met_a_number_of_times_and_not_remembered(self, certn, verb):
        get_token()

        getattr(certn, verb)(times=2)
        for _ in range(2):
            with pytest.raises(VERBS[verb][0]):
                get_token()

        assert get_token().value == "fake-certn-token-2"
        assert certn.exchanges == 4

    @pytest.mark.parametrize("has_api_key", [False, True])
    def test_it_is_the_outcome_of_a_verification(self, certn, verb, has_api_key):
        if has_api_key:
            certn.api_key()
        getattr(certn, verb)(times=1)

        first, second = verify("default"), verify("default")

        assert (first.status, first.http_status) == VERBS[verb][1:3]
        assert (second.status, second.http_status) == ("ok", 404 if has_api_key else 200)

    def test_it_is_for_one_name_or_for_all(self, certn, verb):
        kind = VERBS[verb][0]
        getattr(certn, verb)("acme")
        get_token("other")
        with pytest.raises(kind):
            get_token("acme")

        getattr(certn, verb)()
        certn.recover("acme")
        get_token("acme")
        with pytest.raises(kind):
            get_token("other")

    @pytest.mark.parametrize("name", [None, "acme"])
    def test_unmet_it_fails_when_the_test_ends(self, verb, name):
        said = rf"{verb}\({name!r}\) for 1\.".replace("None", "")
        with pytest.raises(AssertionError, match=said), fake_certn() as certn:
            getattr(certn, verb)(name, times=2)
            with pytest.raises(VERBS[verb][0]):
                get_token(name or "default")


class TestFailures:
    def test_several_follow_each_other(self, certn):
        certn.rate_limit(times=1)
        certn.unavailable(times=1)
        met = []
        for _ in range(2):
            with pytest.raises(exceptions.TokenError) as caught:
                get_token()
            met.append(caught.value.status)
        assert met == [Status.RATE_LIMITED, Status.UNREACHABLE]
        get_token()

    def test_a_wait_is_asked_for(self, certn):
        certn.rate_limit(retry_after=7)
        with pytest.raises(exceptions.RateLimitedError) as caught:
            get_token()
        assert caught.value.retry_after == 7
        assert verify("default").retry_after == 7

    def test_one_for_all_is_met_by_whoever_comes(self, certn):
        certn.recover("acme")
        certn.reject()  # all, so this one as well
        with pytest.raises(CredentialRejectedError):
            get_token("acme")

    def test_it_is_forgotten_in_time_as_in_production(self, certn):
        certn.reject()
        for _ in range(2):
            with pytest.raises(CredentialRejectedError):
                get_token()
            certn.advance(seconds=61)
        assert certn.exchanges == 2

    def test_another_exception_is_not_covered(self):
        with pytest.raises(ZeroDivisionError), fake_certn() as certn:
            certn.reject(times=1)
            _ = 1 / 0

    def test_what_was_prepared_can_be_withdrawn(self):
        for end in (FakeCertn.recover, FakeCertn.reject):
            with fake_certn() as certn:
                certn.unavailable(times=1)
                certn.unavailable("acme", times=1)
                end(certn)

    @pytest.mark.parametrize("times", [0, -1, True, 1.5])
    def test_it_is_met_once_at_least(self, certn, times):
        with pytest.raises(ValueError, match="times"):
            certn.reject(times=times)

    def test_a_renewal_that_fails_leaves_the_token_in_force(self, certn):
        first = get_token()
        certn.advance(hours=9, minutes=12)
        certn._endpoint.failures.add(None, answer_of("unavailable"), 1)  # and nothing is forgotten
        for _ in range(3):
            assert get_token() == first
        assert certn.exchanges == 2
        certn.advance(minutes=5)
        assert get_token() == first  # this call begins another
        assert get_token().value == "fake-certn-token-2"

    def test_the_header_of_an_api_key_takes_no_request(self, certn):
        certn.api_key()
        certn.reject()
        assert auth_headers()


class TestTime:
    def test_a_token_ends(self, certn):
        first = get_token()
        certn.advance(hours=5)
        assert 17_990 < get_token().expires_in < 18_001
        certn.advance(hours=5)
        assert first.expires_in < 0
        assert get_token().value == "fake-certn-token-2"

    def test_all_units(self, certn):
        token = get_token()
        certn.advance(days=1, hours=1, minutes=1, seconds=1)
        assert -54_061 - 10 < token.expires_in - 0 <= 36_000 - 90_061

    def test_it_goes_forward_alone(self, certn):
        with pytest.raises(ValueError, match="forward"):
            certn.advance(seconds=-1)


def answering(certn, seen):
    """What a mock of Certn's API does: 401 unless the header is in force."""

    def answer(request):
        header = request.headers["Authorization"]
        seen.append(header)
        return 200 if certn.accepts(header) else 401

    return answer


@pytest.mark.parametrize("has_api_key", [False, True])
class TestCalls:
    """The calls themselves are mocked; after a 401 there is another key or token, once."""

    def expected(self, has_api_key):
        first, second = (
            ("Api-Key fake-certn-api-key-1", "Api-Key fake-certn-api-key-2")
            if has_api_key
            else ("Bearer fake-certn-token-1", "Bearer fake-certn-token-2")
        )
        return [first, first, second]

    def run(self, certn, call, has_api_key):
        if has_api_key:
            certn.api_key()
        assert call() == 200
        certn.kill_token()
        assert call() == 200

    @responses.activate
    def test_requests(self, certn, has_api_key):
        seen = []
        answer = answering(certn, seen)
        responses.add_callback("GET", URL, lambda request: (answer(request), {}, "{}"))
        self.run(
            certn, lambda: requests.get(URL, auth=CertnAuth(), timeout=5).status_code, has_api_key
        )
        assert seen == self.expected(has_api_key)

    @responses.activate
    def test_a_session(self, certn, has_api_key):
        seen = []
        answer = answering(certn, seen)
        responses.add_callback("GET", URL, lambda request: (answer(request), {}, "{}"))
        with CertnSession() as session:
            self.run(certn, lambda: session.get("/api/v1/users/").status_code, has_api_key)
        assert seen == self.expected(has_api_key)

    def test_httpx(self, certn, has_api_key):
        seen = []
        answer = answering(certn, seen)
        transport = httpx.MockTransport(lambda request: httpx.Response(answer(request)))
        with httpx.Client(transport=transport, auth=HttpxCertnAuth()) as client:
            self.run(certn, lambda: client.get(URL).status_code, has_api_key)
        assert seen == self.expected(has_api_key)

    def test_httpx_in_a_coroutine(self, certn, has_api_key):
        seen = []
        answer = answering(certn, seen)
        transport = httpx.MockTransport(lambda request: httpx.Response(answer(request)))

        async def get():
            async with httpx.AsyncClient(transport=transport, auth=HttpxCertnAuth()) as client:
                return (await client.get(URL)).status_code

        self.run(certn, async_to_sync(get), has_api_key)
        assert seen == self.expected(has_api_key)


class TestWhatCertnAccepts:
    def test_what_is_in_force(self, certn):
        certn.api_key("acme")
        for name in ("acme", "other"):
            header = auth_headers(name)["Authorization"]
            assert certn.accepts(header)
            certn.kill_token(name)
            assert not certn.accepts(header)
            assert auth_headers(name)["Authorization"] == header  # nobody told the site

    def test_of_one_name_alone(self, certn):
        headers = [auth_headers(name)["Authorization"] for name in ("a", "b")]
        certn.kill_token("a")
        assert [certn.accepts(header) for header in headers] == [False, True]

    def test_nothing_else(self, certn):
        header = auth_headers()["Authorization"]
        for other in ("", "Bearer", "Bearer ", "Bearer another", header.replace("Bearer", "Basic")):
            assert not certn.accepts(other)
        certn.advance(hours=10)
        assert not certn.accepts(header)


class TestVerifications:
    def test_it_needs_no_row_and_no_database(self, certn):
        heard = []

        def listener(**kwargs):
            heard.append(kwargs)

        credential_verified.connect(listener)
        try:
            outcome = verify("acme")
        finally:
            credential_verified.disconnect(listener)

        assert (outcome.name, outcome.ok, outcome.expires_in) == ("acme", True, 36_000)
        assert [each["verification"] for each in heard] == [outcome]
        assert certn.exchanges == 1

    def test_nor_does_a_coroutine(self, certn):
        assert async_to_sync(averify)("acme").ok

    def test_where_there_is_a_database_nothing_is_stored(self, certn, db):
        certn.reject()
        assert verify("acme").status == "rejected"
        assert not CertnCredential.objects.exists()

    def test_the_outcome_is_recorded_where_there_is_a_row(self, certn, db):
        row = make_credential("acme", environment="production")
        changes = []

        def listener(**kwargs):
            changes.append((kwargs["previous_status"], kwargs["verification"].status))

        credential_status_changed.connect(listener)
        try:
            outcome = verify("acme")
            certn.reject()
            verify(row)
        finally:
            credential_status_changed.disconnect(listener)

        assert outcome.environment == "production"
        assert changes == [("", "ok"), ("ok", "rejected")]
        assert row.verified_status == CertnCredential.objects.get().verified_status == "rejected"

    def test_the_fresh_token_is_the_one_in_force(self, certn, db):
        make_credential()
        get_token()
        verify("default")
        assert get_token().value == "fake-certn-token-2"
        certn.reject()
        assert not verify("default").ok
        certn.recover()
        assert verify("default").ok
        assert get_token().value == "fake-certn-token-3"

    def test_a_row_of_an_api_key_is_checked_as_one(self, certn, db):
        make_credential(environment="centric-ca")
        outcome = verify("default")
        assert (outcome.status, outcome.http_status, outcome.expires_in) == ("ok", 404, None)
        assert certn.exchanges == 0
        assert CertnCredential.objects.get().verified_status == "ok"

    def test_a_row_that_cannot_be_used_is_found_out(self, certn, db):
        row = make_credential()
        CertnCredential.objects.update(environment="gone")
        outcome = verify(row)
        assert (outcome.status, outcome.error_code) == ("misconfigured", "environment")
        assert certn.calls == []

    def test_the_command_asks_the_fake(self, certn, db):
        make_credential()
        make_credential("acme", environment="centric-uk")
        certn.reject("acme")
        out = StringIO()
        with pytest.raises(CommandError, match="acme"):
            call_command("certn_check", stdout=out)
        assert "acme (centric-uk): rejected" in out.getvalue()
        assert "default (demo): ok" in out.getvalue()
        assert {call.kind for call in certn.calls} == {"verify"}

    def test_its_probe_goes_to_nobody_else(self, certn, db, monkeypatch):
        make_credential(environment="production")
        sent = []

        def fetch(session, request, *, timeout):
            sent.append(request.url)
            return Answer(200, {}, b'{"count": 3}')

        monkeypatch.setattr(probe, "fetch", fetch)
        out = StringIO()
        call_command("certn_check", "--probe", stdout=out)
        assert sent == ["https://certn.test/api/v1/users/"]
        assert "3" in out.getvalue()

    def test_a_key_that_is_set_is_verified_by_the_fake(self, certn, db, monkeypatch):
        monkeypatch.setenv("FAKE_SECRET", "fake-secret")
        arguments = ["certn_set_key", "acme", "--environment=production", "--client-id=fake-id"]
        certn.reject(times=1)
        with pytest.raises(CommandError, match="rejected"):
            call_command(*arguments, "--secret-env=FAKE_SECRET", stdout=StringIO())
        assert not CertnCredential.objects.exists()
        call_command(*arguments, "--secret-env=FAKE_SECRET", stdout=StringIO())
        assert CertnCredential.objects.get().verified_status == "ok"

    def test_save_and_verify_in_the_admin(self, certn, admin_client):
        certn.reject()
        url = reverse("admin:django_certn_certncredential_add")
        form = {
            "name": "acme",
            "environment": "production",
            "client_id": "fake-id",
            "secret": "fake-secret-0123456789",
            "is_active": "on",
            "_verify": "1",
        }
        page = admin_client.post(url, form, follow=True)
        assert CertnCredential.objects.get().verified_status == "rejected"
        assert "rejected" in page.content.decode().lower()
        assert certn.calls == [("verify", "acme")]


class TestRows:
    def test_it_is_stored_with_a_fake_key(self, db):
        row = make_credential()
        stored = CertnCredential.objects.get()
        assert (stored.pk, stored.name, stored.environment) == (row.pk, "default", "demo")
        assert stored.client_id
        assert stored.client_secret

    def test_an_api_key_has_no_client_id(self, db):
        make_credential("acme", environment="centric-ca", is_active=False)
        stored = CertnCredential.objects.get()
        stored.full_clean()
        assert (stored.client_id, stored.is_active) == ("", False)


class TestItsPlace:
    def test_it_is_there_and_gone(self):
        service = installed()
        with fake_certn():
            assert installed() is not service
        assert installed() is service

    def test_nested_each_has_its_own(self):
        with fake_certn() as outer:
            get_token()
            with fake_certn() as inner:
                assert get_token().value == "fake-certn-token-1"
            get_token()
        assert (outer.exchanges, inner.exchanges) == (1, 1)
        assert (len(outer.calls), len(inner.calls)) == (2, 1)

    def test_one_that_is_used_again_is_another(self):
        faking = fake_certn()
        for _ in range(2):
            with faking as certn:
                get_token()
                assert certn.exchanges == 1

    def test_one_may_be_entered_within_itself(self):
        faking = fake_certn()
        with faking as outer, faking as inner:
            get_token()
        assert (outer.exchanges, inner.exchanges) == (0, 1)

    def test_each_takes_away_its_own_in_any_order(self):
        service = installed()
        first, second, third = fake_certn(), fake_certn(), fake_certn()
        for each in (first, second, third):
            each.enable()
        top = installed()

        second.disable()
        first.disable()
        assert installed() is top
        third.disable()
        assert installed() is service

    def test_what_was_not_entered_or_was_left_cannot_be_left(self):
        faking = fake_certn()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="was not entered"):
                faking.disable()
            with faking:
                pass

    def test_it_takes_away_no_other_service(self):
        faking = fake_certn()
        faking.enable()
        other = TokenService()
        earlier = install(other)
        try:
            with pytest.raises(RuntimeError, match="Another token service"):
                faking.disable()
            assert installed() is other
        finally:
            install(earlier.beneath)

    def test_it_goes_when_an_exception_passes(self):
        service = installed()
        with pytest.raises(CredentialRejectedError), fake_certn() as certn:
            certn.reject()
            get_token()
        assert installed() is service

    def test_a_thousand_leave_nothing(self):
        def enter(times):
            for number in range(times):
                with fake_certn() as certn:
                    get_token()
                    if number % 10 == 0:
                        certn.reject()
                        with pytest.raises(CredentialRejectedError):
                            get_token()
            gc.collect()
            # By its type: isinstance() would ask a lazy object that another test left.
            services = sum(issubclass(type(each), TokenService) for each in gc.get_objects())
            return services, threading.active_count()

        services, threads = enter(1)  # what another test has started may end meanwhile
        after = enter(1000)
        assert after[0] == services
        assert after[1] <= threads

    def test_it_loads_nothing_in_the_background(self, monkeypatch):
        monkeypatch.delitem(sys.modules, "django_certn.oauth", raising=False)
        monkeypatch.setattr(exchange, "preloading", preloading := threading.Event())
        monkeypatch.setattr(fake_service, "preloading", preloading)
        monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail(thread.name))
        with fake_certn():
            auth_headers()
            get_token()

    def test_the_service_beneath_hears_of_what_makes_its_memos_wrong(self, db, monkeypatch):
        heard = []
        beneath = TokenService()
        monkeypatch.setattr(beneath, "credential_changed", lambda *a, **k: heard.append("row"))
        monkeypatch.setattr(beneath, "clear", lambda: heard.append("settings"))
        monkeypatch.setattr(beneath, "after_fork", lambda: heard.append("fork"))
        earlier = install(beneath)
        try:
            with fake_certn(), fake_certn():
                get_token()
                make_credential().delete()
                with override_settings(CERTN_REQUEST_TIMEOUT=3):
                    assert get_token().value == "fake-certn-token-1"
                installed().after_fork()
        finally:
            install(earlier)
        assert heard == ["row", "row", "settings", "settings", "fork"]

    def test_threads_use_it_too(self, certn):
        found = []

        def work():
            found.append(get_token().value)

        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["fake-certn-token-1"] * 20
        assert (certn.exchanges, len(certn.calls)) == (1, 20)

    def test_a_thousand_coroutines_share_one_exchange(self, certn):
        async def main():
            return await asyncio.gather(*(aget_token() for _ in range(1000)))

        assert len(set(map(id, async_to_sync(main)()))) == 1
        assert certn.exchanges == 1

    def test_it_logs_nothing_of_an_exchange(self, certn, caplog):
        with caplog.at_level(logging.DEBUG, "django_certn"):
            get_token()
        assert not caplog.records

    def test_out_of_a_test_run_it_refuses(self, monkeypatch):
        plugin = import_module("django_certn.pytest_plugin")
        monkeypatch.delattr(_TestState, "saved_data")
        monkeypatch.setattr(plugin, "running", 0)
        monkeypatch.setenv("PYTEST_VERSION", "9")  # which a server inherits that a test starts
        service = installed()
        with pytest.raises(RuntimeError, match="this is no test run"):
            fake_certn().enable()
        assert installed() is service

        monkeypatch.setattr(plugin, "running", 1)
        with fake_certn():
            pass


class TestFunctions:
    def test_it_decorates_one(self):
        @fake_certn()
        def function(one, *, two):
            """Says so."""
            return get_token().value, one, two

        assert function(1, two=2) == function(1, two=2) == ("fake-certn-token-1", 1, 2)
        assert function.__doc__ == "Says so."
        assert [*inspect.signature(function).parameters] == ["one", "two"]

    def test_which_gets_it_by_name_and_asks_nobody_else_for_it(self):
        @fake_certn(kwarg_name="fake")
        def function(other, fake):
            get_token()
            return other, fake.exchanges

        assert function(3) == (3, 1)
        assert [*inspect.signature(function).parameters] == ["other"]

    def test_it_decorates_a_coroutine_function_for_as_long_as_that_takes(self):
        @fake_certn(kwarg_name="certn")
        async def function(certn):
            await asyncio.sleep(0)
            await aget_token()
            return certn.exchanges

        async def main():
            coroutine = function()
            assert installed() is service
            return await coroutine

        service = installed()
        assert async_to_sync(main)() == 1

    def test_calls_within_a_call_have_fakes_of_their_own(self):
        @fake_certn(kwarg_name="certn")
        def function(depth, certn):
            get_token()
            return [certn.exchanges, *(function(depth - 1) if depth else [])]

        assert function(3) == [1, 1, 1, 1]

    def test_calls_at_the_same_time_do_not_mix(self):
        """The first to come is the first to leave, and has prepared what is not met."""
        come, gone = asyncio.Event(), asyncio.Event()

        @fake_certn(kwarg_name="certn")
        async def function(is_first, certn):
            if is_first:
                certn.reject(times=1)
                await come.wait()
            else:
                come.set()
                await gone.wait()
                await aget_token()
            return certn.exchanges

        async def first():
            try:
                return await function(True)
            finally:
                gone.set()

        async def main():
            return await asyncio.gather(first(), function(False), return_exceptions=True)

        error, exchanges = async_to_sync(main)()
        assert isinstance(error, AssertionError)
        assert exchanges == 1

    def test_a_generator_is_told_of_the_fixture(self):
        def generator():
            yield

        async def asynchronous():
            yield

        for function in (generator, asynchronous):
            with pytest.raises(TypeError, match="fixture `certn`"):
                fake_certn()(function)

    def test_a_class_that_is_no_test_case_is_told_of_the_fixture(self):
        class TestPlain:
            pass

        with pytest.raises(TypeError, match="usefixtures"):
            fake_certn()(TestPlain)

    def test_what_is_neither_is_refused(self):
        with pytest.raises(TypeError):
            fake_certn()("text")


def run(case):
    """Run a test case and return what failed."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun or result.errors
    return [text.strip().rpartition("\n")[2] for _, text in result.failures + result.errors]


class TestTestCases:
    def test_each_test_has_its_own_and_the_class_another(self, db):
        seen = []

        @fake_certn()
        class Case(TestCase):
            @classmethod
            def setUpTestData(cls):
                cls.token = get_token("data").value
                seen.append(cls.certn)

            def setUp(self):
                auth_headers()

            def test_one(self):
                seen.append(self.certn)
                assert self.token == "fake-certn-token-1"
                assert self.certn.calls == [("headers", "default")]

            test_two = test_one

        service = installed()
        assert run(Case) == []
        assert installed() is service
        assert len({id(each) for each in seen}) == 3

    def test_one_that_inherits_has_it_too(self):
        @fake_certn(attr_name="fake")
        class Base(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                cls.name = cls.__name__

        class Case(Base):
            def test_it(self):
                assert get_token().value == "fake-certn-token-1"
                assert self.fake.exchanges == 1
                assert self.name == "Case"

        assert run(Case) == []

    def test_a_coroutine(self):
        @fake_certn()
        class Case(SimpleTestCase):
            async def test_it(self):
                await aget_token()
                assert self.certn.exchanges == 1

        assert run(Case) == []

    def test_it_goes_when_the_class_cannot_be_set_up(self):
        @fake_certn()
        class Case(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise ZeroDivisionError

            def test_it(self):
                pass

        assert run(Case) == ["ZeroDivisionError"]
        assert context.entered == []

    def test_what_was_prepared_and_not_met_fails_unless_the_test_has(self):
        @fake_certn()
        class Case(unittest.TestCase):
            def test_unmet(self):
                self.certn.reject(times=1)

            def test_failed(self):
                self.certn.reject(times=1)
                raise ZeroDivisionError

            @unittest.expectedFailure
            def test_failed_as_expected(self):
                self.certn.reject(times=1)
                raise ZeroDivisionError

            def test_skipped(self):
                self.certn.reject(times=1)
                self.skipTest("for a reason")

        unmet, failed = sorted(run(Case))
        assert unmet.startswith("AssertionError: Failures were prepared")
        assert unmet.endswith("reject() for 1.")
        assert failed == "ZeroDivisionError"

    def test_a_process_of_djangos_parallel_runner_tells_a_skip_from_a_pass(self):
        @fake_certn()
        class Case(SimpleTestCase):
            def test_skipped(self):
                self.certn.reject(times=1)
                self.skipTest("for a reason")

        result = RemoteTestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
        assert {"addSkip", "addError", "addFailure"} & {event[0] for event in result.events} == {
            "addSkip"
        }


class TestALiveServer:
    def test_its_threads_use_the_fake(self, certn, live_server, settings):
        settings.ROOT_URLCONF = "tests.test_testing"
        answer = requests.get(f"{live_server.url}/token/", timeout=10)
        assert answer.text == "fake-certn-token-1"
        assert certn.calls == [("token", "default")]


def token_view(request):
    from django.http import HttpResponse

    connection.close()
    return HttpResponse(get_token().value)


def urlpatterns_of():
    from django.urls import path

    return [path("token/", token_view)]


urlpatterns = urlpatterns_of()
