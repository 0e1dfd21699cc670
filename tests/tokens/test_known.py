"""What is known of a key, brought together from the process and the shared cache."""

from dataclasses import replace

import pytest

from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    EndpointRetiredError,
    InvalidTokenResponseError,
    RateLimitedError,
)
from django_certn.secret import MaskedStr
from django_certn.tokens import known as module
from django_certn.tokens.held import HeldToken, SharedToken
from django_certn.tokens.known import Failure, Forced, Known, KnownKeys, merge
from django_certn.tokens.timing import Clocks, Moment

NOW = Moment(1000.0, 1_800_000_000.0)
CLOCKS = Clocks(lambda: NOW.wall, lambda: NOW.monotonic, None, lambda: 0.5)


def token(value="fake-a", issued=0.0, life=36000.0, renew_in=32000.0):
    """A token that was issued so many seconds from now."""
    at = NOW.wall + issued
    shared = SharedToken(MaskedStr(value), at, at + life, at + renew_in)
    return HeldToken.issued_now(shared, "https://api.certn.test", CLOCKS)


A, B = token("fake-a"), token("fake-b", issued=-60)
ENDED = token("fake-a", issued=-36000)
REISSUED = token("fake-a", issued=-1)
FAILURE = Failure("rejected", 401, "invalid_client", None, NOW.after(60))
FORGOTTEN = replace(FAILURE, until=NOW)
FORCED, OVER = Forced(A.shared.issue, NOW.after(60)), Forced(A.shared.issue, NOW)


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        # The cache holds nothing for anybody.
        (Known(), None, Known()),
        (Known(A), None, Known(A)),
        (Known(ENDED), None, Known()),
        (Known(failure=FAILURE), None, Known(failure=FAILURE)),
        (Known(failure=FORGOTTEN), None, Known()),
        (Known(forced=FORCED), None, Known(forced=FORCED)),
        (Known(forced=OVER), None, Known()),
        # It is empty, or was emptied.
        (Known(A), Known(), Known(A)),
        (Known(failure=FAILURE), Known(), Known()),
        (Known(forced=FORCED), Known(), Known(forced=FORCED)),
        # It has a token.
        (Known(), Known(A), Known(A)),
        (Known(A), Known(B), Known(B)),
        (Known(ENDED), Known(B), Known(B)),
        (Known(A), Known(ENDED), Known(A)),
        (Known(failure=FAILURE), Known(B), Known(B)),
        # It has a failure.
        (Known(), Known(failure=FAILURE), Known(failure=FAILURE)),
        (Known(), Known(failure=FORGOTTEN), Known()),
        (Known(A), Known(failure=FAILURE), Known(A, FAILURE)),
        # A token was dropped.
        (Known(A), Known(dropped=A.shared.issue), Known(dropped=A.shared.issue)),
        (Known(B), Known(dropped=A.shared.issue), Known(B, dropped=A.shared.issue)),
        (Known(dropped=A.shared.issue), Known(A), Known(dropped=A.shared.issue)),
        (Known(dropped=A.shared.issue), Known(B), Known(B, dropped=A.shared.issue)),
        (Known(A, dropped=B.shared.issue), Known(B), Known(A, dropped=B.shared.issue)),
        # And the endpoint issued the same value again: that is another token.
        (Known(dropped=A.shared.issue), Known(REISSUED), Known(REISSUED, dropped=A.shared.issue)),
        # A renewal was forced.
        (Known(), Known(forced=FORCED), Known(forced=FORCED)),
        (Known(forced=OVER), Known(forced=FORCED), Known(forced=FORCED)),
    ],
)
def test_merge(mine, theirs, expected):
    assert merge(mine, theirs, NOW) == expected


def test_the_end_of_a_token_is_known_better_where_no_clock_is_set():
    """The same token, read by a clock that is an hour behind, with its renewal put off."""
    theirs = replace(A, ends_at=A.ends_at.after(3600), renew_at=NOW.after(7))
    merged = merge(Known(A), Known(theirs), NOW).token
    assert merged.ends_at == A.ends_at
    assert merged.renew_at == NOW.after(7)


@pytest.mark.parametrize("later", [Moment(1e9, 0), Moment(0, 1e12)])
def test_either_clock_ends_a_token(later):
    now = Moment(max(NOW.monotonic, later.monotonic), max(NOW.wall, later.wall))
    assert merge(Known(A), None, now) == Known()


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (CredentialRejectedError(http_status=401), 60),
        (EndpointRetiredError(http_status=410), 60),
        (RateLimitedError(http_status=429), 5),
        (RateLimitedError(http_status=429, retry_after=90), 90),
        (RateLimitedError(http_status=429, retry_after=1), 2),
        (RateLimitedError(http_status=429, retry_after=9999), 300),
        (CertnUnavailableError(http_status=503, retry_after=40), 40),
        (CertnUnavailableError(http_status=500, retry_after=40), 5),
        (CertnUnavailableError(error_code="dns"), 5),
        (InvalidTokenResponseError(http_status=200), 5),
    ],
)
def test_how_long_a_failure_is_remembered(error, seconds):
    assert Failure.of(error, NOW).until == NOW.after(seconds)


def test_the_message_is_made_for_whoever_asks():
    error = Failure.of(
        RateLimitedError("fake: of another name", http_status=429, retry_after=7), NOW
    ).error("acme", "https://api.certn.test")
    assert type(error) is RateLimitedError
    assert str(error) == "No token for 'acme' from https://api.certn.test: rate_limited (HTTP 429)."
    assert (error.http_status, error.error_code, error.retry_after) == (429, "", 7)


class TestKnownKeys:
    def test_of_a_key_that_was_never_asked_for_nothing_is_known(self):
        assert KnownKeys().get("certn:a") == Known()

    def test_the_key_that_was_not_asked_for_longest_goes_first(self, monkeypatch):
        monkeypatch.setattr(module, "KEYS_MOST", 3)
        keys = KnownKeys()
        for slot in "abc":
            keys.update(slot, lambda known: Known(A))
        keys.get("a")
        keys.update("d", lambda known: Known(A))
        assert [slot for slot in "abcd" if keys.get(slot) == Known(A)] == ["a", "c", "d"]

    def test_one_is_forgotten_or_all(self):
        keys = KnownKeys()
        for slot in "ab":
            keys.update(slot, lambda known: Known(A))
        keys.forget("a")
        assert (keys.get("a"), keys.get("b")) == (Known(), Known(A))
        keys.clear()
        assert keys.get("b") == Known()
