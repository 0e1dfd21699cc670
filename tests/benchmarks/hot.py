"""The hot path: what a call costs while there is a good token."""

import random
import statistics
from dataclasses import dataclass
from time import monotonic
from time import time as clock
from timeit import Timer

import requests
from django.core.cache import caches

from tests.benchmarks.sources import API, CachedRequestsOAuthlib

BATCH = 0.005  # seconds that a contender runs in each round
FLOOR_LABEL = "the floor: a dictionary and both clocks"

TOKENS = {"default": "fake-token"}


def floor(name="default"):
    monotonic()
    clock()
    return TOKENS[name]


@dataclass
class Row:
    """Microseconds per call; `times_floor` compares within a round, and is the median of all."""

    label: str
    statement: str
    least: float
    median: float
    times_floor: float


def measure(peers, url, aliases, rounds):
    """Return a row for each contender, the fastest first.

    A contender is a statement, which no wrapper slows down. In each round all of them run, in
    another order, so that what slows the machine down meets all alike.

    Args:
        peers: the sources to compare with.
        url: the token endpoint.
        aliases: the caches that are looked into.
        rounds: how many.
    """
    from django_certn.client import CertnAuth, auth_headers, base_url
    from django_certn.tokens import get_token

    request = requests.Request("GET", base_url() + "/api/v1/users/").prepare()
    own = {
        "floor": floor,
        "get_token": get_token,
        "auth_headers": auth_headers,
        "auth": CertnAuth(),
        "request": request,
    }
    contenders = {
        FLOOR_LABEL: ("floor()", own),
        "**django-certn**": ("get_token()", own),
        "**django-certn**, the header": ("auth_headers()", own),
        "**django-certn**, the header, an API key": ('auth_headers("centric")', own),
        "**django-certn**, a request of requests": ("auth(request)", own),
    }
    for peer in peers:
        contenders[peer.label] = contender(peer(url, "LocMem"))
    cached = contender(CachedRequestsOAuthlib(url, "LocMem"))
    contenders[f"{CachedRequestsOAuthlib.label}, LocMem"] = cached
    for alias in aliases:
        caches[alias].set("fake", "fake-token", 3600)
        contenders[f"one `cache.get`, {alias}"] = (
            'cache.get("fake")',
            {"cache": caches[alias]},
        )

    timers = {
        label: Timer(statement, globals=names) for label, (statement, names) in contenders.items()
    }
    counts = {label: calls_for(timer) for label, timer in timers.items()}
    seconds = {label: [] for label in timers}
    for _ in range(rounds):
        for label in random.sample(list(timers), len(timers)):
            seconds[label].append(timers[label].timeit(counts[label]) / counts[label])
    rows = [
        Row(
            label,
            contenders[label][0],
            min(taken) * 1e6,
            statistics.median(taken) * 1e6,
            statistics.median(a / b for a, b in zip(taken, seconds[FLOOR_LABEL], strict=True)),
        )
        for label, taken in seconds.items()
    ]
    return sorted(rows, key=lambda row: row.median)


def contender(source):
    source.token()
    names = {name: getattr(source, name) for name in dir(source) if not name.startswith("_")}
    return source.statement, {"API": API, **names}


def calls_for(timer):
    """How many calls make a batch."""
    timer.timeit(10)
    return max(1, round(BATCH / (timer.timeit(10) / 10)))
