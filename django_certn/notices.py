"""What the admin reports of verifications: one message for each outcome, and what it was not of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop, ngettext

from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.verification import Verification

__all__ = ["Report", "in_history", "shown_in_history"]

NAMES_SHOWN = 10  # in a message, which is kept in a cookie or in the session

Named = tuple[Any, str]  # primary key and name

# What History stores of a verification is English; it is translated for whoever reads it.
HISTORY = {
    Status.OK: gettext_noop("Verified: ok"),
    Status.REJECTED: gettext_noop("Verified: rejected"),
    Status.RATE_LIMITED: gettext_noop("Verified: rate_limited"),
    Status.UNREACHABLE: gettext_noop("Verified: unreachable"),
    Status.RETIRED: gettext_noop("Verified: retired"),
    Status.BAD_RESPONSE: gettext_noop("Verified: bad_response"),
    Status.UNDECRYPTABLE: gettext_noop("Verified: undecryptable"),
    Status.MISCONFIGURED: gettext_noop("Verified: misconfigured"),
}
# And of a form the labels of the fields that changed, which Django translates itself when it reads
# them. With a capital they are here alone.
CHANGED = (
    gettext_noop("Name"),
    gettext_noop("Environment"),
    gettext_noop("Expires"),
    gettext_noop("Active"),
)


@dataclass
class Report:
    """What became of the credentials that somebody wanted to have verified.

    Attributes:
        url_of: returns the address of a row's page from its primary key; ``None`` for a reader who
            may not open it.
        gone: those that were deleted meanwhile.
        unreached: those that there was no time for.
    """

    url_of: Callable[[Any], str] | None
    gone: list[Named] = field(default_factory=list)
    unreached: Sequence[Named] = ()
    groups: dict[tuple[int, str], list[Named]] = field(default_factory=dict)

    def add(self, pk: Any, outcome: Verification) -> None:
        key = level_of(outcome), f"{outcome.detail} {outcome.hint}".rstrip()
        self.groups.setdefault(key, []).append((pk, outcome.name))

    def messages(self) -> Iterator[tuple[int, SafeString]]:
        """Yield the level and the text of each message."""
        for (level, sentences), named in self.groups.items():
            text = gettext("{names}: {sentences}")
            yield level, format_html(text, names=self._names(named), sentences=sentences)
        if self.gone:
            text = ngettext(
                "{names} is not stored any more.",
                "{names} are not stored any more.",
                len(self.gone),
            )
            yield messages.WARNING, format_html(text, names=self._names(self.gone, is_link=False))
        if self.unreached:
            text = ngettext(
                "For lack of time {count} key was not verified, {names}: verify it again.",
                "For lack of time {count} keys were not verified, {names}: select them again, or "
                "run manage.py certn_check.",
                len(self.unreached),
            )
            yield (
                messages.WARNING,
                format_html(text, count=len(self.unreached), names=self._names(self.unreached)),
            )

    def _names(self, named: Sequence[Named], *, is_link: bool = True) -> SafeString:
        shown = named[:NAMES_SHOWN]
        names: list[str] = [name for _pk, name in shown]
        if is_link and self.url_of:
            urls = [self.url_of(pk) for pk, _name in shown]
            names = [
                format_html('<a href="{}">{}</a>', url, name)
                for url, name in zip(urls, names, strict=True)
            ]
        listed = format_html_join(", ", gettext("“{name}”"), ({"name": name} for name in names))
        more = len(named) - len(shown)
        if not more:
            return listed
        text = ngettext("{names} and {count} more", "{names} and {count} more", more)
        return format_html(text, names=listed, count=more)


def in_history(outcome: Verification) -> str:
    """Return what History stores of a verification."""
    return HISTORY[outcome.status]


def shown_in_history(message: str) -> str:
    """Return what History shows of what it stores, which may be of anything."""
    return gettext(message) if message in HISTORY.values() else message


def level_of(outcome: Verification) -> int:
    if outcome.ok:
        return messages.SUCCESS
    # Nothing is known to be wrong with the key.
    return messages.WARNING if outcome.status in TRY_AGAIN else messages.ERROR
