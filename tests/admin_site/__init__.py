"""An admin with keys in every state, for pictures of it and for tests that need a browser.

It runs in a process of its own, since a theme puts itself in the place of the admin when Django
starts, and nothing in it is real: the environments are an endpoint on this computer that refuses
each pair and takes each API key.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.sandbox import ROOT, environment

LIST = "/admin/django_certn/certncredential/"


@dataclass(frozen=True)
class Served:
    """Where an admin is served.

    Attributes:
        url: scheme, host and port.
        cookie: the session cookie of a superuser.
        rows: primary keys by name.
    """

    url: str
    cookie: str
    rows: dict[str, int]

    def change(self, name: str) -> str:
        return f"{self.url}{LIST}{self.rows[name]}/change/"

    @property
    def list(self) -> str:
        return f"{self.url}{LIST}"

    def page(self, browser, **options):
        """Open a tab in which the superuser is logged in."""
        context = browser.new_context(base_url=self.url, **options)
        context.add_cookies([{"name": "sessionid", "value": self.cookie, "url": self.url}])
        return context.new_page()


@contextmanager
def served(theme: str = "django", language: str = "en-us", *more: str) -> Iterator[Served]:
    """Serve the admin in a theme of `themes.py` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, theme, language, *more],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"The admin in the theme {theme} did not start.")
        yield Served(**json.loads(line))
    finally:
        process.communicate()  # the end of its standard input ends it
