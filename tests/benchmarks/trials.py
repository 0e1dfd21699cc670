"""What a fleet goes through: a cold start, a renewal, and holding many tokens."""

import time
from dataclasses import dataclass

from tests.benchmarks import fleet as process
from tests.benchmarks.sources import LIFE

EXCHANGE = 0.2  # seconds that an exchange takes at a cold start


@dataclass
class Cold:
    label: str
    processes: int
    threads: int
    exchanges: int
    failed: int
    slowest: float


@dataclass
class Renewal:
    """The slow endpoint is asked once by each caller, the failing one several times."""

    label: str
    left: int
    callers: int
    waited: int
    slowest: float
    exchanges: int
    calls_at_503: int
    failed_at_503: int
    exchanges_at_503: int


def token(life):
    return {"access_token": "fake-token", "token_type": "Bearer", "expires_in": life}


def cold(fleet, endpoint, label, source, cache, counts):
    prepare(fleet, endpoint, source, cache)
    endpoint.answer(delay=EXCHANGE)
    calls = everyone(fleet, counts.threads)
    return Cold(
        label,
        counts.processes,
        counts.threads,
        endpoint.hits,
        failures(calls),
        max(seconds for _, seconds in calls),
    )


def renewal(fleet, endpoint, label, source, cache, counts):
    make_due(fleet, endpoint, source, cache)
    endpoint.answer(body=token(LIFE), delay=counts.renewal)
    calls = everyone(fleet, counts.threads_at_renewal)
    time.sleep(2 * counts.renewal)  # for an exchange that nobody waits for
    exchanges = endpoint.hits

    make_due(fleet, endpoint, source, cache)
    endpoint.answer(503, body={})
    calls_at_503 = everyone(fleet, counts.threads_at_renewal, counts.rounds_at_503)
    time.sleep(source.settles)
    return Renewal(
        label,
        source.left,
        len(calls),
        # A call that did not wait takes some milliseconds, or more where cores are scarce.
        sum(seconds > counts.renewal / 2 for _, seconds in calls),
        max(seconds for _, seconds in calls),
        exchanges,
        len(calls_at_503),
        failures(calls_at_503),
        endpoint.hits,
    )


def make_due(fleet, endpoint, source, cache):
    """Let each process hold a token whose renewal is due."""
    prepare(fleet, endpoint, source, cache)
    endpoint.answer(body=token(source.first_life))
    everyone(fleet, 1)
    fleet.all(process.grow_old)
    endpoint.reset()


def memory(fleet, endpoint, source, names):
    """Return the bytes per credential."""
    endpoint.reset()
    return fleet.one(process.memory, source, token_url(endpoint), "default", names)


def prepare(fleet, endpoint, source, cache):
    endpoint.reset()
    fleet.all(process.take, source, token_url(endpoint), cache)


def token_url(endpoint):
    return f"{endpoint.url}/token/"


def everyone(fleet, threads, rounds=1):
    return [call for calls in fleet.all(process.call, threads, rounds) for call in calls]


def failures(calls):
    return sum(token is None for token, _ in calls)
