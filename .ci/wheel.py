"""Checks what is published: the files of the wheel and of the sdist, and the page of an index."""

import re
import sys
import tarfile
from email import message_from_bytes
from zipfile import ZipFile

from readme_renderer import markdown

IN_WHEEL = (
    "django_certn/py.typed",
    "django_certn/locale/fr/LC_MESSAGES/django.mo",
    "django_certn/migrations/0001_initial.py",
    "django_certn/management/commands/certn_check.py",
    "django_certn/sandbox/templates/sandbox/tab.html",
)
IN_SDIST = (
    *IN_WHEEL,
    ".ci/run",
    ".github/CONTRIBUTING.md",
    ".github/workflows/test.yml",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "example_project/manage.py",
    "pyproject.toml",
    "tests/conftest.py",
)
URLS = ("Documentation", "Changelog", "Source", "Issues", "Security")


def check_wheel(path: str) -> list[str]:
    with ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = message_from_bytes(wheel.read(metadata))
    problems = [f"{name} is missing in the wheel" for name in IN_WHEEL if name not in names]
    problems += [
        f"{name} does not belong into the wheel"
        for name in names
        if not name.startswith(("django_certn/", "django_certn-"))
        or "/tests/" in name
        or name.endswith((".pyc", ".po~"))
    ]
    if described["License-Expression"] != "MIT" or not described["License-File"]:
        problems.append("The licence is not told")
    if any(each.startswith("License ::") for each in described.get_all("Classifier", [])):
        problems.append("A classifier tells the licence, beside the expression")
    labels = [each.partition(",")[0] for each in described.get_all("Project-URL", [])]
    if labels != list(URLS):
        problems.append(f"The project's addresses are {labels}")
    return problems + check_page(described.get_payload(decode=True).decode())  # type: ignore[union-attr]


def check_page(text: str) -> list[str]:
    """Return what an index would not show of the description."""
    page = markdown.render(text)
    if page is None:
        return ["The description cannot be rendered"]
    problems = [
        f"{target} is relative: an index has no such page"
        for target in re.findall(r"""(?:src|href)=["'](.*?)["']""", page)
        if not target.startswith(("https://", "http://", "#"))
    ]
    if "```mermaid" in text:
        problems.append("An index shows the source of a Mermaid diagram")
    return problems


def check_sdist(path: str) -> list[str]:
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    problems = [f"{name} is missing in the sdist" for name in IN_SDIST if name not in names]
    return problems + [
        f"{name} does not belong into the sdist"
        for name in sorted(names)
        if "__pycache__" in name or name.endswith(".pyc") or name.startswith("example_project/.")
    ]


if __name__ == "__main__":
    (wheel_path,) = (path for path in sys.argv[1:] if path.endswith(".whl"))
    (sdist_path,) = (path for path in sys.argv[1:] if path.endswith(".tar.gz"))
    sys.exit("\n".join(check_wheel(wheel_path) + check_sdist(sdist_path)) or None)
