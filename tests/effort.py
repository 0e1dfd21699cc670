"""How much the tests try: what shows a fault on any machine; more of it, or less, in `.ci/run`."""

import itertools
import os
from collections.abc import Sequence
from typing import Any

THOROUGH = os.environ.get("CERTN_TEST_THOROUGH") == "1"
# With a number, each test runs with one of its cases: another with another number.
SAMPLE = os.environ.get("CERTN_TEST_SAMPLE", "")


def each_of_each(*lists: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the cases of a test: so many that each value is in one, or each with each other."""
    if THOROUGH:
        return list(itertools.product(*lists))
    return [
        tuple(each[number % len(each)] for each in lists) for number in range(max(map(len, lists)))
    ]


def sample(cases: Sequence[Any]) -> Any:
    """Return one of the cases of a test."""
    return cases[int(SAMPLE) % len(cases)]


def effort(usual: int, thorough: int) -> int:
    """Return how many rows, examples or processes a test takes."""
    return thorough if THOROUGH else usual
