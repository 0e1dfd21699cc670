"""What `manage.py demo` does, from top to bottom."""

import argparse
import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import django

from demo import state
from demo.servers import HIGHEST_PORT, HOST, CannotStartError, SiteServer, sandbox

SITE_PORT = 8000
SANDBOX_PORT = 8765  # as the settings have it


def main(argv: Sequence[str]) -> int:
    """Run the demo; return 0, 2 when a server cannot start, or what ``certn_check`` returned."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The path of a folder may hold what the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parse(argv)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        return run(options, stop)
    except CannotStartError as error:
        print(error, file=sys.stderr)
        return 2


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="manage.py demo",
        description="Serve the example site, its admin, and a stand-in for Certn.",
        epilog="Exit codes: 0 after Ctrl-C or SIGTERM, 2 when it cannot start; with --check, "
        "that of certn_check.",
    )
    parser.add_argument(
        "--port",
        type=port,
        default=SITE_PORT,
        help="of the site; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--sandbox-port",
        type=port,
        help=f"of the stand-in for Certn (default: {SANDBOX_PORT}; with --check, a free one)",
    )
    parser.add_argument(
        "--check", action="store_true", help="stop after certn_check, with its exit code"
    )
    return parser.parse_args(argv)


def port(value: str) -> int:
    if value.isascii() and value.isdecimal() and int(value) <= HIGHEST_PORT:
        return int(value)
    raise argparse.ArgumentTypeError(f"{value!r} is not a port (0 to {HIGHEST_PORT})")


class Stop:
    """Ends the demo on Ctrl-C and SIGTERM.

    It raises once: what is cleaned up then is not interrupted by an impatient second Ctrl-C. And it
    takes a note, for Python swallows what is raised while it happens to run a finaliser.
    """

    def __init__(self) -> None:
        self.asked = False
        self.is_serving = False

    def __call__(self, number: int, _: object) -> None:
        if not self.asked:
            self.asked = True
            # The end that was expected; or one that a script must not take for success.
            raise SystemExit(0 if self.is_serving else 128 + number)


def run(options: argparse.Namespace, stop: Stop) -> int:
    state.make()
    state.load()
    # What is for this computer goes through no proxy, whatever `requests` finds configured.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST]))
    with ExitStack() as servers:
        # Both ports are ours before anything is changed.
        site = None if options.check else servers.enter_context(SiteServer(options.port))
        wanted = options.sandbox_port
        if wanted is None:
            wanted = 0 if options.check else SANDBOX_PORT
        sandbox_port = servers.enter_context(sandbox(wanted, state.FOLDER / "sandbox.sqlite3"))
        # The settings read it, and so they are loaded after this line.
        os.environ["CERTN_SANDBOX_PORT"] = str(sandbox_port)
        password = os.environ["DEMO_PASSWORD"]

        django.setup()
        from demo import preparation

        preparation.migrate()
        preparation.make_admin(password)
        print(f"Admin:    admin, password {password} (for this demo only)")
        print(f"Sandbox:  http://{HOST}:{sandbox_port}/partner/ (a stand-in for Certn. Not Certn.)")
        for sentence in preparation.store_keys(sandbox_port):
            print(f"Key:      {sentence}")
        print("\n$ manage.py certn_check", flush=True)
        status = preparation.certn_check()
        if site is not None:
            site.open()
            stop.is_serving = True
            print(what_to_click(site.server_port, sandbox_port, password), flush=True)
            while not stop.asked:
                site.handle_request()
            return 0
        return status


def what_to_click(site_port: int, sandbox_port: int, password: str) -> str:
    site = f"http://{HOST}:{site_port}"
    variables = {}
    if folder := os.environ.get("CERTN_DEMO_DIR"):
        variables["CERTN_DEMO_DIR"] = folder
    if sandbox_port != SANDBOX_PORT:
        variables["CERTN_SANDBOX_PORT"] = str(sandbox_port)
    command = in_a_shell([sys.executable, sys.argv[0], "certn_check"], variables)
    return f"""
What to click:
1. {site}/ - log in as admin, password {password}.
   You see users that were fetched with the pair "default", and on {site}/centric/
   cases that were fetched with the API key "centric".
2. http://{HOST}:{sandbox_port}/partner/ - press "Refresh keys", then OK.
   From now on the stored key is lost. Leave the page with the new pair open.
3. {site}/admin/django_certn/certncredential/ - tick "default", run "Verify selected".
   It says that the key is rejected, and what to do.
4. Open "default", paste the new pair, press "Save and verify". It works again.
5. http://{HOST}:{sandbox_port}/partner/api-keys/ - make a second API key, paste it into
   "centric", press "Save and verify", and revoke the first one. Nothing fails in between.

In another terminal: {command}
All of it is kept in {state.FOLDER}; delete that folder to begin anew.

Serving {site}/ - press Ctrl-C to end the site and the sandbox."""


def in_a_shell(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Return what to type: for cmd.exe on Windows, and for a POSIX shell elsewhere."""
    if sys.platform == "win32":
        settings = [f'set "{name}={value}"' for name, value in variables.items()]
        return " && ".join([*settings, subprocess.list2cmdline(command)])
    settings = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*settings, shlex.join(command)])
