import os
import random
import signal
import threading
import time
from bisect import bisect
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from django.db import IntegrityError, OperationalError
from django.db.backends.signals import connection_created

from django_certn.bulk import LATE, LIMITS, Task, run
from django_certn.exceptions import Status
from django_certn.management.checking import Check
from django_certn.models import CertnCredential
from django_certn.verification import Outcome, Verification
from django_certn.workers import Workers
from tests.conftest import add_environment
from tests.pace import MovedClock

OAUTH = 60 / 240 * 1.02  # seconds between two requests
API_KEY = 60 / 60 * 1.02


@pytest.fixture(autouse=True)
def environments(settings):
    add_environment(settings, "local", "Local", "http://127.0.0.1:9")
    add_environment(settings, "centric", "Centric", "http://127.0.0.1:9", "api_key")


def outcome(status="ok", retry_after=None, requests=1):
    verification = Verification("acme", "local", Status(status), retry_after=retry_after)
    return Outcome(verification, None, requests)


@dataclass(eq=False)
class Ask(Task):
    """Answers what it is given, one after another, and the last of it for ever."""

    name: str = "acme"
    environment: str = "local"
    answers: list = field(default_factory=lambda: [outcome()])
    cost: int = 1

    def __post_init__(self):
        self.threads = {}
        self.finished = []
        self.prepared = 0

    def prepare(self):
        self.threads["prepare"] = threading.current_thread()
        self.prepared += 1
        return self.make

    def make(self):
        self.threads["make"] = threading.current_thread()
        answer = self.answers[min(self.prepared, len(self.answers)) - 1]
        return answer() if callable(answer) else answer

    def finish(self, outcome):
        self.threads["finish"] = threading.current_thread()
        self.finished.append(outcome)
        return outcome.verification.status if outcome else "nothing to ask"


class Known(Ask):
    """Needs no request."""

    def prepare(self):
        return None


def results(tasks, workers=None, **options):
    return [done.result for done in run(tasks, workers=workers or MovedClock(), **options)]


def starts(workers, environment="local"):
    return [at - 1000 for at, entry in workers.started if entry.task.environment == environment]


def gaps(moments):
    return [after - before for before, after in pairwise(moments)]


class TestPace:
    @pytest.mark.parametrize(("environment", "interval"), [("local", OAUTH), ("centric", API_KEY)])
    def test_is_even(self, environment, interval):
        clock = MovedClock()
        assert results([Ask(environment=environment) for _ in range(9)], clock) == ["ok"] * 9
        assert gaps(starts(clock, environment)) == pytest.approx([interval] * 8)

    def test_of_each_environment(self):
        clock = MovedClock()
        tasks = [Ask(environment=slug) for slug in ["centric"] * 4 + ["local"] * 4]
        results(tasks, clock)
        assert starts(clock, "centric") == pytest.approx([API_KEY * n for n in range(4)])
        assert starts(clock, "local") == pytest.approx([OAUTH * n for n in range(4)])

    @pytest.mark.parametrize("parallel", [1, 3])
    def test_so_many_at_a_time(self, parallel):
        clock = MovedClock(takes=5)
        results([Ask() for _ in range(6)], clock, parallel=parallel)
        assert clock.most == parallel

    def test_makes_up_for_a_trifle_of_lost_time(self):
        clock = MovedClock(takes=lambda entry: 5 if entry.number == 0 else 0.01)
        results([Ask() for _ in range(4)], clock, parallel=1)
        expected = [0, 5, 5 - LATE + OAUTH, 5 - LATE + 2 * OAUTH]
        assert starts(clock) == pytest.approx(expected)

    def test_the_time_to_read_a_row_is_not_added(self):
        clock = MovedClock()

        class Read(Ask):
            def prepare(self):
                clock.time += 0.05
                return super().prepare()

        results([Read() for _ in range(9)], clock)
        assert gaps(starts(clock)) == pytest.approx([OAUTH] * 8)

    @pytest.mark.parametrize(
        ("environment", "limit"), [("local", LIMITS["oauth"]), ("centric", LIMITS["api_key"])]
    )
    def test_no_minute_holds_too_many_whatever_is_late(self, environment, limit):
        clock, late = MovedClock(), random.Random(7)

        class Late(Ask):
            def prepare(self):
                clock.time += late.choice([0] * 99 + [0.05, 0.1, 2])
                return super().prepare()

        results([Late(environment=environment) for _ in range(1500)], clock)
        moments = starts(clock, environment)
        most = max(bisect(moments, each + 60) - number for number, each in enumerate(moments))
        assert 0.9 * limit < most <= limit

    def test_of_what_takes_two_requests(self):
        clock = MovedClock()
        results([Ask(cost=2) for _ in range(4)], clock)
        assert gaps(starts(clock)) == pytest.approx([2 * OAUTH] * 3)

    def test_of_what_took_one_more(self):
        clock = MovedClock()
        results([Ask(answers=[outcome("rejected", requests=2)]), Ask(), Ask()], clock)
        assert starts(clock) == pytest.approx([0, 2 * OAUTH, 3 * OAUTH])

    def test_what_needs_no_request_takes_no_turn(self):
        clock = MovedClock()
        tasks = [Ask(), Known(), Known(), Ask()]
        assert results(tasks, clock) == ["ok", "nothing to ask", "nothing to ask", "ok"]
        assert starts(clock) == pytest.approx([0, OAUTH])

    def test_of_the_environment_that_the_row_has_by_now(self):
        class Moved(Ask):
            def prepare(self):
                self.environment = "centric"
                return super().prepare()

        clock = MovedClock()
        assert results([Ask(environment="centric"), Moved(), Ask()], clock) == ["ok"] * 3
        assert starts(clock, "centric") == pytest.approx([0, API_KEY])

    def test_of_an_environment_that_is_not_in_the_settings(self):
        assert results([Ask(environment="gone")]) == ["ok"]


class TestRetryAfter:
    def test_is_obeyed_once_and_the_second_answer_counts(self):
        clock, waits = MovedClock(), []
        task = Ask(answers=[outcome("rate_limited", 30), outcome()])
        on_wait = lambda *wait: waits.append(wait)  # noqa: E731
        assert results([task, Ask(name="beta")], clock, on_wait=on_wait) == ["ok", "ok"]
        assert waits == [("local", 30)]
        assert [each.verification.status for each in task.finished] == ["ok"]
        assert starts(clock) == pytest.approx([0, 30.2, 30.2 + OAUTH])

    def test_all_of_the_environment_waits_and_no_other(self):
        clock = MovedClock()
        told = Ask(answers=[outcome("unreachable", 10), outcome()])
        others = [Ask(environment="centric"), Ask(environment="centric"), Ask(), Ask()]
        assert results([told, *others], clock, parallel=3) == ["ok"] * 5
        assert starts(clock)[1:] == pytest.approx([10.2, 10.2 + OAUTH, 10.2 + 2 * OAUTH])
        assert starts(clock, "centric") == pytest.approx([0, API_KEY])

    def test_is_not_obeyed_twice(self):
        clock = MovedClock()
        tasks = [Ask(answers=[outcome("rate_limited", 30)]) for _ in range(50)]
        assert results(tasks, clock) == ["rate_limited"] * 50
        assert clock.now() - 1000 < 30 + 60 * OAUTH
        assert len(clock.started) < 60

    def test_is_not_obeyed_when_that_takes_too_long(self):
        clock = MovedClock()
        tasks = [Ask(answers=[outcome("rate_limited", 301)]), Ask()]
        assert results(tasks, clock) == ["rate_limited", "ok"]
        assert clock.now() - 1000 < 1

    @pytest.mark.parametrize("retry_after", [None, 0])
    def test_without_it_nobody_waits(self, retry_after):
        clock = MovedClock()
        assert results([Ask(answers=[outcome("rate_limited", retry_after)])], clock) == [
            "rate_limited"
        ]
        assert len(clock.started) == 1

    def test_the_row_is_read_again(self):
        task = Ask(answers=[outcome("rate_limited", 1), outcome()])
        results([task])
        assert task.prepared == 2


class TestThreads:
    def test_only_the_request_leaves_the_thread_of_the_caller(self):
        tasks = [Ask() for _ in range(3)]
        results(tasks, Workers(2))
        here = threading.current_thread()
        for task in tasks:
            assert task.threads["prepare"] is task.threads["finish"] is here
            assert task.threads["make"] is not here

    def test_the_context_goes_along(self):
        request_id = ContextVar("request_id", default="lost")
        request_id.set("fake-request-id")
        seen = []

        def make():
            seen.append(request_id.get())
            return outcome()

        results([Ask(answers=[make])], Workers(1))
        assert seen == ["fake-request-id"]

    def test_results_are_in_order_whoever_ends_first(self):
        last = threading.Event()

        def wait():
            assert last.wait(10)
            return outcome("rejected")

        def free():
            last.set()
            return outcome()

        tasks = [Ask(answers=[wait]), Ask(answers=[free])]
        assert results(tasks, Workers(2)) == ["rejected", "ok"]

    @pytest.mark.parametrize("parallel", [1, 3])
    def test_no_more_at_a_time_than_wanted(self, parallel, settings):
        add_environment(settings, "other", "Other", "http://127.0.0.1:9")
        add_environment(settings, "third", "Third", "http://127.0.0.1:9")
        slugs = ("local", "centric", "other", "third")
        seen, lock, under_way = [], threading.Lock(), 0

        def make():
            nonlocal under_way
            with lock:
                under_way += 1
                seen.append(under_way)
            time.sleep(0.05)
            with lock:
                under_way -= 1
            return outcome()

        tasks = [Ask(environment=slug, answers=[make]) for slug in slugs]
        results(tasks, Workers(parallel), parallel=parallel)
        assert max(seen) == parallel

    @pytest.mark.django_db
    def test_no_worker_touches_the_database(self, make_credential, endpoint, centric):
        make_credential("acme", environment="scripted")
        make_credential("beta", environment="centric", client_id="", client_secret="fake-key")
        connected = []

        def on_connect(**kwargs):
            connected.append(threading.current_thread().name)

        connection_created.connect(on_connect)
        try:
            tasks = [
                Check(name, environment, "default", None, is_probed=True)
                for name, environment in (("acme", "scripted"), ("beta", "centric"))
            ]
            checked = results(tasks, Workers(2))
        finally:
            connection_created.disconnect(on_connect)
        assert [each.verification.status for each in checked] == ["ok", "ok"]
        assert connected == []
        assert set(CertnCredential.objects.values_list("verified_status", flat=True)) == {"ok"}


def failing(error):
    def fail(*args):
        raise error

    return fail


class TestErrors:
    @pytest.mark.parametrize("where", ["prepare", "make", "finish"])
    @pytest.mark.parametrize("error", [ZeroDivisionError(), IntegrityError()])
    def test_of_one_stop_no_other(self, where, error):
        bad = Ask()
        setattr(bad, where, failing(error))
        first, second, third = run([Ask(), bad, Ask()], workers=MovedClock())
        assert (first.result, third.result) == ("ok", "ok")
        assert second.error is error

    @pytest.mark.parametrize("where", ["prepare", "finish"])
    def test_of_the_database_stop_all_after_what_had_begun(self, where):
        bad = Ask(name="bad")
        setattr(bad, where, failing(OperationalError("fake: gone")))
        tasks = [Ask(), bad, Ask(), Ask(), *[Ask(name="never") for _ in range(20)]]
        seen = []
        with pytest.raises(OperationalError, match="fake: gone"):
            seen.extend(run(tasks, workers=MovedClock(takes=0.6)))
        assert {done.result for done in seen} == {"ok"}
        assert len(seen) == (1 if where == "prepare" else 3)
        assert not tasks[-1].prepared


class TestCtrlC:
    def stopped(self, tasks, clock, at):
        clock.interrupt_at = 1000 + at
        seen = []
        with pytest.raises(KeyboardInterrupt):
            seen.extend(run(tasks, workers=clock))
        return [done.result for done in seen]

    def test_lets_what_has_begun_end_and_records_it(self):
        tasks = [Ask() for _ in range(20)]
        assert self.stopped(tasks, MovedClock(takes=5), at=1) == ["ok"] * 4
        assert [len(task.finished) for task in tasks] == [1] * 4 + [0] * 16

    def test_while_it_waits_for_its_turn(self):
        tasks = [Ask(environment="centric") for _ in range(5)]
        clock = MovedClock(takes=0.01)
        assert self.stopped(tasks, clock, at=API_KEY + 0.5) == ["ok", "ok"]
        assert clock.now() - 1000 == pytest.approx(API_KEY + 0.5)

    def test_while_it_was_told_to_wait_what_is_known_counts(self):
        told = Ask(answers=[outcome("rate_limited", 60), outcome()])
        clock = MovedClock(takes=0.3)
        assert self.stopped([told, *[Ask() for _ in range(20)]], clock, at=30) == [
            "rate_limited",
            "ok",
        ]
        assert len(told.finished) == 1

    def test_nobody_waits_for_what_ends_after_it(self):
        slow = Ask(answers=[outcome("rate_limited", 60)])
        assert self.stopped([slow], MovedClock(takes=2), at=1) == ["rate_limited"]

    def test_as_the_system_sends_it(self):
        released = threading.Event()

        def wait():
            os.kill(os.getpid(), signal.SIGINT)
            assert released.wait(10)
            return outcome()

        threading.Timer(0.3, released.set).start()
        tasks = [Ask(answers=[wait]), *[Ask() for _ in range(20)]]
        seen = []
        with pytest.raises(KeyboardInterrupt):
            seen.extend(run(tasks, parallel=1))
        assert [done.result for done in seen] == ["ok"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_pressed_again_it_waits_for_nothing(self):
        released = threading.Event()

        def wait():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)
            released.wait(10)
            return outcome()

        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(run([Ask(answers=[wait])]))
        released.set()
        assert time.monotonic() - began < 5

    def test_another_handler_of_the_site_stays(self):
        handled = []
        before = signal.signal(signal.SIGINT, lambda *args: handled.append(args))
        try:

            def press():
                os.kill(os.getpid(), signal.SIGINT)
                return outcome()

            assert results([Ask(answers=[press])], Workers(1)) == ["ok"]
        finally:
            signal.signal(signal.SIGINT, before)
        assert handled

    def test_in_another_thread_no_handler_is_set(self):
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(results([Ask()], Workers(1))))
        thread.start()
        thread.join(10)
        assert seen == ["ok"]
