"""The cache goes away, hangs, or stands in a transaction: the site goes on."""

import signal
import threading
import time

import pytest
from django.core.cache import cache
from django.db import connection, transaction

from django_certn.tokens.service import TokenService
from django_certn.tokens.store import slot_of
from tests import services


@pytest.fixture
def credential(settings, make_credential, endpoint):
    return make_credential(environment="scripted")


def use_redis(settings, port):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}",
        }
    }


def timed(call):
    began = time.monotonic()
    return call(), time.monotonic() - began


@pytest.mark.parametrize("trouble", ["frozen", "stopped"])
def test_without_redis_a_process_has_a_token_of_its_own(settings, credential, endpoint, trouble):
    services.driver("redis")
    executable, port = services.program("redis-server"), services.free_port()
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    use_redis(settings, port)
    with services.process(command, port) as server:
        warm, cold = TokenService(), TokenService()
        warm.get_token()
        if trouble == "frozen":
            server.send_signal(signal.SIGSTOP)
        else:
            server.terminate()
            server.wait()
        try:
            token, seconds = timed(cold.get_token)
            assert token.value == "fake-token-2"
            assert seconds < 7  # of patience with the cache, and an exchange
            cold.memos.forget()
            assert timed(cold.get_token)[0].value == "fake-token-2"
            assert cold.invalidate_token("default", "fake-token-2") is True
            token, seconds = timed(cold.get_token)
            assert token.value == "fake-token-3"
            assert seconds < 2  # the breaker is open: no patience is left
            # A process that has a token does not even wait for that.
            warm.memos.forget()
            token, seconds = timed(warm.get_token)
            assert token.value == "fake-token-1"
            assert seconds < 2
            assert endpoint.hits == 3
        finally:
            if trouble == "frozen":
                server.send_signal(signal.SIGCONT)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite has one writer: nothing to stay out of"
)
def test_the_database_cache_stays_out_of_the_transaction(settings, credential, endpoint):
    settings.CACHES = {"default": settings.CACHES["database"]}
    cache.clear()
    other = TokenService()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        credential.save()  # so that the transaction has something to lose
        TokenService().get_token()
        found = []
        thread = threading.Thread(
            target=lambda: (found.append(other.get_token().value), connection.close())
        )
        thread.start()
        thread.join(5)
        assert found == ["fake-token-1"]  # neither blocked nor blind
        raise ZeroDivisionError
    assert cache.get(slot_of(credential.key()))  # nor lost
    assert endpoint.hits == 1
