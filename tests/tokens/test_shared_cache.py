"""What is written to the cache, and what of that is taken for something when it is read."""

import json
import math

import pytest
from django.core.cache import cache, caches

from django_certn.exceptions import CertnUnavailableError, CredentialRejectedError
from django_certn.fields import encrypt
from django_certn.secret import MaskedStr
from django_certn.tokens.cache_worker import CacheWorker
from django_certn.tokens.held import SharedToken
from django_certn.tokens.known import Failure, Known
from django_certn.tokens.shared_cache import SharedCache, slot_of
from tests.tokens.conftest import key

SLOT, OTHER = "certn:slot", "certn:other"
URL = "https://api.certn.test"


@pytest.fixture
def shared(time_):
    return SharedCache(CacheWorker(lambda: time_.mono), time_.clocks)


@pytest.fixture
def token(time_):
    return SharedToken(MaskedStr("fake-token"), time_.wall, time_.wall + 36000, time_.wall + 32000)


def sealed(time_, **content):
    entry = {"v": 2, "slot": SLOT, "until": time_.wall + 100, **content}
    return encrypt(json.dumps(entry))


def test_a_token_comes_back(shared, token):
    shared.write_token(SLOT, token)
    found = shared.read(SLOT, URL).token
    assert found.shared == token
    assert (found.access.value, found.access.base_url) == ("fake-token", URL)
    assert "fake-token" not in cache.get(SLOT)


def test_a_failure_comes_back(shared, time_):
    error = CredentialRejectedError(http_status=401, error_code="invalid_client")
    failure = Failure.of(error, time_.clocks.now())
    shared.write_failure(SLOT, failure)
    assert shared.read(SLOT, URL).failure == failure
    shared.clear_failure(SLOT)
    assert shared.read(SLOT, URL).failure is None


def test_a_failure_without_an_answer_is_of_this_host_alone(shared, time_, monkeypatch):
    failure = Failure.of(CertnUnavailableError(error_code="dns"), time_.clocks.now())
    shared.write_failure(SLOT, failure)
    monkeypatch.setattr("socket.gethostname", lambda: "fake-elsewhere")
    assert shared.read(SLOT, URL) == Known()


def test_a_drop_comes_back(shared, token):
    shared.write_token(SLOT, token)
    shared.write_dropped(SLOT, token)
    assert shared.read(SLOT, URL) == Known(dropped=token.issue)


def test_a_forced_renewal_is_granted_once(shared, token):
    assert shared.claim(SLOT, token.issue) is None
    assert shared.claim(SLOT, None).issue == token.issue
    assert shared.read(SLOT, URL).forced.issue == token.issue


@pytest.mark.parametrize("found", [None, False, [], ""])
def test_a_client_that_answers_with_nothing_is_a_cache_that_is_down(shared, monkeypatch, found):
    monkeypatch.setattr(type(caches["default"]), "get_many", lambda self, keys: found)
    assert shared.read(SLOT, URL) is None
    assert shared.worker.is_open


def test_an_entry_is_for_its_slot_alone(shared, token, time_):
    shared.write_token(SLOT, token)
    error = CredentialRejectedError(http_status=401)
    shared.write_failure(SLOT, Failure.of(error, time_.clocks.now()))
    for suffix in ("", ":failed", ":forced"):
        cache.set(OTHER + suffix, cache.get(SLOT + suffix))
    assert shared.read(OTHER, URL) == Known()


def test_an_entry_is_for_its_time_alone(shared, token, time_):
    shared.write_token(SLOT, token)
    time_.pass_(36001)
    assert cache.get(SLOT)  # by its own clock the cache still has it
    assert shared.read(SLOT, URL) == Known()


def test_an_entry_from_the_future_is_a_miss(shared, token, time_):
    shared.write_token(SLOT, token)
    time_.wall -= 120
    assert shared.read(SLOT, URL).token is None


SHAPES = [
    "",
    "gAAAAA",
    "not a token",
    7,
    {"token": "fake"},
    b"bytes",
    encrypt("not JSON"),
    encrypt("[]"),
    encrypt("null"),
    encrypt("[" * 5000),
]


@pytest.mark.parametrize("found", SHAPES, ids=range(len(SHAPES)))
def test_what_cannot_be_read_is_a_miss(shared, found):
    for suffix in ("", ":forced", ":failed"):
        cache.set(SLOT + suffix, found)
    assert shared.read(SLOT, URL) == Known()


@pytest.mark.parametrize(
    "content",
    [
        {"v": 1, "token": "fake", "times": [0, 1, 1]},
        {"until": "soon", "token": "fake"},
        {"until": math.inf, "token": "fake"},
        {"until": None, "token": "fake"},
        pytest.param({"until": 10**400, "token": "fake"}, id="until, too large for a float"),
        {"token": None, "times": [1, 2, 3]},
        {"token": "", "times": [1, 2, 3]},
        {"token": 7, "times": [1, 2, 3]},
        {"token": "fake"},
        {"token": "fake", "times": None},
        {"token": "fake", "times": [1, 2]},
        {"token": "fake", "times": ["1", "2", "3"]},
        {"token": "fake", "times": [True, 2, 3]},
        {"token": "fake", "times": [math.nan, math.nan, math.nan]},
        {"token": "fake", "times": [0, 1e308, 0]},
        {"token": "fake", "times": [-1e12, 1000 - 1e12, 0]},
        {"token": "fake", "times": [-1e18, 1000 - 1e18, 0]},
        pytest.param(
            {"token": "fake", "times": [0, 10**400, 0]}, id="times, too large for a float"
        ),
        {"token": "fake", "times": [1_800_000_000, 1_700_000_000, 0]},
        {"dropped": "fake"},
        {"dropped": [1, 2]},
    ],
    ids=str,
)
def test_a_shape_that_this_version_does_not_write_is_a_miss(shared, time_, content):
    cache.set(SLOT, sealed(time_, **content))
    assert shared.read(SLOT, URL) == Known()


@pytest.mark.parametrize(
    "codes",
    [
        None,
        "rejected",
        ["rejected"],
        ["ok", 200, "", None],
        ["CredentialRejectedError", 401, "", None],
        ["rejected", "401", "", None],
        ["rejected", True, "", None],
        ["rejected", 401, None, None],
        ["rejected", 401, "", 1e308],
        ["rejected", 401, "", None, "more"],
    ],
    ids=str,
)
def test_a_failure_that_this_version_does_not_write_is_a_miss(shared, time_, codes):
    cache.set(f"{SLOT}:failed", sealed(time_, failure=codes))
    assert shared.read(SLOT, URL) == Known()


def test_a_failure_is_remembered_no_longer_than_this_version_would(shared, time_):
    entry = sealed(time_, failure=["rejected", 401, "", None], until=time_.wall + 3600)
    cache.set(f"{SLOT}:failed", entry)
    assert shared.read(SLOT, URL) == Known()


class TestTheLock:
    def test_one_has_it(self, shared):
        mine = shared.lock(SLOT, 12.0)
        theirs = shared.lock(SLOT, 12.0)
        assert mine.is_mine
        assert not theirs.is_mine
        assert theirs.value == mine.value

    def test_it_says_how_long_it_lives(self, shared, time_):
        lock = shared.lock(SLOT, 3.2)
        assert (lock.life, lock.until) == (4, time_.wall + 4)
        assert shared.lock(SLOT, 99.0)[2:] == lock[2:]

    @pytest.mark.parametrize("value", ["of another version", "a:b:c", "a:-1:5", "a:1:nan", 7])
    def test_one_of_another_version_lives_the_usual_time(self, shared, time_, value):
        cache.set(f"{SLOT}:lock", value)
        lock = shared.lock(SLOT, 12.0)
        assert (lock.is_mine, lock.life, lock.until) == (False, 12, time_.wall + 12)

    def test_only_its_holder_releases_it(self, shared):
        lock = shared.lock(SLOT, 12.0)
        shared.unlock(SLOT, "of another holder")
        assert cache.get(f"{SLOT}:lock") == lock.value
        shared.unlock(SLOT, lock.value)
        assert cache.get(f"{SLOT}:lock") is None


def test_a_slot_is_of_environment_client_id_and_secret_together():
    from django_certn.conf import Environment
    from django_certn.secret import Secret

    other = Environment("local", "Local", "http://127.0.0.1:10")
    slots = {
        slot_of(key()),
        slot_of(key(client_id="other")),
        slot_of(key(client_secret=Secret("fake-other"))),
        slot_of(key(environment=other)),
    }
    assert len(slots) == 4
    assert slot_of(key("a", client_id="x")) == slot_of(key("b", client_id="x"))
    assert all(len(slot) < 50 and slot.replace(":", "").isalnum() for slot in slots)
