"""What an answer means."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from django_certn.answers import (
    CONFIGURATION,
    DEFAULT_LIFETIME,
    ERROR_CODES,
    FAILURES,
    MAX_BODY,
    MAX_LIFETIME,
    MAX_RETRY_AFTER,
    MAX_TOKEN,
    Answer,
    TokenResponse,
    parse_retry_after,
    read_answer,
)
from django_certn.conf import Environment
from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    EndpointRetiredError,
    ExchangeConfigurationError,
    InvalidTokenResponseError,
    RateLimitedError,
)
from django_certn.secret import MaskedStr

ENVIRONMENT = Environment("scripted", "Scripted", "https://certn.test")
TOKEN = "fake-token"
GOOD = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 36000}


def read(body=b"", status=200, headers=(), failure=""):
    answer = Answer(status, dict(headers), body, failure)
    return read_answer(answer, name="acme", environment=ENVIRONMENT)


def answered(body=None, status=200, headers=(), **changes):
    if body is None:
        body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return read(body if isinstance(body, bytes) else json.dumps(body).encode(), status, headers)


def lifetime(value):
    return answered(expires_in=value).expires_in


class TestToken:
    def test_as_certn_documents_it(self):
        response = answered({"access_token": TOKEN, "expires_in": 36000})
        assert (response.access_token, response.expires_in) == (TOKEN, 36000.0)

    def test_it_is_not_shown(self):
        response = answered()
        assert isinstance(response.access_token, MaskedStr)
        assert TOKEN not in repr(response)

    @pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b"\n\t "])
    def test_with_something_before_the_object(self, mark):
        assert answered(mark + json.dumps(GOOD).encode()).access_token == TOKEN

    @pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", None, ...])
    def test_bearer_or_nothing(self, token_type):
        assert isinstance(answered(token_type=token_type), TokenResponse)

    @pytest.mark.parametrize("token", ["!", "~", "a" * MAX_TOKEN, "a+/=.-_~"])
    def test_all_that_a_token_may_be(self, token):
        assert answered(access_token=token).access_token == token

    @pytest.mark.parametrize(
        "changes",
        [
            {"error": None},
            {"error_description": "\u2028"},
            {"scope": {"users": "read"}},
            {"scope": 5},
            {"expires_at": 1e300},
            {"refresh_token": "\x00"},
        ],
        ids=str,
    )
    def test_what_else_is_there_does_not_matter(self, changes):
        assert answered(**changes).expires_in == 36000

    @pytest.mark.parametrize("value", [1, 1.0, "1", "0001", 0.5, 3600.9, "3600", 1e-300])
    def test_a_lifetime(self, value):
        assert lifetime(value) == float(value)

    @pytest.mark.parametrize("value", [None, ...])
    def test_one_that_is_not_named_is_short(self, value):
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
            (403, "unauthorized_client", CredentialRejectedError),
            (401, "temporarily_unavailable", CredentialRejectedError),
            (400, "invalid_grant", InvalidTokenResponseError),
            (400, None, InvalidTokenResponseError),
            (403, None, InvalidTokenResponseError),
            (404, "invalid_client", InvalidTokenResponseError),
            (200, "invalid_client", InvalidTokenResponseError),
            (300, None, InvalidTokenResponseError),
            (304, None, InvalidTokenResponseError),
            (429, "invalid_client", RateLimitedError),
            (410, "invalid_client", EndpointRetiredError),
            (500, "invalid_client", CertnUnavailableError),
            (503, "temporarily_unavailable", CertnUnavailableError),
            (408, None, CertnUnavailableError),
            (425, None, CertnUnavailableError),
            (400, "temporarily_unavailable", CertnUnavailableError),
            (400, "server_error", CertnUnavailableError),
            (200, "temporarily_unavailable", CertnUnavailableError),
        ],
    )
    def test_status_first_and_then_the_code(self, status, code, kind):
        error = answered({"error": code}, status)
        assert type(error) is kind
        assert (error.http_status, error.error_code) == (status, code or "")
        assert "acme" in str(error)
        assert str(status) in str(error)

    @pytest.mark.parametrize("code", sorted(ERROR_CODES))
    def test_a_code_of_the_standards_is_reported(self, code):
        assert answered({"error": code}, 400).error_code == code

    @pytest.mark.parametrize(
        "code", ["fake-secret-01", "fakesecret", "invalid_fakesecret", "Invalid_Client", 5, [], {}]
    )
    def test_no_other(self, code):
        """It may be an echo of the secret, cut or encoded in a way that nobody thought of."""
        error = answered({"error": code, "error_description": "fake-secret"}, 401)
        assert error.error_code == ""
        assert "fake" not in f"{error} {error!r} {vars(error)}"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_named_as_one(self, status):
        error = answered({"error": "invalid_client"}, status, {"Location": "https://fake.test/"})
        assert type(error) is InvalidTokenResponseError
        assert error.error_code == "redirect"
        assert "redirect" in str(error)
        assert "fake.test" not in str(error)

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b"<!DOCTYPE html><h1>Log in</h1>", {}),
            (b"\xef\xbb\xbf\r\n <html>", {}),
            (b"Log in", {"Content-Type": "text/html; charset=utf-8"}),
            (b"", {"WWW-Authenticate": 'Basic realm="proxy"'}),
            (b"", {"WWW-Authenticate": 'Negotiate, basic realm="proxy"'}),
            (b'{"message": "Unauthorized"}', {"WWW-Authenticate": "BASIC"}),
            (None, {"Content-Type": "Text/HTML"}),
        ],
        ids=str,
    )
    def test_a_401_of_somebody_in_between(self, body, headers):
        error = read(body, 401, headers)
        assert type(error) is CredentialRejectedError
        assert error.error_code == "not_certn"
        assert "asks for a login" in str(error)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'{"error": "invalid_client"}', "invalid_client"),
            (b'{"error": "nonsense"}', ""),
            (b'{"detail": "Invalid."}', ""),
        ],
    )
    def test_a_401_of_a_server_that_wants_basic(self, body, code):
        """As RFC 6749, section 5.2 asks for, and as Authlib does."""
        error = read(body, 401, {"WWW-Authenticate": 'Basic error="invalid_client"'})
        assert error.error_code == code
        assert "the key is refused" in str(error)

    @pytest.mark.parametrize(
        "headers",
        [{}, {"WWW-Authenticate": 'Bearer realm="basic"'}, {"Content-Type": "text/plain"}],
    )
    def test_a_401_that_says_nothing_is_certns(self, headers):
        assert read(b"", 401, headers).error_code == ""

    def test_too_long_a_body_is_reported_as_such(self):
        error = read(b" " * (MAX_BODY + 1))
        assert f"{MAX_BODY // 1024} KiB" in str(error)


class TestNoAnswer:
    @pytest.mark.parametrize("failure", [*FAILURES, "KeyError"])
    @pytest.mark.parametrize("status", [None, 200])
    def test_it_is_unreachable(self, failure, status):
        error = read(None, status, failure=failure)
        assert type(error) is CertnUnavailableError
        assert (error.error_code, error.http_status, error.retryable) == (failure, status, True)
        assert FAILURES.get(failure, failure) in str(error)

    @pytest.mark.parametrize("failure", CONFIGURATION)
    def test_it_is_the_sites_own_fault(self, failure):
        error = read_answer(
            Answer(None, {}, None, failure, "SOME_VARIABLE"), name="acme", environment=ENVIRONMENT
        )
        assert type(error) is ExchangeConfigurationError
        assert (error.status, error.error_code) == ("misconfigured", failure)
        assert "SOME_VARIABLE" in str(error)

    def test_a_status_that_says_enough(self):
        error = read(None, 401, failure="timeout")
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

    def test_it_is_reported(self):
        refusal = read(status=429, headers={"Retry-After": "7"})
        assert (refusal.retry_after, refusal.retryable) == (7, True)
