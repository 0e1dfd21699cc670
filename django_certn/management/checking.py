"""What ``certn_check`` does for one of its credentials."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from django_certn.bulk import Task
from django_certn.conf import Scheme, scheme_of
from django_certn.management.report import Result
from django_certn.recording import conclude
from django_certn.verification import LiveRequest, Outcome, prepare, stored

if TYPE_CHECKING:
    from django_certn.probe import Probe

__all__ = ["Check"]


class Check(Task[Result]):
    """One credential that is being checked."""

    def __init__(
        self, name: str, environment: str, using: str, timeout: float | None, *, is_probed: bool
    ) -> None:
        self.name, self.environment = name, environment
        self.using, self.timeout, self.is_probed = using, timeout, is_probed
        self.probe: Probe | None = None
        self.cost = 2 if is_probed and scheme_of(environment) == Scheme.OAUTH else 1

    def prepare(self) -> Callable[[], Outcome] | Outcome:
        self.row = stored(self.name, self.timeout, self.using)
        self.environment = self.row.environment
        request = prepare(self.row, self.timeout)
        if isinstance(request, Outcome):
            return request
        return partial(self.ask, request)

    def ask(self, request: LiveRequest) -> Outcome:
        """Make the request, and after an exchange the probe. This runs in a worker."""
        outcome = request.make()
        if outcome.response and self.is_probed:
            from django_certn.probe import probe

            token = outcome.response.access_token
            self.probe = probe(request.key.environment, token, timeout=request.budget)
        return outcome

    def finish(self, outcome: Outcome | None) -> Result:
        assert outcome is not None  # noqa: S101 - for mypy: `prepare` sees to that
        conclude(self.row, outcome.verification)
        return Result(outcome.verification, self.probe, self.is_probed)
