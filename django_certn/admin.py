"""The admin: enter a key, verify it, and see of each key whether it works."""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern
from django.utils import formats
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from django_certn.exceptions import CredentialNotFoundError, Status
from django_certn.expiry import ends_soon, today
from django_certn.forms import CertnCredentialForm, environment_label
from django_certn.models import CertnCredential
from django_certn.secret import MaskedStr
from django_certn.verification import Verification, verify

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[CertnCredential]
else:
    BaseAdmin = admin.ModelAdmin

__all__ = ["CertnCredentialAdmin"]

VERIFY = "_verify"  # the name of the button Save and verify
SAVED = "_saved_certn_credential"  # an attribute of the request
SECRET = "secret"  # noqa: S105 - the name of the form field

NEVER_VERIFIED = _("Never verified")

# Seconds in which Verify selected begins exchanges. One may take another CERTN_REQUEST_TIMEOUT, and
# gunicorn ends a worker that has not answered after 30.
# https://docs.gunicorn.org/en/stable/settings.html#timeout
VERIFY_BUDGET = 18.0
NAMES_SHOWN = 10  # in a message, which is kept in a cookie or in the session

VERIFICATION = (
    "status",
    "explanation",
    "verified_at",
    "verified_http_status",
    "verified_error_code",
)

View = Callable[..., HttpResponseBase]


def after_commit(callback: Callable[[], None]) -> None:
    """Call when no database has a transaction open, now or after the last of them committed.

    Not at all when one is rolled back. With ``ATOMIC_REQUESTS`` that is the transaction round the
    request: it ends before the middlewares take the response, so a message still gets through.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block and holds_transaction(connection.alias):
            callback = partial(transaction.on_commit, callback, using=connection.alias)
    callback()


def holds_transaction(using: str) -> bool:
    """Return whether something here waits for a commit; the `TestCase` of a site does not."""
    try:
        with transaction.atomic(using=using, durable=True):
            return False
    except RuntimeError:
        return True


def mask_secret(view: View) -> View:
    """Keep the secret that is posted to the view out of debug pages and error mails."""

    @sensitive_post_parameters(SECRET)
    @wraps(view)
    def masked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if SECRET in request.POST:
            # With DEBUG on, sensitive_post_parameters does nothing; a MaskedStr masks itself.
            post = request.POST.copy()
            post.setlist(SECRET, [MaskedStr(text) for text in post.getlist(SECRET)])
            request.POST = post  # type: ignore[assignment]
        return view(request, *args, **kwargs)

    return masked


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
        if value is None:
            return queryset
        return queryset.filter(verified_status="" if value == "never" else value)


@admin.register(CertnCredential)
class CertnCredentialAdmin(BaseAdmin):
    """Keeps the secret write-only, and verifies after the commit, outside any transaction."""

    form = CertnCredentialForm
    list_display = (
        "name",
        "environment_label",
        "client_id",
        "is_active",
        "status",
        "verified_at",
        "age_of_key",
        "expires",
    )
    list_filter = ("environment", StatusFilter, "is_active")
    search_fields = ("name", "client_id")
    actions = ("verify_selected",)
    readonly_fields = (
        *VERIFICATION,
        "secret_changed_at",
        "created_at",
        "updated_at",
    )
    save_as = False

    def get_fieldsets(self, request: HttpRequest, obj: CertnCredential | None = None) -> Any:
        fields = ("name", "environment", "client_id", SECRET, "expires_on", "is_active")
        if obj is None:
            return ((None, {"fields": fields}),)
        return (
            (None, {"fields": fields}),
            (_("Verification"), {"fields": VERIFICATION}),
            (_("Dates"), {"fields": ("secret_changed_at", "created_at", "updated_at")}),
        )

    def get_urls(self) -> list[URLPattern]:
        # The outermost view: what fails on the way to the form, the session for one, is covered.
        urls = super().get_urls()
        for url in urls:
            if url.name and url.name.endswith(("_add", "_change")):
                url.callback = mask_secret(url.callback)
        return urls

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if lookup.split("__", maxsplit=1)[0] == "client_secret":
            return False
        return super().lookup_allowed(lookup, value, request)

    # What is shown

    @admin.display(description=_("environment"), ordering="environment")
    def environment_label(self, obj: CertnCredential) -> str:
        return environment_label(obj.environment)

    @admin.display(description=_("status"), ordering="verified_status")
    def status(self, obj: CertnCredential) -> str:
        return str(obj.get_verified_status_display() or NEVER_VERIFIED)

    @admin.display(description=_("explanation"))
    def explanation(self, obj: CertnCredential) -> str:
        outcome = Verification.of(obj)
        return f"{outcome.detail} {outcome.hint}" if outcome else "-"

    @admin.display(description=_("age of the key"), ordering="-secret_changed_at", empty_value="-")
    def age_of_key(self, obj: CertnCredential) -> str | None:
        return timesince(obj.secret_changed_at, depth=1) if obj.secret_changed_at else None

    @admin.display(description=_("expires"), ordering="expires_on", empty_value="-")
    def expires(self, obj: CertnCredential) -> str | None:
        day = obj.expires_on
        if day is None:
            return None
        shown = formats.date_format(day, "DATE_FORMAT")
        if not ends_soon(day):
            return shown
        left = (day - today()).days
        if left < 0:
            return gettext("⚠ %(day)s, has ended") % {"day": shown}
        if left == 0:
            return gettext("⚠ %(day)s, ends today") % {"day": shown}
        message = ngettext("⚠ %(day)s, %(left)d day left", "⚠ %(day)s, %(left)d days left", left)
        return message % {"day": shown, "left": left}

    @admin.display(description=_("Client Secret or API key"))
    def secret(self, obj: CertnCredential) -> str:
        """What whoever may only view the row sees in place of the form field."""
        return gettext("Stored, not shown.")

    # Save and verify

    def has_verify_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        codename = get_permission_codename("verify", self.opts)
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if VERIFY in request.POST:
            if not self.has_verify_permission(request):
                raise PermissionDenied
            if self.has_view_permission(request):
                # Back to the same page, where the outcome is shown.
                post = request.POST.copy()
                post["_continue"] = ""
                request.POST = post  # type: ignore[assignment]
        context = {"has_verify_permission": self.has_verify_permission(request)}
        response = super().changeform_view(
            request, object_id, form_url, context | (extra_context or {})
        )
        # Out here the admin's own transaction has ended.
        saved = getattr(request, SAVED, None)
        if saved is not None and VERIFY in request.POST:
            after_commit(partial(self._verify, request, [saved]))
        return response

    def save_model(
        self, request: HttpRequest, obj: CertnCredential, form: Any, change: Any
    ) -> None:
        obj.save(update_fields=getattr(form, "update_fields", None))
        for warning in getattr(form, "warnings", ()):
            self.message_user(request, str(warning), messages.WARNING)

    def response_add(
        self, request: HttpRequest, obj: CertnCredential, post_url_continue: str | None = None
    ) -> HttpResponse:
        setattr(request, SAVED, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: CertnCredential) -> HttpResponse:
        setattr(request, SAVED, obj)
        return super().response_change(request, obj)

    # Verify selected

    @admin.action(description=_("Verify selected %(verbose_name_plural)s"), permissions=["verify"])
    def verify_selected(self, request: HttpRequest, queryset: QuerySet[CertnCredential]) -> None:
        # ATOMIC_REQUESTS holds a transaction open here too.
        after_commit(partial(self._verify, request, list(queryset)))

    def _verify(self, request: HttpRequest, credentials: list[CertnCredential]) -> None:
        end = monotonic() + VERIFY_BUDGET
        outcomes: list[Verification] = []
        for done, credential in enumerate(credentials):
            if monotonic() > end:
                left = len(credentials) - done
                message = ngettext(
                    "%(count)d credential was not verified, for lack of time: verify it again.",
                    "%(count)d credentials were not verified, for lack of time: "
                    "select fewer at once.",
                    left,
                )
                self.message_user(request, message % {"count": left}, messages.WARNING)
                break
            try:
                outcome = verify(credential)
            except CredentialNotFoundError:  # deleted meanwhile
                message = gettext("“%(name)s” is not stored any more.") % {"name": credential.name}
                self.message_user(request, message, messages.WARNING)
                continue
            outcomes.append(outcome)
            self.log_change(request, credential, f"Verified: {outcome.status}")
        for level, message in tell(outcomes):
            self.message_user(request, message, level)


def tell(outcomes: list[Verification]) -> Iterator[tuple[int, str]]:
    """Yield the level and the text of each message; the same outcome is told once for all names."""
    told: dict[tuple[bool, str, str], list[str]] = {}
    for outcome in outcomes:
        told.setdefault((outcome.ok, outcome.detail, outcome.hint), []).append(outcome.name)
    for (ok, detail, hint), names in told.items():
        level = messages.SUCCESS if ok else messages.ERROR
        yield level, f"{join(names)}: {detail} {hint}".rstrip()


def join(names: list[str]) -> str:
    listed = ", ".join(f"“{name}”" for name in names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    if more <= 0:
        return listed
    return gettext("%(names)s and %(count)d more") % {"names": listed, "count": more}
