"""What one process does by itself: coroutines that start cold, a look by many threads, many keys.

    python -m tests.benchmarks.alone
    python -m tests.benchmarks.alone --smoke    # does it run? With counts too small to tell more

It needs neither a server nor a peer, and prints Markdown.
"""

import argparse
import asyncio
import contextvars
import gc
import statistics
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from timeit import Timer

from cryptography.fernet import Fernet

EXCHANGE = 0.2  # seconds
LIFE = 36000.0  # seconds, as at Certn

tenant = contextvars.ContextVar("tenant", default="default")


class Router:
    """Sends all to the database that a context variable names."""

    def db_for_write(self, model, **hints):
        return tenant.get()

    db_for_read = db_for_write


def configure(folder):
    import django
    from django.conf import settings

    databases = {
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / f"{alias}.sqlite3"}
        for alias in ("default", "other")
    }
    settings.configure(
        SECRET_KEY="fake",
        FIELD_ENCRYPTION_KEY=Fernet.generate_key(),
        INSTALLED_APPS=["django_certn"],
        DATABASES=databases,
        CERTN_ENVIRONMENTS={"local": {"base_url": "http://127.0.0.1:9"}},
        USE_TZ=True,
    )
    django.setup()


class Exchanges:
    """Stands for the endpoint, and counts."""

    def __init__(self, seconds):
        self.seconds, self.count = seconds, 0

    def __call__(self, key, *, timeout):
        from django_certn.answers import TokenResponse
        from django_certn.masked import MaskedStr

        self.count += 1
        time.sleep(self.seconds)
        return TokenResponse(MaskedStr(f"fake-token-{self.count}"), LIFE)


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = time.time()

    def clocks(self):
        from django_certn.tokens.timing import Clocks

        return Clocks(wall=lambda: self.now, monotonic=lambda: self.now)


def install(seconds, clocks=None):
    """Put a new service in the place of the process's; return what counts its exchanges."""
    from django.core.cache import cache

    from django_certn.tokens import service
    from django_certn.tokens.process import TokenService
    from django_certn.tokens.timing import Clocks

    cache.clear()
    exchanges = Exchanges(seconds)
    service.install(TokenService(exchange=exchanges, clocks=clocks or Clocks()))
    return exchanges


def held_up(callers):
    """Return the longest time, in ms, that the loop stood still while all of them ran."""
    gaps = []

    async def main():
        is_over = False

        async def tick():
            last = time.perf_counter()
            while not is_over:
                await asyncio.sleep(0)
                now = time.perf_counter()
                gaps.append(now - last)
                last = now

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        await asyncio.gather(*callers())
        is_over = True
        await ticking

    gc.disable()  # a full collection takes 80 ms by itself
    try:
        asyncio.run(main())
    finally:
        gc.enable()
    return max(gaps) * 1000


def coroutines(number, rounds):
    from django_certn.tokens import aget_token

    ours, nothing, counts = [], [], set()
    for _ in range(rounds):
        exchanges = install(EXCHANGE)
        ours.append(held_up(lambda: [aget_token() for _ in range(number)]))
        counts.add(exchanges.count)
        nothing.append(held_up(lambda: [asyncio.sleep(EXCHANGE) for _ in range(number)]))
    print(
        f"{number} coroutines cold: {sorted(counts)} exchanges; the loop stood still for "
        f"{statistics.median(ours):.1f} ms at the most (median of {rounds}), and for "
        f"{statistics.median(nothing):.1f} ms when as many do nothing but sleep."
    )


def queries(call):
    """Return how many queries all threads made meanwhile."""
    from django.db.backends.utils import CursorWrapper

    made, execute = [], CursorWrapper.execute

    def spy(self, sql, params=None):
        made.append(sql)
        return execute(self, sql, params)

    CursorWrapper.execute = spy
    try:
        call()
    finally:
        CursorWrapper.execute = execute
    return sum("django_certn" in sql for sql in made)


def one_look(threads):
    from django.db import connections

    from django_certn.tokens import get_token

    moved = Time()
    install(0, moved.clocks())
    get_token()
    moved.now += 13
    start = threading.Barrier(threads)

    def work():
        start.wait()
        get_token()
        connections.close_all()

    def together():
        callers = [threading.Thread(target=work) for _ in range(threads)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    print(f"A look by {threads} threads at one moment: {queries(together)} query.")


def many(number):
    from django_certn.models import CertnCredential
    from django_certn.tokens import get_token

    CertnCredential.objects.bulk_create(
        CertnCredential(
            name=f"site-{each}", environment="local", client_id=f"id-{each}", client_secret="fake"
        )
        for each in range(number)
    )
    names = [f"site-{each}" for each in range(number)]
    exchanges = install(0, Time().clocks())  # the first round takes longer than a memo lives
    tracemalloc.start()
    began = tracemalloc.get_traced_memory()[0]
    made = [queries(lambda: [get_token(name) for name in names]) for _ in range(3)]
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - began) / number / 1024
    tracemalloc.stop()
    print(
        f"{number} credentials in turn, three rounds: {made} queries, {exchanges.count} exchanges, "
        f"{size:.1f} KiB of memory for each, its cache entry in LocMem among them."
    )


def with_a_router(rounds):
    from django.test.utils import override_settings

    from django_certn.client import auth_headers
    from django_certn.tokens import get_token

    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Router"]):
        install(0)
        get_token()
        for call in (get_token, auth_headers):
            seconds = min(Timer(call).repeat(rounds, 2000)) / 2000
            print(f"{call.__name__}() with a router: {seconds * 1e6:.1f} µs.")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.alone")
    parser.add_argument("--smoke", action="store_true", help="tiny counts")
    smoke = parser.parse_args().smoke
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        from django.core.management import call_command

        from django_certn.models import CertnCredential

        for alias in ("default", "other"):
            call_command("migrate", database=alias, verbosity=0)
        CertnCredential.objects.create(environment="local", client_id="id", client_secret="fake")
        coroutines(*((20, 1) if smoke else (1000, 9)))
        one_look(4 if smoke else 32)
        with_a_router(1 if smoke else 50)
        many(20 if smoke else 10_000)


if __name__ == "__main__":
    main()
