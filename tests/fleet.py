"""A fleet: processes of a site that share a database and a cache, doing what a test asks.

    with Fleet(8, database) as fleet:
        fleet.configure(CACHES=..., CERTN_ENVIRONMENTS=...)
        fleet.first("store", client_secret="fake")
        fleet.all("get", threads=8)

A process reads orders from its standard input, a JSON document a line, and answers each with one.
"""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Member:
    """One process of the fleet, seen from the test."""

    def __init__(self, database):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet"],
            cwd=ROOT,
            env={**os.environ, "FLEET_DATABASE": json.dumps(database)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, order, **options):
        self.process.stdin.write(json.dumps([order, options]) + "\n")
        self.process.stdin.flush()

    def receive(self):
        line = self.process.stdout.readline()
        if not line:
            return None  # it was killed
        return json.loads(line)

    def __call__(self, order, **options):
        self.send(order, **options)
        return self.receive()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Fleet:
    def __init__(self, size, database):
        self.database = database
        self.members = [Member(database) for _ in range(size)]
        self.first("migrate")

    def first(self, order, **options):
        return self.members[0](order, **options)

    def all(self, order, **options):
        """Give an order to all at once; return their answers, those of a list joined."""
        with ThreadPoolExecutor(len(self.members)) as pool:
            answers = list(pool.map(lambda member: member(order, **options), self.members))
        if all(isinstance(answer, list) for answer in answers):
            return [one for answer in answers for one in answer]
        return answers

    def configure(self, **settings):
        self.all("configure", settings=settings)

    def replace_dead(self):
        self.members = [
            member if member.process.poll() is None else Member(self.database)
            for member in self.members
        ]

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for member in self.members:
            member.kill()


def serve():
    """The other side: what a process of the fleet does."""
    import django
    from django.conf import settings

    from tests import settings as site

    database = json.loads(os.environ["FLEET_DATABASE"])
    site.DATABASES = {"default": database}
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    assert settings.DATABASES["default"]["NAME"] == database["NAME"]
    django.setup()
    orders = Orders()
    for line in sys.stdin:
        order, options = json.loads(line)
        print(json.dumps(getattr(orders, order)(**options)), flush=True)


class Orders:
    def __init__(self):
        from django_certn import tokens
        from django_certn.tokens.process import TokenService
        from django_certn.tokens.service import install
        from django_certn.tokens.timing import Clocks

        self.wall = self.mono = 0.0
        self.overridden = None
        # A service with hands on its clocks, so that no test has to wait.
        clocks = Clocks(
            wall=lambda: time.time() + self.wall, monotonic=lambda: time.monotonic() + self.mono
        )
        install(TokenService(clocks=clocks))

        self.tokens = tokens

    def migrate(self):
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("createcachetable", "certn_cache", verbosity=0)

    def configure(self, settings):
        from django.test.utils import override_settings

        if self.overridden:
            self.overridden.disable()
        self.overridden = override_settings(**settings)
        self.overridden.enable()
        self.wall = self.mono = 0.0
        self.forget()
        from django.core.cache import cache

        with suppress(Exception):
            cache.get("anything")  # eight first imports of a driver at once take seconds

    def forget(self):
        from django_certn.tokens.service import installed

        installed().clear()

    def forget_memos(self):
        from django_certn.tokens.service import installed

        installed().memos.forget()

    def clear_cache(self):
        from django.core.cache import cache

        cache.clear()

    def shift(self, wall=0.0, mono=0.0):
        self.wall += wall
        self.mono += mono

    def store(self, **fields):
        from django_certn.models import CertnCredential

        CertnCredential.objects.all().delete()
        CertnCredential.objects.create(
            **{"environment": "local", "client_id": "fake-id", "client_secret": "fake"} | fields
        )

    def save(self, **fields):
        from django_certn.models import CertnCredential

        row = CertnCredential.objects.get()
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()

    def update(self, **fields):
        from django_certn.models import CertnCredential

        CertnCredential.objects.update(**fields)

    def stats(self):
        return self.tokens.stats()

    def get(self, threads=1, rounds=1, **options):
        """Return [token or the error's class, seconds] of each call."""

        def call():
            began = time.perf_counter()
            try:
                outcome = str(self.tokens.get_token(**options).value)
            except Exception as error:  # noqa: BLE001 - the test judges it
                outcome = type(error).__name__
            return [outcome, time.perf_counter() - began]

        return self.together(call, threads, rounds)

    def use(self, threads=1, seconds=1.0, every=0.05):
        """Call an API that answers 401 to everything, as a client would, for some seconds."""

        def call():
            until = time.monotonic() + seconds
            dropped = 0
            while time.monotonic() < until:
                token = self.tokens.get_token()
                time.sleep(every)
                dropped += self.tokens.invalidate_token("default", token)
            return dropped

        return self.together(call, threads, 1)

    def invalidate(self, token):
        return self.tokens.invalidate_token("default", token)

    @staticmethod
    def together(call, threads, rounds):
        from django.db import connections

        start, results = threading.Barrier(threads), []

        def run():
            for _ in range(rounds):
                start.wait()
                results.append(call())
            connections.close_all()

        workers = [threading.Thread(target=run) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return results


if __name__ == "__main__":
    serve()
