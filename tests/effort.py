"""How much the tests try: what shows a fault on any machine, and all of it in `.ci/run`."""

import itertools
import os
from collections.abc import Sequence
from typing import Any

THOROUGH = os.environ.get("CERTN_TEST_THOROUGH") == "1"


def each_of_each(*lists: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the cases of a test: so many that each value is in one, or each with each other."""
    if THOROUGH:
        return list(itertools.product(*lists))
    return [
        tuple(each[number % len(each)] for each in lists) for number in range(max(map(len, lists)))
    ]


def effort(usual: int, thorough: int) -> int:
    """Return how many rows, examples or processes a test takes."""
    return thorough if THOROUGH else usual
