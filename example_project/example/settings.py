"""Settings of a small site that calls Certn. What is secret comes from the environment."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
# What the site writes. Its own user alone may read it: the sessions are in there.
DATA_DIR = Path(os.environ.get("CERTN_DEMO_DIR") or BASE_DIR / ".demo").absolute()


def secret(name: str, advice: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(
            f"Set the environment variable {name}. {advice} (`manage.py demo` makes its own.)"
        )
    return value


SECRET_KEY = secret(
    "SECRET_KEY",
    """Make one by: python -c "import secrets; print(secrets.token_urlsafe(50))".""",
)

# It opens the stored secrets: keep it apart from the database, and back it up apart from the
# database. Several encryption keys are separated by commas: the first encrypts, each decrypts.
FIELD_ENCRYPTION_KEY = secret(
    "FIELD_ENCRYPTION_KEY",
    "Put back the encryption key that encrypted what is stored; only a site that has stored "
    'nothing makes a new one, by python -c "from cryptography.fernet import Fernet; '
    'print(Fernet.generate_key().decode())".',
).split(",")

# Debug pages show what is in memory. Only the demo, on loopback, switches them on.
DEBUG = os.environ.get("EXAMPLE_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_certn",
    "example",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"

TEMPLATES = [
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
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "site.sqlite3",
        # A transaction that takes the write lock when it begins waits for its turn; one that asks
        # for it halfway fails with "database is locked".
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The token is fetched once for all processes, so they must share a cache: `certn_check` in another
# terminal finds the token of the site here. A site with more than one machine uses Redis or
# Memcached.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DATA_DIR / "cache",
    }
}

# The stand-in for Certn, beside the built-in environments: the OAuth API, and CertnCentric, which
# takes API keys.
SANDBOX = f"http://127.0.0.1:{os.environ.get('CERTN_SANDBOX_PORT') or 8765}"
CERTN_ENVIRONMENTS = {
    "local": {"label": "Sandbox", "base_url": SANDBOX},
    "local-centric": {"label": "Sandbox, API keys", "base_url": SANDBOX, "scheme": "api_key"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        # One line for each exchange with Certn.
        "django_certn": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # No line for each request, and one for each that fails.
        "django.server": {"level": "CRITICAL", "propagate": False},
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
    },
}

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"

# Cookies ignore ports: under Django's own names, another site on this computer would log us out.
SESSION_COOKIE_NAME = "certn_example_sessionid"
CSRF_COOKIE_NAME = "certn_example_csrftoken"

# The log-in of somebody who may change the key travels over https only, except on loopback.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 3600

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
