"""README.md and the other pages say what is true: of the code, of the commands, and of .ci/run.

What README's code does is tried in tests/integration/test_readme.py.
"""

import ast
import importlib
import re
import shlex
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, load_command_class

import django_certn
from django_certn.conf import BUILT_IN, Settings, conf
from django_certn.exceptions import Status

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("django_certn", "example_project", "tests")
PATHS = [
    ROOT / "README.md",
    *sorted(ROOT.glob(".github/*.md")),
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("README.md"))),
]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PATHS}
README = PAGES["README.md"]
LINES = 300  # of README.md that a person reads to the end

# An index of packages shows no relative link and no relative image.
REPOSITORY = "https://github.com/django-certn/django-certn"
FILE = f"{REPOSITORY}/blob/v{django_certn.__version__}/"
IMAGE = f"https://raw.githubusercontent.com/django-certn/django-certn/v{django_certn.__version__}/"

DEMO = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[sandbox]' "
    "&& .venv/bin/python example_project/manage.py demo"
)
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
BENCHMARKS = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[bench,test]' "
    "&& .venv/bin/python -m tests.benchmarks"
)


def section(heading, *names):
    """What stands under a heading of one of the pages, up to the next one of any level."""
    pages = [PAGES[name] for name in names or PAGES]
    (found,) = [text for page in pages for name, text in sections(page) if name == heading]
    return found


def sections(page):
    parts = re.split(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


def table(text):
    """The rows of the only table in a text, without its head."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def blocks(language, *pages):
    return [block for page in pages or PAGES.values() for block in blocks_of(page, language)]


def blocks_of(page, language):
    # A block within a list is indented.
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def code(cell):
    return cell.strip("`")


def codes(cell):
    return re.findall("`(.+?)`", cell)


@pytest.mark.parametrize("command", [DEMO, TESTS], ids=["demo", "tests"])
def test_each_command_has_a_block_of_its_own(command):
    assert blocks("sh", README).count(f"{command}\n") == 1


def test_no_page_has_another_command():
    commands = {
        line
        for page in PAGES.values()
        for line in page.splitlines()
        if line.startswith("python3 -m venv")
    }
    assert commands == {DEMO, TESTS, BENCHMARKS}


def test_the_readme_is_short_and_leads_to_all_other_pages():
    assert len(README.splitlines()) <= LINES
    for page in PAGES.keys() - {"README.md"}:
        assert FILE + page in targets_of(README), page


def test_the_first_lines_say_what_it_is_and_how_to_see_it():
    start = README.splitlines()[:40]
    assert DEMO in start
    assert any(line.startswith("A Django app for sites that call") for line in start)


def test_ci_runs_both_commands_as_they_stand():
    patterns = re.findall(
        r"step .* try_readme_command \w+ '(.+?)' ",
        (ROOT / ".ci/run").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    run = [
        line
        for pattern in patterns
        for line in README.splitlines()
        if re.match(rf"python3 -m venv \.venv && .*{pattern}", line)
    ]
    assert run == [DEMO, TESTS]


def test_settings():
    defaults = {
        code(name): code(default) for name, default, _ in table(section("Settings and checks"))
    }
    assert set(defaults) == {name for name in vars(Settings) if name.isupper()}
    for name, default in defaults.items():
        value = ast.literal_eval(default)
        expected = BUILT_IN | value if name == "CERTN_ENVIRONMENTS" else value
        assert getattr(conf, name) == expected


def test_no_other_setting_is_named():
    # Those for tests and for the demo are variables of the shell.
    pattern = r"\bCERTN_(?!TEST_|DEMO_DIR)[A-Z_]+"
    named = {name for page in PAGES.values() for name in re.findall(pattern, page)}
    assert named <= {name for name in vars(Settings) if name.isupper()}


def test_environments():
    listed = {
        slug: (host, "oauth" if key == "a pair" else "api_key")
        for slugs, hosts, key in table(section("Environments"))
        for slug, host in zip(codes(slugs), codes(hosts), strict=True)
    }
    assert listed == {
        slug: (entry["base_url"], entry.get("scheme", "oauth")) for slug, entry in BUILT_IN.items()
    }


def test_statuses():
    rows = table(section("At 2 am"))
    assert [code(row[0]) for row in rows] == list(Status.values)


def test_exit_codes(capsys):
    with pytest.raises(SystemExit):
        call_command("certn_check", "--help")
    printed = re.split(r"^  (\d)  ", capsys.readouterr().out, flags=re.MULTILINE)
    from_help = {
        code: statuses_in(text) for code, text in zip(printed[1::2], printed[2::2], strict=True)
    }
    listed = {code: statuses_in(text) for code, text in table(section("Does the key work?"))}
    assert listed == from_help
    assert set().union(*listed.values()) == set(Status.values)


def statuses_in(text):
    return {status for status in Status.values if re.search(rf"\b{status}\b", text)}


@pytest.mark.django_db
def test_documented_calls_of_the_command_are_understood():
    calls = re.findall(
        r"^python manage\.py certn_check *(.*?)(?:#.*)?$", "\n".join(PAGES.values()), re.MULTILINE
    )
    assert calls
    for line in calls:
        with pytest.raises(CommandError) as raised:
            call_command("certn_check", *line.split(), stdout=StringIO(), stderr=StringIO())
        # Nothing is stored here. A call that is wrong would get another answer.
        assert re.search(
            "no active Certn credential|No Certn credential is named", str(raised.value)
        )
        assert raised.value.returncode == 2


def test_magic_client_ids():
    from django_certn.sandbox.faults import MAGIC_IDS

    rows = table(section("Magic Client IDs"))
    assert {code(row[0]) for row in rows} == set(MAGIC_IDS)


def test_what_the_sandbox_serves():
    from django_certn.sandbox.faults import ADDRESSES

    assert [code(row[0]) for row in table(section("What it serves"))] == list(ADDRESSES)


def test_documented_calls_of_certn_set_key_are_understood():
    parser = load_command_class("django_certn", "certn_set_key").create_parser("manage.py", "")
    pages = "\n".join(PAGES.values()).replace("\\\n", " ")
    calls = re.findall(r"^python manage\.py certn_set_key *(.*?)(?: +#.*)?$", pages, re.MULTILINE)
    assert len(calls) > 3
    for line in calls:
        assert parser.parse_args(shlex.split(line))


def test_the_recipe_for_a_theme_is_the_one_that_is_tried():
    (recipe,) = blocks("python", PAGES["django_certn/templates/README.md"])
    tried = (ROOT / "tests/admin_site/themes.py").read_text(encoding="utf-8")
    lines = [line.strip() for line in recipe.splitlines() if line]
    assert [line for line in lines if f"    {line}\n" not in tried] == []


@pytest.mark.parametrize("snippet", blocks("python"))
def test_snippets_compile_and_import_what_is_there(snippet):
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("django_certn"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert name.name in module.__all__


def anchors(page):
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading, _ in sections(page)
    }


def targets_of(page):
    """All targets of links and images, however they are written."""
    spellings = (
        r"\]\(([^)\s]+)",
        r"^\[[^]]+\]: (\S+)$",
        r"<(https?://[^>]+)>",
        r"(?:src|href)=\"([^\"]+)",
    )
    prose = re.sub(r"^ *```.*?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return [found for spelling in spellings for found in re.findall(spelling, prose, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in targets_of(PAGES[page]):
        if target.startswith(REPOSITORY) and "/blob/" in target:
            assert target.startswith(FILE), f"{target} is not of this version"
        if target.startswith("https://raw."):
            assert target.startswith(IMAGE), f"{target} is not of this version"
        own = target.removeprefix(FILE).removeprefix(IMAGE)
        if re.match("https?://", own):
            continue
        path, _, anchor = own.partition("#")
        start = ROOT if own != target else (ROOT / page).parent
        there = start.joinpath(path).resolve() if path else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(PAGES[str(there.relative_to(ROOT))]), target


def test_no_relative_link_is_left_in_the_readme():
    relative = [
        target
        for target in targets_of(README)
        if not target.startswith(("https://", "http://127.0.0.1:", "#"))
    ]
    assert not relative


def test_each_link_by_reference_is_defined_once_and_used():
    defined = re.findall(r"^\[([^]]+)\]: ", README, re.MULTILINE)
    used = set(re.findall(r"\]\[([^]]+)\]", README))
    assert sorted(defined) == sorted(used)


@pytest.mark.parametrize("page", PAGES)
def test_places_to_look_at_exist(page):
    places = re.findall(r"`((?:django_certn|tests|example_project|\.ci)/[^`]*)`", PAGES[page])
    for place in places:
        assert (ROOT / place).exists() or place == "example_project/.demo/", place
