"""Checks what a site installs: the files of a wheel, or, with ``--installed``, that it works."""

import sys
from types import ModuleType
from zipfile import ZipFile

NEEDED = (
    "django_certn/py.typed",
    "django_certn/locale/fr/LC_MESSAGES/django.mo",
    "django_certn/migrations/0001_initial.py",
    "django_certn/management/commands/certn_check.py",
    "django_certn/sandbox/templates/sandbox/tab.html",
)
CONTRIB = ("admin", "auth", "contenttypes", "messages", "sessions", "staticfiles")
FRENCH = {"": "tient lieu de Certn sur cet ordinateur", "add/": "Enregistrer et vérifier"}


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
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in CONTRIB), "django_certn"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ROOT_URLCONF="wheel_urls",
        STATIC_URL="/static/",
        ALLOWED_HOSTS=["testserver"],
        LANGUAGE_CODE="fr-ca",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from django.contrib import admin
    from django.urls import path

    sys.modules["wheel_urls"] = urls = ModuleType("wheel_urls")
    urls.urlpatterns = [path("admin/", admin.site.urls)]  # type: ignore[attr-defined]
    call_command("check")
    call_command("migrate", verbosity=0)

    import django_certn.client
    import django_certn.tokens
    import django_certn.verification  # noqa: F401

    check_french_admin()


def check_french_admin() -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    for page, words in FRENCH.items():
        shown = client.get(f"/admin/django_certn/certncredential/{page}").content.decode()
        assert words in shown, f"{words} is not on the page {page}"  # noqa: S101


if __name__ == "__main__":
    if sys.argv[1] == "--installed":
        check_installed()
    else:
        sys.exit("\n".join(check_files(sys.argv[1])) or None)
