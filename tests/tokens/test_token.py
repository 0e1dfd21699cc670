import copy
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from django_certn.secret import MaskedStr
from django_certn.tokens import AccessToken


@pytest.fixture
def token():
    return AccessToken(
        MaskedStr("fake-token"), "https://api.certn.test", timezone.now() + timedelta(hours=1)
    )


def test_it_says_what_a_request_needs(token):
    assert token.value == "fake-token"
    assert token.authorization == "Bearer fake-token"
    assert isinstance(token.authorization, str)
    assert token.expires_at.tzinfo is not None
    assert 3599 < token.expires_in <= 3600


def test_it_ends(token):
    ended = AccessToken(token.value, token.base_url, datetime(2020, 1, 1, tzinfo=UTC))
    assert ended.expires_in < 0


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0!r}".format])
def test_it_does_not_show_its_value(token, show):
    assert "fake-token" not in show(token)
    assert "fake-token" not in repr([token.value, {"Authorization": token.authorization}])


@pytest.mark.parametrize("make", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_cannot_be_pickled(token, make):
    with pytest.raises(TypeError, match=r"get_token\(\)"):
        make(token)


def test_it_cannot_be_changed(token):
    with pytest.raises(AttributeError):
        token.value = "another"


def test_of_its_seconds_left_the_clock_that_says_less_is_right(rowless, time_):
    token = rowless.get_token()
    time_.pass_(3600)
    assert token.expires_in == 32_400
    time_.wall -= 7 * 86_400  # the clock was set back
    assert token.expires_in == 32_400
    time_.wall += 7 * 86_400 + 3600  # the computer slept
    assert token.expires_in == 28_800
