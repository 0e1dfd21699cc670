"""The thread that touches the cache."""

import logging
import threading
import time

import pytest

from django_certn.tokens import hand as module
from django_certn.tokens.hand import CacheDownError, Hand


@pytest.fixture
def hand(time_, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    return Hand(lambda: time_.mono)


def fail(cache):
    raise ConnectionError


def test_it_returns_what_the_call_makes_of_the_cache(hand):
    hand.call("default", lambda cache: cache.set("a", 1))
    assert hand.call("default", lambda cache: cache.get("a")) == 1


def test_one_thread_serves_all(hand):
    names = {hand.call("default", lambda cache: threading.current_thread()) for _ in range(5)}
    assert len(names) == 1
    (thread,) = names
    assert thread is not threading.current_thread()
    assert thread.daemon  # it never delays the end of the process


def test_after_a_failure_the_cache_is_left_alone_for_a_while(hand, time_):
    calls = []
    with pytest.raises(CacheDownError):
        hand.call("default", fail)
    with pytest.raises(CacheDownError):
        hand.call("default", calls.append)
    assert calls == []
    time_.pass_(5.1)
    hand.call("default", calls.append)
    assert len(calls) == 1


def test_the_while_doubles_and_starts_anew_when_the_cache_is_well(hand, time_):
    for seconds in (5, 10, 20):
        with pytest.raises(CacheDownError):
            hand.call("default", fail)
        time_.pass_(seconds - 0.1)
        assert hand.is_open
        time_.pass_(0.2)
        assert not hand.is_open
    hand.call("default", lambda cache: None)
    with pytest.raises(CacheDownError):
        hand.call("default", fail)
    time_.pass_(5.1)
    assert not hand.is_open


def test_a_call_that_hangs_is_left_behind(hand, time_):
    thawed = threading.Event()
    began = time.monotonic()
    with pytest.raises(CacheDownError):
        hand.call("default", lambda cache: thawed.wait(10))
    with pytest.raises(CacheDownError):
        hand.call("default", lambda cache: None)
    assert time.monotonic() - began < 5
    time_.pass_(5.1)
    # It may hang for good, so the next try does not wait for it.
    assert hand.call("default", lambda cache: "well") == "well"
    thawed.set()


def test_those_who_wait_behind_a_call_that_hangs_give_up_too(hand):
    thawed, outcomes = threading.Event(), []

    def call():
        try:
            hand.call("default", lambda cache: thawed.wait(10))
        except CacheDownError:
            outcomes.append("down")

    callers = [threading.Thread(target=call) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5)
    assert outcomes == ["down"] * 5
    thawed.set()


def test_a_call_that_hangs_while_the_cache_is_left_alone_is_left_behind_too(hand, time_):
    thawed, begun, outcomes = threading.Event(), threading.Event(), []

    def hang(cache):
        begun.set()
        thawed.wait(10)

    def call():
        try:
            hand.call("default", hang)
        except CacheDownError:
            outcomes.append("down")

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(5)
    hand.trip("default", "as a call before it failed")
    caller.join(5)
    assert outcomes == ["down"]
    time_.pass_(5.1)
    assert hand.call("default", lambda cache: "well") == "well"
    thawed.set()


def test_many_calls_are_no_trouble(hand, monkeypatch):
    """Patience is for the call that runs, not for those that wait for their turn."""
    monkeypatch.setattr(module, "PATIENCE", 0.4)  # a computer may be slow, but not as slow as that
    results = []
    callers = [
        threading.Thread(
            target=lambda: results.append(hand.call("default", lambda cache: time.sleep(0.03)))
        )
        for _ in range(20)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert results == [None] * 20


def test_the_trouble_is_told_once_a_minute(hand, time_, caplog):
    with caplog.at_level(logging.WARNING, "django_certn"):
        for _ in range(5):
            with pytest.raises(CacheDownError):
                hand.call("default", fail)
            time_.pass_(19)
            hand.call("default", lambda cache: None)
    first, second = caplog.messages
    assert first == second
    assert "'default' does not answer (ConnectionError)" in first


def test_it_closes_the_database_connections_of_its_thread(hand, monkeypatch):
    closed = threading.Event()
    monkeypatch.setattr(module.connections, "close_all", closed.set)
    hand.call("default", lambda cache: None)
    assert closed.wait(5)


def test_a_connection_that_cannot_be_closed_does_not_end_its_thread(hand, monkeypatch):
    tried = threading.Event()

    def fail_to_close():
        tried.set()
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(module.connections, "close_all", fail_to_close)
        hand.call("default", lambda cache: None)
        assert tried.wait(5)
    assert hand.call("default", lambda cache: "well") == "well"


def test_a_fresh_start_leaves_no_thread_behind(hand):
    thread = hand.call("default", lambda cache: threading.current_thread())
    hand.reset()
    thread.join(5)
    assert not thread.is_alive()
    assert hand.call("default", lambda cache: threading.current_thread()) is not thread


def test_at_the_end_of_the_process_there_is_no_cache(hand, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(CacheDownError):
        hand.call("default", lambda cache: None)
