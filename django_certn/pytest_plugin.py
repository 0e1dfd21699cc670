"""The plugin of pytest: the fixture ``certn``.

It is loaded with every pytest in whose environment this package is installed, so it loads neither
Django nor anything of the app before a test asks for the fixture.

It may be there before pytest takes it for a plugin: PYTEST_DONT_REWRITE
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django_certn.testing import FakeCertn

__all__ = ["certn"]

running = 0  # tests, in this process

HAS_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def certn(request: pytest.FixtureRequest) -> "Iterator[FakeCertn]":
    """Certn, faked for one test: no network, no stored key and no cache is needed."""
    from django_certn.testing import fake_certn

    context = fake_certn()
    fake = context.enable()
    try:
        yield fake
    finally:
        context.leave(is_checked=not request.node.stash.get(HAS_FAILED, False))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    global running  # noqa: PLW0603
    running += 1
    try:
        yield
    finally:
        running -= 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    if outcome.excinfo is None and not outcome.get_result().passed:
        item.stash[HAS_FAILED] = True
