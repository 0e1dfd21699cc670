import itertools
import threading

import pytest

from django_certn.answers import TokenResponse
from django_certn.exceptions import CertnUnavailableError
from django_certn.secret import MaskedStr
from django_certn.tokens.service import TokenService


class Time:
    """Clocks that stand still until a test moves them."""

    def __init__(self):
        self.wall, self.mono = 1_800_000_000.0, 1000.0
        self.slept = []

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

    def make():
        return TokenService(
            exchange=exchanges,
            clock=lambda: time_.wall,
            monotonic=lambda: time_.mono,
            sleep=time_.sleep,
            random=lambda: 0.5,
        )

    yield make
    settle()  # or it would leave a token in the cache of the next test


@pytest.fixture
def service(new_service):
    service = new_service()
    service.connect()  # until it is collected
    return service


@pytest.fixture
def credential(settings, make_credential):
    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://127.0.0.1:9"}}
    return make_credential()


def settle():
    """Wait for the flights in the background."""
    for thread in threading.enumerate():
        if thread.name == "certn-flight":
            thread.join(10)
