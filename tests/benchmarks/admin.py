"""The list of the admin with ten thousand credentials: queries and time, with search and filters.

    python -m tests.benchmarks.admin
    CERTN_TEST_DATABASE=postgresql python -m tests.benchmarks.admin
    python -m tests.benchmarks.admin --smoke    # does it run? With counts too small to tell more

It uses a test database of the settings of the tests, and prints Markdown.
"""

import argparse
import itertools
import os
import time
from datetime import timedelta

ADDRESSES = {
    "the list": {},
    "its last page": {"p": "last"},
    "worst first": {"o": "2"},
    "search: a name": {"q": "tenant-00042"},
    "search: part of a Client ID": {"q": "id-0042"},
    "search: nothing found": {"q": "nobody"},
    "filter: needs attention": {"attention": "yes"},
    "filter: status": {"status": "rejected"},
    "filter: never verified": {"status": "never"},
    "filter: environment": {"environment__exact": "demo"},
    "filter: active": {"is_active__exact": "0"},
    "search and all filters": {
        "q": "tenant",
        "attention": "yes",
        "status": "rejected",
        "environment__exact": "production",
        "is_active__exact": "1",
    },
}
LIST = "/admin/django_certn/certncredential/"
PAGE = 50  # rows


def fill(number):
    from django.utils import timezone

    from django_certn.exceptions import Status
    from django_certn.models import CertnCredential

    now = timezone.now()
    statuses = itertools.cycle(["ok"] * 12 + [*Status.values, ""])
    CertnCredential.objects.bulk_create(
        (
            CertnCredential(
                name=f"tenant-{each:05}",
                environment=("demo", "production", "centric-ca")[each % 3],
                client_id="" if each % 3 == 2 else f"fake-id-{each:05}",
                client_secret=f"fake-secret-{each}",
                is_active=each % 10 != 0,
                verified_status=status,
                verified_at=now - timedelta(hours=each % 1000) if status else None,
                secret_changed_at=now - timedelta(days=each % 400),
            )
            for each, status in zip(range(number), statuses, strict=False)
        ),
        batch_size=500,
    )


def measure(client, data, rounds):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = client.get(LIST, data)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 200
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(LIST, data)
    return {
        "found": answer.context["cl"].result_count,
        "queries": len(queries),
        "in queries": sum(float(query["time"]) for query in queries),
        "time": min(times),
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.admin")
    parser.add_argument("--smoke", action="store_true", help="tiny counts")
    number, rounds = (60, 1) if parser.parse_args().smoke else (10_000, 5)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    # Beside the tests that may run at the same time.
    os.environ.setdefault("CERTN_TEST_SUFFIX", f"_admin_{os.getpid()}")
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment(debug=False)
    connection.creation.create_test_db(verbosity=0)
    try:
        client = Client()
        client.force_login(User.objects.create_superuser("boss"))
        fill(1)
        one = measure(client, {}, 1)
        from django_certn.models import CertnCredential

        CertnCredential.objects.all().delete()
        fill(number)
        print(f"{number} credentials, {connection.vendor}, load {os.getloadavg()[0]:.1f}; ", end="")
        print(f"with one credential the list takes {one['queries']} queries.\n")
        print("| page | found | queries | s in queries | s in all, least |")
        print("| --- | --: | --: | --: | --: |")
        for name, data in ADDRESSES.items():
            last = {"p": (number - 1) // PAGE + 1} if data.get("p") else data
            seen = measure(client, last, rounds)
            print(
                f"| {name} | {seen['found']} | {seen['queries']} "
                f"| {seen['in queries']:.3f} | {seen['time']:.3f} |"
            )
            assert seen["queries"] <= one["queries"] + 1, f"{name} takes more queries"
    finally:
        connection.creation.destroy_test_db("", verbosity=0)


if __name__ == "__main__":
    main()
