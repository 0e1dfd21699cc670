"""What the package imports is declared, and what its safety needs is a bound."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import django_certn

pytestmark = pytest.mark.standalone

PACKAGE = Path(django_certn.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Django's documentation has sites import it, so it comes with Django.
PARTS_OF_DJANGO = {"asgiref"}
# What a module may need beyond the dependencies, by the extra that brings it.
EXTRAS = {"sandbox": "sandbox", "httpx": "httpx", "pytest_plugin": "test"}

# What a site has that uses the module, and nobody else needs.
OF_THE_SITE = {"health": {"health_check"}}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements):
    return {normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in requirements}


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_what_is_imported_is_declared():
    distributions = packages_distributions()
    own = declared(PROJECT["dependencies"])
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        extra, of_the_site = EXTRAS.get(part), OF_THE_SITE.get(part, set()) | {"django_certn"}
        may = own | declared(PROJECT["optional-dependencies"].get(extra, ()))
        known = sys.stdlib_module_names | PARTS_OF_DJANGO | of_the_site
        for name in set(imported_by(path)) - known:
            found = {normal(distribution) for distribution in distributions.get(name, ())}
            assert found & may, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("extra", "bound"),
    [
        (None, "requests>=2.32.2"),
        (None, "urllib3>=2.0.2"),
        (None, "django-encrypted-model-fields>=0.6.5,<0.7"),
        ("sandbox", "django-oauth-toolkit>=3.4"),
    ],
)
def test_the_bounds_that_are_needed(extra, bound):
    where = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    assert bound in where
