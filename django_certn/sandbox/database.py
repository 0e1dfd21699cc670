"""The file that keeps keys and tokens: a temporary one, or the one that was asked for."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from django.apps import apps
from django.db import connection

__all__ = ["UnusableDatabaseError", "claim", "create_tables", "migrate"]

# SQLite's own place for "whose file is this": "Cert" in ASCII.
# https://www.sqlite.org/pragma.html#pragma_application_id
_APPLICATION_ID = 0x43657274


class UnusableDatabaseError(Exception):
    """The file cannot be the sandbox's; the text says why, as the end of a sentence."""


def claim(path: Path) -> None:
    """Make ``path`` a file of the sandbox's, readable by nobody else, or raise.

    Raises ``UnusableDatabaseError`` for a file that holds something else: the database of a site
    would get the sandbox's tables, and lose its OAuth applications to the first reset.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path, timeout=5)) as database:
            (owner,) = database.execute("PRAGMA application_id").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if owner != _APPLICATION_ID:
                if tables:
                    raise UnusableDatabaseError("holds something else than a sandbox's state")
                database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        path.chmod(0o600)
    except OSError as error:
        raise UnusableDatabaseError(f"cannot be opened: {error.strerror}") from error
    except sqlite3.Error as error:
        raise UnusableDatabaseError(f"cannot be used: {error}") from error


def create_tables() -> None:
    """Create all tables at once, which takes a tenth of migrating an empty file."""
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            editor.create_model(model)


def migrate() -> None:
    """Bring a file that is kept up to date, so that it outlives releases of the toolkit."""
    # Half a second to import, and not needed when nothing is kept.
    from django.db.migrations.executor import MigrationExecutor

    is_new = not connection.introspection.table_names()
    if is_new:
        create_tables()
    executor = MigrationExecutor(connection)
    # Not the command of that name, which also writes the permissions that nobody has here.
    executor.migrate(executor.loader.graph.leaf_nodes(), fake=is_new)
