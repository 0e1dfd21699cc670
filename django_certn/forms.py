"""The form of a credential: the secret goes in and never comes out."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_certn.conf import Scheme, environment_choices, scheme_of
from django_certn.formfields import SecretFormField, WriteOnlyInput
from django_certn.keys import look_swapped, looks_like_api_key
from django_certn.models import KEY_FIELDS, CertnCredential
from django_certn.pasted import clean_pasted
from django_certn.secret import UndecryptableSecret

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[CertnCredential]
else:
    BaseForm = forms.ModelForm

__all__ = ["CertnCredentialForm"]

AGAIN = "-again"  # behind the name of an input that has to be filled in once more
NOT_KEPT = _("What you pasted was not kept: paste it again.")
ABOUT_BOTH_HALVES = {"same", "pair"}  # codes of the model's errors


def environment_label(slug: str) -> str:
    """Return what people call the environment, and say so when the settings lack it."""
    label = dict(environment_choices()).get(slug)
    if label is None:
        return gettext("%(environment)s (not in the settings)") % {"environment": slug}
    return str(label)


def describe_environments() -> str:
    """Return which fields a key of each environment needs."""
    labels: dict[Scheme, list[str]] = {scheme: [] for scheme in Scheme}
    for slug, label in environment_choices():
        if scheme := scheme_of(slug):
            labels[scheme].append(str(label))
    return gettext(
        "Where the key was made. With a Client ID and a Client Secret: %(pairs)s. With an API key "
        "alone: %(api_keys)s."
    ) % {
        "pairs": ", ".join(labels[Scheme.OAUTH]),
        "api_keys": ", ".join(labels[Scheme.API_KEY]),
    }


class SecretInput(WriteOnlyInput):
    """A password input that can say, to the form which it is sent with, that it came back empty."""

    comes_back = False

    def render(self, name: str, value: Any, *args: Any, **kwargs: Any) -> SafeString:
        shown = super().render(name, value, *args, **kwargs)
        if not self.comes_back:
            return shown
        return format_html('{}<input type="hidden" name="{}" value="1">', shown, name + AGAIN)


class DayInput(forms.DateInput):
    """The browser's own input of a date.

    That of the admin mentions time zones and offers today's local date: this one is in UTC.
    """

    input_type = "date"

    def __init__(self, attrs: Any = None) -> None:
        # That is the format which browsers want, whatever they show. django-grappelli makes a text
        # input of it.
        super().__init__({"placeholder": _("YYYY-MM-DD"), **(attrs or {})}, format="%Y-%m-%d")


class CertnCredentialForm(BaseForm):
    """Adds or changes a `CertnCredential`.

    The form field of the secret is named ``secret``: error trackers mask that name, and let
    ``client_secret`` through. Left empty on a row that has a secret, it keeps what is stored.
    """

    secret = SecretFormField(
        label=_("Client Secret or API key"),
        help_text=_(
            "Certn shows it once, when it is made. It is stored encrypted and not shown again."
        ),
    )

    _is_other_kind = False

    field_order = ("name", "environment", "client_id", "secret", "expires_on", "is_active")

    class Meta:
        model = CertnCredential
        fields = ("name", "environment", "client_id", "expires_on", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Any of these is missing when it is read-only to whoever looks at it.
        secret, client_id = self.fields.get("secret"), self.fields.get("client_id")
        if end := self.fields.get("expires_on"):
            end.widget = DayInput(end.widget.attrs)
            if "class" in end.widget.attrs:
                # The admin's script makes a calendar of its own out of each vDateField.
                other = end.widget.attrs["class"].replace("vDateField", "vTextField")
                end.widget.attrs["class"] = f"{other} form-control max-w-2xl"
        if secret:
            self._describe_secret(secret)
        if client_id:
            attrs = client_id.widget.attrs
            if "class" in attrs:
                # A Client ID has 40 characters. This is the admin's wider text input, and it is as
                # wide as its column in themes made with Bootstrap or Tailwind.
                wider = attrs["class"].replace("vTextField", "vURLField")
                attrs["class"] = f"{wider} form-control w-full"
            if secret and "class" in attrs:
                # The admin and its themes style the inputs of the model's own fields only.
                secret.widget.attrs["class"] = attrs["class"]
            # A text input above a password is where browsers fill in the login of this site.
            attrs.update(autocomplete="off", spellcheck="false")
        environment: Any = self.fields.get("environment")
        if environment:
            environment.help_text = describe_environments()
            if isinstance(environment.widget, forms.Select) and "" not in dict(environment.choices):
                # A theme that leaves the empty choice out would have the first one chosen.
                of_model: Any = CertnCredential._meta.get_field("environment")
                environment.choices = [next(iter(of_model.get_choices())), *environment.choices]
        stored = self.instance.environment
        if environment and stored and stored not in dict(environment.choices):
            environment.choices = [*environment.choices, (stored, environment_label(stored))]

    def _describe_secret(self, field: forms.Field) -> None:
        field.widget = SecretInput(field.widget.attrs)
        stored = self.instance.client_secret
        if self.instance._state.adding:
            return
        if isinstance(stored, UndecryptableSecret):
            field.required = False
            field.help_text = _(
                "The stored secret cannot be read with this FIELD_ENCRYPTION_KEY. Put the earlier "
                "encryption key back, behind the one in force. Only if that is lost: enter the "
                "pair or the API key again or, if nobody has it, a new pair or API key from Certn."
            )
            if stored.plain_text() is not None:
                field.help_text = _(
                    "The stored secret is in the database as plain text, and is not used. Run "
                    "manage.py certn_reencrypt --encrypt-plaintext. Whoever could read the "
                    "database, or a backup of it, may know it: plan to replace it. At Certn, "
                    "refresh keys ends the pair for every system that uses it; a new API key ends "
                    "none."
                )
        elif stored:
            field.required = False
            field.help_text = _("A secret is stored. Leave this empty to keep it.")

    def full_clean(self) -> None:
        super().full_clean()
        secret = self.fields.get("secret")
        if not secret or not self.is_bound or not self._is_secret_expected():
            return
        # Whenever this is drawn again, the input is empty, be it for an error of another form.
        secret.widget.comes_back = True
        # Of the bound field, which has taken over the text of the field by now.
        bound: Any = self["secret"]
        if not self.errors:
            bound.help_text = NOT_KEPT
        elif not secret.required:
            bound.help_text = _("A secret is stored. To keep it, open this page anew.")
        if self.errors and "secret" not in self.errors:
            self._refuse_secret(NOT_KEPT, code="not_kept")

    def _is_secret_expected(self) -> bool:
        """Return whether one was typed, in this round or in one before it."""
        return "secret" in self.changed_data or self.add_prefix("secret") + AGAIN in self.data

    def clean_client_id(self) -> str:
        return clean_pasted(self.cleaned_data["client_id"])

    @sensitive_variables("secret")
    def clean(self) -> dict[str, Any]:
        """Hold the parts of a key together."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        secret = cleaned.get("secret")
        self._recognise_api_key(cleaned)
        if secret:
            self.instance.client_secret = secret
        elif "secret" not in self.errors and self._is_secret_expected():
            self._refuse_secret(NOT_KEPT, code="not_kept")
        return cleaned

    @sensitive_variables("secret")
    def _recognise_api_key(self, cleaned: dict[str, Any]) -> None:
        """Say so, where half a key is missing, and the other half is clearly an API key."""
        client_id = cleaned.get("client_id", self.instance.client_id)
        secret = cleaned.get("secret") or ""
        scheme = scheme_of(cleaned.get("environment", self.instance.environment))
        if scheme == Scheme.OAUTH and not client_id and looks_like_api_key(secret):
            self._refuse_kind(
                "environment",
                _(
                    "What was entered as the secret is an API key of CertnCentric. A key of this "
                    "environment has a Client ID and a Client Secret: choose the environment in "
                    "which the API key was made, and enter it again."
                ),
            )
        elif scheme and not secret and looks_like_api_key(client_id):
            self._refuse_kind(
                "client_id",
                _(
                    "This is an API key of CertnCentric, which has no Client ID. Leave this empty, "
                    "choose the environment in which the API key was made, and enter it as the "
                    "secret."
                ),
            )

    def _refuse_kind(self, field: str, message: Any) -> None:
        self._is_other_kind = True
        self.add_error(field, forms.ValidationError(message, code="other_kind"))

    def _refuse_secret(self, message: Any, code: str) -> None:
        error = forms.ValidationError(message, code=code)
        self.add_error("secret" if "secret" in self.fields else None, error)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        # What the model says of the halves of a key stands where it can be mended.
        field = "secret" if "secret" in self.fields else None
        errors = self.errors.pop(NON_FIELD_ERRORS, None)
        for error in errors.as_data() if errors else ():
            if error.code not in ABOUT_BOTH_HALVES:
                self.add_error(None, error)
            elif field is None or field not in self.errors:
                self.add_error(field, error)

    @property
    def warnings(self) -> list[Any]:
        """What looks wrong in a valid form and may be right: sentences, one each."""
        client_id, secret = (self.cleaned_data.get(name) for name in ("client_id", "secret"))
        if not client_id or not secret or not look_swapped(client_id, secret):
            return []
        return [
            _(
                "The Client ID and the Client Secret look as if each stood in the other's place. "
                "If Certn refuses this key, enter both again."
            )
        ]

    def _get_validation_exclusions(self) -> set[str]:
        # The form field has judged it. The model refuses one that left the settings, and no other
        # field of the row could be changed.
        exclude: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        exclude.add("environment")
        if self._is_other_kind:  # another Client ID, or none, would not help
            exclude.add("client_id")
        return exclude

    @property
    def update_fields(self) -> Collection[str] | None:
        """The columns that saving writes, ``None`` for all of a new row.

        Without a new secret the key stays out of it: another person may have stored a new pair
        since this row was read, and an old Client ID beside it would break that.
        """
        if self.instance._state.adding:
            return None
        key = KEY_FIELDS if self.cleaned_data.get("secret") else ()
        end = {"expires_on"} & set(self.changed_data)
        return {"name", "is_active", "updated_at", *key, *end}

    def save(self, commit: bool = True) -> CertnCredential:
        if not commit or self.errors or self.update_fields is None:
            return super().save(commit)
        instance = super().save(commit=False)
        instance.save(update_fields=self.update_fields)
        self.save_m2m()
        return instance
