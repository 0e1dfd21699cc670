"""Runs the sandbox for a test, in a process of its own, and asks it what it saw."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class RunningSandbox:
    """A sandbox that listens. ``close()`` it, or use it as a context manager.

    It is asked over plain ``http.client``: a test that replaces what ``requests`` does, or sets a
    proxy, can still ask.
    """

    def __init__(self, process: subprocess.Popen[str], printed: str, url: str, errors: Any) -> None:
        self.process = process
        self.printed = printed
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self._errors = errors

    @classmethod
    def start(cls, *args: str) -> Self:
        """Start one on a free port and return it when it is ready."""
        errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", "django_certn.sandbox", "--port", "0", *args],
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            env=environment(),
        )
        assert process.stdout is not None
        printed = ""
        too_late = threading.Timer(60, process.kill)
        too_late.start()
        for line in process.stdout:
            printed += line
            if line.startswith("Ready."):
                break
        too_late.cancel()
        found = re.search(r'"base_url": "(http://[^"]+)"', printed)
        if found is None:
            process.wait(60)
            process.stdout.close()
            errors.seek(0)
            said = errors.read()
            errors.close()
            raise RuntimeError(f"The sandbox did not start: {printed}{said}")
        return cls(process, printed, found[1], errors)

    def close(self) -> None:
        """End it, and wait until it has."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def errors(self) -> str:
        """What it printed to stderr: nothing, unless it crashed."""
        self._errors.seek(0)
        return self._errors.read()

    def refresh_keys(self, revoke_tokens: bool = False) -> tuple[str, str]:
        """Make a new key and return its Client ID and Client Secret; the earlier one is lost."""
        key = self.control("POST", "keys", {"revoke_tokens": revoke_tokens})
        return key["client_id"], key["client_secret"]

    def revoke_tokens(self, client_id: str | None = None) -> int:
        """End the live tokens of a Client ID, or of all; return how many there were."""
        return self.control("POST", "revoke-tokens", {"client_id": client_id})["revoked"]

    def make_api_key(self, name: str = "") -> str:
        """Make one more API key of CertnCentric and return it."""
        return self.control("POST", "api-keys", {"name": name})["api_key"]

    def api_keys(self) -> list[dict[str, str]]:
        """Return what is shown of the API keys, the newest first."""
        return self.control("GET", "api-keys")["api_keys"]

    def revoke_api_key(self, key: str) -> None:
        """End an API key at once; its prefix is enough."""
        self.control("DELETE", "api-keys", {"prefix": key.partition(".")[0]})

    def fault(
        self, name: str, count: int = 1, path: str = "/token/", location: str | None = None
    ) -> None:
        """Let the next ``count`` requests to ``path``, or below it, meet the fault ``name``.

        ``location`` is where the fault "redirect" leads; without it nothing is there.
        """
        wanted = {"fault": name, "count": count, "path": path}
        self.control("PUT", "faults", wanted | ({"location": location} if location else {}))

    def refuse_everything(self) -> None:
        """Let both APIs answer 401 to every request from now on, whatever comes with it."""
        self.fault("rejected", 10_000, "/api/")

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """Return the journal, the oldest request first, of ``path`` or of everything."""
        entries = self.control("GET", "requests")["requests"]
        return [entry for entry in entries if path in (None, entry["path"])]

    def count(self, path: str = "/token/", method: str = "POST") -> int:
        """Return how many requests came since the last reset."""
        return sum(entry["method"] == method for entry in self.requests(path))

    def reset(self) -> None:
        """Forget keys, tokens, faults and the journal."""
        self.control("POST", "reset", {})

    def control(self, method: str, name: str, content: Any = None) -> Any:
        """Make a control call and return its JSON; an answer other than 2xx raises."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method,
                f"/__sandbox__/{name}",
                body=None if content is None else json.dumps(content),
                headers={"Content-Type": "application/json", "Connection": "close"},
            )
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise RuntimeError(f"{method} {name}: {response.status} {body!r} {self.errors}")
        return json.loads(body) if body else None


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the sandbox finds this checkout and nothing of a site's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DJANGO_SETTINGS_MODULE", "FIELD_ENCRYPTION_KEY")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, **more}
