from pathlib import Path

import pytest

HERE = Path(__file__).parent
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_collection_modifyitems(items):
    """Mark what is the same whatever the test settings' database is, so that it runs once."""
    for item in items:
        uses_database = DATABASE_FIXTURES & set(item.fixturenames) or list(
            item.iter_markers("django_db")
        )
        if HERE in item.path.parents and not uses_database:
            item.add_marker(pytest.mark.standalone)
