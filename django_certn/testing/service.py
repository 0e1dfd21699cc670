"""The token service of a test: whole, and with nothing outside of it."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from django_certn.answers import TokenResponse
from django_certn.keys import Key
from django_certn.models import CertnCredential
from django_certn.testing.endpoint import Endpoint
from django_certn.testing.rows import stored_if_any
from django_certn.tokens.cache_worker import CacheWorker
from django_certn.tokens.exchange import preloading
from django_certn.tokens.memo import Memo
from django_certn.tokens.outcome import Outcome, Request
from django_certn.tokens.process import TokenService
from django_certn.tokens.renewal import Renewal
from django_certn.tokens.shared_cache import CacheDownError, SharedCache, slot_of
from django_certn.tokens.single_flight import SingleFlight
from django_certn.tokens.tenant import Name, Place, Row, place_of

__all__ = ["Call", "FakeService"]


class Call(NamedTuple):
    """What was asked for, and by which name; never a value.

    Attributes:
        kind: ``"token"`` by `get_token` and its like; ``"headers"`` by `auth_headers`, `base_url`,
            `CertnAuth` and `CertnSession`, which ask as often as they need to; ``"verify"`` when
            Certn was asked whether a key works.
        name: of the credential.
    """

    kind: str
    name: str


class NoSharedCache(SharedCache):
    """One that is always down: nothing is left in it, and nothing is found there."""

    def call(self, call: Callable[[Any], Any]) -> NoReturn:
        raise CacheDownError

    def seal(self, slot: str, until: float, content: dict[str, Any]) -> str:
        return ""


class DirectSingleFlight(SingleFlight[Outcome]):
    """Flights in the thread of whoever begins them: none goes on when a test is over."""

    def join(self, slot: Hashable, fly: Callable[[], Outcome]) -> Future[Outcome]:
        future, is_mine = self.begin(slot)
        if is_mine:
            with suppress(Exception):  # whoever waits gets it
                self.carry(slot, future, fly)
        return future


class ForgetfulRenewal(Renewal):
    """Remembers a failure as any, unless it was prepared for a number of requests."""

    endpoint: Endpoint

    def renew(self, request: Request) -> Outcome:
        outcome = super().renew(request)
        name = request.key.name
        if name in self.endpoint.forgettable:
            self.endpoint.forgettable.discard(name)
            self.clear_failure(request.slot)
        return outcome


class FakeService(TokenService):
    """Answers for any name, without a row, and notes who was asked for what.

    Args:
        endpoint: stands for Certn.

    Attributes:
        calls: what was asked for, in order.
        beneath: the service in whose place this one is. It goes on to hear of what makes its
            memos wrong.
    """

    beneath: TokenService

    def __init__(self, endpoint: Endpoint) -> None:
        clocks = endpoint.clocks
        super().__init__(
            load=self.row_of,
            place_of=here,
            has_tenants=lambda: False,
            shared=NoSharedCache(CacheWorker(clocks.monotonic), clocks),
            exchange=endpoint.exchange,
            clocks=clocks,
        )
        # It needs nothing that is loaded in the background, while test runners look at the modules.
        preloading.set()
        self.endpoint = endpoint
        self.calls: list[Call] = []
        self.memo_by_key = {}  # the public functions find nothing there, so each call is noted
        self.flights = DirectSingleFlight()
        self.renewal = ForgetfulRenewal(
            self.keys, self.shared, clocks, endpoint.exchange, self.count
        )
        self.renewal.endpoint = endpoint

    def row_of(self, name: Name) -> Row:
        plain = str(name)
        return Row(self.endpoint.key(plain), plain)

    def forget(self, name: str | None) -> None:
        """Forget what is remembered of a name, or of all."""
        if name is None:
            self.memos.forget()
            self.keys.clear()
        else:
            self.memos.forget(lambda key, _: key == name)
            self.keys.forget(slot_of(self.endpoint.key(name)))

    def note(self, kind: str, name: Name) -> None:
        self.calls.append(Call(kind, str(name)))

    # Calls for a token

    def find(self, name: Name, min_validity: float = 0, timeout: float = 20.0) -> Memo:
        self.note("token", name)
        return super().find(name, min_validity, timeout)

    async def afind(self, name: Name, min_validity: float = 0, timeout: float = 20.0) -> Memo:  # noqa: ASYNC109
        self.note("token", name)
        return await super().afind(name, min_validity, timeout)

    # Calls for a header

    def find_header(self, name: Name) -> Memo:
        self.note("headers", name)
        return super().find(name)

    async def afind_header(self, name: Name) -> Memo:
        self.note("headers", name)
        return await super().afind(name)

    # Verifications: they take the row where there is one, and ask the endpoint about its key

    def stored(self, name: Name, using: str | None = None) -> CertnCredential:
        if isinstance(name, str):
            return stored_if_any(name, using, self.endpoint.key(name).environment.scheme)
        return super().stored(name, using)

    def key_of(self, row: CertnCredential) -> Key:
        own = super().key_of(row)  # it may be one that cannot be used
        return self.endpoint.key(row.name, own.environment.scheme)

    def check_api_key(self, key: Key, timeout: float) -> int:
        self.note("verify", key.name)
        return self.endpoint.check_api_key(key)

    def exchange_now(self, key: Key, timeout: float) -> TokenResponse:
        self.note("verify", key.name)
        return super().exchange_now(key, timeout)

    # What makes memos wrong, and not these: they are of no row and no setting

    def credential_changed(
        self, instance: CertnCredential, using: str, *, is_new_or_gone: bool
    ) -> None:
        self.beneath.credential_changed(instance, using, is_new_or_gone=is_new_or_gone)

    def clear(self) -> None:
        self.beneath.clear()

    def after_fork(self) -> None:
        super().after_fork()
        self.beneath.after_fork()


def here(name: Name) -> Place:
    """Return a place without a database; an instance has to be stored, as at any time."""
    if not isinstance(name, str):
        place_of(name)
    return Place(str(name), None)
