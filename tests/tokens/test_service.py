"""The token service in one process, on clocks that the tests move."""

import contextvars
import itertools
import math
import threading
import time
from datetime import UTC, datetime

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_certn import tokens
from django_certn.conf import Environment, Scheme
from django_certn.exceptions import (
    CertnConfigurationError,
    CertnUnavailableError,
    CredentialInactiveError,
    CredentialNotFoundError,
    CredentialRejectedError,
    CredentialUndecryptableError,
    InvalidTokenResponseError,
    RateLimitedError,
)
from django_certn.models import CertnCredential
from django_certn.tokens.shared_cache import slot_of
from django_certn.tokens.tenant import Place, Row
from tests.tokens.conftest import key, settle, wait_until

HOURS = 3600.0


class RollBackError(Exception):
    pass


def values(service, count=3, **options):
    return {str(service.get_token(**options).value) for _ in range(count)}


# At hand


def test_a_hundred_calls_are_one_exchange(service, credential, exchanges):
    assert values(service, 100) == {"fake-token-1"}
    assert exchanges.count == 1


def test_a_token_at_hand_costs_no_query_no_cache_call_and_no_lock(
    service, credential, django_assert_num_queries, monkeypatch
):
    service.get_token()
    monkeypatch.setattr(LocMemCache, "get_many", None)
    with django_assert_num_queries(0):
        service.get_token()


def test_the_public_functions_are_those_of_the_service():
    assert tokens.get_token == tokens.service.get_token
    assert tokens.stats == tokens.service.stats


def test_an_exchange_gets_the_budget_or_what_is_left(service, credential, exchanges, settings):
    settings.CERTN_REQUEST_TIMEOUT = 7.0
    service.get_token()
    assert exchanges.calls[-1][1] == 7.0
    service.clear()
    cache.clear()
    service.get_token(timeout=3.0)
    assert exchanges.calls[-1][1] == 3.0


def test_a_budget_that_was_cut_short_tells_others_nothing(service, credential, exchanges):
    exchanges.takes = 5.0
    with pytest.raises(CertnUnavailableError):
        service.get_token(timeout=3.0)
    assert service.get_token().value == "fake-token-1"
    assert exchanges.count == 2


def test_a_network_that_fails_at_once_is_not_tried_until_the_time_is_up(
    service, credential, exchanges
):
    exchanges.answer = CertnUnavailableError("fake: refused")
    for _ in range(2):
        with pytest.raises(CertnUnavailableError):
            service.get_token(timeout=3.0)
    assert exchanges.count == 1


def test_a_timeout_may_be_longer_than_threads_can_wait(service, credential):
    assert service.get_token(timeout=math.inf).value == "fake-token-1"


def test_a_caller_waits_no_longer_than_its_timeout(service, credential, exchanges):
    exchanges.hold = threading.Event()
    try:
        with pytest.raises(CertnUnavailableError, match=r"'default' within 0\.05 seconds"):
            service.get_token(timeout=0.05)
    finally:
        exchanges.hold.set()
        settle()


# The row


def test_an_unknown_name_never_falls_back(service, credential):
    service.get_token()
    with pytest.raises(CredentialNotFoundError, match="'acme'"):
        service.get_token("acme")


def test_an_inactive_credential_gets_none(service, credential, exchanges):
    service.get_token()
    credential.is_active = False
    credential.save()
    with pytest.raises(CredentialInactiveError, match="'default'"):
        service.get_token()
    assert exchanges.count == 1


def test_an_unreadable_secret_is_sent_nowhere(service, credential, exchanges, settings):
    service.get_token()
    settings.FIELD_ENCRYPTION_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
    with pytest.raises(CredentialUndecryptableError):
        service.get_token()
    assert exchanges.count == 1


@pytest.mark.parametrize(
    ("name", "value"), [("CERTN_CACHE_ALIAS", "nowhere"), ("CERTN_REQUEST_TIMEOUT", "soon")]
)
def test_a_setting_that_is_wrong_is_named(service, credential, settings, name, value):
    setattr(settings, name, value)
    for _ in range(2):
        with pytest.raises(CertnConfigurationError, match=name):
            service.get_token()


def test_a_credential_stands_for_its_row(service, credential, exchanges):
    credential.client_secret = "fake-in-memory-only"
    assert service.get_token(credential).value == "fake-token-1"
    assert service.get_token(credential).value == "fake-token-1"
    assert exchanges.calls[0][0].client_secret == "fake-secret-0123456789"
    assert exchanges.count == 1


def test_a_credential_at_hand_costs_no_query_either(service, credential, django_assert_num_queries):
    token = service.get_token(credential)
    with django_assert_num_queries(0):
        assert service.get_token(credential) is token


def test_an_unsaved_credential_has_no_row(service, credential):
    with pytest.raises(CredentialNotFoundError):
        service.get_token(CertnCredential(name="default"))


def test_another_secret_gets_another_token_at_once(service, credential):
    assert values(service) == {"fake-token-1"}
    credential.client_secret = "fake-rotated"
    credential.save()
    assert values(service) == {"fake-token-2"}


def test_the_earlier_secret_finds_its_own_token_again(service, credential):
    service.get_token()
    secret = credential.client_secret
    for text, token in (("fake-rotated", "fake-token-2"), (secret, "fake-token-1")):
        credential.client_secret = text
        credential.save()
        assert values(service) == {token}


def test_an_update_is_seen_at_the_next_look(service, credential, time_):
    service.get_token()
    CertnCredential.objects.update(client_secret="fake-rotated")
    time_.pass_(12.1)
    assert values(service) == {"fake-token-2"}


def test_a_memo_is_as_old_as_the_look_at_the_row(service, credential, exchanges, time_):
    exchanges.takes = 9.0  # and the secret is rotated meanwhile
    assert values(service) == {"fake-token-1"}
    CertnCredential.objects.update(client_secret="fake-rotated")
    time_.pass_(3.1)  # 12.1 seconds after the look
    assert values(service) == {"fake-token-2"}


def test_a_deleted_credential_is_gone(service, credential):
    service.get_token()
    credential.delete()
    with pytest.raises(CredentialNotFoundError):
        service.get_token()


def test_the_row_is_looked_at_every_ten_seconds(service, credential, time_):
    service.get_token()
    for seconds, queries in ((9.9, 0), (0.2, 1), (9.7, 0)):
        time_.pass_(seconds)
        with CaptureQueriesContext(connection) as captured:
            service.get_token()
        assert len(captured) == queries
        settle()


def test_while_the_database_is_down_a_valid_token_is_served(
    service, credential, time_, monkeypatch
):
    service.get_token()
    time_.pass_(60)

    tries = []

    def down(*args):
        tries.append(args)
        raise DatabaseError

    monkeypatch.setattr(CertnCredential.objects, "stored", down)
    assert values(service, 10) == {"fake-token-1"}
    assert len(tries) == 1  # each of them may take as long as a time limit
    time_.pass_(12.1)
    assert values(service, 10) == {"fake-token-1"}
    assert len(tries) == 2
    time_.pass_(10 * HOURS)
    with pytest.raises(DatabaseError):
        service.get_token()


# Transactions


def test_what_a_rolled_back_transaction_saved_leaves_no_memo(service, credential):
    service.get_token()
    with pytest.raises(RollBackError), transaction.atomic():
        credential.client_secret = "fake-never-committed"
        credential.save()
        assert values(service) == {"fake-token-2"}
        raise RollBackError
    assert values(service) == {"fake-token-1"}


def test_what_a_rolled_back_transaction_wrote_without_a_signal_leaves_no_memo(service, db):
    with pytest.raises(RollBackError), transaction.atomic():
        CertnCredential.objects.bulk_create(
            [CertnCredential(environment="demo", client_id="fake-id", client_secret="fake")]
        )
        service.get_token()
        raise RollBackError
    with pytest.raises(CredentialNotFoundError):
        service.get_token()


def test_a_row_that_was_loaded_in_part_is_saved_and_deleted(
    service, credential, django_assert_num_queries
):
    service.get_token()
    part = CertnCredential.objects.only("name").get()
    with django_assert_num_queries(1):
        part.save(update_fields=["name"])
    part.delete()
    with pytest.raises(CredentialNotFoundError):
        service.get_token()


def test_a_callback_that_a_test_executes_is_no_commit(
    service, db, django_capture_on_commit_callbacks
):
    with pytest.raises(RollBackError), transaction.atomic():
        CertnCredential.objects.create(environment="demo", client_id="fake", client_secret="fake")
        with django_capture_on_commit_callbacks(execute=True):
            service.get_token()
        raise RollBackError
    with pytest.raises(CredentialNotFoundError):
        service.get_token()


@pytest.mark.django_db(transaction=True)
def test_a_memo_outlives_the_transaction_that_committed(service, credential):
    with transaction.atomic():
        service.get_token()
    with CaptureQueriesContext(connection) as queries:
        service.get_token()
    assert len(queries) == 0


# Settings


def test_other_settings_clear_the_memos(service, credential, settings):
    service.get_token()
    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://127.0.0.1:10"}}
    assert values(service) == {"fake-token-2"}


# The shared cache


def entry_of(credential):
    return cache.get(slot_of(credential.key()))


def test_another_process_finds_the_token_in_the_cache(new_service, credential, exchanges):
    assert new_service().get_token().value == "fake-token-1"
    assert new_service().get_token().value == "fake-token-1"
    assert exchanges.count == 1


def test_the_entry_does_not_show_the_token(service, credential):
    token = service.get_token()
    text = entry_of(credential)
    assert isinstance(text, str)
    assert token.value not in text
    assert credential.client_secret.reveal() not in slot_of(credential.key())


def test_the_cache_key_suits_every_backend(credential):
    slot = slot_of(credential.key())
    assert slot.replace(":", "").isalnum()
    assert len(slot) < 50


@pytest.mark.parametrize("found", ["", "gAAAAA", "not a token", 7, None, {"token": "fake"}])
def test_an_entry_that_cannot_be_read_is_a_miss(new_service, credential, exchanges, found):
    new_service().get_token()
    cache.set(slot_of(credential.key()), found)
    assert new_service().get_token().value == "fake-token-2"


def test_an_entry_under_a_dropped_encryption_key_is_a_miss(
    new_service, credential, exchanges, settings
):
    old, new = settings.FIELD_ENCRYPTION_KEY, "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
    new_service().get_token()
    settings.FIELD_ENCRYPTION_KEY = [new, old]
    assert new_service().get_token().value == "fake-token-1"
    CertnCredential.objects.get().save()  # under the new key
    settings.FIELD_ENCRYPTION_KEY = new
    assert new_service().get_token().value == "fake-token-2"


def test_a_process_puts_back_what_the_cache_lost(new_service, credential, time_, exchanges):
    service = new_service()
    service.get_token()
    cache.clear()
    time_.pass_(13)
    service.get_token()
    settle()
    assert new_service().get_token().value == "fake-token-1"
    assert exchanges.count == 1


def test_the_token_cache_may_be_another_than_the_default(service, credential, settings):
    settings.CACHES = {
        **settings.CACHES,
        "tokens": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "tokens",
        },
    }
    settings.CERTN_CACHE_ALIAS = "tokens"
    service.get_token()
    assert entry_of(credential) is None
    assert caches["tokens"].get(slot_of(credential.key()))


# The lock


def test_the_lock_outlives_the_exchange_and_is_a_whole_number(
    service, credential, settings, monkeypatch
):
    settings.CERTN_REQUEST_TIMEOUT = 2.5
    kept = []
    monkeypatch.setattr(
        type(caches["default"]), "add", lambda self, key, value, timeout: kept.append(timeout)
    )
    service.get_token()
    assert kept[0] == 5
    assert isinstance(kept[0], int)


@pytest.mark.parametrize("added", [None, False])  # django-redis, pymemcache
def test_a_client_that_hides_its_errors_is_a_cache_that_is_down(
    service, credential, exchanges, monkeypatch, added
):
    monkeypatch.setattr(type(caches["default"]), "add", lambda self, *args, **kwargs: added)
    monkeypatch.setattr(type(caches["default"]), "set", lambda self, *args, **kwargs: added)
    assert values(service) == {"fake-token-1"}
    service.forget_memos()
    assert values(service) == {"fake-token-1"}
    assert service.service.shared.worker.is_open
    assert exchanges.count == 1


# The end of a token


def test_a_token_is_renewed_early_by_one_and_nobody_waits(service, credential, exchanges, time_):
    service.get_token()
    time_.pass_(9 * HOURS)
    exchanges.hold = threading.Event()
    time_.pass_(8 * 60)  # within the last hour of ten, past the jittered moment
    try:
        assert values(service) == {"fake-token-1"}
    finally:
        exchanges.hold.set()
        settle()
    assert values(service) == {"fake-token-2"}
    assert exchanges.count == 2


def test_a_new_process_does_not_wait_for_a_renewal_either(
    new_service, credential, exchanges, time_
):
    new_service().get_token()
    time_.pass_(9.2 * HOURS)
    exchanges.answer = CertnUnavailableError("fake: it would wait for this")
    assert values(new_service()) == {"fake-token-1"}
    assert exchanges.count == 1


def test_a_renewal_that_another_process_makes_is_left_to_it(service, credential, exchanges, time_):
    service.get_token()
    time_.pass_(9.2 * HOURS)
    cache.set(slot_of(credential.key()) + ":lock", "of another process")
    assert values(service) == {"fake-token-1"}
    settle()
    assert exchanges.count == 1
    assert time_.slept == []


def test_a_life_of_a_minute_is_renewed_early_as_well(service, credential, exchanges, time_):
    exchanges.answer = 60.0
    service.get_token()
    for seconds in (50, 5, 3):  # it is due at 54.75, and handed out until 57
        time_.pass_(seconds)
        service.get_token()
        settle()
    assert values(service) == {"fake-token-2"}
    assert service.stats()["default"]["waits"] == 1


def test_a_renewal_that_fails_serves_what_another_process_got(
    new_service, credential, exchanges, time_
):
    service, other = new_service(), new_service()
    service.get_token()
    time_.pass_(9.2 * HOURS)
    exchanges.answer = CertnUnavailableError("fake", http_status=503)
    exchanges.hold = threading.Event()
    service.get_token()
    assert wait_until(lambda: exchanges.count == 2)  # the renewal, which is held up
    hold, exchanges.hold, exchanges.answer = exchanges.hold, None, 36000.0
    other.verify(credential.key())
    exchanges.answer = CertnUnavailableError("fake", http_status=503)
    hold.set()
    settle()
    assert values(service) == {"fake-token-2"}


def test_a_renewal_that_fails_backs_off(new_service, credential, exchanges, time_):
    service, other = new_service(), new_service()
    service.get_token()
    other.get_token()
    exchanges.answer = RateLimitedError("fake", http_status=429, retry_after=200)
    time_.pass_(9.2 * HOURS)
    for _ in range(8):
        for each in (service, other):
            assert values(each) == {"fake-token-1"}
            settle()
        time_.pass_(20)
    assert exchanges.count == 2
    time_.pass_(60)  # 220 seconds after it failed
    values(service)
    settle()
    assert exchanges.count == 3


def test_a_token_is_not_handed_out_in_its_last_minute(service, credential, exchanges, time_):
    service.get_token()
    exchanges.answer = CertnUnavailableError("fake", http_status=503)
    time_.pass_(10 * HOURS - 61)
    assert values(service) == {"fake-token-1"}
    settle()
    time_.pass_(2)
    with pytest.raises(CertnUnavailableError):
        service.get_token()


def test_a_life_of_seconds_is_used_too(service, credential, exchanges, time_):
    exchanges.answer = 5.0
    assert values(service) == {"fake-token-1"}
    time_.pass_(4)
    assert values(service) == {"fake-token-1"}
    time_.pass_(2)
    assert values(service) == {"fake-token-2"}


def test_min_validity_is_what_the_token_still_lives(service, credential, exchanges, time_):
    service.get_token()
    assert values(service, min_validity=9 * HOURS) == {"fake-token-1"}
    time_.pass_(2 * HOURS)
    assert values(service) == {"fake-token-1"}
    settle()
    assert values(service, min_validity=9 * HOURS) == {"fake-token-2"}
    assert exchanges.count == 2


def test_more_than_a_whole_life_is_met_by_one_exchange_a_minute(
    service, credential, exchanges, time_
):
    assert values(service, 10, min_validity=11 * HOURS) == {"fake-token-1"}
    assert exchanges.count == 1
    time_.pass_(61)
    cache.delete(slot_of(credential.key()) + ":forced")  # LocMem has a clock of its own
    assert values(service, 10, min_validity=11 * HOURS) == {"fake-token-2"}
    assert exchanges.count == 2


def test_expiry_is_in_time_of_the_wall(service, credential, time_):
    token = service.get_token()
    assert token.expires_at == datetime.fromtimestamp(time_.wall + 10 * HOURS, UTC)


# Failures


def test_a_rejected_key_is_remembered_for_a_minute(new_service, credential, exchanges, time_):
    exchanges.answer = CredentialRejectedError("fake", http_status=401, error_code="invalid_client")
    for service in (new_service(), new_service()):
        for _ in range(3):
            with pytest.raises(CredentialRejectedError) as raised:
                service.get_token()
            assert raised.value.http_status == 401
            assert raised.value.error_code == "invalid_client"
    assert exchanges.count == 1


def test_an_error_that_nobody_foresaw_is_no_storm_of_exchanges(service, credential, exchanges):
    """A filter of the log that fails, say, when the answer is there already."""
    exchanges.answer = ZeroDivisionError("fake")
    for _ in range(10):
        with pytest.raises(InvalidTokenResponseError, match="ZeroDivisionError") as raised:
            service.get_token()
    assert raised.value.error_code == "ZeroDivisionError"
    assert exchanges.count == 1


def test_nor_is_it_one_when_a_token_is_renewed(service, credential, exchanges, time_):
    service.get_token()
    exchanges.answer = ZeroDivisionError("fake")
    time_.pass_(33500)
    for _ in range(10):
        assert service.get_token().value == "fake-token-1"
        settle()
    assert exchanges.count == 2


def test_each_caller_gets_an_exception_of_its_own(service, credential, exchanges):
    exchanges.answer = CredentialRejectedError("fake", http_status=401)
    caught = []
    for _ in range(2):
        with pytest.raises(CredentialRejectedError) as raised:
            service.get_token()
        caught.append(raised.value)
    assert caught[0] is not caught[1]
    assert caught[0] is not exchanges.answer


def test_no_frame_of_an_error_holds_the_key(service, credential, exchanges):
    exchanges.answer = CredentialRejectedError("fake", http_status=401)
    with pytest.raises(CredentialRejectedError) as raised:
        service.get_token()
    error = raised.value
    assert error.__cause__ is None
    assert error.__context__ is None
    for entry in raised.traceback:
        held = [
            value
            for value in entry.frame.f_locals.values()
            if isinstance(value, CertnCredential) or hasattr(value, "client_secret")
        ]
        assert not held or entry.path.name == "test_service.py"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (CredentialRejectedError("fake", http_status=401), 60),
        (RateLimitedError("fake", http_status=429, retry_after=90), 90),
        (RateLimitedError("fake", http_status=429, retry_after=1), 2),
        (RateLimitedError("fake", http_status=429, retry_after=9999), 300),
        (CertnUnavailableError("fake", http_status=503, retry_after=40), 40),
        (CertnUnavailableError("fake", http_status=500, retry_after=40), 5),
        (CertnUnavailableError("fake"), 5),
    ],
)
def test_how_long_a_failure_is_remembered(
    service, credential, exchanges, time_, settings, error, seconds
):
    # By the process alone: the cache of the tests has a clock of its own.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    exchanges.answer = error
    for passed, count in ((0, 1), (seconds - 0.1, 1), (0.2, 2)):
        time_.pass_(passed)
        with pytest.raises(type(error)):
            service.get_token()
        assert exchanges.count == count


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (CertnUnavailableError("fake"), 2),
        (CertnUnavailableError("fake", http_status=500), 1),
        (CredentialRejectedError("fake", http_status=401), 1),
    ],
)
def test_only_this_host_remembers_a_failing_network(
    new_service, credential, exchanges, monkeypatch, error, elsewhere
):
    exchanges.answer = error
    for host, count in (("a", 1), ("a", 1), ("b", elsewhere), ("b", elsewhere)):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        with pytest.raises(type(error)):
            new_service().get_token()
        assert exchanges.count == count


def test_a_new_secret_starts_clean(service, credential, exchanges):
    exchanges.answer = CredentialRejectedError("fake", http_status=401)
    with pytest.raises(CredentialRejectedError):
        service.get_token()
    exchanges.answer = 36000.0
    credential.client_secret = "fake-rotated"
    credential.save()
    assert service.get_token().value == "fake-token-1"


def test_a_verification_clears_the_memory(new_service, credential, exchanges):
    service, verifying = new_service(), new_service()
    exchanges.answer = CredentialRejectedError("fake", http_status=401)
    with pytest.raises(CredentialRejectedError):
        service.get_token()
    exchanges.answer = 36000.0
    verifying.verify(credential.key())
    assert service.get_token().value == "fake-token-1"


def test_the_token_of_a_verification_is_used_everywhere(new_service, credential, exchanges, time_):
    service, verifying = new_service(), new_service()
    service.get_token()
    verifying.verify(credential.key())
    assert verifying.get_token().value == "fake-token-2"
    time_.pass_(13)
    service.get_token()
    settle()
    assert service.get_token().value == "fake-token-2"
    assert exchanges.count == 2


# Invalidation


def test_an_invalidated_token_is_replaced(service, credential, exchanges):
    token = service.get_token()
    assert service.invalidate_token("default", token) is True
    assert values(service) == {"fake-token-2"}
    assert exchanges.count == 2


def test_a_token_may_be_given_by_its_value(service, credential):
    assert service.invalidate_token(credential, str(service.get_token().value)) is True


def test_a_token_that_is_not_in_force_is_not_dropped(service, credential):
    service.get_token()
    assert service.invalidate_token("default", "fake-earlier") is False
    assert values(service) == {"fake-token-1"}


def test_within_a_minute_of_a_forced_renewal_the_token_stays(service, credential, exchanges, time_):
    service.invalidate_token("default", service.get_token())
    assert service.invalidate_token("default", service.get_token()) is False
    assert values(service) == {"fake-token-2"}
    time_.pass_(61)
    cache.delete(slot_of(credential.key()) + ":forced")
    assert service.invalidate_token("default", service.get_token()) is True
    assert values(service) == {"fake-token-3"}


def test_a_process_without_a_cache_keeps_count_itself(
    service, credential, settings, exchanges, time_
):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert service.invalidate_token("default", service.get_token()) is True
    time_.pass_(59)
    assert service.invalidate_token("default", service.get_token()) is False
    time_.pass_(2)
    assert service.invalidate_token("default", service.get_token()) is True
    assert exchanges.count == 2


def test_a_late_401_leaves_the_new_token_in_force(new_service, credential, exchanges):
    service, late = new_service(), new_service()
    token = service.get_token()
    late.get_token()
    service.invalidate_token("default", token)
    service.get_token()
    assert late.invalidate_token("default", token) is False
    assert values(late) == values(service) == {"fake-token-2"}
    assert exchanges.count == 2


def test_a_token_that_another_process_dropped_is_not_served_while_the_endpoint_is_down(
    new_service, credential, exchanges, time_
):
    service, other = new_service(), new_service()
    token = service.get_token()
    other.get_token()
    service.invalidate_token("default", token)
    exchanges.answer = CertnUnavailableError("fake", http_status=503)
    time_.pass_(13)
    other.get_token()  # looks, and finds the tombstone
    settle()
    with pytest.raises(CertnUnavailableError):
        other.get_token()


def test_a_dead_token_is_not_put_back(new_service, credential, exchanges, time_):
    service, other = new_service(), new_service()
    token = service.get_token()
    other.get_token()
    service.invalidate_token("default", token)
    time_.pass_(13)
    other.get_token()  # looks, and finds the tombstone
    settle()
    assert values(other) == values(service) == {"fake-token-2"}
    assert exchanges.count == 2


def test_a_token_that_is_issued_once_more_is_as_good_as_another(
    new_service, credential, exchanges, monkeypatch
):
    service = new_service()
    token = service.get_token()
    assert service.invalidate_token("default", token) is True
    monkeypatch.setattr(exchanges, "numbers", itertools.count(1))
    assert values(service) == {"fake-token-1"}
    service.service.keys.clear()
    service.forget_memos()
    assert values(service) == {"fake-token-1"}
    assert exchanges.count == 2


def test_a_token_that_is_newer_than_the_tombstone_is_put_back(new_service, credential, exchanges):
    service = new_service()
    dead = service.get_token()
    service.invalidate_token("default", dead)
    tombstone = entry_of(credential)
    service.get_token()
    cache.set(slot_of(credential.key()), tombstone)  # it came late
    service.forget_memos()
    service.get_token()
    settle()
    assert new_service().get_token().value == "fake-token-2"
    assert exchanges.count == 2


def test_a_minute_is_what_the_cache_is_given(service, credential, monkeypatch):
    lives = {}
    add = LocMemCache.add

    def spy(self, key, value, timeout=None, **options):
        lives[key.rpartition(":")[2]] = timeout
        return add(self, key, value, timeout, **options)

    monkeypatch.setattr(LocMemCache, "add", spy)
    service.invalidate_token("default", service.get_token())
    assert lives == {"lock": 12, "forced": 60}


def test_a_credential_that_is_new_starts_with_what_the_cache_has(service, credential, exchanges):
    service.get_token()
    credential.delete()
    cache.clear()
    credential.pk = None
    credential.save(force_insert=True)
    assert service.get_token().value == "fake-token-2"
    credential.save()  # which is no reason to let go of a token
    cache.clear()
    assert service.get_token().value == "fake-token-2"
    assert exchanges.count == 2


def test_who_asks_for_too_much_asks_the_cache_for_it_now_and_then(
    service, credential, exchanges, monkeypatch
):
    service.get_token(min_validity=11 * HOURS)
    locks = []
    monkeypatch.setattr(service.service.shared, "lock", locks.append)
    assert values(service, 10, min_validity=11 * HOURS) == {"fake-token-1"}
    assert locks == []


# The clocks


@pytest.mark.parametrize("hours", [2, -2, 30, -30])
def test_a_clock_that_is_set_costs_one_exchange_at_most(
    new_service, credential, exchanges, time_, hours
):
    exchanges.answer = 1 * HOURS
    warm = new_service()
    warm.get_token()
    time_.wall += hours * HOURS
    time_.mono += 13
    for service in (warm, new_service(), new_service(), warm):
        service.get_token()
        settle()
    assert exchanges.count <= 2


def test_after_a_sleep_that_the_steady_clock_missed_the_token_is_renewed(
    service, credential, exchanges, time_
):
    service.get_token()
    time_.wall += 12 * HOURS
    time_.mono += 13
    cache.clear()  # what it held has ended by now
    service.get_token()
    settle()
    assert values(service) == {"fake-token-2"}
    assert exchanges.count == 2


def test_what_comes_from_the_future_is_not_trusted(new_service, credential, exchanges, time_):
    exchanges.answer = 1 * HOURS
    new_service().get_token()
    time_.mono += 0.8 * HOURS
    time_.wall -= 2 * HOURS  # who knows how long it still lives?
    assert new_service().get_token().value == "fake-token-2"


def test_what_a_process_knows_of_the_end_outlives_a_clock_that_is_set(service, credential, time_):
    service.get_token()
    time_.pass_(13)
    time_.wall -= 50
    service.get_token()
    settle()
    assert service.get_token(min_validity=10 * HOURS - 13).value == "fake-token-1"
    assert service.get_token(min_validity=10 * HOURS - 12).value == "fake-token-2"


# To be seen


def test_stats(service, credential, exchanges, time_):
    for _ in range(5):
        service.get_token()
    assert service.stats() == {"default": {"relooks": 1, "exchanges": 1, "waits": 1, "failures": 0}}
    time_.pass_(13)
    service.get_token()
    settle()
    assert service.stats()["default"] | {"waits": 1} == {
        "relooks": 2,
        "exchanges": 1,
        "waits": 1,
        "failures": 0,
    }
    service.stats()["default"]["relooks"] = 7
    assert service.stats()["default"]["relooks"] == 2


# Threads and forks


# One look


def test_a_look_is_one_query_for_all_that_come_by(new_service, exchanges, time_):
    """Callers with a valid token do not wait for it; a computer under load changes nothing."""
    looks, hold = [], threading.Event()
    hold.set()

    def load(name):
        looks.append(name)
        assert hold.wait(10)
        return Row(key(name), name)

    process = new_service(
        load=load, place_of=lambda name: Place(name, None), has_tenants=lambda: False
    )
    process.get_token()
    time_.pass_(13)
    hold.clear()
    found = []
    callers = [
        threading.Thread(target=lambda: found.append(process.service.find("default")))
        for _ in range(32)
    ]
    for caller in callers:
        caller.start()
    assert wait_until(lambda: len(found) == 31)  # all but the one that looks
    hold.set()
    for caller in callers:
        caller.join(10)
    assert len(found) == 32
    assert len(looks) == 2


def test_callers_without_a_token_share_a_look_and_an_exchange(new_service, exchanges):
    looks = []

    def load(name):
        looks.append(name)
        time.sleep(0.1)
        return Row(key(name), name)

    process = new_service(
        load=load, place_of=lambda name: Place(name, None), has_tenants=lambda: False
    )
    callers = [threading.Thread(target=process.service.find, args=("default",)) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert len(looks) < 4
    assert exchanges.count == 1
    counts = process.service.stats()["default"]
    assert counts["relooks"] == len(looks)
    assert 0 < counts["waits"] <= 16  # one that starts late has the token at once


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_who_is_interrupted_while_it_looks_interrupts_nobody_else(new_service, error):
    looks, hold, outcomes = [], threading.Event(), []

    def load(name):
        looks.append(name)
        if len(looks) == 1:
            assert hold.wait(10)
            raise error
        return Row(key(name), name)

    process = new_service(
        load=load, place_of=lambda name: Place(name, None), has_tenants=lambda: False
    )

    def call():
        try:
            outcomes.append(process.service.find("default").token.value)
        except BaseException as raised:  # noqa: BLE001 - what this is about
            outcomes.append(type(raised))

    callers = [threading.Thread(target=call) for _ in range(2)]
    callers[0].start()
    assert wait_until(lambda: looks)
    callers[1].start()
    time.sleep(0.1)
    hold.set()
    for caller in callers:
        caller.join(10)
    assert set(outcomes) == {error, "fake-token-1"}


@pytest.mark.django_db(transaction=True)
def test_what_an_open_transaction_sees_is_shared_with_nobody(service, credential):
    service.get_token()
    elsewhere = []
    with pytest.raises(RollBackError), transaction.atomic():
        CertnCredential.objects.update(client_secret="fake-uncommitted")
        service.forget_memos()
        assert service.get_token().value == "fake-token-2"
        assert service.get_token().value == "fake-token-2"
        elsewhere.append(service.service.memo_by_key.get("default"))
        raise RollBackError
    assert elsewhere == [None]
    assert service.get_token().value == "fake-token-1"


@pytest.mark.django_db(transaction=True)
def test_savepoints_of_a_transaction_share_a_look(service, credential, time_):
    """A long import, say, with one for each of its rows."""
    service.get_token()
    settle()
    with transaction.atomic():
        time_.pass_(13)
        for _ in range(20):
            with transaction.atomic():
                service.get_token()
        service.get_token()
        assert len(connection.run_on_commit) == 1
        with pytest.raises(RollBackError), transaction.atomic():
            CertnCredential.objects.update(client_secret="fake-uncommitted")
            service.forget_memos()
            assert service.get_token().value == "fake-token-2"
            with transaction.atomic():
                assert service.get_token().value == "fake-token-2"
            raise RollBackError
        assert service.get_token().value == "fake-token-1"
    assert service.stats()["default"]["relooks"] == 4


@pytest.mark.django_db(transaction=True)
def test_what_a_rolled_back_transaction_saw_is_not_seen_by_the_next(service, credential):
    """Though something of the call lives on: a flight, or an error that somebody keeps."""
    service.get_token()
    with pytest.raises(RollBackError), transaction.atomic():
        CertnCredential.objects.update(client_secret="fake-uncommitted")
        service.forget_memos()
        assert service.get_token().value == "fake-token-2"
        with pytest.raises(CertnUnavailableError) as kept:
            service.get_token(min_validity=11 * HOURS, timeout=0)
        raise RollBackError
    with transaction.atomic():
        assert service.get_token().value == "fake-token-1"
    assert kept.value.__traceback__


# Both clocks


def test_eleven_hours_of_sleep_cost_one_exchange_and_hand_out_nothing_dead(
    service, credential, exchanges, time_
):
    """The wall's clock goes on, the monotonic one stood still, and the memo is fresh by it."""
    service.get_token()
    time_.wall += 11 * HOURS
    assert values(service, 10) == {"fake-token-2"}
    assert exchanges.count == 2


@pytest.mark.parametrize("hours", [2, -2])
def test_a_wall_clock_that_is_set_fails_nobody_at_once(
    service, credential, exchanges, time_, hours
):
    exchanges.answer = 1 * HOURS
    service.get_token()
    time_.wall += hours * HOURS
    values(service, 10)
    time_.wall -= hours * HOURS
    values(service, 10)
    assert exchanges.count <= 2


def test_min_validity_is_judged_by_the_wall_too(service, credential, exchanges, time_):
    service.get_token()
    time_.wall += 2 * HOURS
    service.get_token(min_validity=9 * HOURS)
    assert exchanges.count == 2


# Small truths


@isolate_apps("tests.bare")
def test_a_proxy_model_is_followed_at_once(service, credential):
    class ProxyCredential(CertnCredential):
        class Meta:
            proxy = True
            app_label = "bare"

    service.get_token()
    row = ProxyCredential.objects.get()
    row.client_secret = "fake-by-proxy"
    row.save()
    assert values(service) == {"fake-token-2"}
    row.is_active = False
    row.save()
    with pytest.raises(CredentialInactiveError):
        service.get_token()
    row.delete()
    with pytest.raises(CredentialNotFoundError):
        service.get_token()


@pytest.mark.parametrize("name", ["a\0b", "half a \ud800 pair", "\0"])
def test_a_name_that_no_database_takes_is_the_name_of_nobody(service, credential, name):
    with pytest.raises(CredentialNotFoundError):
        service.get_token(name)


def test_an_exchange_runs_in_the_context_of_its_caller(rowless, exchanges):
    request_id = contextvars.ContextVar("request_id", default="none")
    seen = []
    rowless.service.renewal.exchange = lambda key, *, timeout: (
        seen.append(request_id.get()) or exchanges(key, timeout=timeout)
    )
    request_id.set("fake-request-7")
    rowless.get_token()
    assert seen == ["fake-request-7"]


def test_a_token_says_where_it_may_be_sent(rowless):
    assert rowless.get_token().base_url == "http://127.0.0.1:9"


def test_memos_are_bounded_by_use(rowless, monkeypatch, time_):
    monkeypatch.setattr("django_certn.tokens.memo.MEMOS_MOST", 3)
    for name in ("a", "b", "c"):
        rowless.get_token(name)
    time_.pass_(13)
    rowless.get_token("a")  # it is in use: looked at again
    settle()
    rowless.get_token("d")
    assert set(rowless.service.memo_by_key) == {"a", "c", "d"}


@pytest.mark.django_db(transaction=True)
def test_what_belongs_to_an_earlier_key_goes(service, credential):
    service.get_token()
    earlier = slot_of(credential.key())
    assert service.service.keys.get(earlier).token
    credential.client_secret = "fake-rotated"
    credential.save()
    assert service.service.keys.get(earlier).token is None


def test_an_api_key_has_no_token(new_service):
    api = Environment("centric", "Centric", "http://127.0.0.1:9", Scheme.API_KEY)
    process = new_service(
        load=lambda name: Row(key(name, environment=api, client_id=""), name),
        place_of=lambda name: Place(name, None),
        has_tenants=lambda: False,
    )
    with pytest.raises(CertnConfigurationError, match=r"auth_headers\(\)"):
        process.get_token()
    memo = process.service.find("default")
    assert memo.authorization == "Api-Key fake-secret"
    assert process.invalidate_token("default", "fake") is False


def test_an_api_key_is_served_for_an_hour_while_the_database_is_down(new_service, time_):
    api = Environment("centric", "Centric", "http://127.0.0.1:9", Scheme.API_KEY)
    is_down = []

    def load(name):
        if is_down:
            raise DatabaseError
        return Row(key(name, environment=api, client_id=""), name)

    process = new_service(
        load=load, place_of=lambda name: Place(name, None), has_tenants=lambda: False
    )
    process.service.find("default")
    is_down.append(True)
    time_.pass_(3590)
    assert process.service.find("default").authorization == "Api-Key fake-secret"
    time_.pass_(20)
    with pytest.raises(DatabaseError):
        process.service.find("default")
