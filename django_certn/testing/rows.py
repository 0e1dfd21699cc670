"""Credentials for tests, stored and not stored."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from django_certn.conf import Scheme, scheme_of
from django_certn.models import CertnCredential

__all__ = ["make_credential", "stored_if_any"]

ENVIRONMENTS = {Scheme.OAUTH: "demo", Scheme.API_KEY: "centric-sandbox"}

# A test that may use no database has no row: what Django, pytest-django and a site without a
# database raise then.
NO_DATABASE = (AssertionError, RuntimeError, ImproperlyConfigured)


def make_credential(name: str = "default", **fields: Any) -> CertnCredential:
    """Store a credential with a key that is fake.

    `fake_certn` needs none. A view or a command that looks at the rows does.

    Args:
        name: its name.
        **fields: other fields of `CertnCredential`; without them the environment is ``demo``.

    Returns:
        The row.
    """
    row = new(name, **fields)
    row.save(force_insert=True)
    return row


def new(name: str, **fields: Any) -> CertnCredential:
    fields = {"environment": "demo", "client_secret": "fake-secret"} | fields
    if scheme_of(fields["environment"]) != Scheme.API_KEY:
        fields.setdefault("client_id", "fake-client-id")
    return CertnCredential(name=name, **fields)


def stored_if_any(name: str, using: str | None, scheme: Scheme) -> CertnCredential:
    """Return the row of that name; one that is not stored where there is none."""
    try:
        return CertnCredential.objects.db_manager(using).stored(name)
    except NO_DATABASE:
        row = new(name, environment=ENVIRONMENTS[scheme])
        row._state.db = using or DEFAULT_DB_ALIAS
        return row
