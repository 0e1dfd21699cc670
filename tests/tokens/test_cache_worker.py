"""The thread that touches the cache."""

import logging
import threading
import time

import pytest

from django_certn.tokens import cache_worker as module
from django_certn.tokens.cache_worker import CacheDownError, CacheWorker


@pytest.fixture
def worker(time_):
    return CacheWorker(lambda: time_.mono, patience=0.05)


def fail(cache):
    raise ConnectionError


def test_it_returns_what_the_call_makes_of_the_cache(worker):
    worker.call("default", lambda cache: cache.set("a", 1))
    assert worker.call("default", lambda cache: cache.get("a")) == 1


def test_one_thread_serves_all(worker):
    names = {worker.call("default", lambda cache: threading.current_thread()) for _ in range(5)}
    assert len(names) == 1
    (thread,) = names
    assert thread is not threading.current_thread()
    assert thread.daemon  # it never delays the end of the process


def test_after_a_failure_the_cache_is_left_alone_for_a_while(worker, time_):
    calls = []
    with pytest.raises(CacheDownError):
        worker.call("default", fail)
    with pytest.raises(CacheDownError):
        worker.call("default", calls.append)
    assert calls == []
    time_.pass_(5.1)
    worker.call("default", calls.append)
    assert len(calls) == 1


def test_the_while_doubles_and_starts_anew_when_the_cache_is_well(worker, time_):
    for seconds in (5, 10, 20):
        with pytest.raises(CacheDownError):
            worker.call("default", fail)
        time_.pass_(seconds - 0.1)
        assert worker.is_open
        time_.pass_(0.2)
        assert not worker.is_open
    worker.call("default", lambda cache: None)
    with pytest.raises(CacheDownError):
        worker.call("default", fail)
    time_.pass_(5.1)
    assert not worker.is_open


def test_a_call_that_hangs_is_left_behind(worker, time_):
    thawed = threading.Event()
    began = time.monotonic()
    with pytest.raises(CacheDownError):
        worker.call("default", lambda cache: thawed.wait(10))
    with pytest.raises(CacheDownError):
        worker.call("default", lambda cache: None)
    assert time.monotonic() - began < 5
    time_.pass_(5.1)
    # It may hang for good, so the next try does not wait for it.
    assert worker.call("default", lambda cache: "well") == "well"
    thawed.set()


def test_those_who_wait_behind_a_call_that_hangs_give_up_too(worker):
    thawed, outcomes = threading.Event(), []

    def call():
        try:
            worker.call("default", lambda cache: thawed.wait(10))
        except CacheDownError:
            outcomes.append("down")

    callers = [threading.Thread(target=call) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5)
    assert outcomes == ["down"] * 5
    thawed.set()


def test_a_call_that_hangs_while_the_cache_is_left_alone_is_left_behind_too(worker, time_):
    thawed, begun, outcomes = threading.Event(), threading.Event(), []

    def hang(cache):
        begun.set()
        thawed.wait(10)

    def call():
        try:
            worker.call("default", hang)
        except CacheDownError:
            outcomes.append("down")

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(5)
    worker.trip("default", "as a call before it failed")
    caller.join(5)
    assert outcomes == ["down"]
    time_.pass_(5.1)
    assert worker.call("default", lambda cache: "well") == "well"
    thawed.set()


def test_many_calls_are_no_trouble(time_):
    worker = CacheWorker(lambda: time_.mono, patience=10)
    results = []
    callers = [
        threading.Thread(
            target=lambda: results.append(worker.call("default", lambda cache: time.sleep(0.03)))
        )
        for _ in range(20)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert results == [None] * 20


def test_waiting_for_a_turn_counts(time_, caplog):
    worker = CacheWorker(lambda: time_.mono, patience=0.4)
    outcomes, taken = [], []

    def call():
        began = time.monotonic()
        try:
            outcomes.append(worker.call("default", lambda cache: time.sleep(0.15) or "well"))
        except CacheDownError:
            outcomes.append("down")
        taken.append(time.monotonic() - began)

    callers = [threading.Thread(target=call) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert set(outcomes) == {"well", "down"}
    assert max(taken) < 2  # the last would have waited for 2.4
    assert "'default' does not answer (no answer in time)" in caplog.text


def test_a_cache_that_keeps_nothing_is_named_as_that(worker, caplog):
    def find_out(cache):
        raise CacheDownError("it keeps nothing")

    with pytest.raises(CacheDownError):
        worker.call("default", find_out)
    assert "'default' does not answer (it keeps nothing)" in caplog.text


def test_the_trouble_is_reported_once_a_minute(worker, time_, caplog):
    with caplog.at_level(logging.WARNING, "django_certn"):
        for _ in range(5):
            with pytest.raises(CacheDownError):
                worker.call("default", fail)
            time_.pass_(19)
            worker.call("default", lambda cache: None)
    first, second = caplog.messages
    assert first == second
    assert "'default' does not answer (ConnectionError)" in first


def test_it_closes_the_database_connections_of_its_thread(worker, monkeypatch):
    closed = threading.Event()
    monkeypatch.setattr(module.connections, "close_all", closed.set)
    worker.call("default", lambda cache: None)
    assert closed.wait(5)


def test_a_connection_that_cannot_be_closed_does_not_end_its_thread(worker, monkeypatch):
    tried = threading.Event()

    def fail_to_close():
        tried.set()
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(module.connections, "close_all", fail_to_close)
        worker.call("default", lambda cache: None)
        assert tried.wait(5)
    assert worker.call("default", lambda cache: "well") == "well"


def test_a_fresh_start_leaves_no_thread_behind(worker):
    thread = worker.call("default", lambda cache: threading.current_thread())
    worker.reset()
    thread.join(5)
    assert not thread.is_alive()
    assert worker.call("default", lambda cache: threading.current_thread()) is not thread


def test_at_the_end_of_the_process_there_is_no_cache(worker, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(CacheDownError):
        worker.call("default", lambda cache: None)
