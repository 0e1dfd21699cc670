"""The services that some tests use: started for them, or there already, or a reason to skip.

With CERTN_TEST_REQUIRE_SERVICES=1 a service that is absent is a failure.
"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

numbers = itertools.count(1)  # of the databases that this process makes


def absent(reason: str) -> NoReturn:
    if os.environ.get("CERTN_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(f"CERTN_TEST_REQUIRE_SERVICES is set, and {reason}.", pytrace=False)
    pytest.skip(f"{reason}.")


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        absent(f"{name} is not installed")
    return path


def driver(module: str) -> None:
    if find_spec(module) is None:
        absent(f"the Python package {module} is not installed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of our own until the block ends."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_for(server, port)
            yield server
        finally:
            server.terminate()


def wait_for(server: subprocess.Popen[bytes], port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{server.args} does not listen on port {port}.", pytrace=False)
            time.sleep(0.02)
        else:
            return


@contextmanager
def redis() -> Iterator[str]:
    """A Redis of our own; the value is its LOCATION in CACHES."""
    driver("redis")
    executable, port = program("redis-server"), free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with process([executable, *options], port):
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def memcached() -> Iterator[str]:
    """A Memcached of our own; the value is its LOCATION in CACHES."""
    driver("pymemcache")
    executable, port = program("memcached"), free_port()
    options = ["-p", str(port), "-l", "127.0.0.1", "-U", "0"]
    if os.geteuid() == 0:
        options += ["-u", "nobody"]
    with process([executable, *options], port):
        yield f"127.0.0.1:{port}"


@contextmanager
def postgresql() -> Iterator[dict[str, Any]]:
    """An empty database on the local PostgreSQL; the value is its entry in DATABASES."""
    driver("psycopg")
    import psycopg

    host, user = os.environ.get("PGHOST", "127.0.0.1"), os.environ.get("PGUSER", "postgres")
    try:
        connection = psycopg.connect(
            host=host, user=user, dbname="postgres", autocommit=True, connect_timeout=5
        )
    except psycopg.OperationalError:
        absent(f"no PostgreSQL lets {user} in at {host}")
    name = f"certn_service_{os.getpid()}_{next(numbers)}"
    with connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": host,
                "USER": user,
                "NAME": name,
                "OPTIONS": {"connect_timeout": 5},
            }
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def mariadb() -> Iterator[dict[str, Any]]:
    """An empty database on the local MariaDB or MySQL; the value is its entry in DATABASES."""
    driver("MySQLdb")
    import MySQLdb

    host, user = os.environ.get("MYSQL_HOST", "127.0.0.1"), os.environ.get("MYSQL_USER", "root")
    password = os.environ.get("MYSQL_PASSWORD", "")
    try:
        connection = MySQLdb.connect(host=host, user=user, password=password, connect_timeout=5)
    except MySQLdb.OperationalError:
        absent(f"no MariaDB lets {user} in at {host}")
    name = f"certn_service_{os.getpid()}_{next(numbers)}"
    with connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield {
                "ENGINE": "django.db.backends.mysql",
                "HOST": host,
                "USER": user,
                "PASSWORD": password,
                "NAME": name,
                "OPTIONS": {"charset": "utf8mb4", "connect_timeout": 5},
            }
        finally:
            cursor.execute(f"DROP DATABASE {name}")


def chromium() -> str:
    """The executable of a Chromium that Playwright can drive."""
    driver("playwright")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    downloads = Path(
        os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
    )
    for path in sorted(downloads.glob("chromium-*/chrome-linux*/chrome"), reverse=True):
        return str(path)
    absent("Chromium is not installed")
