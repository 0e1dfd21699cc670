"""The stored credential."""

from dataclasses import dataclass
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_certn.conf import Environment, conf, environment_choices
from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialNotFoundError,
    CredentialUndecryptableError,
    Status,
)
from django_certn.fields import (
    VSCHAR,
    EncryptedSecretField,
    Secret,
    UndecryptableSecret,
    clean_pasted,
)

__all__ = ["CertnCredential", "Key"]

KEY_FIELDS = ("environment", "client_id", "client_secret")
# And what they hold before the first verification.
VERIFIED_FIELDS = {
    "verified_status": "",
    "verified_http_status": None,
    "verified_error_code": "",
    "verified_at": None,
}


@dataclass(frozen=True, slots=True)
class Key:
    """What an exchange needs: a readable key, and where it goes.

    Attributes:
        name: the name of the credential, for the log.
    """

    name: str
    environment: Environment
    client_id: str
    client_secret: Secret


class CertnCredentialManager(models.Manager["CertnCredential"]):
    def get_by_natural_key(self, name: str) -> "CertnCredential":
        return self.get(name=name)

    def stored(self, credential: "str | CertnCredential") -> "CertnCredential":
        """Return the row as it is stored now, read where it is written and not from a replica.

        An instance stands for its row; what it holds in memory has no part in this.

        Raises:
            CredentialNotFoundError: there is no such row.
        """
        if isinstance(credential, str):
            using = self._db or router.db_for_write(self.model)
            row = self.using(using).filter(name=credential).first()
            # MySQL takes "Acme" for "acme"; a name never stands for another credential.
            if row is None or row.name != credential:
                raise CredentialNotFoundError(
                    f"No Certn credential is named {credential!r}: add it in the admin, "
                    "or name one that is there."
                )
            return row
        if not isinstance(credential, CertnCredential):
            raise TypeError("A credential is given by its name or as a CertnCredential.")
        row = None
        if not credential._state.adding:
            using = router.db_for_write(self.model, instance=credential)
            row = self.using(using).filter(pk=credential.pk).first()
        if row is None:
            raise CredentialNotFoundError(
                f"The Certn credential {credential.name!r} is not stored: save it first."
            )
        return row


class CertnCredential(models.Model):
    """One stored key of a Certn account, known by its name.

    The Client ID and the Client Secret come from the Partner tab of Certn's dashboard:
    https://docs.certn.co/api/guides/use-the-api
    """

    name = models.CharField(
        _("name"),
        max_length=100,
        unique=True,
        default="default",
        help_text=_("How the code asks for this credential."),
    )
    environment = models.CharField(
        _("environment"),
        max_length=50,
        choices=environment_choices,
        help_text=_("Where the key was made. A demo key does not work in production."),
    )
    client_id = models.CharField(
        _("Client ID"),
        max_length=255,
        validators=[
            RegexValidator(
                rf"\A{VSCHAR.pattern}\Z",
                _("A Client ID holds printable ASCII characters only: copy it again."),
            )
        ],
        help_text=_("Shown on Certn's Partner tab, under API Keys."),
    )
    client_secret = EncryptedSecretField(
        _("Client Secret"),
        help_text=_("Certn shows it once, when the keys are refreshed. It is stored encrypted."),
    )
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("When this is off, no token is handed out for the credential."),
    )
    verified_status = models.CharField(
        _("status"), max_length=20, choices=Status, blank=True, default="", editable=False
    )
    verified_http_status = models.PositiveSmallIntegerField(
        _("HTTP status"), null=True, editable=False
    )
    verified_error_code = models.CharField(
        _("error code"), max_length=64, blank=True, default="", editable=False
    )
    verified_at = models.DateTimeField(_("last verified"), null=True, editable=False)
    secret_changed_at = models.DateTimeField(_("secret changed"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = CertnCredentialManager()

    class Meta:
        verbose_name = _("Certn credential")
        verbose_name_plural = _("Certn credentials")
        ordering = ("name",)
        permissions = (("verify_certncredential", "Can verify Certn credential"),)

    def __str__(self) -> str:
        return self.name

    def save(self, **kwargs: Any) -> None:
        """Save the row; another secret, Client ID or environment clears the verified fields."""
        written = set(KEY_FIELDS) - self.get_deferred_fields()
        update_fields = kwargs.get("update_fields")
        if update_fields is not None:
            written &= set(update_fields)
        touched = self._follow_key(written, kwargs.get("using")) if written else set()
        if update_fields is not None and touched:
            kwargs["update_fields"] = {*update_fields, *touched}
        super().save(**kwargs)

    def natural_key(self) -> tuple[str]:
        return (self.name,)

    def clean_fields(self, exclude: Any = None) -> None:
        for field in ("name", "client_id"):
            value = getattr(self, field)
            if field not in (exclude or ()) and isinstance(value, str):
                setattr(self, field, clean_pasted(value))
        super().clean_fields(exclude)

    def clean(self) -> None:
        super().clean()
        if self.client_id and self.client_id == self.client_secret:
            raise ValidationError(
                _("The Client ID and the Client Secret are the same: one was pasted twice."),
                code="same",
            )

    def _follow_key(self, written: set[str], using: str | None) -> set[str]:
        """Bring the fields that speak of the key up to date with it; return their names."""
        stored = None
        if self.pk is not None:
            using = using or router.db_for_write(type(self), instance=self)
            stored = type(self)._base_manager.using(using).filter(pk=self.pk).first()
        if stored is None:
            self.secret_changed_at = self.secret_changed_at or timezone.now()
            return {"secret_changed_at"}
        touched: set[str] = set()
        if "client_secret" in written and not self._same_secret(stored):
            self.secret_changed_at = timezone.now()
            touched.add("secret_changed_at")
        if touched or any(
            getattr(self, field) != getattr(stored, field) for field in written - {"client_secret"}
        ):
            for field, blank in VERIFIED_FIELDS.items():
                setattr(self, field, blank)
                touched.add(field)
        return touched

    def holds(self, other: Self) -> bool:
        """Return whether both rows hold the same key for the same environment."""
        return (
            self.environment == other.environment
            and self.client_id == other.client_id
            and self._same_secret(other)
        )

    def _same_secret(self, other: Self) -> bool:
        mine, theirs = self.client_secret, other.client_secret
        if isinstance(mine, UndecryptableSecret) or isinstance(theirs, UndecryptableSecret):
            return type(mine) is type(theirs) and mine.stored == theirs.stored
        return bool(mine == theirs)

    def key(self) -> Key:
        """Return what an exchange needs.

        Raises:
            CertnConfigurationError: the environment is not in the settings, or half a key is
                missing.
            CredentialUndecryptableError: no key of ``FIELD_ENCRYPTION_KEY`` opens the secret.
        """
        environment = conf.environment(self.environment)
        if isinstance(self.client_secret, UndecryptableSecret):
            raise CredentialUndecryptableError(
                f"The secret of {self.name!r} cannot be read with FIELD_ENCRYPTION_KEY: put the "
                "earlier encryption key back, or enter a new pair from Certn's Partner tab."
            )
        if not self.client_id or not self.client_secret:
            raise CertnConfigurationError(
                f"The credential {self.name!r} lacks its Client ID or its Client Secret."
            )
        return Key(self.name, environment, self.client_id, self.client_secret)
