from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

# Django loads this before the models of any app, and so before one of them imports the encryption
# package, which says little of what is wrong with its key.
from django_certn import fields  # noqa: F401


class CertnConfig(AppConfig):
    name = "django_certn"
    verbose_name = _("Certn")
    # Django 5.2 and 6.0 differ in their default; unpinned, a site would be asked to migrate.
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.core.checks import Tags, register

        from django_certn import checks
        from django_certn.tokens.service import connect

        register(checks.check_encryption_key, checks.TAG, Tags.security)
        register(checks.check_settings, checks.TAG, Tags.security)
        register(checks.check_stored_secrets, checks.TAG, Tags.database)
        register(checks.check_environments, checks.TAG, Tags.database)
        register(checks.check_ends, checks.TAG, Tags.database)
        register(checks.check_cache_is_shared, checks.TAG, Tags.caches, deploy=True)
        register(checks.check_cache_in_requests, checks.TAG, Tags.caches)
        connect()
