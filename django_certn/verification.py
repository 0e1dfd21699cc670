"""Whether a stored key works: asked of Certn each time, and recorded on its row."""

import math
import time
from functools import partial
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from django_certn import tenancy
from django_certn.answers import TokenResponse
from django_certn.conf import MAX_TIMEOUT, Scheme, conf, scheme_of
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialUndecryptableError,
    Status,
    TokenError,
)
from django_certn.keys import Key
from django_certn.models import VERIFIED_FIELDS, CertnCredential
from django_certn.outcomes import Verification, aware
from django_certn.querysets import holding
from django_certn.signals import credential_verified
from django_certn.tokens.service import installed

__all__ = ["Verification", "averify", "verify"]

ATTEMPTS = 5  # to record an outcome while others re-encrypt the row


def verify(
    name_or_credential: str | CertnCredential, *, timeout: float | None = None
) -> Verification:
    """Ask Certn whether the stored key works, and record the outcome on the row.

    Always a live request, whatever the caches hold, and for an inactive credential too: an
    exchange, whose token goes into the cache, or for an API key a GET of a case that does not
    exist. The outcome is recorded only if the row still holds the key that was verified, without a
    ``post_save`` and without a change to ``updated_at``. Then the signal
    `django_certn.signals.credential_verified` is sent.

    Args:
        name_or_credential: an instance stands for its row, in the database that it came from, never
            for what it holds in memory. When the outcome is recorded, the verified fields of the
            instance are set as well, so that a later ``save()`` does not write older ones back.
        timeout: seconds for the whole request, an hour at most; ``None`` for
            ``CERTN_REQUEST_TIMEOUT``.

    Returns:
        The outcome. A bad key, a host out of reach, a secret that cannot be read and a wrong
        setting are outcomes, not exceptions.

    Raises:
        CredentialNotFoundError: no such credential is stored.
        ValueError: the timeout is not a number of seconds above 0.

    The exchange is Certn's own recipe, and so is what an answer says of an API key:
    https://docs.certn.co/api/guides/use-the-api/get-your-access-token
    https://centric-api-docs.certn.co/reference/error-handling.md
    """
    return verify_for_token(name_or_credential, timeout=timeout)[0]


async def averify(
    name_or_credential: str | CertnCredential,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - as `verify` has it
) -> Verification:
    """Do what `verify` does, without holding up the event loop.

    The row is read, and the outcome recorded, on the thread that Django has for the request; the
    request to Certn has a thread of its own.
    """
    row = await sync_to_async(stored)(name_or_credential, timeout)
    verification, _ = await sync_to_async(examine, thread_sensitive=False)(row, timeout)
    await sync_to_async(conclude)(row, verification, name_or_credential)
    return verification


def verify_for_token(
    name_or_credential: str | CertnCredential,
    *,
    timeout: float | None = None,
    using: str | None = None,
) -> tuple[Verification, TokenResponse | None]:
    """Do what `verify` does, in the database of that alias, and return the fresh token as well."""
    row = stored(name_or_credential, timeout, using)
    verification, response = examine(row, timeout)
    conclude(row, verification, name_or_credential)
    return verification, response


def stored(
    name_or_credential: str | CertnCredential, timeout: float | None, using: str | None = None
) -> CertnCredential:
    if timeout is not None and not is_seconds(timeout):
        raise ValueError("A timeout is a number of seconds above 0.")
    return CertnCredential.objects.db_manager(using).stored(name_or_credential)


def conclude(
    row: CertnCredential, verification: Verification, name_or_credential: str | CertnCredential
) -> None:
    """Record the outcome, on the caller's instance too, and send the signal."""
    fields = record(row, verification)
    if isinstance(name_or_credential, CertnCredential):
        for name, value in fields.items():
            setattr(name_or_credential, name, value)
    credential_verified.send_robust(CertnCredential, verification=verification, using=row._state.db)


def examine(
    row: CertnCredential, timeout: float | None
) -> tuple[Verification, TokenResponse | None]:
    """Make the request, if there is a key to make it with, and report how it ended."""
    outcome = partial(
        Verification,
        row.name,
        row.environment,
        expires_on=row.expires_on,
        secret_changed_at=aware(row.secret_changed_at),
    )
    try:
        key = row.key()
        tenancy.current(CertnCredential)
        budget = budget_of(timeout)
        if key.environment.scheme == Scheme.OAUTH:
            _ = conf.CERTN_CACHE_ALIAS  # the token goes there
    except CredentialUndecryptableError as error:
        return outcome(error.status, error_code=row.client_secret.error_code), None
    except CertnConfigurationError as error:
        return outcome(error.status, error_code=culprit(row)), None
    started = time.monotonic()
    try:
        http_status, response = ask(key, budget)
    except TokenError as error:
        verification = outcome(
            error.status,
            http_status=error.http_status,
            error_code=error.error_code,
            latency=None if error.status == Status.MISCONFIGURED else seconds_since(started),
            retry_after=error.retry_after,
        )
        return verification, None
    verification = outcome(
        Status.OK,
        http_status=http_status,
        expires_in=response.expires_in if response else None,
        latency=seconds_since(started),
    )
    return verification, response


def ask(key: Key, budget: float) -> tuple[int, TokenResponse | None]:
    """Return the status of the answer and, of a pair, the fresh token."""
    if key.environment.scheme == Scheme.API_KEY:
        from django_certn import probe  # what it loads is not loaded before it is needed

        return probe.check_api_key(key, timeout=budget), None
    return HTTPStatus.OK.value, installed().exchange_now(key, budget)


def culprit(row: CertnCredential) -> str:
    """Return the name of the field or the setting that makes the credential misconfigured."""
    try:
        if row.environment not in conf.CERTN_ENVIRONMENTS:
            return "environment"
        conf.environment(row.environment)
    except CertnConfigurationError:
        return "CERTN_ENVIRONMENTS"
    is_pair = scheme_of(row.environment) == Scheme.OAUTH
    if is_pair and not row.client_id:
        return "client_id"
    if not row.client_secret:
        return "client_secret"
    return wrong_setting(is_pair=is_pair)


def wrong_setting(*, is_pair: bool) -> str:
    try:
        _ = is_pair and conf.CERTN_CACHE_ALIAS
    except CertnConfigurationError:
        return "CERTN_CACHE_ALIAS"
    try:
        tenancy.current(CertnCredential)
    except CertnConfigurationError:
        return "CERTN_TENANT"
    return "CERTN_REQUEST_TIMEOUT"


def record(row: CertnCredential, verification: Verification) -> dict[str, Any]:
    """Record the outcome and return the fields as they are stored now.

    Nothing is recorded, and ``{}`` returned, when the row is gone or holds another key meanwhile.
    """
    verified_at = verification.verified_at
    values = (
        verification.status.value,
        verification.http_status,
        verification.error_code,
        verified_at if settings.USE_TZ else timezone.make_naive(verified_at),
    )
    fields = dict(zip(VERIFIED_FIELDS, values, strict=True))
    rows = CertnCredential._base_manager.using(row._state.db)
    now: CertnCredential | None = row
    for _ in range(ATTEMPTS):
        if now is None or not now.holds(row):
            break
        # Compare and set in one statement: no lock, no transaction, and nobody's save is undone.
        # It compares the ciphertext, which a new encryption of the same secret changes as well.
        unchanged = holding(rows, now.client_secret.column()).filter(
            pk=now.pk, environment=now.environment, client_id=now.client_id
        )
        if unchanged.update(**fields):
            return fields
        now = rows.filter(pk=row.pk).first()
    return {}


def budget_of(timeout: float | None) -> float:
    """Return the seconds that an exchange gets."""
    return conf.CERTN_REQUEST_TIMEOUT if timeout is None else min(timeout, MAX_TIMEOUT)


def is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)
