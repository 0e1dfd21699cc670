"""One token for a fleet: real processes, real caches, a token endpoint that counts."""

import itertools
import json
import signal
import threading
import time
from collections import Counter

import pytest

from tests import services
from tests.effort import THOROUGH, effort
from tests.endpoint import TokenEndpoint
from tests.fleet import Fleet

PROCESSES, THREADS = effort(3, thorough=8), 8
CALLERS = PROCESSES * THREADS

SHARED = ["redis", "memcached", "database"]
ALONE = ["locmem", "dummy", "refused"]
# Of these a cold fleet tries each, and after that each test another, unless it is to try them all.
EACH_SHARED = itertools.cycle([[kind] for kind in SHARED])


def some_shared():
    return SHARED if THOROUGH else next(EACH_SHARED)


@pytest.fixture(scope="module")
def sqlite_fleet(tmp_path_factory):
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path_factory.mktemp("fleet") / "db.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }
    with Fleet(PROCESSES, database) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def postgresql_fleet(postgresql):
    # Or a slow disk is a cache that does not answer in time, for which there is a test of its own.
    asynchronous = {"options": "-c synchronous_commit=off"}
    database = postgresql | {"OPTIONS": postgresql["OPTIONS"] | asynchronous}
    with Fleet(PROCESSES, database) as fleet:
        yield fleet


@pytest.fixture
def endpoint():
    with TokenEndpoint() as endpoint:
        yield endpoint


def cache_entry(kind, request):
    backends = "django.core.cache.backends"
    if kind == "redis":
        return {"BACKEND": f"{backends}.redis.RedisCache", "LOCATION": request("redis")}
    if kind == "memcached":
        return {
            "BACKEND": f"{backends}.memcached.PyMemcacheCache",
            "LOCATION": request("memcached"),
        }
    if kind == "database":
        return {"BACKEND": f"{backends}.db.DatabaseCache", "LOCATION": "certn_cache"}
    if kind == "dummy":
        return {"BACKEND": f"{backends}.dummy.DummyCache"}
    if kind == "refused":
        services.driver("redis")
        location = f"redis://127.0.0.1:{services.free_port()}"
        return {"BACKEND": f"{backends}.redis.RedisCache", "LOCATION": location}
    return {"BACKEND": f"{backends}.locmem.LocMemCache"}


@pytest.fixture
def make_fleet(request, endpoint):
    """A fleet with an empty cache of that kind, and a credential whose exchanges are counted."""

    def make(kind, **settings):
        database = "postgresql" if kind == "database" else "sqlite"
        fleet = request.getfixturevalue(f"{database}_fleet")
        fleet.replace_dead()
        fleet.configure(
            CACHES={"default": cache_entry(kind, request.getfixturevalue)},
            CERTN_ENVIRONMENTS={"local": {"label": "Local", "base_url": endpoint.url}},
            **settings,
        )
        if kind in SHARED:
            fleet.first("clear_cache")
        fleet.first("store")
        return fleet

    return make


def outcomes(results):
    return Counter(outcome for outcome, _ in results)


def each(threads):
    """How many callers there are when each process has so many threads."""
    return PROCESSES * threads


def eventually(condition, seconds=60):
    """Whether it comes true in time; machines differ in how soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def slowest(results):
    return max(seconds for _, seconds in results)


def token(lifetime=36000, value="fake-token"):
    return {"access_token": value, "token_type": "Bearer", "expires_in": lifetime}


@pytest.mark.parametrize("kind", SHARED + ALONE)
def test_a_cold_fleet_makes_one_exchange(make_fleet, endpoint, kind):
    endpoint.answer(delay=0.2)
    fleet = make_fleet(kind)
    results = fleet.all("get", threads=THREADS)
    tokens = outcomes(results)
    assert tokens.total() == CALLERS
    assert all(outcome.startswith("fake-token") for outcome in tokens)
    expected = 1 if kind in SHARED else PROCESSES
    assert endpoint.hits == expected
    assert len(tokens) == expected
    print(f"{kind}: slowest caller {slowest(results):.2f} s")


@pytest.mark.parametrize("kind", some_shared())
def test_a_holder_that_is_killed_costs_one_more_exchange(make_fleet, endpoint, kind):
    lock_life = 3  # the budget of an exchange, rounded up, and two seconds
    fleet = make_fleet(kind, CERTN_REQUEST_TIMEOUT=1.0)
    endpoint.answer(delay=30, times=1)
    holder, *others = fleet.members
    holder.send("get")
    while endpoint.hits == 0:
        time.sleep(0.01)
    for other in others:
        other.send("get", threads=4)
    time.sleep(0.3)
    holder.kill()
    results = [result for other in others for result in other.receive()]
    assert list(outcomes(results).values()) == [4 * len(others)]
    assert outcomes(results).keys() == {"fake-token-1"}
    assert endpoint.hits == 2
    assert slowest(results) < lock_life + 12  # and not the 20 that a caller has


@pytest.mark.parametrize("kind", some_shared())
def test_a_renewal_that_fails_fails_nobody(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    assert outcomes(fleet.all("get")) == {"fake-token-1": PROCESSES}
    endpoint.answer(503, body={})
    # In the last hour of the token's ten.
    fleet.all("shift", wall=36000 - 2400, mono=36000 - 2400)
    for _ in range(3):
        results = fleet.all("get", threads=4)
        assert outcomes(results) == {"fake-token-1": each(4)}
        assert eventually(lambda: endpoint.hits == 2)
    time.sleep(0.3)  # until the failure is noted
    assert endpoint.hits == 2
    fleet.all("shift", wall=11, mono=11)  # the next look, which backs off
    assert outcomes(fleet.all("get", threads=4)) == {"fake-token-1": each(4)}
    time.sleep(0.3)
    assert endpoint.hits == 2


@pytest.mark.parametrize("kind", some_shared())
def test_nobody_waits_for_a_renewal(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    fleet.all("get")
    released = threading.Event()
    body = json.dumps(token(value="fake-token-2")).encode()

    def answer(connection):
        released.wait(30)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    endpoint.raw(answer)
    fleet.all("shift", wall=36000 - 2400, mono=36000 - 2400)
    results = fleet.all("get", threads=4)  # all of it before there is an answer
    released.set()
    assert outcomes(results) == {"fake-token-1": each(4)}
    assert eventually(lambda: endpoint.hits == 2)

    def all_have_the_new_one():
        fleet.all("shift", wall=13, mono=13)
        return outcomes(fleet.all("get")) == {"fake-token-2": PROCESSES}

    assert eventually(all_have_the_new_one)
    assert endpoint.hits == 2


@pytest.mark.parametrize("kind", [*SHARED, "locmem", "dummy"])
def test_a_wrong_secret_is_tried_once(make_fleet, endpoint, kind):
    endpoint.answer(401, body={"error": "invalid_client"}, delay=0.1)
    fleet = make_fleet(kind)
    results = [result for _ in range(4) for result in fleet.all("get", threads=4)]
    assert outcomes(results) == {"CredentialRejectedError": 4 * each(4)}
    assert endpoint.hits == (1 if kind in SHARED else PROCESSES)


@pytest.mark.parametrize("how", ["save", "update"])
@pytest.mark.parametrize("kind", some_shared())
def test_a_rotated_secret_is_followed_within_one_look(make_fleet, endpoint, kind, how):
    fleet = make_fleet(kind)
    endpoint.answer(delay=0.4, body=token(value="fake-old"), times=1)
    endpoint.answer(delay=0.1, body=token(value="fake-new"), times=1)
    first, *others = fleet.members
    for other in others:
        other.send("get")
    while endpoint.hits == 0:
        time.sleep(0.01)
    first(how, client_secret="fake-rotated")  # while the exchange with the old one is in flight
    if how == "save":
        assert outcomes(first("get")) == {"fake-new": 1}
    found = outcomes(result for other in others for result in other.receive())
    assert found.total() == len(others)
    assert {"fake-old"} <= found.keys() <= {"fake-old", "fake-new"}  # who is slow sees the new one
    fleet.all("shift", mono=12)
    fleet.all("get")  # one caller of each process looks; nobody with a valid token waits for it
    assert outcomes(fleet.all("get", threads=4)) == {"fake-new": each(4)}
    assert endpoint.hits == 2


@pytest.mark.parametrize("kind", some_shared())
def test_an_emptied_cache_costs_a_warm_fleet_nothing(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    fleet.all("get")
    fleet.first("clear_cache")
    fleet.all("shift", mono=13)
    assert outcomes(fleet.all("get", threads=4)) == {"fake-token-1": each(4)}
    time.sleep(1)
    fleet.all("forget")  # as those who start now: the others have put it back
    assert outcomes(fleet.all("get")) == {"fake-token-1": PROCESSES}
    assert endpoint.hits == 1


@pytest.mark.parametrize("hours", [2, -2])
@pytest.mark.parametrize("kind", ["redis", "database"])
def test_a_wall_clock_that_jumps_fails_nobody(make_fleet, endpoint, kind, hours):
    fleet = make_fleet(kind)
    endpoint.answer(body=token(lifetime=3600, value="fake-one"), times=1)
    endpoint.answer(body=token(lifetime=3600, value="fake-two"))
    fleet.all("get")
    fleet.all("shift", wall=hours * 3600, mono=13)
    for _ in range(3):
        results = outcomes(fleet.all("get", threads=4))
        assert results.total() == each(4)
        assert results.keys() <= {"fake-one", "fake-two"}
        time.sleep(0.2)
        fleet.all("shift", mono=13)
    assert endpoint.hits <= 2


@pytest.mark.parametrize("kind", some_shared())
def test_an_api_that_refuses_every_token_is_no_storm(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    assert sum(fleet.all("use", threads=THREADS, seconds=effort(1, thorough=2))) == 1
    fleet.all("shift", wall=50, mono=50)  # still within the minute: the cache keeps it
    assert sum(fleet.all("use", threads=THREADS, seconds=1.0)) == 0
    assert endpoint.hits == 2


@pytest.mark.parametrize("kind", some_shared())
def test_a_late_401_leaves_the_new_token_in_force(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    first, second, *_ = fleet.members
    assert outcomes(fleet.all("get")) == {"fake-token-1": PROCESSES}
    assert first("invalidate", token="fake-token-1") is True
    assert outcomes(first("get")) == {"fake-token-2": 1}
    assert second("invalidate", token="fake-token-1") is False
    assert outcomes(second("get")) == {"fake-token-2": 1}
    fleet.all("shift", mono=13)
    expected = {"fake-token-2": each(4)}
    assert eventually(lambda: outcomes(fleet.all("get", threads=4)) == expected)
    assert endpoint.hits == 2


@pytest.mark.parametrize("kind", [*some_shared(), "locmem"])
def test_more_validity_than_a_token_has_is_met_by_one_exchange(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    results = fleet.all("get", threads=4, min_validity=10**6)
    assert outcomes(results).total() == each(4)
    assert endpoint.hits == (1 if kind in SHARED else PROCESSES)


@pytest.mark.parametrize("kind", some_shared())
def test_a_token_that_is_at_hand_is_exchanged_once_for_more_validity(make_fleet, endpoint, kind):
    fleet = make_fleet(kind)
    fleet.all("get")
    for _ in range(3):
        assert outcomes(fleet.all("get", threads=4, min_validity=10**6)).total() == each(4)
    assert endpoint.hits == 2


def test_a_frozen_cache_costs_each_process_an_exchange_and_one_bounded_wait(
    make_fleet, endpoint, request
):
    services.driver("redis")
    executable, port = services.program("redis-server"), services.free_port()
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    fleet = make_fleet("locmem")
    with services.process(command, port) as server:
        fleet.configure(
            CACHES={
                "default": {
                    "BACKEND": "django.core.cache.backends.redis.RedisCache",
                    "LOCATION": f"redis://127.0.0.1:{port}",
                }
            },
            CERTN_ENVIRONMENTS={"local": {"label": "Local", "base_url": endpoint.url}},
        )
        server.send_signal(signal.SIGSTOP)
        try:
            first = fleet.all("get", threads=THREADS)
            assert outcomes(first).total() == CALLERS
            assert endpoint.hits == PROCESSES
            # Past the memo, and the breaker is open: nobody has patience with the cache again.
            fleet.all("shift", mono=3)
            fleet.all("forget_memos")
            second = fleet.all("get", threads=THREADS)
            assert outcomes(second) == outcomes(first)
            assert endpoint.hits == PROCESSES
            fleet.all("forget_memos")
            third = fleet.members[0]("get")
        finally:
            server.send_signal(signal.SIGCONT)
    print(
        f"frozen: {slowest(first):.2f} s at first, then {slowest(second) * 1000:.1f} ms for all "
        f"at once and {slowest(third) * 1000:.1f} ms for one"
    )
