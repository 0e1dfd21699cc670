"""What a body is once its content codings are undone."""

import gzip
import time
import zlib
from io import BytesIO

import pytest
from urllib3 import HTTPResponse

from django_certn.answers import MAX_BODY
from django_certn.decoding import decode

TEXT = b'{"access_token": "fake-token"}'
ZLIB = zlib.compress(TEXT)
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW = RAW.compress(TEXT) + RAW.flush()
GZIP = gzip.compress(TEXT)
MEMBERS = gzip.compress(TEXT[:9]) + gzip.compress(b"") + gzip.compress(TEXT[9:])

READABLE = {
    "empty": ("", TEXT),
    "a space": (" ", TEXT),
    "a comma": (",", TEXT),
    "identity": ("identity", TEXT),
    "none": ("none", TEXT),
    "a character set": ("UTF-8", TEXT),
    "aws-chunked": ("aws-chunked", TEXT),
    "gzip": ("gzip", GZIP),
    "GZip": ("GZip", GZIP),
    "several members": ("gzip", MEMBERS),
    "something after the last member": ("gzip", GZIP + b"\0\0\0"),
    "no checksum": ("gzip", GZIP[:-8]),
    "zlib": ("deflate", ZLIB),
    "raw deflate": ("deflate", RAW),
    "gzip twice": ("gzip, gzip", gzip.compress(GZIP)),
    "gzip over zlib": ("deflate, gzip", gzip.compress(ZLIB)),
    "zlib over gzip": ("gzip,deflate", zlib.compress(GZIP)),
}
readable = pytest.mark.parametrize(("coding", "body"), READABLE.values(), ids=READABLE)


@readable
def test_what_can_be_read(coding, body):
    assert decode(body, coding) == TEXT


@readable
def test_urllib3_reads_it_so_too(coding, body):
    headers = {"Content-Encoding": coding.strip()}
    response = HTTPResponse(BytesIO(body), headers, preload_content=False)
    assert response.read(decode_content=True) == TEXT


def test_the_old_name_of_gzip():
    """RFC 9110, section 8.4.1.3; not every release of urllib3 2 knows it."""
    assert decode(GZIP, " x-gzip ") == TEXT


@pytest.mark.parametrize("coding", ["identity, gzip", "gzip, aws-chunked", ", gzip ,"])
def test_what_is_not_known_is_passed_over(coding):
    assert decode(GZIP, coding) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize(
    "body",
    [TEXT, b"\x1f\x8b", b"\0" * 99, RAW[1:], TEXT + GZIP],
    ids=["text", "the beginning of gzip", "zeros", "a part", "text before gzip"],
)
def test_what_cannot_be_undone_is_nothing(coding, body):
    assert decode(body, coding) == b""


@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "gzip, deflate"])
def test_nothing_stays_nothing(coding):
    assert decode(b"", coding) == b""


def bomb(pack):
    """16 MiB of spaces."""
    return b"".join([*(pack.compress(b" " * 1024 * 1024) for _ in range(16)), pack.flush()])


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", bomb(zlib.compressobj(wbits=zlib.MAX_WBITS | 16))),
        ("gzip", gzip.compress(b" " * 1024) * 2000),
        ("deflate", bomb(zlib.compressobj())),
        ("deflate", bomb(zlib.compressobj(wbits=-zlib.MAX_WBITS))),
        ("gzip, gzip", gzip.compress(gzip.compress(b" " * 4 * MAX_BODY))),
    ],
    ids=["gzip", "members", "zlib", "raw", "twice"],
)
def test_no_more_is_undone_than_one_byte_over_the_limit(coding, body):
    began = time.process_time()
    assert decode(body, coding) == b" " * (MAX_BODY + 1)
    assert time.process_time() - began < 0.5


def test_what_is_too_long_before_it_is_undone_is_left_as_it_is():
    body = b"x" * (MAX_BODY + 1)
    assert decode(body, "gzip") == body


def test_codings_one_on_top_of_another_have_an_end():
    body = TEXT
    for _ in range(5):
        body = gzip.compress(body)
    assert decode(body, ", ".join(["gzip"] * 5)) == TEXT
    assert decode(gzip.compress(body), ", ".join(["gzip"] * 6)) == b""
