"""A site with django-health-check, and its page for monitors in each state of the credentials.

Prints what the page answers. The site has a database for each of two customers, and its router
reads from the thread of the request whose turn it is.
"""

import asyncio
import json
import sys
import tempfile
import threading
from pathlib import Path

from tests.endpoint import TokenEndpoint
from tests.services import free_port

CHECK = "django_certn.health.CertnCredentials"
HOSTILE = '<b>"acme"</b>\n\x1b[31m\u202e, beta'
served = threading.local()


class Router:
    """Every read and write goes to the database of the customer who is served."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return getattr(served, "alias", "default")


def serve(get_response):
    """As a site's own middleware does: one that knows nothing of coroutines."""

    def middleware(request):
        served.alias = request.headers.get("Customer", "default")
        return get_response(request)

    return middleware


def configure(folder, endpoint):
    import django
    from django.conf import settings

    sqlite = {"ENGINE": "django.db.backends.sqlite3"}
    settings.configure(
        SECRET_KEY="tests-only",
        FIELD_ENCRYPTION_KEY="dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE=",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.integration.packages.health_site",
        MIDDLEWARE=["tests.integration.packages.health_site.serve"],
        INSTALLED_APPS=["health_check", "django_certn"],
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        DATABASES={
            **{
                alias: {**sqlite, "NAME": str(folder / f"{alias}.sqlite3")}
                for alias in ("default", "beta", "bare")
            },
            "replica": {**sqlite, "NAME": "/no/such/folder/replica.sqlite3"},
            "nobody": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": "127.0.0.1",
                "PORT": str(free_port()),
                "NAME": "fake-name-of-a-database",
            },
        },
        DATABASE_ROUTERS=["tests.integration.packages.health_site.Router"],
        CERTN_ENVIRONMENTS={"local": {"base_url": endpoint.url}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,
    )
    django.setup()


def __getattr__(name):
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.urls import path
    from health_check.views import HealthCheckView

    from tests.test_docs import blocks_of, section

    def page(**options):
        return HealthCheckView.as_view(checks=[(CHECK, options)])

    documented = {}
    exec(blocks_of(section("Monitoring"), "python")[1], documented)
    return [
        *documented["urlpatterns"],
        path("nameless/", page(show_names=False)),
        path("beta/", page(database="beta")),
        path("bare/", page(database="bare")),
        path("nobody/", page(database="nobody")),
        path("unknown/", page(database="no-such-alias")),
    ]


class Page:
    def __init__(self):
        from django.test import AsyncClient, Client

        self.client, self.async_client = Client(), AsyncClient()

    def text(self, path="/health/", **headers):
        answer = self.client.get(path, {"format": "text"}, headers=headers)
        return [answer.status_code, answer.content.decode()]

    def in_coroutine(self, path="/health/", **headers):
        async def get():
            return await self.async_client.get(path, {"format": "text"}, headers=headers)

        answer = asyncio.run(get())
        return [answer.status_code, answer.content.decode()]

    def each_form(self):
        forms = ("text", "json", "html", "atom", "rss", "openmetrics")
        return {
            form: self.client.get("/health/", {"format": form}).content.decode() for form in forms
        }


def main(folder, endpoint):
    configure(folder, endpoint)
    from django.core.management import call_command

    from django_certn.models import CertnCredential

    for alias in ("default", "beta"):
        call_command("migrate", database=alias, verbosity=0)

    def store(name, status="", using="default", **fields):
        fields = {"environment": "local", "client_id": "fake-id", "client_secret": "fake"} | fields
        row = CertnCredential(name=name, **fields)
        row.save(using=using)
        CertnCredential.objects.using(using).filter(pk=row.pk).update(verified_status=status)

    page, seen = Page(), {}
    seen["nothing stored"] = page.text()
    store("well", "ok")
    store("new")
    store("off", "rejected", is_active=False)
    seen["well"] = page.text()
    store("beta", "unreachable", using="beta")
    seen["by alias"] = page.text("/beta/")
    seen["where the router looks"] = page.text(customer="beta")
    seen["where the router looks, in a coroutine"] = page.in_coroutine(customer="beta")
    seen["in a coroutine"] = page.in_coroutine()
    store("gamma", "rate_limited")
    seen["nobody knows"] = page.text()
    store("acme", "rejected")
    store("delta", "undecryptable")
    seen["rejected"] = page.text()
    seen["nameless"] = page.text("/nameless/")
    for path in ("bare", "nobody", "unknown"):
        seen[path] = page.text(f"/{path}/")
    CertnCredential.objects.using("default").exclude(name="acme").delete()
    CertnCredential.objects.using("default").update(name=HOSTILE)
    seen["hostile"] = page.each_form()
    for number in range(30):
        store(f"tenant-{number:02}", "rejected")
    seen["many"] = page.text()
    seen["requests"] = endpoint.hits
    print(json.dumps(seen))


if __name__ == "__main__":
    # As the root URLconf it is imported once more: under its own name, not as the main module.
    sys.modules["tests.integration.packages.health_site"] = sys.modules["__main__"]
    with TokenEndpoint() as endpoint, tempfile.TemporaryDirectory() as folder:
        main(Path(folder), endpoint)
