from pathlib import Path

import pytest

from tests.integration.web import Web

FLEETS = Path(__file__).parent / "test_fleet.py"


def pytest_collection_modifyitems(items):
    """Let the tests of each of the two fleets stay together."""
    for item in items:
        if item.path == FLEETS:
            kind = item.callspec.params["kind"] if hasattr(item, "callspec") else ""
            fleet = "PostgreSQL" if kind == "database" else "SQLite"
            item.add_marker(pytest.mark.xdist_group(f"fleet on {fleet}"))


@pytest.fixture
def web(sandbox):
    """Asks the sandbox over HTTP."""
    with Web(sandbox.url) as session:
        yield session
