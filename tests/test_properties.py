"""Whatever comes back, it is a token that can be used, or an error of ours."""

import json
import re
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_certn.answers import (
    CONFIGURATION,
    ERROR_CODES,
    FAILURES,
    MAX_BODY,
    MAX_LIFETIME,
    MAX_TOKEN,
    Answer,
    TokenResponse,
    read_answer,
)
from django_certn.conf import Environment, parse_environment
from django_certn.exceptions import CertnConfigurationError, TokenError
from django_certn.models import Key
from django_certn.oauth import exchange
from django_certn.secret import MaskedStr, Secret
from tests.effort import effort
from tests.endpoint import TokenEndpoint

ENVIRONMENT = Environment("scripted", "Scripted", "https://certn.test")

# The same examples each time: what is found once is made a test of its own.
quick = settings(
    max_examples=effort(60, thorough=400), deadline=None, derandomize=True, database=None
)
slow = settings(
    quick,
    max_examples=effort(10, thorough=60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("fake-token")
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
lifetimes = st.one_of(
    values,
    st.integers(-10, 100_000),
    st.integers().map(str),
    st.from_regex(r"\A[0-9]{1,20}\Z"),
    st.floats(allow_nan=True, allow_infinity=True),
)
near_tokens = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just("fake-token") | st.text() | values,
        "token_type": st.sampled_from(["Bearer", "bearer", "mac", None]) | values,
        "expires_in": lifetimes,
        "error": st.none() | st.sampled_from(sorted(ERROR_CODES)) | values,
        "expires_at": values,
        "scope": values,
    },
)
bodies = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    near_tokens.map(lambda value: json.dumps(value).encode()),
    near_tokens.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="replace")),
    st.integers(MAX_BODY - 2, MAX_BODY + 2).map(lambda size: b" " * size),
)
statuses = st.sampled_from([200, 200, 200, 400, 401, 403, 410, 429, 503]) | st.integers(100, 999)
dates = st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
headers = st.fixed_dictionaries(
    {}, optional={"Retry-After": st.text() | dates | st.integers().map(str), "X": st.text()}
)


def check(outcome):
    if isinstance(outcome, TokenResponse):
        token = outcome.access_token
        assert isinstance(token, MaskedStr)
        assert 1 <= len(token) <= MAX_TOKEN
        assert re.fullmatch(r"[\x21-\x7e]+", token, re.ASCII)
        assert isinstance(outcome.expires_in, float)
        assert 0 < outcome.expires_in <= MAX_LIFETIME
        return
    assert isinstance(outcome, TokenError)
    # Not the name of an exception: those are what nobody foresaw.
    assert outcome.error_code in ERROR_CODES | set(FAILURES) | {"", "not_certn", "redirect"}
    assert outcome.retry_after is None or 0 <= outcome.retry_after <= MAX_LIFETIME


def read(answer):
    return read_answer(answer, name="acme", environment=ENVIRONMENT)


@quick
@given(statuses, headers, bodies)
def test_an_answer_is_read(status, headers, body):
    outcome = read(Answer(status, headers, body))
    check(outcome)
    if isinstance(outcome, TokenResponse):
        assert status == 200
        assert json.loads(body)["access_token"] == outcome.access_token


@quick
@given(st.none() | statuses, headers, st.sampled_from(sorted(FAILURES | CONFIGURATION)) | st.text())
def test_an_answer_that_does_not_come_is_read(status, headers, failure):
    assert isinstance(read(Answer(status, headers, None, failure)), TokenError)


@pytest.fixture(scope="module")
def served():
    with TokenEndpoint() as endpoint:
        yield endpoint


def exchanged(endpoint):
    environment = Environment("scripted", "Scripted", endpoint.url)
    try:
        return exchange(Key("acme", environment, "fake-id", Secret("fake-secret")), timeout=20)
    except TokenError as error:
        return error


lines = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)


@slow
@given(
    statuses.filter(lambda status: status >= 200),
    st.lists(st.tuples(st.from_regex(r"\A[A-Za-z-]{1,20}\Z"), lines), max_size=5),
    bodies,
)
def test_an_answer_over_the_wire(served, status, headers, body):
    served.answer(status, body, headers)
    check(exchanged(served))


@slow
@given(st.one_of(st.binary(max_size=300), st.builds(bytes.__add__, st.just(b"HTTP/1."), bodies)))
def test_bytes_that_need_not_be_http(served, content):
    served.raw(lambda connection: connection.sendall(content))
    check(exchanged(served))


# No library that connects reads another host, port or path in an address than we do.

PARTS = r"""
api certn evil localhost 127 0 1 0x7f xn--a _ - v1 443 65536 . .. ::1 :: [ ] %2e % %25 @ : / \ ; é
。 ． # ? & ' " | ^ a-label-of-64-characters-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
"""  # noqa: RUF001 - full stops of other scripts, which some take for ours
hosts = st.lists(st.sampled_from([*PARTS.split(), " ", "\t", "\0"]), min_size=1, max_size=7).map(
    "".join
)


@quick
@given(st.sampled_from(["https://", "http://", "https:", "HTTPS://"]), hosts, st.text(max_size=3))
@example("http://", "[::1]", "evil.example")
@example("https://", "api.certn.co%2eevil.example", "")
@example("https://", "127.0.0.1:0", "")
@example("https://", "a/../b", "")
def test_an_address_is_read_alike_by_whoever_connects(scheme, host, end):
    try:
        environment = parse_environment("any", {"base_url": scheme + host + end})
    except CertnConfigurationError:
        return
    mine = urlsplit(environment.token_url)
    prepared = requests.Request("POST", environment.token_url).prepare()
    connects = urllib3.util.parse_url(prepared.url)
    assert connects.host.strip("[]") == mine.hostname
    assert (connects.scheme, connects.port, connects.path) == (mine.scheme, mine.port, mine.path)
