"""The list of credentials, as the page that an operator keeps open: its columns and its filters."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.expiry import WARNING_TIME, ends_soon, today
from django_certn.forms import environment_label
from django_certn.models import CertnCredential

__all__ = ["NEVER_VERIFIED", "Columns", "NeedsAttentionFilter", "StatusFilter", "severity"]

NEVER_VERIFIED = pgettext_lazy("key status", "Never verified")
STALE = timedelta(days=30)  # after which an outcome says little about today

# Shapes, not colours: whoever sees no red reads them, in print and in each theme too.
# Plain signs of text; some others are drawn as coloured pictures.
OK, BROKEN, AGAIN, NEVER, SOON = "✓", "✗", "↻", "–", "!"  # noqa: RUF001 - a dash, as wide as the others

# What a browser does not break by itself: up to a sign between words, and to this many characters.
PARTS = re.compile(r"[^_.@/:]{1,10}[_.@/:]*|[_.@/:]+")

WHOLE = 20  # characters up to which a Client ID is shown whole


def severity() -> Case:
    """Return an expression by which the worst outcome comes first."""
    return Case(
        When(verified_status=Status.OK, then=Value(3)),
        When(verified_status="", then=Value(2)),
        When(verified_status__in=TRY_AGAIN, then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )


def needs_attention() -> Q:
    """Return what makes somebody look: only what is switched on calls for that."""
    return Q(is_active=True) & (
        ~Q(verified_status=Status.OK)
        | Q(verified_at__isnull=True)
        | Q(verified_at__lt=timezone.now() - STALE)
        | Q(expires_on__lte=today() + WARNING_TIME)
    )


class NeedsAttentionFilter(admin.SimpleListFilter):
    """Active and not ok, not verified for 30 days, or about to end."""

    title = _("needs attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[CertnCredential]
    ) -> QuerySet[CertnCredential]:
        if self.value() == "yes":
            return queryset.filter(needs_attention())
        if self.value() == "no":
            return queryset.exclude(needs_attention())
        return queryset


class StatusFilter(admin.SimpleListFilter):
    """By the outcome of the last verification; the field's own filter lacks "never"."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Status.choices, ("never", NEVER_VERIFIED)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[CertnCredential]
    ) -> QuerySet[CertnCredential]:
        value = self.value()
        if value == "never":
            return queryset.filter(verified_status="")
        # PostgreSQL raises for some nonsense; none of it is a filter.
        return queryset.filter(verified_status=value) if value in Status.values else queryset


class Columns:
    """What the list shows of each row. None of them needs a query of its own."""

    @admin.display(description=_("name"), ordering="name")
    def breakable_name(self, obj: CertnCredential) -> SafeString:
        """With places to break it at, or a long one pushes the status off a small screen."""
        parts = ((part,) for part in PARTS.findall(obj.name))
        return format_html_join(SafeString("<wbr>"), "{}", parts)

    @admin.display(description=_("status"), ordering=severity())
    def status(self, obj: CertnCredential) -> SafeString:
        """With a word where it is switched off; one more column would be cut off at 1280 px."""
        shown = signed(sign_of(obj), obj.get_verified_status_display() or NEVER_VERIFIED)
        return shown if obj.is_active else format_html("{}<br>{}", shown, gettext("switched off"))

    @admin.display(description=_("environment"), ordering="environment")
    def environment_of_key(self, obj: CertnCredential) -> str:
        """With enough of the Client ID to know it by; two columns would be cut off at 1280 px."""
        label, client_id = environment_label(obj.environment), obj.client_id
        if not client_id:
            return label
        shown = client_id if len(client_id) <= WHOLE else f"{client_id[:6]}…{client_id[-4:]}"
        return format_html('{}<br><span title="{}">{}</span>', label, client_id, shown)

    @admin.display(description=_("verified"), ordering="verified_at", empty_value="-")
    def verified(self, obj: CertnCredential) -> SafeString | None:
        if obj.verified_at is None:
            return None
        is_stale = timezone.now() - obj.verified_at > STALE
        text = gettext("not verified for %(age)s") if is_stale else gettext("%(age)s ago")
        return at(obj.verified_at, text)

    @admin.display(description=_("key age"), ordering="-secret_changed_at", empty_value="-")
    def age_of_key(self, obj: CertnCredential) -> SafeString | None:
        return at(obj.secret_changed_at, "%(age)s") if obj.secret_changed_at else None

    @admin.display(description=_("expires"), ordering="expires_on", empty_value="-")
    def expires(self, obj: CertnCredential) -> str | None:
        day = obj.expires_on
        if day is None:
            return None
        shown = formats.date_format(day, "DATE_FORMAT")
        if not ends_soon(day):
            return shown
        left = (day - today()).days
        if left > 0:
            text = ngettext("in %(days)d day", "in %(days)d days", left) % {"days": left}
        elif left == 0:
            text = gettext("today")
        else:
            text = ngettext("%(days)d day ago", "%(days)d days ago", -left) % {"days": -left}
        time = format_html('<time datetime="{}" title="{}">{}</time>', day, shown, text)
        return signed(SOON if left > 0 else BROKEN, time)


def sign_of(obj: CertnCredential) -> str:
    status = obj.verified_status
    if not status:
        return NEVER
    if status == Status.OK:
        return OK
    return AGAIN if status in TRY_AGAIN else BROKEN


def signed(sign: str, text: Any) -> SafeString:
    """Return the text behind a sign, which is not read aloud: the text says the same."""
    # A no-break space: a sign alone on its line says little.
    return format_html('<span aria-hidden="true">{}</span>\N{NO-BREAK SPACE}{}', sign, text)


def at(moment: datetime, text: str) -> SafeString:
    """Return how long ago that was; the time itself is what a browser shows to who points at it.

    Args:
        moment: aware, or naive as ``USE_TZ = False`` reads it.
        text: holds ``%(age)s``.
    """
    if timezone.now() - moment < timedelta(minutes=1):
        words = gettext("just now")
    else:
        words = text % {"age": timesince(moment, depth=1)}
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    local = timezone.localtime(aware)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        formats.date_format(local, "DATETIME_FORMAT"),
        words,
    )
