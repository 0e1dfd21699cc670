"""Measures this app beside its peers, prints the README's tables, and draws its plot.

    python -m tests.benchmarks
    python -m tests.benchmarks --smoke    # does it run? With counts too small to tell more

Nothing leaves this computer. The peers are in the extra `bench`; one that is not installed is left
out, and so is a cache without its server.
"""

import argparse
import math
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests import services
from tests.benchmarks import fleet, hot, plot, report, sources, trials
from tests.endpoint import TokenEndpoint

PLOT = Path(__file__).with_name("speed.svg")
BACKENDS = "django.core.cache.backends"


@dataclass(frozen=True)
class Counts:
    processes: int = 8
    threads: int = 8
    threads_at_renewal: int = 4
    rounds: int = 200
    rounds_at_503: int = 4
    credentials: int = 1000
    renewal: float = 0.5  # seconds that the exchange takes
    patience: float = math.inf  # seconds; what takes longer to settle is not tried at renewal


SMOKE = Counts(
    processes=2,
    threads=2,
    threads_at_renewal=2,
    rounds=2,
    rounds_at_503=1,
    credentials=10,
    renewal=0.1,
    patience=1,
)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--smoke", action="store_true", help="tiny counts; the plot is not kept")
    smoke = parser.parse_args().smoke
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = stack.enter_context(TokenEndpoint())
        site = make_site(stack, folder, endpoint)
        counts = SMOKE if smoke else Counts()
        run(counts, site, endpoint, folder / PLOT.name if smoke else PLOT)


def run(counts, site, endpoint, plot_file):
    fleet.configure(site)
    names = [f"site-{number}" for number in range(counts.credentials)]
    store(["default", *names])
    aliases = [alias for alias in site["CACHES"] if alias != "default"]
    peers = []
    for peer in sources.PEERS:
        if report.version_of(peer.package):
            peers.append(peer)
        else:
            print(f"Left out: {peer.label}, for {peer.package} is not installed.")
    print(report.machine(peers), flush=True)

    hot_rows = hot.measure(peers, trials.token_url(endpoint), aliases, counts.rounds)
    print(report.hot(hot_rows), flush=True)

    contenders = [(f"{sources.Ours.label}, {alias}", sources.Ours, alias) for alias in aliases]
    if "Redis" in aliases:
        cached = sources.CachedRequestsOAuthlib
        contenders.append((f"{cached.label}, Redis", cached, "Redis"))
    contenders += [(peer.label, peer, "LocMem") for peer in peers]
    with fleet.Fleet(counts.processes, site) as processes:
        cold_rows = [
            trials.cold(processes, endpoint, *contender, counts) for contender in contenders
        ]
        print(report.cold(cold_rows), flush=True)
        renewals = [
            trials.renewal(processes, endpoint, *contender, counts)
            for contender in contenders
            if contender[1].settles <= counts.patience
        ]
        print(report.renewal(renewals), flush=True)
        sizes = {
            source.label: trials.memory(processes, endpoint, source, names)
            for source in [sources.Ours, *peers]
        }
        print(report.memory(sizes, len(names)))
    plot_file.write_text(plot.draw(hot_rows, cold_rows), encoding="utf-8")


def make_site(stack, folder, endpoint):
    """Return the settings of a site with whatever databases and caches are there."""
    caches = {"default": {"BACKEND": f"{BACKENDS}.dummy.DummyCache"}}
    if location := started(stack, services.redis):
        caches["Redis"] = {"BACKEND": f"{BACKENDS}.redis.RedisCache", "LOCATION": location}
    if location := started(stack, services.memcached):
        backend = f"{BACKENDS}.memcached.PyMemcacheCache"
        caches["Memcached"] = {"BACKEND": backend, "LOCATION": location}
    database, name = started(stack, services.postgresql), "PostgreSQL"
    if not database:
        database, name = sqlite(folder), "SQLite"
    caches[name] = {"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "certn_cache"}
    caches["LocMem"] = {"BACKEND": f"{BACKENDS}.locmem.LocMemCache"}
    return {
        "SECRET_KEY": "fake",
        "FIELD_ENCRYPTION_KEY": Fernet.generate_key(),
        "INSTALLED_APPS": ["django_certn"],
        "DATABASES": {"default": database},
        "CACHES": caches,
        "CERTN_CACHE_ALIAS": "LocMem",
        "CERTN_ENVIRONMENTS": {
            "local": {"label": "Local", "base_url": endpoint.url},
            "centric": {"label": "Centric", "base_url": endpoint.url, "scheme": "api_key"},
        },
        "USE_TZ": True,
    }


def sqlite(folder):
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / "db.sqlite3",
        "OPTIONS": {"timeout": 20},
    }


def started(stack, service):
    try:
        return stack.enter_context(service())
    except pytest.skip.Exception as absent:
        print(f"Left out: {absent}")
        return None


def store(names):
    from django.core.management import call_command

    from django_certn.models import CertnCredential

    call_command("migrate", verbosity=0)
    call_command("createcachetable", "certn_cache", verbosity=0)
    CertnCredential.objects.create(
        name="centric", environment="centric", client_secret=sources.SECRET
    )
    for name in names:
        CertnCredential.objects.create(
            name=name,
            environment="local",
            # A key of its own for each: the token belongs to the key.
            client_id=f"fake-{name}",
            client_secret=sources.SECRET,
        )


if __name__ == "__main__":
    main()
