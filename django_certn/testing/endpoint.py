"""What Certn would be: keys, tokens, time, and the failures that a test prepared."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count

from django_certn.answers import Answer, TokenResponse, error_of, read_answer
from django_certn.conf import Environment, Scheme
from django_certn.keys import Key
from django_certn.secret import MaskedStr, Secret
from django_certn.tokens.timing import Clocks

__all__ = ["BASE_URL", "Endpoint", "Failure", "Failures", "answer_of"]

# RFC 6761 keeps the domain for tests: such a name never resolves.
BASE_URL = "https://certn.test"

LIFE = 36_000.0  # seconds, as Certn's tokens live: https://docs.certn.co/api/faq

# It is read as that of either API: the one names the error, the other lists it.
REFUSAL = b'{"error": "invalid_client", "errors": [{"code": "authentication_failed"}]}'
NO_CASE = b'{"type": "client_error", "errors": [{"code": "not_found"}]}'

ANSWERS = {
    "reject": (HTTPStatus.UNAUTHORIZED, REFUSAL),
    "rate_limit": (HTTPStatus.TOO_MANY_REQUESTS, b"{}"),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, b""),
    "retire": (HTTPStatus.GONE, b""),
    "bad_response": (HTTPStatus.OK, b"<html>This is not an answer of Certn's.</html>"),
}


REAL = Clocks()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a request is answered with, and the verb that prepared it."""

    verb: str
    answer: Answer


def answer_of(verb: str, retry_after: int | None = None) -> Failure:
    """Return what the verb prepares."""
    status, body = ANSWERS[verb]
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Failure(verb, Answer(status, headers, body))


@dataclass(slots=True)
class Plan:
    """The failures of a name, or of all.

    Attributes:
        coming: those that are met once each, first.
        lasting: the one after those, ``None`` when all is well then.
        is_settled: whether `lasting` was said, rather than left to the plan for all names.
    """

    coming: deque[Failure] = field(default_factory=deque)
    lasting: Failure | None = None
    is_settled: bool = False


class Failures:
    """The failures that a test prepared; the plan of a name comes before that for all."""

    def __init__(self) -> None:
        self.plans: dict[str | None, Plan] = {}

    def settle(self, name: str | None, failure: Failure | None) -> None:
        """Let all requests of the name meet this from now on, or nothing."""
        if name is None:
            self.plans.clear()
        self.plans[name] = Plan(lasting=failure, is_settled=True)

    def add(self, name: str | None, failure: Failure, times: int) -> None:
        self.plans.setdefault(name, Plan()).coming.extend([failure] * times)

    def next(self, name: str) -> tuple[Failure | None, bool]:
        """Return what a request meets, and whether the next one meets it too."""
        for plan in filter(None, (self.plans.get(name), self.plans.get(None))):
            if plan.coming:
                return plan.coming.popleft(), False
            if plan.is_settled:
                return plan.lasting, True
        return None, True

    def unmet(self) -> list[str]:
        """Return in words what was prepared for a number of requests that were not made."""
        return [
            f"{verb}({'' if name is None else repr(name)}) for {times}"
            for name, plan in self.plans.items()
            for verb, times in Counter(each.verb for each in plan.coming).items()
        ]


class Endpoint:
    """Stands for Certn; what it has it has for one test.

    Attributes:
        exchanges: how many were made.
        clocks: the real ones, moved on by what a test skipped.
        forgettable: names whose last exchange failed by a failure that was counted.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failures = Failures()
        self.exchanges = 0
        self.skipped = 0.0  # seconds
        self.clocks = Clocks(
            wall=lambda: REAL.wall() + self.skipped,
            monotonic=lambda: REAL.monotonic() + self.skipped,
            random=lambda: 0.5,
        )
        self.forgettable: set[str] = set()
        self.tokens: dict[str, tuple[str, float]] = {}  # by value: whose, and until when
        self.api_keys: dict[str, str] = {}  # by name
        self.numbers = count(1)
        self.api_key_numbers = count(1)

    # Keys

    def key(self, name: str, scheme: Scheme | None = None) -> Key:
        """Return the key of a name: a pair, unless the name was said to have an API key."""
        with self.lock:
            if scheme is None:
                scheme = Scheme.API_KEY if name in self.api_keys else Scheme.OAUTH
            environment = Environment("fake", "Fake", BASE_URL, scheme)
            if scheme == Scheme.OAUTH:
                return Key(name, environment, f"fake-id-{name}", Secret(f"fake-secret-{name}"))
            return Key(name, environment, "", Secret(self.api_keys.get(name, "fake-certn-api-key")))

    def new_api_key(self, name: str) -> str:
        with self.lock:
            api_key = self.api_keys[name] = f"fake-certn-api-key-{next(self.api_key_numbers)}"
            return api_key

    # Requests

    def exchange(self, key: Key, *, timeout: float) -> TokenResponse:
        """Issue another token, or raise what was prepared."""
        with self.lock:
            self.exchanges += 1
            failure, is_lasting = self.failures.next(key.name)
            if failure is None:
                value = f"fake-certn-token-{next(self.numbers)}"
                self.tokens[value] = key.name, self.clocks.wall() + LIFE
                return TokenResponse(MaskedStr(value), LIFE)
            if not is_lasting:
                self.forgettable.add(key.name)
        error = read_answer(failure.answer, name=key.name, environment=key.environment)
        assert not isinstance(error, TokenResponse)  # noqa: S101 - for mypy
        raise error

    def check_api_key(self, key: Key) -> int:
        """Return the status of an answer that takes the API key, or raise what was prepared."""
        from django_certn.probe import interpret  # it loads requests

        with self.lock:
            failure, _ = self.failures.next(key.name)
        answer = failure.answer if failure else Answer(HTTPStatus.NOT_FOUND, {}, NO_CASE)
        outcome = interpret(answer)
        if isinstance(outcome, int):
            return outcome
        raise error_of(
            answer, outcome, f"The API key of {key.name!r} is not confirmed by {BASE_URL}"
        )

    def accepts(self, header: str) -> bool:
        scheme, _, value = header.partition(" ")
        with self.lock:
            if scheme == "Api-Key":
                return value in self.api_keys.values()
            _, until = self.tokens.get(value, ("", 0.0))
            return scheme == "Bearer" and self.clocks.wall() < until

    def kill(self, name: str | None) -> None:
        """Let what is in force be refused from now on."""
        with self.lock:
            for value, (owner, _) in list(self.tokens.items()):
                if name in (None, owner):
                    del self.tokens[value]
            for owner in self.api_keys:
                if name in (None, owner):
                    self.new_api_key(owner)
