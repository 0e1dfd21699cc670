"""Undoes the content codings of a body, within bounds.

None is asked for, and yet some servers and proxies compress whatever they send. What can be undone
is what urllib3 undoes without another package; what it does not know it leaves alone, and so does
this. urllib3 itself is not asked, since older releases undo a bomb before they look at its size:
https://github.com/urllib3/urllib3/blob/2.8.0/src/urllib3/response.py (MultiDecoder)
"""

import zlib

from django_certn.answers import MAX_BODY

__all__ = ["decode"]

GZIP = zlib.MAX_WBITS | 16
MAX_CODINGS = 5  # one on top of another, as in urllib3


def decode(body: bytes, content_encoding: str) -> bytes:
    """Return the body as it was before it was encoded.

    Args:
        body: as it came.
        content_encoding: the header ``Content-Encoding``, ``""`` when there was none.

    Returns:
        At most one byte more than `MAX_BODY`; ``b""`` for a body that is not what the header says.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [DECODERS[name] for name in names if name in DECODERS]
    if len(codings) > MAX_CODINGS:
        return b""
    try:
        for undo in reversed(codings):
            if not body or len(body) > MAX_BODY:  # it is cut off: what is in it is of no use
                break
            body = undo(body)
    except zlib.error:
        return b""
    return body


def gunzip(body: bytes) -> bytes:
    """Undo one member after another; what follows the last is ignored (RFC 1952, section 2.2)."""
    text = b""
    while body and len(text) <= MAX_BODY:
        member = zlib.decompressobj(GZIP)
        try:
            text += member.decompress(body, MAX_BODY + 1 - len(text))
        except zlib.error:
            if not text:
                raise
            break
        body = member.unused_data
    return text


def inflate(body: bytes) -> bytes:
    """Undo zlib, or what many servers send under its name: raw deflate."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MAX_BODY + 1)


DECODERS = {"gzip": gunzip, "x-gzip": gunzip, "deflate": inflate}
