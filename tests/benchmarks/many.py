"""Five hundred credentials against an endpoint that allows 240 requests a minute, in real time.

    python -m tests.benchmarks.many
    python -m tests.benchmarks.many --smoke    # does it run? With counts too small to tell more

The commands run as a shell runs them, on a site of their own with SQLite; the endpoint takes 200 ms
and answers 429 to what is beyond its limit. It prints Markdown, and fails where a request was
refused, a key was told wrongly, or it took a tenth longer than the limit allows. It takes five
minutes, and needs neither a server nor a network.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.endpoint import Answer, TokenEndpoint
from tests.integration.site import Site
from tests.pace import Limit

PER_MINUTE = 240
SECONDS = 0.2  # that a request takes
OTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="

ANSWERS = {
    "rejected": Answer(401, {"error": "invalid_client"}, delay=SECONDS),
    "retired": Answer(410, delay=SECONDS),
    "unreachable": Answer(503, delay=SECONDS),
    "bad_response": Answer(200, "<h1>Welcome</h1>", delay=SECONDS),
}
# Nothing is sent for these: their secret is encrypted with another key, or their line is none.
UNSENT = {"certn_check": "undecryptable", "certn_set_key": "bad line"}


class Endpoint(TokenEndpoint):
    """Answers by the Client ID, and 429 beyond the limit."""

    def allow_again(self, statuses):
        self.reset()
        self.limit = Limit(PER_MINUTE, time.monotonic)
        self.arrivals = []

        def decide(request):
            self.arrivals.append(time.monotonic())
            known = self.limit(request) or ANSWERS.get(statuses.get(request.basic[0]))
            return known or Answer(delay=SECONDS)

        self.decide(decide)

    @property
    def seconds(self):
        """From the first request to the last answer."""
        return self.arrivals[-1] - self.arrivals[0] + SECONDS


class Run:
    """A command as a shell runs it, and what it took."""

    def __init__(self, site, *arguments):
        began = time.monotonic()
        with (site.folder / "printed").open("w+", encoding="utf-8") as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", "django", *arguments],
                env=site.environment(),
                cwd=site.folder,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            self.stdout = printed.read()
        self.returncode = process.returncode
        self.seconds = time.monotonic() - began
        self.processor = usage.ru_utime + usage.ru_stime
        # Linux counts KiB, macOS bytes.
        self.megabytes = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def name_of(number):
    return f"tenant-{number:03}"


def line(number):
    return json.dumps(
        {
            "name": name_of(number),
            "environment": "local",
            "client_id": f"fake-id-{number:03}",
            "client_secret": f"fake-secret-{number:03}",
        }
    )


def write(site, numbers):
    path = site.folder / f"{len(numbers)}.jsonl"
    path.write_text("\n".join(map(line, numbers)), encoding="utf-8")
    return str(path)


def new_site(folder, endpoint):
    folder.mkdir()
    site = Site(folder, endpoint.url)
    site.done("migrate", "--verbosity", "0")
    return site


def spoil(numbers, unsent):
    """Return which of the numbers are bad, and in which of five ways."""
    return dict(zip(numbers, itertools.cycle([*ANSWERS, unsent]), strict=False))


def require(condition, words):
    if not condition:
        sys.exit(f"This should not be: {words}")


def report(command, run, alone, endpoint, told, number, *, is_smoke):
    """Print a line of the table, once it is as it should be."""
    allowed = endpoint.hits / PER_MINUTE * 60
    require(endpoint.limit.refused == 0, f"{endpoint.limit.refused} requests were refused")
    took = endpoint.seconds
    require(is_smoke or took < 1.1 * allowed, f"{took:.1f} s, where {allowed:.1f} are allowed")
    kinds = ", ".join(f"{count} {status}" for status, count in sorted(told.items()))
    print(
        f"| `{command}` | {number} | {kinds} | {endpoint.hits} | {endpoint.limit.refused} "
        f"| {allowed:.1f} s | {took:.1f} s | {run.seconds:.1f} s | {run.processor:.1f} s "
        f"| {run.megabytes:.0f} MB, {run.megabytes - alone.megabytes:+.1f} |"
    )


def check(folder, endpoint, number, bad, *, is_smoke):
    site = new_site(folder, endpoint)
    closed = [each for each, status in bad.items() if status not in ANSWERS]
    site.done("certn_set_key", "--no-verify", "--from-jsonl", write(site, range(number)))
    stored = site.manage(
        *("certn_set_key", "--no-verify", "--from-jsonl", write(site, closed)),
        SITE_ENCRYPTION_KEY=OTHER_KEY,
    )
    require(stored.returncode == 0, stored.stderr)
    statuses = {f"fake-id-{each:03}": status for each, status in bad.items()}
    endpoint.allow_again(statuses)
    alone = Run(site, "certn_check", name_of(0), "--format", "json")
    endpoint.allow_again(statuses)
    run = Run(site, "certn_check", "--format", "json")
    results = {each["name"]: each["status"] for each in json.loads(run.stdout)["results"]}
    expected = {name_of(each): bad.get(each, "ok") for each in range(number)}
    require(results == expected, "a key was told wrongly")
    require(list(results) == list(expected), "the results are not in order")
    require(run.returncode == 1, f"it exits with {run.returncode}")
    told = Counter(results.values())
    report("certn_check", run, alone, endpoint, told, number, is_smoke=is_smoke)


def set_keys(folder, endpoint, number, bad, *, is_smoke):
    site = new_site(folder, endpoint)
    path = Path(write(site, range(number)))
    lines = path.read_text(encoding="utf-8").splitlines()
    for each, status in bad.items():
        if status not in ANSWERS:
            lines[each] = lines[each][:-1]
    path.write_text("\n".join(lines), encoding="utf-8")
    single = Path(write(site, [0]))
    statuses = {f"fake-id-{each:03}": status for each, status in bad.items()}
    endpoint.allow_again(statuses)
    alone = Run(new_site(folder / "alone", endpoint), "certn_set_key", "--from-jsonl", str(single))
    endpoint.allow_again(statuses)
    run = Run(site, "certn_set_key", "--from-jsonl", str(path))
    require(run.returncode == 1, f"it exits with {run.returncode}")
    tally = run.stdout.splitlines()[-1]
    told = Counter(bad.values()) | Counter(stored=number - len(bad))
    for status, count in told.items():
        require(f"{count} {status}" in tally, f"{tally}")
    rows = site.done("shell", "--verbosity", "0", "-c", COUNT)
    require(int(rows) == number - len(bad), f"{rows} are stored")
    report("certn_set_key", run, alone, endpoint, told, number, is_smoke=is_smoke)
    sent = endpoint.hits
    Run(site, "certn_set_key", "--from-jsonl", str(path))
    require(
        endpoint.hits - sent == sum(status in ANSWERS for status in bad.values()),
        "something was sent for what is stored",
    )


COUNT = """
from django_certn.models import CertnCredential
print(CertnCredential.objects.filter(verified_status="ok").count())
"""


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many")
    parser.add_argument("--smoke", action="store_true", help="tiny counts")
    is_smoke = parser.parse_args().smoke
    number, step = (24, 4) if is_smoke else (500, 25)
    print(f"Load before the run: {os.getloadavg()[0]:.1f}.\n")
    print(
        "| command | keys | told | requests | refused | the limit allows | the requests took "
        "| took | processor | ",
        end="",
    )
    print("memory, and more than with one key |\n| --- | --: | --- |" + " --: |" * 7)
    with tempfile.TemporaryDirectory() as folder, Endpoint() as endpoint:
        for command, function in (("certn_check", check), ("certn_set_key", set_keys)):
            bad = spoil(range(3, number, step), UNSENT[command])
            function(Path(folder) / command, endpoint, number, bad, is_smoke=is_smoke)
    print(f"\nLoad after it: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
