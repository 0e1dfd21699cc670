"""What says which version this is, and what it runs with, says the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest

import django_certn

pytestmark = pytest.mark.standalone

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOWS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
CLASSIFIERS = PROJECT["project"]["classifiers"]


def classified(start):
    found = (re.fullmatch(rf"{start} :: (\d+\.\d+)", each) for each in CLASSIFIERS)
    return {match[1] for match in found if match}


PYTHONS = classified("Programming Language :: Python")
DJANGOS = classified("Framework :: Django")


def test_the_version_is_said_once():
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "django_certn/__init__.py"


def test_the_changelog_has_the_version_and_its_date():
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", CHANGELOG, re.MULTILINE)
    assert releases[0] == django_certn.__version__
    for heading in re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE):
        assert re.search(rf"^\[{re.escape(heading)}\]: https://", CHANGELOG, re.MULTILINE), heading


def test_the_licence_is_an_expression_and_no_classifier():
    assert PROJECT["project"]["license"] == "MIT"
    assert PROJECT["project"]["license-files"] == ["LICENSE"]
    assert not [each for each in CLASSIFIERS if each.startswith("License ::")]


def test_the_addresses_are_of_one_repository():
    urls = PROJECT["project"]["urls"]
    assert list(urls) == ["Documentation", "Changelog", "Source", "Issues", "Security"]
    assert all(re.match(rf"{re.escape(urls['Source'])}(?![\w-])", url) for url in urls.values())


def test_the_workflow_runs_each_python_and_each_django_that_is_classified():
    pairs = re.findall(r'\{ python: "([\d.]+)", django: "([\d.]+)" \}', WORKFLOWS["test"])
    assert {python for python, _ in pairs} == PYTHONS
    assert {django for _, django in pairs} == DJANGOS
    own = re.search(
        r"^PAIRS=\((.*)\)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE
    )[1]
    assert {tuple(pair.split()) for pair in re.findall('"(.+?)"', own)} <= set(pairs)


def test_the_workflow_runs_the_main_branch_of_django_which_may_fail():
    lines = [line for line in WORKFLOWS["test"].splitlines() if "django: main" in line]
    assert lines
    assert all("may-fail: true" in line for line in lines)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_but_those_that_a_job_names(name):
    assert "\npermissions: {}\n" in WORKFLOWS[name]
    checkouts = WORKFLOWS[name].count("actions/checkout@")
    assert WORKFLOWS[name].count("persist-credentials: false") == checkouts


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_action_is_pinned_by_its_commit_and_its_version_is_told(name):
    actions = re.findall(r"uses: (.+)", WORKFLOWS[name])
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_only_the_job_that_publishes_may_speak_for_the_project_and_it_has_no_code():
    jobs = re.split(
        r"^  (?=\w+:$)", WORKFLOWS["release"].partition("\njobs:\n")[2], flags=re.MULTILINE
    )
    (job,) = (job for job in jobs if "id-token: write" in job)
    assert job.startswith("publish:")
    assert "environment:\n      name: pypi" in job
    assert "actions/checkout" not in job
    assert "run:" not in job
