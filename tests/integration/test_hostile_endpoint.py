"""Whatever answers in Certn's place: an error of ours, in time, in little memory, and no leak."""

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
import requests

from django_certn.conf import conf
from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    EndpointRetiredError,
    InvalidTokenResponseError,
    RateLimitedError,
    TokenError,
)
from django_certn.models import Key
from django_certn.oauth import exchange
from django_certn.secret import Secret
from django_certn.tokens import get_token
from django_certn.verification import verify
from tests.endpoint import TokenEndpoint
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan, everything_logged

BUDGET = 0.4  # seconds, where a server stalls
GRACE = 1.0  # and how much later an error may come
MEMORY = 5 * 1024 * 1024  # bytes

BASIC = b64encode(f"{quote(CLIENT_ID, safe='')}:{quote(SECRET, safe='')}".encode()).decode()
PLAIN = b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
GOOD = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 36000}
GOOD_BODY = json.dumps(GOOD).encode()
BAD, UNAVAILABLE = InvalidTokenResponseError, CertnUnavailableError


def good(**changes):
    return {name: value for name, value in (GOOD | changes).items() if value is not ...}


def answers(status=200, body=None, **headers):
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda endpoint: endpoint.answer(status, body, pairs)


def sends(*parts):
    """The bytes as they are, and then the end of the connection."""

    def arm(endpoint):
        endpoint.raw(lambda connection: [connection.sendall(part) for part in parts])

    return arm


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def whole(body, *lines, status="200 OK"):
    return head(f"Content-Length: {len(body)}", *lines, status=status) + body


def drips(*, at_once=b"", content, every=0.03):
    def arm(endpoint):
        def script(connection):
            connection.sendall(at_once)
            endpoint.drip(connection, content, every)

        endpoint.raw(script)

    return arm


def repeats(chunk):
    """The same bytes for as long as anybody listens."""

    def script(connection):
        while True:
            connection.sendall(chunk)

    return lambda endpoint: endpoint.raw(script)


def breaks_tls(endpoint):
    """Bytes that are no TLS record, within a connection that is encrypted."""
    endpoint.raw(lambda connection: socket.socket.send(connection, b"not a record" * 99))


def resets(endpoint):
    endpoint.raw(lambda connection: connection.shutdown(socket.SHUT_RDWR))


def redirects(status, location):
    def arm(endpoint):
        target = location.replace("HERE", endpoint.url)
        endpoint.answer(status, GOOD_BODY, {"Location": target})

    return arm


def bomb(megabytes=16):
    """A token after so many spaces, which is 16 KiB on the way."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = [packer.compress(b" " * 1024 * 1024) for _ in range(megabytes)]
    return b"".join([*packed, packer.compress(GOOD_BODY), packer.flush()])


BOMB = bomb()
NESTED = b"[" * 30_000 + b"]" * 30_000

WRONG_STATUS = {
    **{f"{status} with a token": (answers(status, GOOD), BAD) for status in (201, 202, 203, 206)},
    "204": (answers(204, b""), BAD),
    "302 without a target": (answers(302, GOOD), BAD),
    "304": (answers(304, b""), BAD),
    "400 with a token": (answers(400, GOOD), BAD),
    "401 with a token": (answers(401, GOOD), CredentialRejectedError),
    "401 as a page": (answers(401, "<h1>Log in</h1>"), CredentialRejectedError),
    "403 with a token": (answers(403, GOOD), BAD),
    "404 as a page": (answers(404, "<h1>Not found</h1>"), BAD),
    "405": (answers(405, b"", Allow="GET"), BAD),
    "410 with a token": (answers(410, GOOD), EndpointRetiredError),
    "429 with a token": (answers(429, GOOD, Retry_After="7"), RateLimitedError),
    "429 that asks for nonsense": (
        answers(429, b"", Retry_After="Fri, 99 Foo 99999 99:99:99 GMT"),
        RateLimitedError,
    ),
    "500 with a token": (answers(500, GOOD), UNAVAILABLE),
    "503 as a page": (answers(503, "<h1>Later</h1>"), UNAVAILABLE),
    "999 with a token": (answers(999, GOOD), UNAVAILABLE),
    "103 and then a token": (sends(head(status="103 Early Hints"), whole(GOOD_BODY)), BAD),
    "a status of two digits": (sends(whole(GOOD_BODY, status="20 OK")), UNAVAILABLE),
    "a status that is a word": (sends(whole(GOOD_BODY, status="OK fine")), UNAVAILABLE),
}

WRONG_BODY = {
    "nothing": b"",
    "HTML": "<html><h1>Welcome</h1>",
    "HTML that holds a form body": f"<a href='?x&access_token={TOKEN}&expires_in=9'>",
    "a form body": f"access_token={quote_plus(TOKEN)}&token_type=bearer",
    "an array": [GOOD],
    "a number": "3",
    "null": "null",
    "true": "true",
    "a string": json.dumps(GOOD_BODY.decode()),
    "a body cut short": GOOD_BODY[:-9],
    "two bodies": GOOD_BODY * 2,
    "UTF-16": GOOD_BODY.decode().encode("utf-16"),
    "not UTF-8": json.dumps(GOOD | {"scope": "SCOPE"}).encode().replace(b"SCOPE", b"\xff\xfe"),
    "deep nesting": NESTED,
    "thousands of lists": b"[" + b"[]," * 21_000 + b"[]]",
    "thousands of objects": b"{" + b",".join(b'"%d":{}' % i for i in range(6000)) + b"}",
    "a deep object": b'{"access_token":' * 9_000,
    "a number of 60,000 digits": b'{"expires_in": ' + b"9" * 60_000 + b"}",
    "a token after 64 KiB, and 10 MB": b" " * 64 * 1024 + GOOD_BODY + b" " * 10_000_000,
    "detail, as Django REST framework has it": {"detail": "Not found."},
    "an error beside a token": good(error="invalid_client"),
    "an error that is empty": good(error=""),
    "an error that is an object": good(error={"message": TOKEN}),
    "no access_token": good(access_token=...),
    **{
        f"access_token {value!r:.30}": good(access_token=value)
        for value in [
            None,
            "",
            123,
            True,
            [TOKEN],
            {"value": TOKEN},
            f"{TOKEN}\r\nX-Injected: yes",
            f"{TOKEN}\0",
            f"{TOKEN} {TOKEN}",
            f"{TOKEN}\n",
            f"{TOKEN}é",
            f"{TOKEN}\u2028",
            "\ud800",
            TOKEN * 400,
        ]
    },
    **{
        f"token_type {value!r}": good(token_type=value)
        for value in ["mac", "", "Bearer ", "bearer,mac", 5, True, ["Bearer"], {}]
    },
    **{
        f"expires_in {value!r:.30}": good(expires_in=value)
        for value in [
            0,
            -1,
            -1e300,
            float("nan"),
            float("inf"),
            float("-inf"),
            True,
            "",
            "abc",
            "-5",
            "3600.5",
            "1_000",
            "٣٦٠٠",
            "1e9",
            "9" * 5000,
            [3600],
            {"seconds": 3600},
        ]
    },
}
WRONG_BODY = {name: (answers(200, body), BAD) for name, body in WRONG_BODY.items()}

COMPRESSED = {
    f"a bomb ({coding}, {status})": (answers(status, BOMB, Content_Encoding=coding), error)
    for coding, status, error in [
        ("gzip", 200, BAD),
        ("x-gzip", 200, BAD),
        ("deflate", 200, BAD),
        ("GZIP", 302, BAD),
        ("gzip", 401, CredentialRejectedError),
        ("gzip", 500, UNAVAILABLE),
    ]
} | {
    "a bomb in a bomb": (answers(200, gzip.compress(BOMB), Content_Encoding="gzip, gzip"), BAD),
    "not gzip at all": (answers(200, GOOD, Content_Encoding="gzip"), BAD),
    "gzip that is cut short": (
        answers(200, gzip.compress(GOOD_BODY)[:30], Content_Encoding="gzip"),
        BAD,
    ),
    "brotli, which is not asked for": (answers(200, b"\x8b", Content_Encoding="br"), BAD),
}

# What plain requests makes a token of, it is one here.
READABLE = {
    "a byte order mark": answers(200, b"\xef\xbb\xbf" + GOOD_BODY),
    "an empty Content-Encoding": answers(200, GOOD, Content_Encoding=""),
    "an encoding that nobody knows": answers(200, GOOD, Content_Encoding="aws-chunked"),
    "gzip": answers(200, gzip.compress(GOOD_BODY), Content_Encoding="gzip"),
    "gzip in two members": answers(
        200, gzip.compress(GOOD_BODY[:9]) + gzip.compress(GOOD_BODY[9:]), Content_Encoding="gzip"
    ),
    "deflate": answers(200, zlib.compress(GOOD_BODY), Content_Encoding="deflate"),
    "raw deflate": answers(200, zlib.compress(GOOD_BODY)[2:-4], Content_Encoding="deflate"),
    "chunks": sends(
        head("Transfer-Encoding: chunked")
        + b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)
    ),
    "no length": sends(head("Content-Type: text/plain") + GOOD_BODY),
    "100 Continue before it": sends(head(status="100 Continue"), whole(GOOD_BODY)),
}

REDIRECTS = {
    f"{status} to {location}": (redirects(status, location), BAD)
    for status in (301, 302, 303, 307, 308)
    for location in [
        "HERE/elsewhere/",
        "https://certn.invalid/token/",
        "http://127.0.0.1:9/token/",
        "//certn.invalid:8443/",
        "http://[",
        "\x80",
    ]
}

ECHOES = {
    f"{member} with {name}, {status}": (answers(status, {member: text, "other": text}), error)
    for status, error, member in [
        (200, BAD, "error"),
        (400, BAD, "error_description"),
        (401, CredentialRejectedError, "error"),
    ]
    for name, text in {
        "the secret": SECRET,
        "a part of it": SECRET[:-2],
        "it and more": f"no.{SECRET}",
        "a part of it and more": f"invalid_{quote_plus(SECRET)[:-2]}",
        "it URL-encoded": quote_plus(SECRET),
        "it in base64": b64encode(SECRET.encode()).decode(),
        "the header": BASIC,
        "a token": TOKEN,
        "50 kB": SECRET + "\n" * 50_000,
    }.items()
}

HEADS = {
    "a reason that is the secret": (sends(whole(b"", status=f"200 {SECRET}")), BAD),
    "a head that echoes": (sends(whole(b"", f"X: {SECRET}", f"Set-Cookie: a={TOKEN}")), BAD),
    # urllib3 logs what it cannot read of a head.
    "a head without colons that echoes": (
        sends(head("no colon", f"X: {SECRET}", f"Y: {TOKEN}") + GOOD_BODY),
        None,
    ),
    "200 headers": (sends(head(*(f"X-{i}: {i}" for i in range(200)))), UNAVAILABLE),
    "a header of 64 KiB": (sends(head("X: " + "x" * 66_000)), UNAVAILABLE),
    "90 headers of 60 KB": (sends(head(*["X: " + "x" * 60_000] * 90)), UNAVAILABLE),
    "a status line of 64 KiB": (sends(b"HTTP/1.1 200 " + b"x" * 70_000), UNAVAILABLE),
    "a length that is a word": (sends(head("Content-Length: many") + GOOD_BODY), None),
    "a length below zero": (sends(head("Content-Length: -5") + GOOD_BODY), None),
    "lengths that differ": (
        sends(head("Content-Length: 5", "Content-Length: 6") + GOOD_BODY),
        UNAVAILABLE,
    ),
    "a length that is too long": (sends(head("Content-Length: 999") + GOOD_BODY), UNAVAILABLE),
    "a chunk that is none": (
        sends(head("Transfer-Encoding: chunked") + b"zz\r\n" + GOOD_BODY),
        UNAVAILABLE,
    ),
    "a chunk of 16 exabytes": (
        sends(head("Transfer-Encoding: chunked") + b"f" * 16 + b"\r\n" + GOOD_BODY),
        UNAVAILABLE,
    ),
    "garbage": (sends(b"\x00\xff" * 5000), UNAVAILABLE),
    "garbage of 10 MB": (sends(b"\x00" * 10_000_000), UNAVAILABLE),
    "nothing and the end": (sends(), UNAVAILABLE),
    "half a head": (sends(b"HTTP/1.1 200 O"), BAD),
    "a reset": (resets, UNAVAILABLE),
    "a broken TLS record": (breaks_tls, UNAVAILABLE),
}

ENDLESS = {
    "100 Continue": repeats(head(status="100 Continue")),
    "trailers": sends(
        head("Transfer-Encoding: chunked") + b"0\r\n" + b"X: y\r\n" * 99_999,
    ),
    "a header line": repeats(b"HTTP/1.1 200 OK X"),
    "chunks of one byte": repeats(head("Transfer-Encoding: chunked") + b"1\r\n \r\n" * 9999),
}
ENDLESS = {f"endless {name}": (arm, TokenError) for name, arm in ENDLESS.items()}

IMMEDIATE = WRONG_STATUS | WRONG_BODY | COMPRESSED | REDIRECTS | ECHOES | HEADS | ENDLESS

STALLS = {
    "silence": (drips(content=b" ", every=60), UNAVAILABLE),
    "a head that drips": (drips(content=head("X: " + "x" * 500)), UNAVAILABLE),
    "a body that drips": (drips(at_once=head("Content-Length: 900"), content=b"{" * 900), None),
    "a body that drips after a 401": (
        drips(at_once=head("Content-Length: 900", status="401 No"), content=b"{" * 900),
        CredentialRejectedError,
    ),
    "a redirect whose body drips": (
        drips(
            at_once=head("Location: /else/", "Content-Length: 900", status="302 Found"),
            content=b"{" * 900,
        ),
        BAD,
    ),
    "chunks that drip": (
        drips(at_once=head("Transfer-Encoding: chunked"), content=b"1\r\n{\r\n" * 99),
        UNAVAILABLE,
    ),
    "100 Continue that drips": (
        drips(content=head(status="100 Continue") * 99, every=0.005),
        UNAVAILABLE,
    ),
}


def a_key(endpoint_environment="scripted"):
    return Key("default", conf.environment(endpoint_environment), CLIENT_ID, Secret(SECRET))


@pytest.fixture
def trusted(tls_endpoint, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_endpoint.ca_file)
    return tls_endpoint


@pytest.fixture
def no_leak():
    """Scans an error when it is called, and at the end everything that was logged meanwhile."""
    scan = Scan(SECRET, TOKEN, BASIC, PLAIN)

    def check(error):
        assert scan.error(error) == set()

    with everything_logged() as lines:
        yield check
    assert lines
    assert scan.text("\n".join(lines)) == set()


def outcome_of(call, budget):
    """The error of the call, `None` if it brought a token; it keeps to its time and memory."""
    tracemalloc.start()
    began, error = time.monotonic(), None
    try:
        call()
    except TokenError as raised:
        error = raised
    seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < budget + GRACE
    assert peak < MEMORY
    return error


@pytest.mark.parametrize(("arm", "expected"), IMMEDIATE.values(), ids=IMMEDIATE)
def test_an_answer_that_comes_at_once(trusted, no_leak, arm, expected):
    arm(trusted)
    error = outcome_of(lambda: exchange(a_key(), timeout=10), 10)
    # After a 401 the pair is tried as it is, too, since it holds what the encoding changes.
    assert trusted.hits == (2 if getattr(error, "http_status", None) == 401 else 1)
    if expected is None:  # urllib3 may as well make sense of it, and then it is a token
        assert error is None or isinstance(error, TokenError)
    else:
        assert isinstance(error, expected)
    if error:
        no_leak(error)


@pytest.mark.parametrize("arm", READABLE.values(), ids=READABLE)
def test_what_plain_requests_reads_is_read(trusted, arm):
    arm(trusted)
    content = requests.post(trusted.url, auth=("fake", "fake"), timeout=10).content
    assert json.loads(content.decode("utf-8-sig")) == GOOD
    assert exchange(a_key(), timeout=10).access_token == TOKEN


@pytest.mark.parametrize(("arm", "expected"), STALLS.values(), ids=STALLS)
def test_an_answer_that_does_not_come_to_its_end(trusted, no_leak, arm, expected):
    arm(trusted)
    error = outcome_of(lambda: exchange(a_key(), timeout=BUDGET), BUDGET)
    assert isinstance(error, expected or UNAVAILABLE)
    no_leak(error)


# One of each kind again, by the way that a site takes.
BY_TOKEN_SERVICE = {
    name: (IMMEDIATE | STALLS)[name]
    for name in [
        "500 with a token",
        "a form body",
        "a bomb (gzip, 200)",
        "307 to https://certn.invalid/token/",
        "error with the header, 401",
        "a head without colons that echoes",
        "90 headers of 60 KB",
        "a broken TLS record",
        "a head that drips",
        "a body that drips",
    ]
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("arm", "expected"), BY_TOKEN_SERVICE.values(), ids=BY_TOKEN_SERVICE)
def test_through_the_token_service(trusted, no_leak, make_credential, settings, arm, expected):
    settings.CERTN_REQUEST_TIMEOUT = BUDGET if arm in dict(STALLS.values()) else 10
    make_credential(environment="scripted", client_id=CLIENT_ID, client_secret=SECRET)
    arm(trusted)
    error = outcome_of(get_token, settings.CERTN_REQUEST_TIMEOUT)
    if error is None:
        assert expected is None
        return
    assert isinstance(error, expected or UNAVAILABLE)
    no_leak(error)

    outcomes = []
    outcome_of(lambda: outcomes.append(verify("default")), settings.CERTN_REQUEST_TIMEOUT)
    (outcome,) = outcomes
    assert (outcome.status, outcome.error_code) == (error.status, error.error_code)
    assert Scan(SECRET, TOKEN, BASIC, PLAIN).text(repr([outcome, outcome.as_dict()])) == set()


@pytest.mark.django_db(transaction=True)
def test_a_name_that_does_not_resolve_in_time(
    trusted, no_leak, make_credential, settings, monkeypatch
):
    settings.CERTN_REQUEST_TIMEOUT = BUDGET
    make_credential(environment="scripted", client_id=CLIENT_ID, client_secret=SECRET)
    resolve, late = socket.getaddrinfo, threading.Event()

    def stalled(*args, **kwargs):
        late.wait(6)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", stalled)
    error = outcome_of(get_token, BUDGET)
    assert error.error_code == "timeout"
    no_leak(error)
    outcomes = []
    assert outcome_of(lambda: outcomes.append(verify("default")), BUDGET) is None
    assert outcomes[0].status == "unreachable"

    late.set()  # and nothing is sent any more
    for thread in threading.enumerate():
        if thread.name == "certn-request":
            thread.join(10)
    assert trusted.hits == 0


def test_https_that_is_answered_in_clear(settings, no_leak):
    with TokenEndpoint() as endpoint:
        address = endpoint.url.replace("http://127.0.0.1", "https://localhost")
        settings.CERTN_ENVIRONMENTS = {"scripted": {"label": "", "base_url": address}}
        error = outcome_of(lambda: exchange(a_key(), timeout=10), 10)
    assert isinstance(error, UNAVAILABLE)
    assert error.error_code == "tls"
    assert endpoint.hits == 0
    no_leak(error)
