"""Runs `manage.py demo` for a test, in a process and a folder of its own."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests import warm
from tests.sandbox import ROOT, environment

MANAGE = ["-W", "error", str(ROOT / "example_project" / "manage.py")]


def variables(folder: Path, **more: str) -> dict[str, str]:
    """The environment for a command of the example site, whatever the shell has set."""
    inherited = environment()
    for name in ("SECRET_KEY", "EXAMPLE_DEBUG"):
        inherited.pop(name, None)
    return {**inherited, "CERTN_DEMO_DIR": str(folder), **more}


def manage(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the example site to its end."""
    # Anywhere but in the checkout: nothing may depend on where it is called.
    return warm.run(*MANAGE, *args, cwd="/", env=variables(folder, **more))


class RunningDemo:
    """A demo that serves. ``close()`` it, or use it as a context manager."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, *MANAGE, "demo", "--port", "0", "--sandbox-port", "0", *args],
            cwd="/",
            env=variables(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        self.printed = ""
        for line in self.process.stdout:
            self.printed += line
            if line.startswith("Serving "):
                break
        else:
            self.close()
            raise RuntimeError(f"The demo did not start: {self.printed}")
        self.port = self._port_in(r"^Serving http://127\.0\.0\.1:(\d+)/")
        self.sandbox_port = self._port_in(r"^Sandbox: +http://127\.0\.0\.1:(\d+)/")
        # Somebody has to read on, or the pipe is full some day and the demo waits for ever.
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()

    def _port_in(self, line: str) -> int:
        found = re.search(line, self.printed, re.MULTILINE)
        assert found is not None, self.printed
        return int(found[1])

    def _read_on(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def password(self) -> str:
        found = re.search(r"^Admin: +admin, password (\S+)", self.printed, re.MULTILINE)
        assert found is not None
        return found[1]

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command as in another terminal."""
        return manage(self.folder, *args, CERTN_SANDBOX_PORT=str(self.sandbox_port))

    def end(self, signal: int) -> int:
        """Send the signal, wait, and return the exit code."""
        os.kill(self.process.pid, signal)
        code = self.process.wait(60)
        self._reader.join(60)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        if hasattr(self, "_reader"):
            self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
