"""The sandbox's own Django settings: no file of the site, and no environment variable, is read."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings

from django_certn.sandbox.faults import TOKEN_LIFETIME, token_lifetime

__all__ = ["SCOPE", "configure"]

# Certn documents no scopes. Django-oauth-toolkit wants one, and grants it to who asks for none.
SCOPE = "certn"


def configure(*, host: str, database: Path) -> None:
    """Configure Django for a sandbox on ``host`` that keeps its rows in ``database``."""
    settings.configure(
        SECRET_KEY=secrets.token_urlsafe(32),
        # The Host header is checked on every request: a page elsewhere that lets its own name
        # resolve to 127.0.0.1 (DNS rebinding) gets a 400.
        ALLOWED_HOSTS=["localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host],
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "oauth2_provider",
            "django_certn.sandbox",
        ],
        MIDDLEWARE=[
            "django_certn.sandbox.middleware.say_what_it_is",
            "django_certn.sandbox.middleware.keep_journal",
            # Checks the Host header before anything acts, and redirects to the trailing slash.
            "django.middleware.common.CommonMiddleware",
            "django_certn.sandbox.middleware.refuse_foreign_pages",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        ROOT_URLCONF="django_certn.sandbox.urls",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parent / "templates"],
            }
        ],
        DATABASES={"default": _database(database)},
        # Cookies ignore ports. A cookie called `csrftoken` would break the forms of the site that
        # runs on another port of this host, its admin's log-in page first.
        CSRF_COOKIE_NAME="certn_sandbox_csrftoken",
        CSRF_COOKIE_AGE=None,
        CSRF_COOKIE_PATH="/partner/",
        CSRF_COOKIE_HTTPONLY=True,
        CSRF_COOKIE_SAMESITE="Strict",
        PASSWORD_HASHERS=[
            "django_certn.sandbox.hashers.OneRoundHasher",
            "django_certn.sandbox.hashers.AnySandboxSecretHasher",
        ],
        OAUTH2_PROVIDER={
            "SCOPES": {SCOPE: "Everything"},
            "ACCESS_TOKEN_EXPIRE_SECONDS": TOKEN_LIFETIME,
            "ACCESS_TOKEN_GENERATOR": "django_certn.sandbox.keys.new_token",
            "EXTRA_SERVER_KWARGS": {"token_expires_in": token_lifetime},
            # Only a checksum of each token is kept, and none is taken from a query string.
            "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
            "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
        },
        USE_I18N=False,
        LOGGING=_LOGGING,
    )


def _database(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # Two sandboxes may keep the same file. A transaction that takes the write lock when it
            # begins waits for its turn; one that asks for it halfway fails with "database is
            # locked".
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _is_crash(record: Any) -> bool:
    return bool(record.exc_info)


# A 401 or 503 that somebody asked for needs no line, and a request line could hold a secret. Only
# an exception of the sandbox's own is printed.
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "crash": {"()": "django.utils.log.CallbackFilter", "callback": _is_crash},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "filters": ["crash"]},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "django.security": {"handlers": ["nowhere"], "propagate": False},
        "django.server": {"handlers": ["nowhere"], "propagate": False},
        "oauth2_provider": {"handlers": ["nowhere"], "propagate": False},
    },
}
