"""Whether a stored key works: asked of Certn each time, and recorded on its row."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from asgiref.sync import sync_to_async

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
from django_certn.models import CertnCredential
from django_certn.outcomes import Verification, aware
from django_certn.recording import conclude
from django_certn.tokens.service import installed

__all__ = ["Verification", "averify", "verify"]


def verify(
    name_or_credential: str | CertnCredential, *, timeout: float | None = None
) -> Verification:
    """Ask Certn whether the stored key works, and record the outcome on the row.

    Always a live request, whatever the caches hold, and for an inactive credential too: an
    exchange, whose token goes into the cache, or for an API key a GET of a case that does not
    exist. The outcome is recorded only if the row still holds the key that was verified, without a
    ``post_save`` and without a change to ``updated_at``. Then the signal
    `django_certn.signals.credential_verified` is sent, and `credential_status_changed` when the
    outcome differs from the one before. In a database that can be read and not written, nothing is
    recorded.

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
    row, request = read(name_or_credential, timeout)
    outcome = request.make() if isinstance(request, LiveRequest) else request
    conclude(row, outcome.verification, name_or_credential)
    return outcome.verification


async def averify(
    name_or_credential: str | CertnCredential,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - as `verify` has it
) -> Verification:
    """Do what `verify` does, without holding up the event loop.

    The row is read, and the outcome recorded, on the thread that Django has for the request; the
    request to Certn has a thread of its own.
    """
    row, request = await sync_to_async(read)(name_or_credential, timeout)
    if isinstance(request, LiveRequest):
        outcome = await sync_to_async(request.make, thread_sensitive=False)()
    else:
        outcome = request
    await sync_to_async(conclude)(row, outcome.verification, name_or_credential)
    return outcome.verification


def about_to_verify(credential: CertnCredential) -> AbstractContextManager[None]:
    """Let one exchange do: who wants a token before this thread has verified the key waits for it.

    Args:
        credential: as it is being stored.
    """
    try:
        key = credential.key()
    except CertnConfigurationError:  # which is what the verification will say
        return nullcontext()
    return installed().reserve(key) if key.environment.scheme == Scheme.OAUTH else nullcontext()


def stored(
    name_or_credential: str | CertnCredential, timeout: float | None, using: str | None = None
) -> CertnCredential:
    if timeout is not None and not is_seconds(timeout):
        raise ValueError("A timeout is a number of seconds above 0.")
    return installed().stored(name_or_credential, using)


def read(
    name_or_credential: str | CertnCredential, timeout: float | None
) -> "tuple[CertnCredential, LiveRequest | Outcome]":
    row = stored(name_or_credential, timeout)
    return row, prepare(row, timeout)


class Outcome(NamedTuple):
    """How a verification ended.

    Attributes:
        verification: what is recorded of it.
        response: of a pair that works, the fresh token.
        requests: how many it took, of those that an endpoint counts.
    """

    verification: Verification
    response: TokenResponse | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What Certn is about to be asked. Whoever asks needs no database, so any thread may.

    Attributes:
        key: what to ask about.
        budget: seconds for the whole request.
        outcome: makes the verification of how it ended.
    """

    key: Key
    budget: float
    outcome: Callable[..., Verification]

    def make(self) -> Outcome:
        """Make the request, and report how it ended."""
        started = time.monotonic()
        try:
            http_status, response = ask(self.key, self.budget)
        except TokenError as error:
            was_sent = error.status != Status.MISCONFIGURED
            verification = self.outcome(
                error.status,
                http_status=error.http_status,
                error_code=error.error_code,
                latency=seconds_since(started) if was_sent else None,
                retry_after=error.retry_after,
            )
            is_refused = error.http_status == HTTPStatus.UNAUTHORIZED
            twice = is_refused and is_encoded(self.key)  # then the plain pair was tried as well
            return Outcome(verification, None, 2 if twice else int(was_sent))
        verification = self.outcome(
            Status.OK,
            http_status=http_status,
            expires_in=response.expires_in if response else None,
            latency=seconds_since(started),
        )
        return Outcome(verification, response, 1)


def prepare(row: CertnCredential, timeout: float | None) -> LiveRequest | Outcome:
    """Return the request that a verification of the row takes, or how it ends without one.

    This runs on the thread that serves the tenant: a database's connection, a schema and
    ``CERTN_TENANT`` have no meaning in another.
    """
    outcome = partial(
        Verification,
        row.name,
        row.environment,
        expires_on=row.expires_on,
        secret_changed_at=aware(row.secret_changed_at),
    )
    try:
        key = installed().key_of(row)
        tenancy.current(CertnCredential)
        budget = budget_of(timeout)
        if key.environment.scheme == Scheme.OAUTH:
            _ = conf.CERTN_CACHE_ALIAS  # the token goes there
    except CredentialUndecryptableError as error:
        return Outcome(
            outcome(error.status, error_code=getattr(row.client_secret, "error_code", ""))
        )
    except CertnConfigurationError as error:
        return Outcome(outcome(error.status, error_code=culprit(row)))
    return LiveRequest(key, budget, outcome)


def ask(key: Key, budget: float) -> tuple[int, TokenResponse | None]:
    """Return the status of the answer and, of a pair, the fresh token."""
    if key.environment.scheme == Scheme.API_KEY:
        return installed().check_api_key(key, budget), None
    return HTTPStatus.OK.value, installed().exchange_now(key, budget)


def is_encoded(key: Key) -> bool:
    """Return whether HTTP Basic sends the pair otherwise than it is."""
    if key.environment.scheme == Scheme.API_KEY:
        return False
    parts = key.client_id, key.client_secret.reveal()
    return any(quote(part, safe="") != part for part in parts)


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


def budget_of(timeout: float | None) -> float:
    """Return the seconds that an exchange gets."""
    return conf.CERTN_REQUEST_TIMEOUT if timeout is None else min(timeout, MAX_TIMEOUT)


def is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)
