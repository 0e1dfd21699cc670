"""What the commands report of a credential: lines for people, one JSON document for scripts."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_certn.conf import Environment, Scheme, conf
from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.expiry import ends_soon, today
from django_certn.explanations import label_of, vendor_of
from django_certn.keys import UNSEEN
from django_certn.management.base import NO_VERDICT, VERDICT, Problem, printable
from django_certn.verification import Verification

if TYPE_CHECKING:
    from django_certn.probe import Probe

__all__ = [
    "MANY",
    "NAMED",
    "Result",
    "document",
    "grouped",
    "judge",
    "lines",
    "listed",
    "summary",
    "tally",
]

NAMED = 20  # how many credentials one line names
MANY = 21  # from so many on, nobody reads a line for each that is well
USERS_PATH = "/api/v1/users/"
UNANSWERED = "unanswered"

# What a failed probe means, and what to do next. The exchange went well before it, so the key is
# known, and none of this asks for another one.
PROBE_SENTENCES: dict[str, tuple[Promise, Promise]] = {
    Status.REJECTED: (
        _("%(vendor)s issued a token, and refuses it at %(path)s%(answer)s."),
        _(
            "The key is not at fault, and a new pair will not help. Verify again in a minute. If "
            "this stays, ask Certn whether the account may use this API."
        ),
    ),
    Status.RATE_LIMITED: (
        _("The key works, and %(path)s had too many requests%(answer)s."),
        _("This says nothing about the rights of the key. Try again in a few minutes."),
    ),
    Status.UNREACHABLE: (
        _("The key works, and %(path)s failed%(answer)s."),
        _("This says nothing about the rights of the key. Try again in a few minutes."),
    ),
    UNANSWERED: (
        _("The key works, and %(path)s gave no answer, or none in time."),
        _("This says nothing about the rights of the key. Try again in a few minutes."),
    ),
    Status.RETIRED: (
        _("The key works, and %(vendor)s has retired %(path)s%(answer)s."),
        _("No other key will help. Ask Certn for access to its newer API, CertnCentric."),
    ),
    Status.BAD_RESPONSE: (
        _("The key works, and %(path)s does not answer as Certn does%(answer)s."),
        _(
            "Either the key has no right to list users, which is Certn's to grant, or something "
            "else answers there: check the address of %(environment)s in the settings, and what "
            "stands between, a proxy or a firewall."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one credential; ``is_probed`` says whether a probe was asked for."""

    verification: Verification
    probe: "Probe | None" = None
    is_probed: bool = False

    @property
    def status(self) -> Status:
        """That of the probe where the exchange was followed by one."""
        return self.probe.status if self.probe else self.verification.status

    @property
    def ok(self) -> bool:
        return self.status == Status.OK

    @property
    def detail(self) -> str:
        return self._explain_probe()[0] or self.verification.detail

    @property
    def hint(self) -> str:
        return self._explain_probe()[1] or self.verification.hint

    def as_dict(self) -> dict[str, Any]:
        """Return the verification as JSON has it; a failed probe makes it a failed one.

        Its ``status`` stays that of the exchange, which is what the row records.
        """
        fields = self.verification.as_dict()
        if self.is_probed:
            fields["ok"] = self.ok
            with translation.override("en"):
                detail, hint = self._explain_probe()
            if detail:
                fields |= {"detail": detail, "hint": hint}
            fields["probe"] = self.probe and {
                "status": str(self.probe.status),
                "http_status": self.probe.http_status,
                "count": self.probe.count,
            }
        return fields

    def _explain_probe(self) -> tuple[str, str]:
        if self.probe is None or self.probe.status not in PROBE_SENTENCES:
            return "", ""
        answer = self.probe.http_status
        label = label_of(self.verification.environment)
        words = {
            "environment": label,
            "vendor": vendor_of(label),
            "path": USERS_PATH,
            "answer": f" (HTTP {answer})" if answer else "",
        }
        # Of one that ends before its time there is a status, and no body.
        is_unanswered = self.probe.status == Status.UNREACHABLE and answer in (None, HTTPStatus.OK)
        detail, hint = PROBE_SENTENCES[UNANSWERED if is_unanswered else self.probe.status]
        return str(detail) % words, str(hint) % words


def lines(result: Result, verbosity: int, paint: Callable[[Status], str]) -> Iterator[str]:
    """Yield what a person reads of one credential."""
    if result.ok and verbosity == 0:
        return
    verification, probe = result.verification, result.probe
    word = paint(result.status)
    if probe and not result.ok:
        word = f"probe {word}"
    where = f"{printable(verification.name)} ({printable(verification.environment)})"
    yield f"{where}: {word}. {visible(result.detail)}"
    if result.hint:
        yield f"    {visible(result.hint)}"
    if verbosity > 1 and verification.latency is not None:
        request = request_of(conf.environment(verification.environment))
        yield f"    {request}: {verification.latency:.3f} s"
    if verbosity > 1 and verification.expires_in is not None:
        life = gettext("The token lives %(seconds)d s.")
        yield f"    {life % {'seconds': round(verification.expires_in)}}"
    if verification.expires_on and (verbosity > 1 or ends_soon(verification.expires_on)):
        yield f"    {describe_end(verification.expires_on)}"
    if probe and result.ok:
        users = ""
        if probe.count is not None:
            users = f", {probe.count} user{'' if probe.count == 1 else 's'}"
        yield f"    GET {USERS_PATH}: {paint(probe.status)} (HTTP {probe.http_status}{users})"


def request_of(environment: Environment) -> str:
    if environment.scheme == Scheme.API_KEY:
        from django_certn.probe import CASE_PATH  # it loads what only a request needs

        return f"GET {environment.base_url}{CASE_PATH}"
    return f"POST {environment.token_url}"


def describe_end(day: date) -> str:
    left = (day - today()).days
    if left < 0:
        return gettext("The API key has ended on %(day)s (UTC).") % {"day": day}
    sentence = ngettext(
        "The API key ends on %(day)s (UTC), in %(left)d day.",
        "The API key ends on %(day)s (UTC), in %(left)d days.",
        left,
    )
    return sentence % {"day": day, "left": left}


def visible(sentence: str) -> str:
    """Return the sentence with escapes for what would do something to a terminal.

    The slug of an environment may come from a row that nobody validated.
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in UNSEEN else c for c in sentence)


def judge(results: Iterable[Result], problem: Problem | None) -> int:
    """Return the exit code: a verdict wins over a problem, and that over no verdict."""
    failed = {result.status for result in results} - {Status.OK}
    if failed - TRY_AGAIN:
        return VERDICT
    if problem:
        return problem.returncode
    return NO_VERDICT if failed else 0


def document(results: Iterable[Result], skipped: Sequence[str], problem: Problem | None) -> str:
    """Return the one JSON document of a run."""
    return json.dumps(
        {
            "version": 1,
            "results": [result.as_dict() for result in results],
            "skipped": list(skipped),
            "error": {"code": problem.code, "message": str(problem)} if problem else None,
        },
        indent=2,
    )


def summary(results: Sequence[Result]) -> str:
    """Return in one sentence which are not ok."""
    failed = [
        f"{printable(result.verification.name)} "
        f"({'probe: ' if result.probe else ''}{result.status})"
        for result in results
        if not result.ok
    ]
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return f"{len(failed)} of {len(results)} not ok: {', '.join(failed[:NAMED])}{more}."


def tally(groups: Mapping[str, Sequence[str]], *well: str) -> str:
    """Return how many there are of each outcome, and of those that are not well also which.

    Args:
        groups: the names by what came of them.
        well: what is as it should be, and comes first.
    """
    counts = [f"{len(groups[word])} {word}" for word in well if groups.get(word)]
    failed = [
        f"{len(names)} {word}: {listed(names)}"
        for word, names in groups.items()
        if names and word not in well
    ]
    return ", ".join(filter(None, [", ".join(counts), "; ".join(failed)])) + "."


def grouped(results: Iterable[Result]) -> dict[str, list[str]]:
    """Return the names of the credentials by outcome, each kind of it in the order of `Status`."""
    groups: dict[str, list[str]] = {}
    for status in Status.values:
        groups[status], groups[f"probe {status}"] = [], []
    for result in results:
        word = f"probe {result.status}" if result.probe and not result.ok else str(result.status)
        groups[word].append(result.verification.name)
    return groups


def listed(names: Sequence[str]) -> str:
    """Return the names as a terminal may show them, the first of them when there are many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(printable, names[:NAMED])) + more
