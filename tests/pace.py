"""A clock that tests move, and the limit of a vendor who reads it."""

import heapq
import itertools
from concurrent.futures import Future

from tests.endpoint import Answer


class MovedClock:
    """Stands for the `Workers` of `bulk.run`: waiting for something moves the clock.

    A request is made when it starts, and is over after `takes` seconds, or what `takes` says of it.
    """

    def __init__(self, takes=0.2):
        self.takes = takes if callable(takes) else lambda what: takes
        self.time = 1000.0
        self.ends = []
        self.numbers = itertools.count()
        self.started = []  # (when, what)
        self.most = 0  # under way at a time
        self.interrupt_at = None

    def now(self):
        return self.time

    def start(self, what, request):
        self.started.append((self.time, what))
        future = Future()
        try:
            future.set_result(request())
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        end = self.time + self.takes(what)
        heapq.heappush(self.ends, (end, next(self.numbers), what, future))
        self.most = max(self.most, len(self.ends))

    def next(self, seconds):
        until = float("inf") if seconds is None else self.time + seconds
        end = self.ends[0][0] if self.ends else float("inf")
        if self.interrupt_at is not None and self.interrupt_at <= min(until, end):
            self.time = max(self.time, self.interrupt_at)
            self.interrupt_at = None
            raise KeyboardInterrupt
        if end <= until:
            self.time, _, what, future = heapq.heappop(self.ends)
            return what, future
        assert seconds is not None, "it would wait for ever"
        self.time = until
        return None

    def interrupt(self):
        self.interrupt_at = self.time

    def close(self):
        pass


class Limit:
    """Answers 429 to each request beyond so many a minute, any of which counts."""

    def __init__(self, per_minute, now, headers=()):
        self.per_minute, self.now, self.headers = per_minute, now, tuple(headers)
        self.arrivals = []
        self.refused = 0

    def __call__(self, request):
        now = self.now()
        self.arrivals = [each for each in self.arrivals if each > now - 60]
        self.arrivals.append(now)
        if len(self.arrivals) <= self.per_minute:
            return None
        self.refused += 1
        return Answer(429, {"detail": "Slow down."}, self.headers)
