"""How much the tests try: what shows a fault on any machine, and all of it in `.ci/run`."""

import os

THOROUGH = os.environ.get("CERTN_TEST_THOROUGH") == "1"


def effort(usual: int, thorough: int) -> int:
    """Return how many rows, examples or processes a test takes."""
    return thorough if THOROUGH else usual
