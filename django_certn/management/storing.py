"""What ``certn_set_key`` does for one of its keys: verify it, and only then store it."""

from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from django_certn.bulk import Task
from django_certn.exceptions import CredentialNotFoundError
from django_certn.models import KEY_FIELDS, CertnCredential
from django_certn.outcomes import Verification, aware
from django_certn.recording import record, send
from django_certn.verification import LiveRequest, Outcome, prepare

__all__ = ["KEPT", "STORED", "THERE", "SetKey", "Setting", "find"]

STORED = "stored"
THERE = "there already"  # the same key
KEPT = "left as it is"  # a key, whichever, where only a missing one was to be stored


@dataclass(frozen=True, slots=True)
class Setting:
    """What became of a key.

    Attributes:
        name: of the credential.
        environment: the slug of the key's.
        word: one of `STORED`, `THERE` and `KEPT`, or the status of a key that was not stored.
        verification: ``None`` when nothing was sent.
        is_active: whether the credential that is stored is.
        has_earlier: whether another key is stored.
    """

    name: str
    environment: str
    word: str
    verification: Verification | None = None
    is_active: bool = True
    has_earlier: bool = False

    @property
    def ok(self) -> bool:
        """Whether the key is stored, now or before, or was not to be."""
        return self.word in (STORED, THERE, KEPT)


def find(name: str, using: str) -> CertnCredential | None:
    """Return the row of that name."""
    try:
        return CertnCredential.objects.db_manager(using).stored(name)
    except CredentialNotFoundError:
        return None


class SetKey(Task[Setting]):
    """One key that is being stored.

    Args:
        row: what is to be stored, unsaved and clean.
        using: the alias of the database.
        timeout: seconds for the request, ``None`` for the setting.
        if_missing: leave a credential of that name as it is.
        is_verified: whether the key has to work.
    """

    def __init__(
        self,
        row: CertnCredential,
        using: str,
        timeout: float | None,
        *,
        if_missing: bool,
        is_verified: bool,
    ) -> None:
        self.row, self.name, self.environment = row, row.name, row.environment
        self.using, self.timeout = using, timeout
        self.if_missing, self.is_verified = if_missing, is_verified

    def prepare(self) -> LiveRequest | Outcome | None:
        if not self.is_verified or self.is_done(find(self.name, self.using)):
            return None
        # A refusal is put down to what was just entered, and not to a pair that was lost.
        self.row.secret_changed_at = timezone.now()
        return prepare(self.row, self.timeout)

    def finish(self, outcome: Outcome | None) -> Setting:
        verification = outcome and outcome.verification
        if verification and not verification.ok:
            earlier = find(self.name, self.using)
            return self.setting(verification.status.value, earlier, verification)
        try:
            return self.store(verification)
        except IntegrityError:
            # Another process was first, or the database takes another name for this one.
            if find(self.name, self.using) is None:
                raise
            return self.store(verification)

    def is_done(self, found: CertnCredential | None) -> bool:
        return found is not None and (self.if_missing or found.holds(self.row))

    def store(self, verification: Verification | None) -> Setting:
        with transaction.atomic(using=self.using):
            # SQLite refuses at once who reads and then wants to write, if another writes meanwhile;
            # who begins by writing waits for its turn. Elsewhere this locks the row.
            rows = CertnCredential._base_manager.using(self.using).filter(name=self.name)
            rows.update(name=F("name"))
            found = find(self.name, self.using)
            if found is not None and self.if_missing:
                return self.setting(KEPT, found)
            if found is not None and found.holds(self.row):
                self.follow_end(found)
                word = THERE
            else:
                self.save(found)
                word = STORED
            row = CertnCredential.objects.db_manager(self.using).stored(self.name)
            previous = None
            if verification:
                verification = replace(
                    verification,
                    expires_on=row.expires_on,
                    secret_changed_at=aware(row.secret_changed_at),
                )
                _, previous = record(row, verification)
        if verification:
            send(row, verification, previous)
        return self.setting(word, row, verification)

    def save(self, found: CertnCredential | None) -> None:
        if found is None:
            # Another one each time: Django notes on it that it was saved, whatever became of that.
            row = CertnCredential(name=self.name, **self.fields())
            row.save(using=self.using, force_insert=True)
            return
        for field, value in self.fields().items():
            setattr(found, field, value)
        # Nothing else: what somebody else changes meanwhile stays.
        found.save(using=self.using, update_fields=[*self.fields(), "updated_at"])

    def fields(self) -> dict[str, Any]:
        return {field: getattr(self.row, field) for field in (*KEY_FIELDS, "expires_on")}

    def follow_end(self, found: CertnCredential) -> None:
        """Store another end of the same API key."""
        if self.row.expires_on and found.expires_on != self.row.expires_on:
            found.expires_on = self.row.expires_on
            found.save(using=self.using, update_fields=["expires_on", "updated_at"])

    def setting(
        self, word: str, found: CertnCredential | None, verification: Verification | None = None
    ) -> Setting:
        is_active = found is None or found.is_active
        return Setting(
            self.name, self.environment, word, verification, is_active, found is not None
        )
