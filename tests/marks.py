"""Marks each test by where it has to run, so that `.ci/run` runs it there and not everywhere.

`package`: beside another package; where those are installed. All of `tests/integration/packages`.
`database`: it uses the database of the test settings; on each database.
`standalone`: none of the two, and slow: processes, servers, a browser. It runs with a few pairs of
Python and Django. All others of `tests/integration`, and what says so itself.
`mariadb`: it uses a MariaDB beside the database of the settings; where its driver is installed.

What has no mark runs with each Python and Django, once.
"""

from pathlib import Path

INTEGRATION = Path(__file__).parent / "integration"
PACKAGES = INTEGRATION / "packages"

DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "shared_cache"}


def pytest_collection_modifyitems(items):
    for item in items:
        if mark := mark_of(item):
            item.add_marker(mark)
        if "mariadb" in {*item.fixturenames, *values_of(item)}:
            item.add_marker("mariadb")


def mark_of(item):
    if PACKAGES in item.path.parents:
        return "package"
    if item.get_closest_marker("standalone"):
        return None
    if DATABASE_FIXTURES & set(item.fixturenames) or item.get_closest_marker("django_db"):
        return "database"
    return "standalone" if INTEGRATION in item.path.parents else None


def values_of(item):
    """Return the cases of a test that are words: a fixture may take its name from one."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in values if isinstance(value, str)]
