"""The admin: enter a key, verify it, and see of each key whether it works."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.contrib.admin.utils import quote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from django_certn.changelist import Columns, NeedsAttentionFilter, StatusFilter
from django_certn.exceptions import CredentialNotFoundError
from django_certn.forms import CertnCredentialForm
from django_certn.models import CertnCredential
from django_certn.notices import Report, in_history, shown_in_history
from django_certn.secret import MaskedStr
from django_certn.verification import Verification, about_to_verify, verify

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[CertnCredential]
else:
    BaseAdmin = admin.ModelAdmin

__all__ = ["CertnCredentialAdmin"]

VERIFY = "_verify"  # the name of the button Save and verify
# Attributes of the request
SAVED = "_saved_certn_credential"
UNTIL_VERIFIED = "_certn_credential_until_verified"
HAS_END = "_certn_credential_has_end"
SECRET = "secret"  # noqa: S105 - the name of the form field

# Seconds in which Verify selected begins exchanges. One may take another CERTN_REQUEST_TIMEOUT, and
# gunicorn ends a worker that has not answered after 30.
# https://docs.gunicorn.org/en/stable/settings.html#timeout
VERIFY_BUDGET = 18.0

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


@admin.register(CertnCredential)
class CertnCredentialAdmin(Columns, BaseAdmin):
    """Keeps the secret write-only, and verifies after the commit, outside any transaction."""

    form = CertnCredentialForm
    list_display = (
        "breakable_name",
        "status",
        "environment_of_key",
        "verified",
        "age_of_key",
        "expires",
    )
    list_filter = (NeedsAttentionFilter, StatusFilter, "environment", "is_active")
    list_per_page = 50
    search_fields = ("name", "client_id")
    show_facets = admin.ShowFacets.ALWAYS
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

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if request.method == "GET" and self.has_add_permission(request):
            self._welcome(request)
        return super().changelist_view(request, extra_context)

    def _welcome(self, request: HttpRequest) -> None:
        """Say to whoever finds the list empty how it is filled."""
        if self.get_queryset(request).exists():
            return
        message = format_html(
            gettext(
                'No key is stored yet. <a href="{add}">Add one</a>, or try everything without an '
                "account: {command} is a stand-in for Certn on this computer."
            ),
            add=page_url(self, "add"),
            command="python -m django_certn.sandbox",
        )
        self.message_user(request, message)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Leave the end of the keys out where none has one."""
        columns = super().get_list_display(request)
        if not hasattr(request, HAS_END):
            rows = self.get_queryset(request).filter(expires_on__isnull=False)
            setattr(request, HAS_END, rows.exists())
        return columns if getattr(request, HAS_END) else [c for c in columns if c != "expires"]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        for entry in (getattr(response, "context_data", None) or {}).get("action_list", ()):
            entry.change_message = shown_in_history(entry.change_message)
        return response

    @admin.display(description=_("explanation"))
    def explanation(self, obj: CertnCredential) -> str:
        outcome = Verification.of(obj)
        return f"{outcome.detail} {outcome.hint}" if outcome else "-"

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
        with ExitStack() as until_verified:
            if VERIFY in request.POST:
                setattr(request, UNTIL_VERIFIED, until_verified)
            response = super().changeform_view(
                request, object_id, form_url, context | (extra_context or {})
            )
            # Out here the admin's own transaction has ended.
            saved = getattr(request, SAVED, None)
            if saved is not None and VERIFY in request.POST:
                selected = [(saved.pk, saved.name)]
                after_commit(partial(self._verify, request, selected, lambda pk: saved))
        return response

    def save_model(
        self, request: HttpRequest, obj: CertnCredential, form: Any, change: Any
    ) -> None:
        obj.save(update_fields=getattr(form, "update_fields", None))
        if until_verified := getattr(request, UNTIL_VERIFIED, None):
            until_verified.enter_context(about_to_verify(obj))
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
        # ATOMIC_REQUESTS holds a transaction open here too. Thousands may be selected, and few of
        # them are reached: no more of them than that is read.
        selected = list(queryset.values_list("pk", "name"))
        read = self.get_queryset(request).get
        after_commit(partial(self._verify, request, selected, lambda pk: read(pk=pk)))

    def _verify(
        self,
        request: HttpRequest,
        selected: list[tuple[Any, str]],
        read: Callable[[Any], CertnCredential],
    ) -> None:
        """Verify one after the other while there is time, and report by outcome.

        Args:
            request: whose user did it, and gets the messages.
            selected: primary keys and names.
            read: returns the row of a primary key.
        """
        end = monotonic() + VERIFY_BUDGET
        is_seen = self.has_view_permission(request)
        report = Report(partial(page_url, self, "change") if is_seen else None)
        for position, (pk, name) in enumerate(selected):
            if monotonic() > end:
                report.unreached = selected[position:]
                break
            try:
                credential = read(pk)
                outcome = verify(credential)
            except (CertnCredential.DoesNotExist, CredentialNotFoundError):
                report.gone.append((pk, name))
                continue
            report.add(pk, outcome)
            self.log_change(request, credential, in_history(outcome))
        for level, message in report.messages():
            self.message_user(request, message, level)


def page_url(model_admin: BaseAdmin, page: str, *pks: Any) -> str:
    name = admin_urlname(model_admin.opts, SafeString(page))
    return reverse(name, args=[quote(pk) for pk in pks], current_app=model_admin.admin_site.name)
