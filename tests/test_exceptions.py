import copy
import pickle

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_certn import exceptions
from django_certn.exceptions import (
    CertnConfigurationError,
    CertnError,
    CertnUnavailableError,
    CredentialInactiveError,
    CredentialNotFoundError,
    CredentialRejectedError,
    CredentialUndecryptableError,
    EndpointRetiredError,
    ExchangeConfigurationError,
    InvalidTokenResponseError,
    RateLimitedError,
    Status,
    TokenError,
    UnsafeRequestError,
)

CLASSES = [
    value
    for name in exceptions.__all__
    if issubclass(value := getattr(exceptions, name), CertnError)
]


@pytest.mark.parametrize(
    ("error", "parent", "status", "retryable"),
    [
        (CertnConfigurationError, CertnError, "misconfigured", None),
        (CredentialNotFoundError, CertnConfigurationError, "misconfigured", None),
        (CredentialInactiveError, CertnConfigurationError, "misconfigured", None),
        (CredentialUndecryptableError, CertnConfigurationError, "undecryptable", None),
        (UnsafeRequestError, CertnConfigurationError, "misconfigured", None),
        (CredentialRejectedError, TokenError, "rejected", False),
        (RateLimitedError, TokenError, "rate_limited", True),
        (CertnUnavailableError, TokenError, "unreachable", True),
        (EndpointRetiredError, TokenError, "retired", False),
        (InvalidTokenResponseError, TokenError, "bad_response", False),
        (ExchangeConfigurationError, TokenError, "misconfigured", False),
    ],
)
def test_the_tree(error, parent, status, retryable):
    assert error.__bases__[0] is parent
    assert issubclass(error, CertnError)
    assert error.status == status
    assert error.status in Status
    assert getattr(error, "retryable", None) is retryable
    assert issubclass(error, ImproperlyConfigured) is issubclass(error, CertnConfigurationError)


def test_an_unsafe_request_is_a_value_error_too():
    assert issubclass(UnsafeRequestError, ValueError)


def test_every_class_is_tried_here():
    found = {
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, CertnError)
    }
    assert found == set(CLASSES)


def test_every_status_but_ok_has_an_error():
    assert {error.status for error in CLASSES if hasattr(error, "status")} == {
        status for status in Status if status != Status.OK
    }


def test_the_statuses_are_the_strings_of_the_database_and_the_json():
    assert Status.values == [
        "ok",
        "rejected",
        "rate_limited",
        "unreachable",
        "retired",
        "bad_response",
        "undecryptable",
        "misconfigured",
    ]
    assert all(status.label for status in Status)


@pytest.mark.parametrize("error", CLASSES)
@pytest.mark.parametrize(
    "clone",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_an_error_survives_pickle_and_copy(error, clone):
    original = error("Why it failed.")
    if isinstance(original, TokenError):
        original = error("Why it failed.", http_status=429, error_code="slow_down", retry_after=7)

    result = clone(original)

    assert type(result) is error
    assert str(result) == "Why it failed."
    assert result.args == original.args
    assert vars(result) == vars(original)


def test_what_a_token_error_says():
    bare = TokenError()
    assert (str(bare), bare.http_status, bare.error_code, bare.retry_after) == ("", None, "", None)

    full = RateLimitedError("Slower.", http_status=429, error_code="slow_down", retry_after=7)
    assert (full.http_status, full.error_code, full.retry_after) == (429, "slow_down", 7)
    with pytest.raises(TypeError):
        RateLimitedError("Slower.", 429)
