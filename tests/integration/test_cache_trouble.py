"""The cache goes away, hangs, or stands in a transaction: the site goes on."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from django.core.cache import cache
from django.db import connection, transaction

from django_certn.tokens.shared_cache import slot_of
from tests import services
from tests.process import Process


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
        warm, cold = Process(), Process()
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
            cold.forget_memos()
            assert timed(cold.get_token)[0].value == "fake-token-2"
            assert cold.invalidate_token("default", "fake-token-2") is True
            token, seconds = timed(cold.get_token)
            assert token.value == "fake-token-3"
            assert seconds < 2  # the breaker is open: no patience is left
            # A process that has a token does not even wait for that.
            warm.forget_memos()
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
    other = Process()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        credential.save()  # so that the transaction has something to lose
        Process().get_token()
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


EXIT = """
import atexit, threading, time
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="tests-only",
    FIELD_ENCRYPTION_KEY="dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE=",
    INSTALLED_APPS=["django_certn"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CERTN_ENVIRONMENTS={"local": {"base_url": "{url}"}},
)
django.setup()
from django.core.management import call_command
from django_certn.exceptions import CertnUnavailableError
from django_certn.models import CertnCredential
from django_certn.tokens import get_token

call_command("migrate", verbosity=0)
CertnCredential.objects.create(environment="local", client_id="fake-id", client_secret="fake")
try:
    get_token(timeout=0.2)
except CertnUnavailableError:
    print("gave up")
"""


def test_a_flight_that_is_up_does_not_delay_the_end_of_the_process(endpoint):
    endpoint.answer(delay=30)
    began = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT.replace("{url}", endpoint.url)],
        capture_output=True,
        text=True,
        check=True,
        timeout=25,
    )
    assert process.stdout == "gave up\n"
    assert "Traceback" not in process.stderr
    assert time.monotonic() - began < 25
