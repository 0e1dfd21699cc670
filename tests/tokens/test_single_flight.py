import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import pytest

from django_certn.exceptions import CertnUnavailableError
from django_certn.tokens.single_flight import SingleFlight


def test_whoever_comes_while_it_is_up_shares_it():
    flights, land = SingleFlight(), threading.Event()
    first = flights.join("a", lambda: land.wait(10))
    second = flights.join("a", lambda: "another")
    assert first is second
    other = flights.join("b", lambda: "of another slot")
    assert other.result(5) == "of another slot"
    land.set()
    assert first.result(5) is True
    assert flights.join("a", lambda: "next").result(5) == "next"


def test_it_cannot_be_cancelled():
    land = threading.Event()
    flight = SingleFlight().join("a", lambda: land.wait(10))
    assert not flight.cancel()
    land.set()
    assert flight.result(5) is True


def test_an_error_reaches_those_who_wait():
    def crash():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        SingleFlight().join("a", crash).result(5)


class OwnArgumentsError(Exception):
    """`copy` calls the class with the message alone, and cannot."""

    def __init__(self, *, code):
        super().__init__(f"fake: {code}")
        self.code = code


class OwnNewError(Exception):
    """Not even made before it is called can it be of its arguments alone."""

    def __new__(cls, *, code):
        return super().__new__(cls, f"fake: {code}")

    def __init__(self, *, code):
        self.code = code


@pytest.mark.parametrize("own", [OwnArgumentsError, OwnNewError])
def test_an_error_that_cannot_be_copied_as_others_reaches_them_too(own):
    def crash():
        raise own(code=7)

    with pytest.raises(own, match="fake: 7") as raised:
        SingleFlight().join("a", crash).result(5)
    assert raised.value.code == 7


def test_it_has_landed_before_anybody_hears_of_it():
    flights = SingleFlight()
    for number in range(50):
        assert flights.join("a", lambda number=number: number).result(5) == number


def test_without_a_thread_there_is_an_error(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    flights = SingleFlight()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CertnUnavailableError):
            flights.join("a", lambda: None).result(5)
    assert flights.join("a", lambda: "well again").result(5) == "well again"


def test_who_is_interrupted_at_the_start_leaves_nobody_waiting(monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    flights = SingleFlight()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            flights.join("a", lambda: None)
    assert flights.join("a", lambda: "well again").result(5) == "well again"


class TestReserved:
    """One thread is about to begin a flight, and says so beforehand."""

    def test_others_wait_for_it(self):
        flights = SingleFlight()
        with flights.reserve("a", "left"), ThreadPoolExecutor() as pool:
            other = pool.submit(lambda: flights.join("a", lambda: "of another").result(5))
            wait([other], 0.1)
            future, is_mine = flights.begin("a")
            assert is_mine
            assert flights.carry("a", future, lambda: "mine") == "mine"
        assert other.result(5) == "mine"
        assert flights.join("a", lambda: "next").result(5) == "next"

    def test_its_own_thread_never_waits_for_itself(self):
        flights = SingleFlight()
        with flights.reserve("a", "left"):
            assert flights.join("a", lambda: "mine").result(5) == "mine"
            assert flights.join("a", lambda: "again").result(5) == "again"

    def test_who_leaves_without_it_wakes_the_others(self):
        flights = SingleFlight()
        with ThreadPoolExecutor() as pool:
            with suppress(ZeroDivisionError), flights.reserve("a", "left"):
                other = pool.submit(lambda: flights.join("a", lambda: "of another").result(5))
                wait([other], 0.1)
                raise ZeroDivisionError
            assert other.result(5) == "left"
        assert flights.join("a", lambda: "next").result(5) == "next"

    def test_what_is_up_already_is_left_alone(self):
        flights, land = SingleFlight(), threading.Event()
        first = flights.join("a", lambda: land.wait(10))
        with flights.reserve("a", "left"):
            assert not flights.begin("a")[1]
        assert not first.done()
        land.set()
        assert first.result(5) is True
