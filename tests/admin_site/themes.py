"""The settings of a site that has a theme over its admin."""

from typing import Any

from tests import settings as usual

# Packages in front of the admin. "unfold" is with the recipe of README, "unfold-plain" without.
APPS = {
    "django": [],
    "unfold": ["unfold"],
    "unfold-plain": ["unfold"],
    "jazzmin": ["jazzmin"],
    "grappelli": ["grappelli"],
    "simpleui": ["simpleui"],
    "baton": ["baton"],
    "semantic": ["semantic_forms", "semantic_admin"],
    "interface": ["admin_interface", "colorfield"],
}


def settings_of(theme: str, database: str = ":memory:") -> dict[str, Any]:
    """Return the settings of the test site with a theme of `APPS`."""
    own = {name: value for name, value in vars(usual).items() if name.isupper()}
    own.pop("ROOT_URLCONF")
    return own | {
        "INSTALLED_APPS": [*APPS[theme], *usual.INSTALLED_APPS],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        "DEBUG": theme == "baton",
    }


def urls_of(theme: str) -> list[Any]:
    """Return the urlpatterns, after `django.setup()`."""
    from django.contrib import admin
    from django.urls import include, path

    if theme == "unfold":
        use_recipe()
    if theme == "baton":
        from baton.autodiscover import admin
    patterns = [path("admin/", admin.site.urls)]
    if theme in ("grappelli", "baton"):
        patterns.append(path(f"{theme}/", include(f"{theme}.urls")))
    return patterns


def use_recipe() -> None:
    """Do what README tells sites with django-unfold to do."""
    import unfold.admin
    from django.contrib import admin

    from django_certn.admin import CertnCredentialAdmin
    from django_certn.models import CertnCredential

    admin.site.unregister(CertnCredential)

    @admin.register(CertnCredential)
    class ThemedAdmin(CertnCredentialAdmin, unfold.admin.ModelAdmin):
        pass
