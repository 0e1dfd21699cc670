"""How a key comes by its token, with a shared cache of the test's own and no thread."""

import pytest

from django_certn.exceptions import CertnUnavailableError, ExchangeConfigurationError
from django_certn.tokens.held import HeldToken, SharedToken
from django_certn.tokens.known import Known, KnownKeys
from django_certn.tokens.outcome import Request
from django_certn.tokens.renewal import Renewal
from django_certn.tokens.shared_cache import CacheDownError, Lock
from tests.tokens.conftest import key

SLOT = "certn:slot"


class Shared:
    """What all know, and a lock that another process may hold."""

    def __init__(self, clocks):
        self.clocks = clocks
        self.known = Known()
        self.held_by_another = None
        self.taken = []
        self.written = []
        self.is_down = False

    def read(self, slot, base_url):
        return None if self.is_down else self.known

    def lock(self, slot, seconds):
        if self.is_down:
            raise CacheDownError
        if self.held_by_another:
            return self.held_by_another
        self.taken.append(seconds)
        return Lock("mine", True, seconds, self.clocks.wall() + seconds)

    def unlock(self, slot, value):
        if self.held_by_another and self.held_by_another.value == value:
            self.held_by_another = None

    def write_token(self, slot, token, *, only_if_absent=False):
        self.written.append(token.value)

    def write_failure(self, slot, failure):
        self.known = Known(failure=failure)

    def write_dropped(self, slot, token):
        self.known = Known(dropped=token.issue)

    def claim(self, slot, issue):
        raise CacheDownError


@pytest.fixture
def shared(time_):
    return Shared(time_.clocks)


@pytest.fixture
def events():
    return []


@pytest.fixture
def renewal(shared, time_, exchanges, events):
    return Renewal(
        KnownKeys(),
        shared,
        time_.clocks,
        exchanges,
        lambda name, event, number=1: events.append(event),
    )


def request(time_, timeout=20.0, **fields):
    return Request(
        **{
            "key": key(),
            "slot": SLOT,
            "min_validity": 0,
            "deadline": time_.mono + timeout,
        }
        | fields
    )


def another(time_, life=12.0, ends_in=12.0):
    return Lock("of another process", False, life, time_.wall + ends_in)


def test_an_exchange_under_the_lock(renewal, shared, time_, events):
    assert renewal.get(request(time_)).token.access.value == "fake-token-1"
    assert shared.written == ["fake-token-1"]
    assert events == ["exchanges"]


@pytest.mark.parametrize(("timeout", "seconds"), [(20.0, 12.0), (3.0, 5.0)])
def test_the_lock_lives_for_what_its_holder_has_left_and_two_seconds(
    renewal, shared, time_, timeout, seconds
):
    renewal.get(request(time_, timeout))
    assert shared.taken == [seconds]


def test_without_a_cache_the_exchange_is_made_all_the_same(renewal, shared, time_):
    shared.is_down = True
    assert renewal.get(request(time_)).token.access.value == "fake-token-1"


def test_who_waits_takes_what_the_holder_brought(renewal, shared, time_, exchanges):
    shared.held_by_another = another(time_)
    sleep = time_.sleep

    def bring(seconds):
        sleep(seconds)
        if len(time_.slept) == 3:
            now = time_.wall
            token = SharedToken("fake-of-another", now, now + 36000, now + 32000)
            shared.known = Known(HeldToken.issued_now(token, "https://a.test", time_.clocks))

    object.__setattr__(time_.clocks, "sleep", bring)
    assert renewal.get(request(time_)).token.access.value == "fake-of-another"
    assert exchanges.count == 0
    assert time_.slept == pytest.approx([0.02, 0.03, 0.045])


def test_a_lock_that_outlived_itself_is_passed_over(renewal, shared, time_, exchanges):
    """No expiry, or a host that is stuck: by the wall's clock it is over."""
    shared.held_by_another = another(time_, ends_in=-6)
    assert renewal.get(request(time_)).token.access.value == "fake-token-1"
    assert time_.slept == []


def test_a_lock_whose_end_a_wrong_clock_wrote_is_passed_over(renewal, shared, time_):
    shared.held_by_another = another(time_, life=3, ends_in=3600)
    began = time_.mono
    assert renewal.get(request(time_)).token.access.value == "fake-token-1"
    assert 8 <= time_.mono - began <= 10  # its life, and what hosts may differ


def test_who_has_less_time_than_the_holder_makes_an_exchange_rather_than_fail(
    renewal, shared, time_, exchanges
):
    shared.held_by_another = another(time_, life=62, ends_in=62)
    began = time_.mono
    assert renewal.get(request(time_)).token.access.value == "fake-token-1"
    assert 10 <= time_.mono - began <= 11  # half of the time is left for the exchange
    assert exchanges.calls[-1][1] == pytest.approx(10, abs=1)


def test_who_has_no_time_at_all_says_nothing_about_the_key(renewal, shared, time_, exchanges):
    shared.is_down = True
    outcome = renewal.get(request(time_, timeout=0))
    assert (outcome.token, outcome.failure, outcome.was_cut) == (None, None, True)
    assert exchanges.count == 0


def test_a_setting_that_keeps_the_exchange_from_being_made(renewal, time_, exchanges):
    exchanges.answer = ExchangeConfigurationError("fake: REQUESTS_CA_BUNDLE")
    with pytest.raises(ExchangeConfigurationError):
        renewal.get(request(time_))


def test_nobody_waits_for_a_token_that_is_gone(renewal, time_, exchanges):
    outcome = renewal.get(request(time_, is_background=True))
    assert (outcome.token, outcome.failure) == (None, None)
    assert exchanges.count == 0


def test_a_renewal_that_fails_backs_off(renewal, shared, time_, exchanges):
    renewal.get(request(time_))
    shared.is_down = True  # so that only this process knows it
    time_.pass_(9.2 * 3600)
    exchanges.answer = CertnUnavailableError("fake", http_status=503, retry_after=200)
    for _ in range(3):
        outcome = renewal.get(request(time_, is_background=True))
        assert outcome.token.access.value == "fake-token-1"
    assert exchanges.count == 2
    time_.pass_(201)
    renewal.get(request(time_, is_background=True))
    assert exchanges.count == 3


class TestDrop:
    def test_the_token_in_force(self, renewal, shared, time_):
        token = renewal.get(request(time_)).token
        assert renewal.drop(SLOT, token.access.value, "https://a.test") is True
        assert shared.known.dropped == token.shared.issue
        assert renewal.held(SLOT) is None

    def test_another(self, renewal, time_):
        renewal.get(request(time_))
        assert renewal.drop(SLOT, "fake-earlier", "https://a.test") is False
        assert renewal.held(SLOT)

    def test_once_a_minute(self, renewal, time_):
        first = renewal.get(request(time_)).token
        assert renewal.drop(SLOT, first.access.value, "https://a.test") is True
        second = renewal.get(request(time_)).token
        assert renewal.drop(SLOT, second.access.value, "https://a.test") is False
        assert renewal.held(SLOT) == second
        time_.pass_(61)
        assert renewal.drop(SLOT, second.access.value, "https://a.test") is True

    def test_who_comes_second_with_the_same_token_does_not_keep_it(self, renewal, shared, time_):
        """Another process was granted that a moment ago, and has not written it yet."""
        from django_certn.tokens.known import Forced

        token = renewal.get(request(time_)).token
        granted = Forced(token.shared.issue, time_.clocks.now().after(60))
        shared.claim = lambda slot, issue: granted
        assert renewal.drop(SLOT, token.access.value, "https://a.test") is False
        assert renewal.held(SLOT) is None

    def test_the_same_value_issued_again_is_another_token(self, renewal, time_, exchanges):
        """Or an endpoint that does so would cost an exchange for each call."""
        import itertools

        first = renewal.get(request(time_)).token
        renewal.drop(SLOT, first.access.value, "https://a.test")
        time_.pass_(1)
        exchanges.numbers = itertools.count(1)
        again = renewal.get(request(time_)).token
        assert again.access.value == first.access.value
        assert renewal.drop(SLOT, again.access.value, "https://a.test") is False
        assert renewal.held(SLOT) == again
