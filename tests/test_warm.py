"""What is forked behaves as what is started."""

import os
import subprocess
import sys
import time

import pytest

from tests import warm

SHOW = """
import json, os, sys, warnings
print(json.dumps([sys.argv, sys.path[0], os.getcwd(), os.environ["FAKE"], sys.stdin.read()]))
print("to stderr", file=sys.stderr)
"""


def fresh(*arguments, cwd, env, stdin=""):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def each(tmp_path):
    (tmp_path / "shown.py").write_text(SHOW, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    env = {**os.environ, "FAKE": "fake", "PYTHONPATH": str(tmp_path)}
    env.pop("DJANGO_SETTINGS_MODULE", None)

    def run(*arguments, stdin=""):
        options = {"cwd": tmp_path / "elsewhere", "env": env, "stdin": stdin}
        seen = [each(*arguments, **options) for each in (fresh, warm.run)]
        return [(done.returncode, done.stdout, done.stderr) for done in seen]

    run.folder = tmp_path
    return run


def test_arguments_folder_environment_and_input(each):
    for how in (["-c", SHOW], ["-m", "shown"], [str(each.folder / "shown.py")]):
        expected, found = each(*how, "one", "two", stdin="ä\n")
        assert found == expected
        assert found[0] == 0


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import sys; sys.exit('words')", "1 / 0"])
def test_an_end(each, code):
    expected, found = each("-c", code)
    assert found[:2] == expected[:2]
    assert found[2].splitlines()[-1:] == expected[2].splitlines()[-1:]


def test_what_is_left_for_the_end_is_done(each):
    code = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'at exit')\n"
        "threading.Thread(target=lambda: time.sleep(0.1) or print('a thread')).start()"
    )
    expected, found = each("-c", code)
    assert found == expected == (0, "a thread\nat exit\n", "")


def test_warnings(each):
    code = "import warnings; warnings.warn('fake', UserWarning); print('there')"
    for options in ([], ["-W", "error"]):
        expected, found = each(*options, "-c", code)
        assert found[:2] == expected[:2]
        assert all("UserWarning: fake" in stderr for _, _, stderr in (expected, found))


def test_a_signal(each):
    expected, found = each("-c", "import os; os.kill(os.getpid(), 9)")
    assert found == expected == (-9, "", "")


def test_nothing_of_one_is_in_the_next(tmp_path):
    code = "import os, random, sys; sys.modules['fake'] = sys; print(os.getpid(), random.random())"
    first, second = (warm.run("-c", code, cwd=tmp_path).stdout for _ in range(2))
    assert not set(first.split()) & set(second.split())
    done = warm.run("-c", "import fake", cwd=tmp_path)
    assert (done.returncode, "No module named 'fake'" in done.stderr) == (1, True)
    seen = "from django.apps import apps\nfrom django.conf import settings\n"
    done = warm.run("-c", f"{seen}print(settings.configured, apps.ready)", cwd=tmp_path)
    assert done.stdout == "False False\n"


def test_one_that_hangs_is_ended(tmp_path):
    path = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(path)!r}).write_text(str(os.getpid()))"
    for seconds in (1, 4, 16):  # on a slow machine it has not begun after the first
        with pytest.raises(subprocess.TimeoutExpired):
            warm.run("-c", f"{code}\ntime.sleep(60)", cwd=tmp_path, timeout=seconds)
        if path.exists():
            break
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(int(path.read_text(encoding="utf-8")), 0)
            time.sleep(0.1)
    assert warm.run("-c", "print(1)", cwd=tmp_path).stdout == "1\n"


def test_where_the_interpreter_has_to_start_it_does(tmp_path):
    code = "import sys; print(sys.stdout.encoding, 'django' in sys.modules)"
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    assert warm.run("-c", code, cwd=tmp_path, env=env).stdout.split()[1:] == ["False"]
    assert not warm.can_be_forked({**os.environ, "COVERAGE_PROCESS_CONFIG": "fake"})
