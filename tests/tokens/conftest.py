import asyncio
import itertools
import threading
import time
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from django_certn.answers import TokenResponse
from django_certn.conf import Environment
from django_certn.exceptions import CertnUnavailableError
from django_certn.keys import Key
from django_certn.secret import MaskedStr, Secret
from django_certn.tokens.service import install
from django_certn.tokens.tenant import Place, Row
from django_certn.tokens.timing import Clocks
from tests.process import Process


@asynccontextmanager
async def busy_thread():
    """The thread that Django has for what is not async, at a long query until the block ends."""
    free = threading.Event()
    busy = asyncio.ensure_future(sync_to_async(free.wait)(10))
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        free.set()
        await busy
        await sync_to_async(connections.close_all)()  # those of that thread


class Time:
    """Clocks that stand still until a test moves them."""

    def __init__(self):
        self.wall, self.mono = 1_800_000_000.0, 1000.0
        self.slept = []
        self.clocks = Clocks(lambda: self.wall, lambda: self.mono, self.sleep, lambda: 0.5)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.pass_(seconds)

    def pass_(self, seconds):
        self.wall += seconds
        self.mono += seconds


class Exchanges:
    """Stands for the endpoint: counts, and answers with what the test put there."""

    def __init__(self, time_):
        self.time = time_
        self.takes = 0.0  # seconds
        self.calls = []
        self.answer = 36000.0  # a lifetime, or an error
        self.hold = None  # an event to wait for
        self.numbers = itertools.count(1)

    def __call__(self, key, *, timeout):
        self.calls.append((key, timeout))
        if self.hold:
            assert self.hold.wait(10)
        self.time.pass_(min(self.takes, timeout))
        if self.takes > timeout:
            raise CertnUnavailableError("fake: no answer in time")
        if isinstance(self.answer, Exception):
            raise self.answer
        return TokenResponse(MaskedStr(f"fake-token-{next(self.numbers)}"), self.answer)

    @property
    def count(self):
        return len(self.calls)


@pytest.fixture
def time_():
    return Time()


@pytest.fixture
def exchanges(time_):
    return Exchanges(time_)


@pytest.fixture
def new_service(time_, exchanges):
    """Make the service of another process, which shares the cache and the clocks of this one."""

    def make(**parts):
        return Process(**{"exchange": exchanges, "clocks": time_.clocks} | parts)

    yield make
    settle()  # or it would leave a token in the cache of the next test


@pytest.fixture
def service(new_service):
    """The service of this process, which all public functions use."""
    process = new_service()
    earlier = install(process.service)
    yield process
    install(earlier)


def key(name="default", **fields):
    return Key(
        **{
            "name": name,
            "environment": Environment("local", "Local", "http://127.0.0.1:9"),
            "client_id": f"fake-id-{name}",
            "client_secret": Secret("fake-secret"),
        }
        | fields
    )


@pytest.fixture
def rowless(new_service):
    """The same for names that need no row: every name has a key, on a site without tenants."""
    process = new_service(
        load=lambda name: Row(key(name), name),
        place_of=lambda name: Place(name, None),
        has_tenants=lambda: False,
    )
    earlier = install(process.service)
    yield process
    install(earlier)


@pytest.fixture
def credential(settings, make_credential):
    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://127.0.0.1:9"}}
    return make_credential()


def wait_until(condition, seconds=60):
    """Wait for what another thread does; return whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def settle():
    """Wait for the flights in the background."""
    for thread in threading.enumerate():
        if thread.name == "certn-flight":
            thread.join(10)
