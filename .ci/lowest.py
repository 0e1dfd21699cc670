"""Prints constraints: the lowest version of each requirement that pyproject.toml allows."""

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("httpx", "sandbox", "test")

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
requirements = [*project["dependencies"]]
for extra in EXTRAS:
    requirements += project["optional-dependencies"][extra]
for requirement in requirements:
    if requirement.startswith(f"{project['name']}["):
        continue
    found = re.match(r"(?P<name>[\w.-]+)(?:\[[^]]*])?\s*>=\s*(?P<bound>[\w.]+)", requirement)
    if not found:
        sys.exit(f"{requirement} has no lower bound")
    print(f"{found['name']}=={found['bound']}")
