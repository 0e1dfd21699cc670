"""Runs a site with another package in a process of its own."""

import json
import subprocess
import sys
from typing import Any

from tests import services
from tests.sandbox import ROOT, environment

# Obviously fake: the secret that is stored first, and the one that takes its place.
FIRST = "fake-secret-Kx9Qw7Zt3Mark-of-the-first-pair"
SECOND = "fake-secret-Vb5Ny8Hd2Mark-of-the-second-pair"
SECONDS = 120  # that a site may take


def printed_by(module: str, *arguments: str, needs: str | None = None) -> Any:
    """Run a module of this folder and return the JSON document that it printed.

    `needs` is the package as it is imported; where it is not installed, the test skips.
    """
    if needs:
        services.driver(needs)
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.{module}", *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
