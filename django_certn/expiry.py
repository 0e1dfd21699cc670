"""When an API key ends, and from when on that is worth a warning. A Client Secret does not end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils import timezone

from django_certn.conf import Scheme

__all__ = ["end_of_key", "ends_soon", "today"]

# Certn says so, and mails the account's admins 30 days before, and again later:
# https://centric-api-docs.certn.co/reference/authentication.md
LIFETIME = timedelta(days=365)
WARNING_TIME = timedelta(days=30)


def today() -> date:
    """Return the day in UTC, whatever ``TIME_ZONE`` says."""
    return datetime.now(UTC).date()


def ends_soon(expires_on: date | None) -> bool:
    """Return whether a key ends within 30 days, or has ended."""
    return expires_on is not None and expires_on <= today() + WARNING_TIME


def end_of_key(
    scheme: Scheme | None, end: Any, *, earlier: Any, changed_at: datetime, is_new: bool
) -> Any:
    """Return the day that belongs to a key.

    Args:
        scheme: how it authenticates, ``None`` when the settings do not say.
        end: the day that is about to be stored.
        earlier: the day that is stored.
        changed_at: when the secret changed.
        is_new: whether the secret is about to change.
    """
    if scheme == Scheme.OAUTH:
        return None
    if scheme == Scheme.API_KEY and (end is None or (is_new and end == earlier)):
        if timezone.is_naive(changed_at):  # as USE_TZ = False has it
            changed_at = timezone.make_aware(changed_at)
        return changed_at.astimezone(UTC).date() + LIFETIME
    return end
