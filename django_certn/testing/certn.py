"""What a test is given: verbs that prepare failures, and what was asked for."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django_certn.testing.endpoint import BASE_URL, Failure, answer_of

if TYPE_CHECKING:
    from django_certn.testing.endpoint import Endpoint
    from django_certn.testing.service import Call, FakeService

__all__ = ["FakeCertn"]


class FakeCertn:
    """Stands for Certn in a test. Any name has a key, a pair unless `api_key` says otherwise.

    The tokens are ``fake-certn-token-1``, ``-2`` and so on, in the order of their exchanges, and
    live ten hours, as Certn's do.

    A verb that prepares a failure takes effect at once: what was remembered goes, and the next call
    for a token meets it. It holds for one ``name`` or, without one, for all, until another verb or
    `recover`, and is remembered as in production: while it is, no exchange is made. With ``times``
    it is met by as many requests to Certn, one after the other and after those that were prepared
    before; each is an exchange, or the request of a verification, and none is remembered. When the
    test ends before that many were made, it fails with an `AssertionError`.

    The header of an API key takes no request, so there only a verification meets failures.

    Attributes:
        base_url: where requests are sent, so what has to be mocked: ``"https://certn.test"``.
        calls: what was asked for, in order: a list of `Call`.
    """

    base_url = BASE_URL

    def __init__(self, service: Any) -> None:
        # Any, for what a type checker sees of a public class ends here.
        self._service: FakeService = service
        self._endpoint: Endpoint = self._service.endpoint
        self.calls: list[Call] = self._service.calls

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.exchanges} exchanges, {len(self.calls)} calls>"

    @property
    def exchanges(self) -> int:
        """How many exchanges were made, those that failed included."""
        return self._endpoint.exchanges

    # Failures

    def reject(self, name: str | None = None, times: int | None = None) -> None:
        """Refuse the key: `CredentialRejectedError`, ``rejected``."""
        self._fail(answer_of("reject"), name, times)

    def rate_limit(
        self, name: str | None = None, times: int | None = None, *, retry_after: int | None = None
    ) -> None:
        """Answer 429: `RateLimitedError`, ``rate_limited``.

        Args:
            name: for this name alone.
            times: for so many requests.
            retry_after: seconds that the answer asks to wait.
        """
        self._fail(answer_of("rate_limit", retry_after), name, times)

    def unavailable(self, name: str | None = None, times: int | None = None) -> None:
        """Answer 503: `CertnUnavailableError`, ``unreachable``."""
        self._fail(answer_of("unavailable"), name, times)

    def retire(self, name: str | None = None, times: int | None = None) -> None:
        """Answer 410: `EndpointRetiredError`, ``retired``."""
        self._fail(answer_of("retire"), name, times)

    def bad_response(self, name: str | None = None, times: int | None = None) -> None:
        """Answer with a web page: `InvalidTokenResponseError`, ``bad_response``."""
        self._fail(answer_of("bad_response"), name, times)

    def recover(self, name: str | None = None) -> None:
        """Answer as usual again, and forget the failures that were prepared and not met."""
        with self._endpoint.lock:
            self._endpoint.failures.settle(name, None)
            self._service.forget(name)

    def _fail(self, failure: Failure, name: str | None, times: int | None) -> None:
        if times is not None and (type(times) is not int or times < 1):
            raise ValueError("`times` is a number of requests, 1 or more.")
        with self._endpoint.lock:
            if times is None:
                self._endpoint.failures.settle(name, failure)
            else:
                self._endpoint.failures.add(name, failure, times)
            self._service.forget(name)

    # Keys, tokens and time

    def api_key(self, name: str = "default") -> None:
        """Let this name have an API key: its header is ``Api-Key ...``, and it has no token."""
        self._endpoint.new_api_key(name)
        self._service.forget(name)

    def kill_token(self, name: str | None = None) -> None:
        """Let Certn refuse the token in force, or the API key; the site is not notified.

        `accepts` is ``False`` of it from now on. The site goes on with it until a call is answered
        with 401; then `CertnAuth` and `CertnSession` get another one and try once more. As in
        production they do so once a minute at most; `advance` makes that shorter.
        """
        self._endpoint.kill(name)

    def accepts(self, authorization: str) -> bool:
        """Return whether Certn would take this header now: 401 if not.

        Args:
            authorization: the value of the header, as a mock of a call has it in its request.
        """
        return self._endpoint.accepts(authorization)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock on by which tokens end and failures are forgotten; nothing else is moved.

        Raises:
            ValueError: it would be moved back.
        """
        skipped = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if skipped < timedelta():
            raise ValueError("Time goes forward alone.")
        with self._endpoint.lock:
            self._endpoint.skipped += skipped.total_seconds()
