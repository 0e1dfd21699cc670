"""The same service for coroutines."""

import asyncio
import threading
import time
from functools import partial

import pytest
from asgiref.sync import async_to_sync

from django_certn import tokens
from django_certn.exceptions import CertnUnavailableError, CredentialRejectedError
from django_certn.models import CertnCredential
from django_certn.tokens.tenant import Place, Row
from tests.process import Process
from tests.tokens.conftest import busy_thread, key, settle
from tests.tokens.test_single_flight import OwnArgumentsError


def run(call):
    """Run it as Django does: what is not async runs in this thread, on its connections."""
    return async_to_sync(call)()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - a thread makes it true
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", ["default", "acme"])
def test_a_hit_is_answered_inline(rowless, name):
    async def hits():
        await rowless.aget_token(name)
        call = tokens.aget_token(name)
        with pytest.raises(StopIteration) as stop:
            call.send(None)  # it never yields to the loop
        return stop.value.value

    assert run(hits).value == "fake-token-1"


@pytest.mark.django_db(transaction=True)
def test_a_hit_for_a_credential_is_answered_inline_too(service, credential):
    async def hits():
        await service.aget_token(credential)
        call = service.aget_token(credential)
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        return stop.value.value

    assert run(hits).value == "fake-token-1"


def test_a_thousand_coroutines_share_one_exchange(service, credential, exchanges):
    exchanges.hold = threading.Event()

    async def crowd():
        calls = [asyncio.create_task(service.aget_token(timeout=60)) for _ in range(1000)]
        await until(lambda: exchanges.count)
        exchanges.hold.set()
        return await asyncio.gather(*calls)

    assert {token.value for token in run(crowd)} == {"fake-token-1"}
    assert exchanges.count == 1


def test_nine_of_ten_are_cancelled_and_the_others_are_served(credential, endpoint):
    """Against a real endpoint, the one that started the exchange among them."""
    CertnCredential.objects.update(environment="scripted")
    endpoint.answer(delay=0.3)
    service = Process()

    async def crowd():
        calls = [asyncio.create_task(service.aget_token(timeout=60)) for _ in range(1000)]
        await until(lambda: endpoint.hits)
        for number, call in enumerate(calls):
            if number % 10 != 9:
                call.cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = run(crowd)
    served = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {token.value for token in served} == {"fake-token-1"}
    assert len(served) == 100
    assert endpoint.hits == 1


def test_who_is_cancelled_takes_nothing_from_the_others(service, credential, exchanges):
    exchanges.hold = threading.Event()

    async def crowd():
        calls = []
        for _ in range(10):
            calls.append(asyncio.create_task(service.aget_token()))
            await until(lambda: exchanges.count)  # the first starts the exchange
        await until(lambda: service.stats()["default"]["waits"] == 10)
        for call in calls[:9]:
            call.cancel()
        await asyncio.sleep(0.02)
        exchanges.hold.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    *cancelled, survivor = run(crowd)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in cancelled)
    assert survivor.value == "fake-token-1"
    assert exchanges.count == 1


def test_the_loop_goes_on_meanwhile(service, credential, exchanges):
    exchanges.hold = threading.Event()

    async def busy():
        call = asyncio.create_task(service.aget_token())
        ticks = 0
        while not exchanges.count or ticks < 20:
            await asyncio.sleep(0.001)
            ticks += 1
        exchanges.hold.set()
        await call
        return ticks

    assert run(busy) >= 20


def test_threads_and_coroutines_share_one_exchange(rowless, exchanges):
    exchanges.hold = threading.Event()
    found = []

    async def crowd():
        call = asyncio.create_task(rowless.aget_token())
        await until(lambda: exchanges.count)
        thread = threading.Thread(target=lambda: found.append(rowless.get_token()))
        thread.start()
        await until(lambda: rowless.stats()["default"]["waits"] == 2)
        exchanges.hold.set()
        found.append(await call)
        thread.join()

    run(crowd)
    assert [token.value for token in found] == ["fake-token-1"] * 2
    assert exchanges.count == 1


def test_its_errors_are_those_of_get_token(service, credential, exchanges):
    exchanges.answer = CredentialRejectedError("fake", http_status=401)
    with pytest.raises(CredentialRejectedError) as raised:
        run(service.aget_token)
    assert raised.value.__context__ is None


def fail_in_its_own_way(name):
    raise OwnArgumentsError(code=7)


@pytest.mark.parametrize(
    "parts",
    [
        {"load": fail_in_its_own_way, "place_of": lambda name: Place(name, None)},
        {"place_of": fail_in_its_own_way},
    ],
    ids=["a database", "a router"],
)
def test_an_error_of_others_reaches_all_that_wait(new_service, parts):
    process = new_service(**parts, has_tenants=lambda: True)

    async def crowd():
        calls = asyncio.gather(*(process.aget_token() for _ in range(3)), return_exceptions=True)
        return await asyncio.wait_for(calls, 5)

    outcomes = run(crowd)
    assert [type(outcome) for outcome in outcomes] == [OwnArgumentsError] * 3
    assert {outcome.code for outcome in outcomes} == {7}


def test_it_waits_no_longer_than_its_timeout(service, credential, exchanges, caplog):
    exchanges.hold = threading.Event()
    began = time.monotonic()
    with pytest.raises(CertnUnavailableError):
        run(partial(service.aget_token, timeout=0.05))
    assert time.monotonic() - began < 5
    exchanges.hold.set()  # it lands when the loop is closed, and nobody minds
    for thread in threading.enumerate():
        if thread.name == "certn-flight":
            thread.join(5)
    assert caplog.records == []


def test_a_thread_that_is_busy_delays_nobody_with_a_valid_token(rowless, time_, exchanges):
    async def behind_a_long_query():
        async with busy_thread():
            began = time.monotonic()
            return await rowless.aget_token(), time.monotonic() - began

    run(rowless.aget_token)
    time_.pass_(13)
    token, seconds = asyncio.run(behind_a_long_query())
    assert token.value == "fake-token-1"
    assert seconds < 5


def test_a_thread_that_is_busy_is_waited_for_no_longer_than_the_timeout(service, credential):
    async def behind_a_long_query():
        async with busy_thread():
            with pytest.raises(CertnUnavailableError, match=r"within 0\.1 seconds"):
                await service.aget_token(timeout=0.1)

    asyncio.run(behind_a_long_query())


def test_a_thread_that_is_busy_bounds_the_answer_to_a_401_too(rowless):
    async def behind_a_long_query():
        async with busy_thread():
            with pytest.raises(CertnUnavailableError, match=r"within 0\.1 seconds"):
                await rowless.service.alet_go("default", "Bearer fake-token-1", timeout=0.1)

    asyncio.run(behind_a_long_query())


def others(*mine):
    return asyncio.all_tasks() - {asyncio.current_task(), *mine}


def test_a_task_that_is_cancelled_before_it_begins_keeps_nobody_waiting(rowless, exchanges):
    """The task that is shared, by whoever cancels all that a loop has."""

    async def crowd():
        first = asyncio.create_task(rowless.aget_token())
        await asyncio.sleep(0)
        for task in others(first):
            task.cancel()
        second = asyncio.create_task(rowless.aget_token())
        return await asyncio.wait_for(asyncio.gather(first, second), 5)

    assert [token.value for token in run(crowd)] == ["fake-token-1"] * 2
    assert exchanges.count == 1


def test_a_task_that_is_cancelled_on_its_way_keeps_nobody_waiting(rowless, exchanges):
    exchanges.hold = threading.Event()

    async def crowd():
        call = asyncio.create_task(rowless.aget_token())
        await until(lambda: exchanges.count)
        for task in others(call):
            task.cancel()
        await asyncio.sleep(0.02)
        exchanges.hold.set()
        return await asyncio.wait_for(call, 5)

    assert run(crowd).value == "fake-token-1"
    assert exchanges.count == 1


def test_a_loop_that_was_left_keeps_no_other_from_looking(rowless, time_):
    run(rowless.aget_token)
    settle()
    time_.pass_(13)

    async def leave():
        call = asyncio.create_task(rowless.aget_token())
        await asyncio.sleep(0)
        return call

    loop = asyncio.new_event_loop()
    call = loop.run_until_complete(leave())
    time_.pass_(1)
    run(rowless.aget_token)
    assert rowless.stats()["default"]["relooks"] == 2
    loop.run_until_complete(call)
    loop.close()


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_what_is_interrupted_each_time_is_tried_twice(new_service, exchanges, error):
    def interrupt(key, *, timeout):
        exchanges.calls.append((key, timeout))
        raise error

    process = new_service(
        load=lambda name: Row(key(name), name),
        place_of=lambda name: Place(name, None),
        has_tenants=lambda: False,
        exchange=interrupt,
    )
    with pytest.raises(CertnUnavailableError, match="twice"):
        process.get_token()
    assert exchanges.count == 2
