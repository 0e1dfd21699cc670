"""What an entry of the shared cache has to be, to be taken for something.

Whatever this version does not write is a miss: another shape, ``NaN``, ``1e308``, ``null``.
"""

import sys
from typing import Any

from django_certn.tokens.held import Issue
from django_certn.tokens.known import KINDS, Failure, Forced
from django_certn.tokens.timing import FORCED_EVERY, RETRY_AFTER_MOST, Moment

__all__ = ["is_number", "load_failure", "load_forced", "load_issue"]


def load_failure(entry: dict[str, Any], now: Moment) -> Failure | None:
    match entry.get("failure"):
        case [str(status), int() | None as answer, str(code), int() | None as retry_after]:
            left = entry["until"] - now.wall
            is_sane = bool not in (type(answer), type(retry_after)) and left <= RETRY_AFTER_MOST
            if status in KINDS and is_sane:
                return Failure(status, answer, code, retry_after, now.after(left))
    return None


def load_issue(value: object) -> Issue | None:
    match value:
        case [str(fingerprint), int() | float() as issued_at]:
            return Issue(fingerprint, issued_at)
    return None


def load_forced(entry: dict[str, Any], now: Moment) -> Forced | None:
    if "forced" not in entry:
        return None
    left = min(entry["until"] - now.wall, FORCED_EVERY)
    return Forced(load_issue(entry["forced"]), now.after(left))


def is_number(value: object) -> bool:
    """Return whether it is a number that a finite float can hold, so NaN is none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
