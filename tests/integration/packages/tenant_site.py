"""A site of django-tenants: a schema for each customer, on PostgreSQL, with a key in each.

Prints what its callers got. The third customer has no key, the fourth not even the table.
"""

import asyncio
import contextlib
import io
import json
import sys
import threading

from tests.endpoint import TokenEndpoint

CUSTOMERS = ["acme", "beta", "empty", "bare"]
CALLS = 150  # of each thread


def configure(database):
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="tests-only",
        FIELD_ENCRYPTION_KEY="dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE=",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.integration.packages.tenant_site",
        DATABASES={"default": {**database, "ENGINE": "django_tenants.postgresql_backend"}},
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
        SHARED_APPS=[
            "django_tenants",
            "django.contrib.contenttypes",
            "tests.integration.packages.customers",
        ],
        TENANT_APPS=["django_certn"],
        INSTALLED_APPS=[
            "django_tenants",
            "django.contrib.contenttypes",
            "tests.integration.packages.customers",
            "django_certn",
        ],
        MIDDLEWARE=["django_tenants.middleware.main.TenantMainMiddleware"],
        TENANT_MODEL="customers.Customer",
        TENANT_DOMAIN_MODEL="customers.Domain",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def urlpatterns_():
    from django.http import JsonResponse
    from django.urls import path

    from django_certn.client import auth_headers
    from django_certn.exceptions import CertnError
    from django_certn.tokens import aget_token, get_token

    def view(request):
        try:
            assert auth_headers()["Authorization"] == get_token().authorization
            return JsonResponse({"token": str(get_token().value)})
        except CertnError as error:
            return JsonResponse({"token": type(error).__name__})

    async def aview(request):
        try:
            return JsonResponse({"token": str((await aget_token()).value)})
        except CertnError as error:
            return JsonResponse({"token": type(error).__name__})

    return [path("", view), path("async/", aview)]


def __getattr__(name):
    if name == "urlpatterns":
        return urlpatterns_()
    raise AttributeError(name)


def make_customers(endpoint):
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django_tenants.utils import schema_context

    from django_certn.models import CertnCredential
    from tests.integration.packages.customers.models import Customer, Domain

    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": endpoint.url}}
    call_command("migrate_schemas", shared=True, verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Customer)
        editor.create_model(Domain)
    for name in CUSTOMERS:
        customer = Customer(schema_name=name, name=name)
        customer.auto_create_schema = name != "bare"
        customer.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.test", tenant=customer, is_primary=True)
        if name == "bare":
            with connection.cursor() as cursor:
                cursor.execute("CREATE SCHEMA bare")
    rows = {}
    for name in ("acme", "beta"):
        with schema_context(name):
            CertnCredential.objects.create(
                environment="local", client_id=f"fake-id-{name}", client_secret="fake-secret"
            )
            rows[name] = CertnCredential.objects.get()
    return rows


def expected(name):
    return {"empty": "CredentialNotFoundError", "bare": "ProgrammingError"}.get(name, name)


class Seen:
    """How many calls were made, and which of them got what was not theirs."""

    def __init__(self, owners):
        self.owners, self.calls, self.wrong = owners, 0, []

    def note(self, customer, got):
        self.calls += 1
        if self.owners.get(got, got) != expected(customer):
            self.wrong.append([customer, self.owners.get(got, got)])


def call(name):
    from django.db import ProgrammingError

    from django_certn.exceptions import CertnError
    from django_certn.tokens import get_token

    try:
        return str(get_token(name).value)
    except (CertnError, ProgrammingError) as error:
        return type(error).__name__


def in_threads(seen):
    from django.db import connections
    from django_tenants.utils import schema_context

    def work(number):
        for turn in range(CALLS):
            customer = CUSTOMERS[(number + turn) % len(CUSTOMERS)]
            with schema_context(customer):
                seen.note(customer, call("default"))
        connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def through_the_middleware(seen):
    from django.test import Client

    client = Client()
    for turn in range(60):
        customer = CUSTOMERS[turn % 3]
        path = ("/", "/async/")[turn % 2]
        answer = client.get(path, headers={"host": f"{customer}.test"})
        seen.note(customer, answer.json()["token"])


def in_coroutines(seen):
    """As under ASGI: each request has its own thread, on which the middleware sets the schema."""
    from asgiref.sync import ThreadSensitiveContext, sync_to_async
    from django.db import connection, connections

    from django_certn.exceptions import CredentialNotFoundError
    from django_certn.tokens import aget_token

    async def request(number):
        customer = CUSTOMERS[number % 3]
        async with ThreadSensitiveContext():
            # As its middleware does, on the thread of the request.
            await sync_to_async(lambda: connection.set_schema(customer))()
            for _ in range(3):
                try:
                    seen.note(customer, str((await aget_token()).value))
                except CredentialNotFoundError as error:
                    seen.note(customer, type(error).__name__)
            await sync_to_async(connections.close_all)()

    async def crowd():
        limit = asyncio.Semaphore(20)  # connections that PostgreSQL has for us

        async def bounded(number):
            async with limit:
                await request(number)

        for _ in range(3):
            await asyncio.gather(*(bounded(number) for number in range(100)))

    asyncio.run(crowd())


def of_instances(rows):
    from django_tenants.utils import schema_context

    from django_certn.exceptions import CredentialNotFoundError
    from django_certn.tokens import get_token

    found = {}
    for served in rows:
        for owner, row in rows.items():
            with schema_context(served):
                try:
                    found[f"{owner} under {served}"] = str(get_token(row).value)
                except CredentialNotFoundError as error:
                    found[f"{owner} under {served}"] = type(error).__name__
    return found


def by_command(*arguments):
    """Return the exit code of a command line, and what it printed."""
    from django.core.management import execute_from_command_line
    from django_tenants.utils import schema_context

    output = io.StringIO()
    with schema_context("public"), contextlib.redirect_stdout(output):
        try:
            execute_from_command_line(["manage.py", *arguments])
        except SystemExit as ended:
            return ended.code, output.getvalue()
    return 0, output.getvalue()


def main(database):
    configure(database)
    with TokenEndpoint() as endpoint:
        rows = make_customers(endpoint)
        from django_tenants.utils import schema_context

        from django_certn.tokens import get_token, invalidate_token, stats
        from django_certn.verification import verify

        owners = {}
        for name in rows:
            with schema_context(name):
                owners[str(get_token().value)] = name
        seen = {}
        for kind in (in_threads, through_the_middleware, in_coroutines):
            seen[kind.__name__] = Seen(owners)
            kind(seen[kind.__name__])
        document = {
            kind: {"calls": each.calls, "wrong": each.wrong[:5]} for kind, each in seen.items()
        }
        document["exchanges"] = endpoint.hits
        document["stats"] = sorted(stats())
        document["instances"] = {
            what: owners.get(got, got) for what, got in of_instances(rows).items()
        }
        with schema_context("acme"):
            token = get_token()
        with schema_context("beta"):
            document["dropped for another"] = invalidate_token("default", token)
            document["verified"] = str(verify("default").status)
        with schema_context("acme"):
            document["still there"] = get_token() == token
            row = type(rows["acme"]).objects.get()
            document["verified elsewhere"] = row.verified_status
        document["tenant_command"] = by_command(
            "tenant_command", "certn_check", "--format=json", "--schema=acme"
        )
        document["all_tenants_command"] = by_command("all_tenants_command", "certn_check")
    print(json.dumps(document))


if __name__ == "__main__":
    # As the root URLconf it is imported once more: under its own name, not as the main module.
    sys.modules["tests.integration.packages.tenant_site"] = sys.modules["__main__"]
    main(json.loads(sys.argv[1]))
