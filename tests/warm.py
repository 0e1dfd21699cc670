"""Runs Python like `subprocess.run`, in processes that need not import Django anew.

    run("-m", "django", "check", cwd=folder, env=environment)

Such a process is forked from one that has imported what most sites load and has set up nothing. It
is a process like any other, with its own settings, files and exit code, and takes a third of the
time. Where variables that the interpreter reads differ, or coverage is measured, `run` starts a
fresh one; what is about the start itself is to use `subprocess`.
"""

import atexit
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent

# What can be imported before there are settings.
LOADED = [
    "asgiref.sync",
    "asyncio",
    "code",
    "concurrent.futures.thread",
    "cryptography.fernet",
    "django.contrib.admin.options",
    "django.core.cache.backends.db",
    "django.core.cache.backends.filebased",
    "django.core.cache.backends.locmem",
    "django.core.handlers.wsgi",
    "django.core.mail",
    "django.core.management.commands.check",
    "django.core.management.commands.migrate",
    "django.core.management.commands.shell",
    "django.core.servers.basehttp",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.autodetector",
    "django.db.migrations.executor",
    "django.db.models",
    "django.forms",
    "django.template.backends.django",
    "django.test",
    "django.urls",
    "django.utils.translation.trans_real",
    "django.views.debug",
    "django.views.generic",
    "encrypted_model_fields",
    "oauthlib.oauth2",
    "requests",
    "requests_oauthlib",
    "sqlparse",
    "urllib3",
    "wsgiref.simple_server",
]

# An interpreter reads these when it starts.
OF_THE_INTERPRETER = ("LANG", "LC_", "PYTHON")
HEADER = 8  # bytes, which say how long the order is


class Parent:
    """The process that all others are forked from."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # so that all of them can be ended
            )

    def run(self, order: Mapping[str, object], files: Sequence[int], timeout: float) -> int:
        """Return the exit code."""
        content = json.dumps(order).encode()
        self.connection.settimeout(timeout)
        socket.send_fds(self.connection, [len(content).to_bytes(HEADER, "big")], files)
        self.connection.sendall(content)
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.connection.recv(100)
            if not piece:
                raise RuntimeError("The process that others are forked from has ended.")
            answer += piece
        return int(answer)

    def close(self) -> None:
        self.connection.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


parents: list[Parent] = []


def parent() -> Parent:
    if not parents or parents[0].process.poll() is not None:
        parents[:] = [Parent()]
        atexit.register(parents[0].close)
    return parents[0]


def run(
    *arguments: str,
    cwd: Path | str = ROOT,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments: `-W error`, and `-m module`, `-c code` or a file."""
    env = dict(os.environ if env is None else env)
    if not can_be_forked(env):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=env,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin.encode())
        given.seek(0)
        order = {"arguments": arguments, "cwd": str(cwd), "env": env}
        try:
            code = parent().run(order, [file.fileno() for file in (given, out, err)], timeout)
        except TimeoutError:
            parents.pop().close()
            raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, code, *texts)


def can_be_forked(env: Mapping[str, str]) -> bool:
    if not hasattr(os, "fork") or any(name.startswith("COVERAGE_PROCESS") for name in env):
        return False
    return all(
        env.get(name) == os.environ.get(name)
        for name in {*env, *os.environ}
        if name.startswith(OF_THE_INTERPRETER) and name != "PYTHONPATH"
    )


# The other side.


def serve(connection: socket.socket) -> None:
    """Fork for each order; in such a process, return when it has done what was ordered."""
    for name in LOADED:
        with suppress(ImportError, ImproperlyConfigured):  # a driver that is not installed
            importlib.import_module(name)
    while True:
        header, files, _, _ = socket.recv_fds(connection, HEADER, 3)
        if not header:
            return
        order = json.loads(read(connection, int.from_bytes(header, "big")))
        child = os.fork()
        if not child:
            connection.close()
            become(order, files)
            return
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def read(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    return content


def become(order: Mapping[str, object], files: Sequence[int]) -> None:
    """Be what `python` with these arguments would be."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    environment = order["env"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(order["cwd"])
    arguments = list(order["arguments"])
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])
        del arguments[:2]
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    own = [path for path in sys.path if path != str(ROOT)]
    how = arguments.pop(0)
    sys.argv[:] = [how, *arguments]
    if how in {"-c", "-m"}:
        del sys.argv[1]
    folder = {"-c": "", "-m": order["cwd"]}.get(how, str(Path(how).resolve().parent))
    sys.path[:] = [folder, *filter(None, paths), *own]
    importlib.invalidate_caches()
    if how == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
