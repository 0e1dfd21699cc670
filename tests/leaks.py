"""Looks for a secret wherever it may have got to, plain or in one of the forms it travels in."""

import base64
import html
import json
import logging
import pickle
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from urllib.parse import quote, quote_plus

from django_certn.tokens.known import KnownKeys
from django_certn.tokens.memo import Memo, Memos, OpenTransaction

# Obviously fake, and with what the encodings change: slash, plus, percent, equals sign.
CLIENT_ID = "fake-client/+%id"
SECRET = "fake-secret/Kx9+Qw7=Zt3%Mark"
TOKEN = "fake-token/Vb5+Ny8~Hd2_Mark"

TESTS = str(Path(__file__).parent)
SHORTEST = 8  # characters of a form below which a hit says nothing


def forms(mark: str) -> set[str]:
    """The texts to look for."""
    spellings = {mark, quote(mark), quote(mark, safe=""), quote_plus(mark), html.escape(mark)}
    found = spellings | {json.dumps(text)[1:-1] for text in spellings}
    for text in spellings:
        raw = text.encode()
        found |= {raw.hex(), raw.hex().upper()}
        for before in range(3):  # what stands before it decides how its bytes fall into sixes
            coded = base64.b64encode(b"\0" * before + raw)
            # The edges hold bits of the neighbours.
            inner = coded[(before * 8 + 5) // 6 : len(raw + b"\0" * before) * 8 // 6].decode()
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {text for text in found if len(text) >= SHORTEST}


class Scan:
    """Knows the marks and looks for them."""

    def __init__(self, *marks: str) -> None:
        self.forms = {mark: forms(mark) for mark in marks}

    def text(self, text: str | bytes) -> set[str]:
        """The marks that are in a text."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return {mark for mark, found in self.forms.items() if any(form in text for form in found)}

    def error(self, error: BaseException) -> set[str]:
        """The marks in all that an error shows, and holds."""
        shown = [str(error), repr(error), "".join(traceback.format_exception(error))]
        with suppress(Exception):  # not each of a library's errors can be pickled
            shown.append(pickle.dumps(error, 0).decode("latin-1"))
        return self.text("\n".join(shown)).union(*map(self.text, held(error)))


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect all log records, the root logger at DEBUG: what each shows, and what it holds."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{self.format(record)} {vars(record)!r}")

    root, collector = logging.getLogger(), Collector()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(collector)


def held(error: BaseException) -> Iterator[str | bytes]:
    """Every text that can be reached from an error: its causes, and the variables of its frames."""
    seen: set[int] = set()
    keep = []  # an object that goes would give its id to another
    todo: list[object] = [error]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        keep.append(value)
        if isinstance(value, str | bytes | bytearray):
            yield str.__str__(value) if isinstance(value, str) else bytes(value)
        else:
            todo.extend(parts(value))


# The tokens of this process, whether a call fails or not; and code, which is there before a call.
IN_MEMORY = (KnownKeys, Memo, Memos, OpenTransaction)
NOT_OF_THE_CALL = (type, ModuleType, FunctionType, BuiltinFunctionType, *IN_MEMORY)


def parts(value: object) -> Iterable[object]:
    if isinstance(value, NOT_OF_THE_CALL):
        return
    if isinstance(value, MethodType):
        yield value.__self__
    elif isinstance(value, BaseException):
        yield from (value.__cause__, value.__context__, value.args)
        for frame, _ in traceback.walk_tb(value.__traceback__):
            if not frame.f_code.co_filename.startswith(TESTS):  # who asks may know
                yield dict(frame.f_locals)
    elif isinstance(value, Mapping):
        yield from list(value.items())
    elif isinstance(value, tuple | list | set | frozenset):
        yield from list(value)
    yield from attributes(value)


def attributes(value: object) -> Iterator[object]:
    yield from list(getattr(value, "__dict__", {}).values())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            with suppress(AttributeError):
                yield getattr(value, slot)
