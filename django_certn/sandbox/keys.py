"""The one live key, as the Partner tab of Certn's dashboard makes it.

Certn's rules, from docs.certn.co/api/guides/use-the-api: *refresh keys* makes a new pair and the
earlier one is lost at that moment; the Client ID stays visible, the secret is shown once and only
its hash is kept.
"""

import secrets
import threading
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model

from django_certn.sandbox import PREFIX
from django_certn.sandbox.faults import MAGIC_IDS, REJECTED
from django_certn.sandbox.hashers import AnySandboxSecretHasher
from django_certn.sandbox.shown_once import ShownOnce

__all__ = [
    "Key",
    "add_magic_ids",
    "current_client_id",
    "end_tokens",
    "is_known",
    "new_token",
    "one_at_a_time",
    "refresh",
    "reset",
    "revoke_tokens",
    "shown_once",
]

Application = get_application_model()
AccessToken = get_access_token_model()

_ISSUED = "Partner tab"

# Held by whoever issues a token or changes the keys: no token is issued for a key that is being
# lost, and a reset does not remove the key from under a token. Nobody is held up, since Python runs
# one thread at a time anyway.
one_at_a_time = threading.Lock()


class Key(NamedTuple):
    """A pair as it is shown once, when it is made."""

    client_id: str
    client_secret: str


shown_once: ShownOnce[Key] = ShownOnce()


def new_token(_request: object = None) -> str:
    """Return a fresh access token."""
    return f"{PREFIX}token-{secrets.token_urlsafe(32)}"


def current_client_id() -> str | None:
    """Return the Client ID of the live key, or ``None`` before the first refresh."""
    application = _issued().last()
    return None if application is None else str(application.client_id)


def refresh(*, revoke_tokens: bool = False) -> Key:
    """Make a new key; the earlier one is lost.

    What Certn does with live tokens then is not known. They stay valid here, unless
    ``revoke_tokens`` is asked for, so that a site can be tried both ways.
    """
    key = Key(f"{PREFIX}id-{secrets.token_hex(12)}", _new_secret())
    # Nobody is shown a secret that is lost by now.
    shown_once.clear()
    with one_at_a_time, transaction.atomic():
        earlier = _issued().last()
        if earlier is not None:
            # The row stays, or its tokens would go with it; its secret becomes one that nobody
            # knows. Saving hashes it.
            earlier.client_secret = _new_secret()
            earlier.save(update_fields=["client_secret"])
        if revoke_tokens:
            end_tokens(application__name=_ISSUED)
        _add(key.client_id, name=_ISSUED, client_secret=key.client_secret)
    return key


def revoke_tokens(client_id: str | None = None) -> int:
    """End the live tokens of one Client ID, or of all; return how many there were."""
    with one_at_a_time:
        return end_tokens(**({} if client_id is None else {"application__client_id": client_id}))


def end_tokens(**which: str) -> int:
    """End live tokens and return how many there were.

    They stay in the table: the journal says whose they were.
    """
    now = timezone.now()
    return int(AccessToken.objects.filter(expires__gt=now, **which).update(expires=now))


def reset() -> None:
    """Forget every key and every token."""
    with one_at_a_time, transaction.atomic():
        AccessToken.objects.all().delete()
        Application.objects.all().delete()
        add_magic_ids()
    shown_once.clear()


def add_magic_ids() -> None:
    """Add the magic Client IDs that are not there yet."""
    with transaction.atomic():
        there = set(Application.objects.values_list("client_id", flat=True))
        for client_id in MAGIC_IDS.keys() - there:
            # What the hasher encodes counts as hashed, so the toolkit stores it as it is.
            anything = AnySandboxSecretHasher().encode("", "")
            nothing = _new_secret()
            secret = nothing if MAGIC_IDS[client_id] is REJECTED else anything
            _add(client_id, name="magic", client_secret=secret)


def is_known(client_id: str) -> bool:
    """Return whether the sandbox issued this Client ID, however long ago, or it is a magic one."""
    return bool(Application.objects.filter(client_id=client_id).exists())


def _issued() -> Any:
    return Application.objects.filter(name=_ISSUED).order_by("pk")


def _add(client_id: str, *, name: str, client_secret: str) -> None:
    Application.objects.create(
        client_id=client_id,
        client_secret=client_secret,
        name=name,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


def _new_secret() -> str:
    return f"{PREFIX}secret-{secrets.token_urlsafe(32)}"
