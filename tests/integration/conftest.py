from pathlib import Path

import pytest

from tests.integration.web import Web

HERE = Path(__file__).parent
PACKAGES = HERE / "packages"
FLEETS = HERE / "test_fleet.py"
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_collection_modifyitems(items):
    """Mark what need not run everywhere, so that it runs once, and what shares a fleet.

    `package` is all that is about another package. `standalone` is what is the same whatever the
    database of the test settings is.
    """
    for item in items:
        if PACKAGES in item.path.parents:
            item.add_marker(pytest.mark.package)
        elif HERE in item.path.parents and not uses_database(item):
            item.add_marker(pytest.mark.standalone)
        if item.path == FLEETS:
            kind = item.callspec.params["kind"] if hasattr(item, "callspec") else ""
            fleet = "PostgreSQL" if kind == "database" else "SQLite"
            item.add_marker(pytest.mark.xdist_group(f"fleet on {fleet}"))


def uses_database(item):
    return DATABASE_FIXTURES & set(item.fixturenames) or list(item.iter_markers("django_db"))


@pytest.fixture
def web(sandbox):
    """Asks the sandbox over HTTP."""
    with Web(sandbox.url) as session:
        yield session
