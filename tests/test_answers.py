"""What an answer means."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from django_certn.answers import (
    DEFAULT_LIFETIME,
    ERROR_CODES,
    FAILURES,
    MAX_BODY,
    MAX_LIFETIME,
    MAX_RETRY_AFTER,
    MAX_TOKEN,
    Judge,
    TokenResponse,
    parse_retry_after,
)
from django_certn.conf import Environment
from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    EndpointRetiredError,
    InvalidTokenResponseError,
    RateLimitedError,
)
from django_certn.secret import MaskedStr

ENVIRONMENT = Environment("scripted", "Scripted", "https://certn.test")
TOKEN = "fake-token"
GOOD = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 36000}


def judge(status=200, headers=()):
    judge = Judge("acme", ENVIRONMENT)
    judge.see(status, dict(headers))
    return judge


def heard(body=None, status=200, **changes):
    if body is None:
        body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return judge(status).hear(body)


def lifetime(value):
    return heard(expires_in=value).expires_in


class TestToken:
    def test_as_certn_documents_it(self):
        response = heard({"access_token": TOKEN, "expires_in": 36000})
        assert (response.access_token, response.expires_in) == (TOKEN, 36000.0)

    def test_it_is_not_shown(self):
        response = heard()
        assert isinstance(response.access_token, MaskedStr)
        assert TOKEN not in repr(response)

    @pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", None, ...])
    def test_bearer_or_nothing(self, token_type):
        assert isinstance(heard(token_type=token_type), TokenResponse)

    @pytest.mark.parametrize("token", ["!", "~", "a" * MAX_TOKEN, "a+/=.-_~"])
    def test_all_that_a_token_may_be(self, token):
        assert heard(access_token=token).access_token == token

    @pytest.mark.parametrize(
        "changes",
        [
            {"error": None},
            {"scope": {"users": "read"}},
            {"scope": 5},
            {"expires_at": 1e300},
            {"refresh_token": "\x00"},
        ],
        ids=str,
    )
    def test_what_else_is_there_does_not_matter(self, changes):
        assert heard(**changes).expires_in == 36000

    @pytest.mark.parametrize("value", [1, 1.0, "1", "0001", 0.5, 3600.9, "3600", 1e-300])
    def test_a_lifetime(self, value):
        assert lifetime(value) == float(value)

    @pytest.mark.parametrize("value", [None, ...])
    def test_one_that_is_not_told_is_short(self, value):
        assert lifetime(value) == DEFAULT_LIFETIME

    @pytest.mark.parametrize("value", [86401, 1e30, 1e308, 10**4000, "9" * 18])
    def test_one_that_is_too_long_is_cut(self, value):
        assert lifetime(value) == MAX_LIFETIME


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, None, CredentialRejectedError),
            (401, "invalid_request", CredentialRejectedError),
            (400, "invalid_client", CredentialRejectedError),
            (400, "unauthorized_client", CredentialRejectedError),
            (403, "invalid_client", CredentialRejectedError),
            (400, "invalid_grant", InvalidTokenResponseError),
            (400, None, InvalidTokenResponseError),
            (403, None, InvalidTokenResponseError),
            (404, "invalid_client", InvalidTokenResponseError),
            (200, "invalid_client", InvalidTokenResponseError),
            (301, "invalid_client", InvalidTokenResponseError),
            (429, "invalid_client", RateLimitedError),
            (410, "invalid_client", EndpointRetiredError),
            (500, "invalid_client", CertnUnavailableError),
            (503, "temporarily_unavailable", CertnUnavailableError),
        ],
    )
    def test_status_first_and_then_the_code(self, status, code, kind):
        error = heard({"error": code}, status)
        assert type(error) is kind
        assert (error.http_status, error.error_code) == (status, code or "")
        assert "acme" in str(error)
        assert str(status) in str(error)

    @pytest.mark.parametrize("code", sorted(ERROR_CODES))
    def test_a_code_of_the_standards_is_told(self, code):
        assert heard({"error": code}, 400).error_code == code

    @pytest.mark.parametrize(
        "code", ["fake-secret-01", "fakesecret", "invalid_fakesecret", "Invalid_Client", 5, [], {}]
    )
    def test_no_other(self, code):
        """It may be an echo of the secret, cut or encoded in a way that nobody thought of."""
        error = heard({"error": code, "error_description": "fake-secret"}, 401)
        assert error.error_code == ""
        assert "fake" not in f"{error} {error!r} {vars(error)}"

    def test_too_long_a_body_is_told_as_such(self):
        error = judge().hear(b" " * (MAX_BODY + 1))
        assert f"{MAX_BODY // 1024} KiB" in str(error)


class TestNoAnswer:
    @pytest.mark.parametrize("failure", [*FAILURES, "KeyError"])
    @pytest.mark.parametrize("status", [None, 200])
    def test_it_is_unreachable(self, failure, status):
        error = judge(status).unreachable(failure)
        assert type(error) is CertnUnavailableError
        assert (error.error_code, error.http_status, error.retryable) == (failure, status, True)
        assert FAILURES.get(failure, failure) in str(error)

    def test_a_status_that_says_enough(self):
        error = judge(401).unreachable("timeout")
        assert type(error) is CredentialRejectedError
        assert error.error_code == ""


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7),
            (" 7 ", 7),
            ("0", 0),
            ("999999999", MAX_RETRY_AFTER),
            ("9" * 10, None),
            ("-7", None),
            ("7.5", None),
            ("\u0667", None),
            ("", None),
            ("soon", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
            ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
            ("Fri, 99 Foo 99999 99:99:99 GMT", None),
            ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ],
    )
    def test_seconds_or_a_date(self, value, seconds):
        assert parse_retry_after(value) == seconds

    def test_a_date_to_come(self):
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        assert 80 <= parse_retry_after(soon) <= 90

    def test_it_is_told(self):
        refusal = judge(429, {"Retry-After": "7"}).hear(b"")
        assert (refusal.retry_after, refusal.retryable) == (7, True)
