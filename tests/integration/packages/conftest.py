import pytest

from tests.integration.sandbox_pages import browser


@pytest.fixture(scope="module")
def browser_of_the_module(chromium):
    with browser(chromium) as started:
        yield started


@pytest.fixture
def started(browser_of_the_module):
    """A browser; what a test opens in it is closed."""
    yield browser_of_the_module
    for context in browser_of_the_module.contexts:
        context.close()
