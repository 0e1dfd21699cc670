"""Checks what a site installs: the files of a wheel, or, with ``--installed``, that it works."""

import sys
from zipfile import ZipFile

NEEDED = (
    "django_certn/py.typed",
    "django_certn/migrations/0001_initial.py",
    "django_certn/management/commands/certn_check.py",
    "django_certn/sandbox/templates/sandbox/tab.html",
)


def check_files(wheel: str) -> list[str]:
    names = ZipFile(wheel).namelist()
    missing = [f"{name} is missing" for name in NEEDED if name not in names]
    strangers = [
        f"{name} does not belong here"
        for name in names
        if not name.startswith("django_certn") or "/tests/" in name
    ]
    return missing + strangers


def check_installed() -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        SECRET_KEY="fake",  # noqa: S106
        FIELD_ENCRYPTION_KEY="ZmFrZS1lbmNyeXB0aW9uLWtleS1mb3ItYS13aGVlbCE=",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_certn"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    call_command("check")
    call_command("migrate", verbosity=0)

    import django_certn.client
    import django_certn.tokens
    import django_certn.verification  # noqa: F401


if __name__ == "__main__":
    if sys.argv[1] == "--installed":
        check_installed()
    else:
        sys.exit("\n".join(check_files(sys.argv[1])) or None)
