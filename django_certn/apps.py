from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CertnConfig(AppConfig):
    name = "django_certn"
    verbose_name = _("Certn")
    # Django 5.2 and 6.0 differ in their default; unpinned, a site would be told to migrate.
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_certn.tokens.service import service

        service.connect()
