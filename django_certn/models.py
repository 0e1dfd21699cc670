"""The stored credential."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_certn import tenancy
from django_certn.conf import MAX_SLUG, Scheme, conf, environment_choices, scheme_of
from django_certn.exceptions import CertnConfigurationError, Status
from django_certn.expiry import end_of_key
from django_certn.fields import EncryptedSecretField
from django_certn.keys import Key, validate_client_id, validate_name, validate_pasted_client_id
from django_certn.managers import StoredManager
from django_certn.pasted import VSCHAR, clean_pasted
from django_certn.querysets import PairValidator, apart, refuse_erasing, takes_secret_along
from django_certn.secret import UndecryptableSecret

if TYPE_CHECKING:
    from django_certn.columns import Day, HttpStatus, MaybeTime, SecretField, Switch, Text, Time

__all__ = ["CertnCredential", "Key"]

KEY_FIELDS = ("environment", "client_id", "client_secret")
# And what they hold before the first verification.
VERIFIED_FIELDS: dict[str, Any] = {
    "verified_status": "",
    "verified_http_status": None,
    "verified_error_code": "",
    "verified_at": None,
}


class CertnCredentialManager(StoredManager["CertnCredential"]):
    """Reads the rows of this app."""


class CertnCredential(tenancy.OfTenant, models.Model):
    """One stored key of a Certn account, known by its name.

    The environment says which kind of key it is. A Client ID and a Client Secret come from the
    Partner tab of Certn's dashboard: https://docs.certn.co/api/guides/use-the-api. An API key of
    CertnCentric comes from the Client Portal, and is kept in the field of the secret:
    https://centric-api-docs.certn.co/reference/authentication.md
    """

    name: "Text" = models.CharField(
        _("name"),
        max_length=100,
        unique=True,
        default="default",
        validators=[validate_name],
        help_text=_("How the code asks for this credential."),
    )
    environment: "Text" = models.CharField(
        _("environment"),
        max_length=MAX_SLUG,
        choices=environment_choices,
        help_text=_("Where the key was made. A demo key does not work in production."),
    )
    client_id: "Text" = models.CharField(
        _("Client ID"),
        max_length=255,
        blank=True,
        validators=[
            RegexValidator(
                rf"\A{VSCHAR.pattern}\Z",
                _("A Client ID holds printable ASCII characters only: copy it again."),
            ),
            validate_pasted_client_id,
        ],
        help_text=_("Shown on Certn's Partner tab, under API Keys. An API key has none."),
    )
    client_secret: "SecretField" = EncryptedSecretField(
        _("Client Secret or API key"),
        help_text=_("Certn shows it once, when it is made. It is stored encrypted."),
    )
    expires_on: "Day" = models.DateField(
        _("expires"),
        null=True,
        blank=True,
        help_text=_(
            "The day (UTC) on which an API key ends. Left empty: 365 days after the key was "
            "entered. A Client Secret has none."
        ),
    )
    is_active: "Switch" = models.BooleanField(
        pgettext_lazy("key status", "active"),
        default=True,
        help_text=_("When this is off, no token is handed out for the credential."),
    )
    verified_status: "Text" = models.CharField(
        _("status"), max_length=20, choices=Status, blank=True, default="", editable=False
    )
    verified_http_status: "HttpStatus" = models.PositiveSmallIntegerField(
        _("HTTP status"), null=True, editable=False
    )
    verified_error_code: "Text" = models.CharField(
        _("error code"), max_length=64, blank=True, default="", editable=False
    )
    verified_at: "MaybeTime" = models.DateTimeField(_("last verified"), null=True, editable=False)
    secret_changed_at: "MaybeTime" = models.DateTimeField(
        _("secret changed"), null=True, editable=False
    )
    created_at: "Time" = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at: "Time" = models.DateTimeField(_("updated"), auto_now=True)

    objects: ClassVar[CertnCredentialManager] = CertnCredentialManager()

    class Meta:
        verbose_name: ClassVar[Any] = _("Certn credential")
        verbose_name_plural: ClassVar[Any] = _("Certn credentials")
        ordering: ClassVar[Any] = ("name",)
        permissions: ClassVar[Any] = (("verify_certncredential", "Can verify Certn credential"),)

    def __str__(self) -> str:
        return self.name

    def save(self, **kwargs: Any) -> None:
        """Save the row; another secret, Client ID or environment clears the verified fields.

        An API key without a date ends 365 days after its secret changed, and so does one that comes
        in place of another with the date of that one. A Client Secret has no date.
        """
        written = {*KEY_FIELDS, "expires_on"} - self.get_deferred_fields()
        update_fields = kwargs.get("update_fields")
        if update_fields is not None:
            written &= set(update_fields)
        touched = self._follow_key(written, kwargs.get("using")) if written else set()
        if update_fields is not None and touched:
            kwargs["update_fields"] = {*update_fields, *touched}
        super().save(**kwargs)
        if "client_secret" in written:
            self.client_secret = self.client_secret.as_stored()
        self.note_tenant()

    def natural_key(self) -> tuple[str]:
        return (self.name,)

    def clean_fields(self, exclude: Any = None) -> None:
        for field in ("name", "client_id"):
            value = getattr(self, field)
            if field not in (exclude or ()) and isinstance(value, str):
                setattr(self, field, clean_pasted(value))
        errors: dict[str, Any] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        # Not in clean(): a form without this field could not place the error.
        if "client_id" not in {*(exclude or ()), *errors}:
            try:
                validate_client_id(self.client_id, scheme_of(self.environment))
            except ValidationError as error:
                errors["client_id"] = error.error_list
        if errors:
            raise ValidationError(errors)

    def clean(self) -> None:
        super().clean()
        if self.client_id and self.client_id == self.client_secret:
            raise ValidationError(
                _("The Client ID and the Client Secret are the same: one was pasted twice."),
                code="same",
            )
        if takes_secret_along(self):
            raise apart()

    def _follow_key(self, written: set[str], using: str | None) -> set[str]:
        """Bring the fields that describe the key up to date with it; return their names."""
        stored = None
        if self.pk is not None:
            using = using or router.db_for_write(type(self), instance=self)
            stored = type(self)._base_manager.using(using).filter(pk=self.pk).first()
        if stored and "client_secret" in written:
            refuse_erasing(self, stored)
        touched: set[str] = set()
        if stored is None:
            self.secret_changed_at = self.secret_changed_at or timezone.now()
            touched.add("secret_changed_at")
        elif "client_secret" in written and not self._same_secret(stored):
            self.secret_changed_at = timezone.now()
            touched.add("secret_changed_at")
            if isinstance(self.client_secret, UndecryptableSecret):
                # Of another row. Its plain text is encrypted on the way, being new to this one.
                self.client_secret = self.client_secret.for_another_row()
        if stored and (
            touched
            or any(
                getattr(self, field) != getattr(stored, field)
                for field in written & {"environment", "client_id"}
            )
        ):
            for field, blank in VERIFIED_FIELDS.items():
                setattr(self, field, blank)
                touched.add(field)
        if self._follow_end(written, stored, is_new="secret_changed_at" in touched):
            touched.add("expires_on")
        return touched

    def _follow_end(self, written: set[str], stored: Self | None, *, is_new: bool) -> bool:
        """Bring the end of the key up to date with it; return whether that changed anything."""
        is_written = stored is None or "expires_on" in written
        source = self if stored is None or "environment" in written else stored
        changed_at = (self if is_new else stored or self).secret_changed_at
        earlier = stored.expires_on if stored else None
        end = end_of_key(
            scheme_of(source.environment),
            self._end() if is_written else earlier,
            earlier=earlier,
            changed_at=changed_at or timezone.now(),
            is_new=is_new,
        )
        if end == (self.expires_on if is_written else earlier):
            return False
        self.expires_on = end
        return True

    def _end(self) -> Any:
        try:
            return models.DateField().to_python(self.expires_on)
        except (TypeError, ValidationError):
            return self.expires_on  # an expression, or what Django is about to refuse

    def holds(self, other: Self) -> bool:
        """Return whether both rows hold the same key for the same environment."""
        return (
            self.environment == other.environment
            and self.client_id == other.client_id
            and self._same_secret(other)
        )

    def _same_secret(self, other: Self) -> bool:
        return bool(self.client_secret == other.client_secret)

    def key(self) -> Key:
        """Return what an exchange needs.

        Raises:
            CertnConfigurationError: the environment is not in the settings, or half a key is
                missing.
            CredentialUndecryptableError: no key of ``FIELD_ENCRYPTION_KEY`` opens the secret.
        """
        environment = conf.environment(self.environment)
        if isinstance(self.client_secret, UndecryptableSecret):
            raise self.client_secret.error(self.name)
        label = tenancy.label(self.name, self._tenant)
        if environment.scheme == Scheme.API_KEY:
            if not self.client_secret:
                raise CertnConfigurationError(f"The credential {self.name!r} lacks its API key.")
            return Key(label, environment, "", self.client_secret)
        if not self.client_id or not self.client_secret:
            raise CertnConfigurationError(
                f"The credential {self.name!r} lacks its Client ID or its Client Secret."
            )
        return Key(label, environment, self.client_id, self.client_secret)


for _half in (CertnCredential.environment, CertnCredential.client_id):
    # Here, for what a field is given is part of a migration.
    _half.field.validators.append(PairValidator())
