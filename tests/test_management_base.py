"""What the commands share, and that each of them uses it."""

import io
import sys
from argparse import ArgumentTypeError

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import OutputWrapper

from django_certn.management import base

COMMANDS = ["certn_check", "certn_reencrypt", "certn_set_key"]


class Printer(base.CertnCommand):
    exit_codes = "exit codes:\n  0  always\n"

    def handle(self, *args, **options):
        self.stdout.write("é 鍵 \ud800")
        self.stdout.write("same line", ending="")
        self.stderr.write("é 鍵")


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", "é 鍵 \\ud800\nsame line"),
        ("latin-1", "é \\u9375 \\ud800\nsame line"),
        ("ascii", "\\xe9 \\u9375 \\ud800\nsame line"),
    ],
)
class TestOutput:
    def run(self, encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
        yield stream
        stream.flush()
        yield stream.buffer.getvalue().decode(encoding)

    def test_that_a_caller_gives(self, encoding, printed):
        run = self.run(encoding)
        call_command(Printer(), stdout=next(run), stderr=io.StringIO())
        assert next(run) == printed

    def test_that_another_command_gives(self, encoding, printed):
        run = self.run(encoding)
        call_command(Printer(), stdout=OutputWrapper(next(run)), stderr=io.StringIO())
        assert next(run).startswith(printed)

    def test_of_the_process(self, encoding, printed, monkeypatch):
        run = self.run(encoding)
        monkeypatch.setattr(sys, "stdout", next(run))
        call_command(Printer(), stderr=io.StringIO())
        assert next(run) == printed


def test_output_without_an_encoding_is_left_as_it_is():
    stream = io.StringIO()
    call_command(Printer(), stdout=stream, stderr=stream)
    assert stream.getvalue() == "é 鍵 \ud800\nsame lineé 鍵\n"


@pytest.mark.parametrize("name", COMMANDS)
class TestEachCommand:
    def test_says_how_it_exits(self, name, capsys):
        command = load_command_class("django_certn", name)
        command.print_help("manage.py", name)
        printed = capsys.readouterr().out
        for line in command.exit_codes.splitlines():
            assert line in printed

    def test_runs_whatever_the_checks_of_the_site_say(self, name):
        assert load_command_class("django_certn", name).requires_system_checks == []

    @pytest.mark.django_db
    def test_refuses_a_database_that_is_not_there(self, name):
        with pytest.raises(CommandError, match="There is no database 'nowhere'") as caught:
            call_command(name, database="nowhere", stdout=io.StringIO())
        assert caught.value.returncode == 2


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan", ""])
def test_seconds_are_above_0(text):
    with pytest.raises(ArgumentTypeError, match="above 0"):
        base.seconds(text)


def test_seconds():
    assert base.seconds("2.5") == 2.5


@pytest.mark.parametrize("timeout", [0, -1, True, "1", float("inf")])
def test_a_time_out_from_python_is_seconds_too(timeout):
    with pytest.raises(base.Problem) as caught:
        base.refuse_wrong_call("default", timeout)
    assert (caught.value.code, caught.value.returncode) == ("wrong_call", 2)


@pytest.mark.parametrize("name", ["default", "Zoë & co", "鍵", "with 'quotes'"])
def test_a_name_is_printed_as_it_is(name):
    assert base.printable(name) == name


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("a\nb: ok", r"'a\nb: ok'"),
        ("\x1b[2Ja", r"'\x1b[2Ja'"),
        ("a\u202eb", r"'a\u202eb'"),
        ("a\u200bb", r"'a\u200bb'"),
        ("\ud800", r"'\ud800'"),
    ],
)
def test_a_name_that_would_do_something_to_a_terminal(name, printed):
    assert base.printable(name) == printed


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestBar:
    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch):
        monkeypatch.setattr(base, "MANY", 4)

    def draw(self, stream, steps, total=4, *, is_wanted=True):
        wrapper = OutputWrapper(stream)
        wrapper.style_func = lambda text: f"red({text})"  # as Django colours stderr
        with base.Bar(wrapper, lambda: total, is_wanted=is_wanted) as bar:
            for _ in range(steps):
                bar.advance()
        return stream.getvalue()

    def test_grows(self):
        _, first, half, *_, end = self.draw(Terminal(), 4).split("\r")
        assert first == "[" + "#" * 10 + " " * 30 + "]  25 %"
        assert half == "[" + "#" * 20 + " " * 20 + "]  50 %"
        assert end == "[" + "#" * 40 + "] 100 %\n"

    def test_ends_at_100_when_there_is_more_meanwhile(self):
        assert self.draw(Terminal(), 6).endswith("] 100 %\n")

    def test_ends_its_line_when_it_breaks_off(self):
        assert self.draw(Terminal(), 1).endswith(" 25 %\n")

    @pytest.mark.parametrize(
        ("stream", "total", "is_wanted"),
        [(Terminal(), 3, True), (Terminal(), 4, False), (io.StringIO(), 4, True)],
        ids=["little to do", "not wanted", "a pipe"],
    )
    def test_is_not_drawn(self, stream, total, is_wanted):
        assert self.draw(stream, total, total, is_wanted=is_wanted) == ""

    def test_counts_for_nobody_who_looks(self):
        bar = base.Bar(OutputWrapper(io.StringIO()), lambda: 1 / 0, is_wanted=True)
        bar.advance()
