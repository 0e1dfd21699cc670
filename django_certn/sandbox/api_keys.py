"""API keys of CertnCentric, of which several live at the same time.

Certn's rules, from centric-api-docs.certn.co/reference/authentication.md: a key is made in the
Client Portal, ends 365 days after that, and several may be active, so that one can be replaced
without a gap. That it is shown once, and that its hash alone is kept, is how the sandbox has it.
"""

import hashlib
import secrets
import time
from typing import Any, NamedTuple

from django.utils import timezone

from django_certn.sandbox import PREFIX
from django_certn.sandbox.counters import first_uses
from django_certn.sandbox.faults import (
    DIES_ONCE,
    EXPIRES_SOON,
    MAGIC_IDS,
    SHORT_LIFETIME,
    Fault,
)
from django_certn.sandbox.models import LIFETIME, ApiKey
from django_certn.sandbox.shown_once import ShownOnce

__all__ = [
    "LONGEST_NAME",
    "NewApiKey",
    "as_list",
    "is_good",
    "magic_fault",
    "make",
    "prefix_of",
    "reset",
    "revoke",
    "shown_once",
]

LONGEST_NAME = 100


class NewApiKey(NamedTuple):
    """A key as it is shown once, when it is made."""

    api_key: str
    prefix: str
    name: str
    expires_on: str


shown_once: ShownOnce[NewApiKey] = ShownOnce()


def make(name: str = "") -> NewApiKey:
    """Make one more key; the others stay as they are."""
    prefix = f"{PREFIX}key-{secrets.token_hex(4)}"
    key = f"{prefix}.{secrets.token_urlsafe(24)}"
    row = ApiKey.objects.create(
        prefix=prefix, name=name, digest=_digest(key), created_at=timezone.now()
    )
    return NewApiKey(key, prefix, name, row.expires_on.isoformat())


def as_list() -> list[dict[str, Any]]:
    """Return what may be shown of the keys that were not revoked, the newest first."""
    return [
        {
            "prefix": row.prefix,
            "name": row.name,
            "created_at": row.created_at.isoformat(timespec="seconds"),
            "expires_on": row.expires_on.isoformat(),
        }
        for row in ApiKey.objects.all()
    ]


def revoke(prefix: str) -> bool:
    """End a key at once; return whether there was one."""
    deleted, _ = ApiKey.objects.filter(prefix=prefix).delete()
    return bool(deleted)


def reset() -> None:
    """Forget every key."""
    ApiKey.objects.all().delete()
    shown_once.clear()
    first_uses.clear()


def prefix_of(key: str) -> str | None:
    """Return what may be shown of ``key``: of one that the sandbox made, or of a magic one."""
    if fault := magic_fault(key):
        return fault.magic_id
    prefix = key.partition(".")[0]
    return prefix if ApiKey.objects.filter(prefix=prefix).exists() else None


def magic_fault(key: str) -> Fault | None:
    """Return the fault that a key has always which begins with its magic ID."""
    for magic_id, fault in MAGIC_IDS.items():
        if key.startswith(magic_id):
            return fault
    return None


def is_good(key: str) -> bool:
    """Return whether ``key`` is let in."""
    fault = magic_fault(key)
    if fault is not None:
        age = first_uses.age(key, time.monotonic())
        if fault is DIES_ONCE:
            return age is not None
        return fault is not EXPIRES_SOON or (age or 0) < SHORT_LIFETIME
    row = ApiKey.objects.filter(prefix=key.partition(".")[0]).first()
    if row is None or timezone.now() >= row.created_at + LIFETIME:
        return False
    return secrets.compare_digest(row.digest, _digest(key))


def _digest(key: str) -> str:
    # No slow hash: nobody guesses 24 random bytes.
    return hashlib.sha256(key.encode()).hexdigest()
