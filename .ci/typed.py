"""Checks what a site's type checker sees: with pyright, and by the names that are public.

Both programs have to be on the PATH, those of the environment in which the app is installed.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "tests" / "typed_site"

PUBLIC = [
    "client",
    "exceptions",
    "health",
    "httpx",
    "models",
    "pytest_plugin",
    "secret",
    "signals",
    "testing",
    "tokens",
    "verification",
]
# The package that it extends has no types.
UNTYPED_BASE = {"django_certn.health.CertnCredentials"}


def pyright(*arguments: str) -> str:
    ran = subprocess.run(
        ["pyright", *arguments], stdout=subprocess.PIPE, check=False, encoding="utf-8"
    )
    return ran.stdout


def check_site() -> list[str]:
    """Return what pyright, as strict as it can be, says of the code of a site."""
    with TemporaryDirectory() as folder:
        config = Path(folder, "pyrightconfig.json")
        site = os.path.relpath(SITE, folder)
        config.write_text(
            json.dumps({"include": [site], "typeCheckingMode": "strict"}), encoding="utf-8"
        )
        report = json.loads(pyright("--outputjson", "--project", str(config)))
    if not report["summary"]["filesAnalyzed"]:
        return ["pyright found no code of a site"]
    return [
        f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
    ]


def check_public_names() -> list[str]:
    """Return what is unknown or ambiguous of the public names, and of what these have."""
    report = json.loads(
        pyright("--verifytypes", "django_certn", "--ignoreexternal", "--outputjson")
    )["typeCompleteness"]
    names = public_names({module["name"] for module in report["modules"]})
    symbols = [
        symbol
        for symbol in report["symbols"]
        if symbol["isExported"] and is_part(symbol["name"], names)
    ]
    found = {symbol["name"] for symbol in symbols}
    print(f"{len(found)} public names; of all, known: {report['completenessScore']:.1%}")
    return [f"{name} is not seen" for name in sorted(names - found)] + [
        describe(symbol)
        for symbol in symbols
        if not (symbol["isTypeKnown"] or symbol["name"] in UNTYPED_BASE)
        or symbol["isTypeAmbiguous"]
    ]


def is_part(name: str, names: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in names for length in range(1, len(parts) + 1))


def describe(symbol: dict[str, Any]) -> str:
    return "\n  ".join([symbol["name"], *(each["message"] for each in symbol["diagnostics"])])


def public_names(modules: set[str]) -> set[str]:
    """Return the names in ``__all__`` of the public modules, and where each is defined."""
    import django
    from django.conf import settings

    settings.configure(
        FIELD_ENCRYPTION_KEY="ZmFrZS1lbmNyeXB0aW9uLWtleS1mb3ItYS13aGVlbCE=",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_certn"],
    )
    django.setup()
    names = set()
    for module in (f"django_certn.{name}" for name in PUBLIC):
        for name in getattr(importlib.import_module(module), "__all__", ()):
            names.add(f"{module}.{name}")
            defined = getattr(getattr(importlib.import_module(module), name), "__module__", "")
            if defined in modules:
                names.add(f"{defined}.{name}")
    return names


if __name__ == "__main__":
    problems = check_site() + check_public_names()
    sys.exit("\n".join(problems) or None)
