"""Values of which any part can be told, since many tools shorten what they show."""

import base64
import binascii
import re
from contextlib import suppress

LETTERS = {"secret": "k", "token": "t", "control": "c"}
CODED = re.compile(r"[A-Za-z0-9+/_-]{16,}")


def value_of(name: str, length: int) -> str:
    """Return a value of that length: "fake", and numbered parts that nothing else looks like."""
    numbered = (f"{LETTERS[name]}{number:03}Q" for number in range(length))
    return ("fake" + "".join(numbered))[:length]


def seen_in(text: str) -> list[str]:
    """Return of which values a part is in a text, in clear or in base64."""
    texts = [text]
    for found in CODED.findall(text):
        for start in range(4):  # what stands before it decides how its bytes fall into sixes
            run = found[start:].replace("-", "+").replace("_", "/")
            with suppress(binascii.Error):
                texts.append(base64.b64decode(run[: len(run) // 4 * 4]).decode("latin-1"))
    return sorted(
        name
        for name, letter in LETTERS.items()
        if any(re.search(rf"{letter}\d\d\dQ", each) for each in texts)
    )
