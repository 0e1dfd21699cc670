"""A site with a package that records, exports or serves models: prints what it made of the secret.

    python -m tests.integration.packages.recording_site auditlog

In a process of its own, for such a package hooks into every model when Django starts. The document
has `shown`, the texts by where they were seen, and whatever else the package let happen.
"""

import csv
import io
import json
import sys
from contextlib import suppress

import django
from django.conf import settings

from tests import settings as usual
from tests.integration.packages.process import FIRST, SECOND

APPS = {
    "auditlog": ["auditlog"],
    "easyaudit": ["easyaudit"],
    "import_export": ["import_export"],
    "simple_history": ["simple_history"],
    "reversion": ["reversion"],
    "rest_framework": ["rest_framework"],
    "graphene_django": ["graphene_django"],
    "strawberry_django": ["strawberry_django"],
}

package = sys.argv[1]
settings.configure(
    **{name: value for name, value in vars(usual).items() if name.isupper()}
    | {
        "INSTALLED_APPS": [*usual.INSTALLED_APPS, *APPS[package]],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "ROOT_URLCONF": __name__,
        "AUDITLOG_INCLUDE_ALL_MODELS": True,
    }
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import URLPattern, URLResolver, path  # noqa: E402

from django_certn.models import CertnCredential  # noqa: E402

urlpatterns: list[URLPattern | URLResolver] = []
PAIR = {"environment": "demo", "client_id": "fake-id"}


def make():
    return CertnCredential.objects.create(client_secret=FIRST, **PAIR)


def change(row, **fields):
    for name, value in {"client_secret": SECOND, **fields}.items():
        setattr(row, name, value)
    row.save()
    return row


def stored():
    return [[row.name, text(row.client_secret)] for row in CertnCredential.objects.order_by("pk")]


def text(secret):
    return secret.reveal() if hasattr(secret, "reveal") else str.__str__(secret)


def every_table():
    """What anybody finds in the database."""
    lines = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            lines += [f"{table}: {row!r}" for row in cursor.fetchall()]
    return "\n".join(lines)


def page(address, **data):
    if not urlpatterns:  # not before the package has taken its place in the admin
        urlpatterns.append(path("admin/", admin.site.urls))
    client = Client()
    client.force_login(User.objects.get())
    ask = client.post if data else client.get
    response = ask(address, data)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()


def see_auditlog():
    from auditlog.models import LogEntry

    row = change(make())
    row.delete()
    entries = LogEntry.objects.filter(content_type__model="certncredential")
    shown = {
        "changes": [entry.changes for entry in entries],
        "changes_display_dict": [repr(entry.changes_display_dict) for entry in entries],
        "changes_str": [entry.changes_str for entry in entries],
        "admin": [page(f"/admin/auditlog/logentry/{entry.pk}/change/") for entry in entries],
        "database": every_table(),
    }
    return {"shown": shown, "actions": [entry.get_action_display() for entry in entries]}


def see_easyaudit():
    from easyaudit.models import CRUDEvent

    with transaction.atomic():
        row = make()
    with transaction.atomic():
        change(row)
    with transaction.atomic():
        row.delete()
    events = CRUDEvent.objects.filter(content_type__model="certncredential")
    shown = {
        "object_json_repr": [event.object_json_repr for event in events],
        "changed_fields": [event.changed_fields for event in events],
        "admin": [page(f"/admin/easyaudit/crudevent/{event.pk}/change/") for event in events],
        "database": every_table(),
    }
    return {"shown": shown, "actions": [event.get_event_type_display() for event in events]}


def see_import_export():
    from import_export.admin import ImportExportModelAdmin
    from import_export.resources import modelresource_factory

    resource = modelresource_factory(CertnCredential)
    without = modelresource_factory(
        CertnCredential, meta_options={"exclude": ("client_secret",), "import_id_fields": ("name",)}
    )
    change(make())
    exported = resource().export()

    def imported(kind, **cells):
        """Import what was exported, with some cells changed, and say how that went."""
        from tablib import Dataset

        rows = list(csv.DictReader(io.StringIO(exported.csv)))
        if kind is without:
            del rows[0]["client_secret"]
        rows[0] |= cells
        before = every_table()
        result = kind().import_data(Dataset(*[list(rows[0].values())], headers=list(rows[0])))
        errors = [
            f"{error.error}\n{error.traceback}" for _, row in result.row_errors() for error in row
        ] + [str(row.error) for row in result.invalid_rows]
        return {
            "errors": errors,
            "stored": stored(),
            "unchanged": every_table() == before,
            "active": CertnCredential.objects.get().is_active,
        }

    class Admin(ImportExportModelAdmin):
        resource_classes = (resource,)

    admin.site.unregister(CertnCredential)
    admin.site.register(CertnCredential, Admin)
    shown = {
        "csv": exported.csv,
        "json": exported.json,
        "yaml": exported.yaml,
        "html": exported.html,
        "admin": page(
            "/admin/django_certn/certncredential/export/",
            format="0",
            resource="",
            **{f"{resource.__name__.lower()}_{name}": "on" for name in resource().fields},
        ),
        "database": every_table(),
    }
    back = {
        "as exported": imported(resource),
        "an empty cell": imported(resource, client_secret=""),
        "without the column": imported(without, is_active="0"),
        "another secret": imported(resource, client_secret=FIRST),
    }
    return {"shown": shown, "back": back}


def see_simple_history():
    from simple_history import register
    from simple_history.admin import SimpleHistoryAdmin

    register(CertnCredential)
    history = CertnCredential.history.model
    with connection.schema_editor() as editor:
        editor.create_model(history)

    class Admin(SimpleHistoryAdmin):
        history_list_display = ("client_secret",)

    admin.site.unregister(CertnCredential)
    admin.site.register(CertnCredential, Admin)
    row = change(make())
    newest, oldest = row.history.all()
    delta = newest.diff_against(oldest)
    address = f"/admin/django_certn/certncredential/{row.pk}/history/"
    shown = {
        "diff_against": [repr(delta), *(f"{c.field} {c.old} {c.new}" for c in delta.changes)],
        "values": list(history.objects.values()),
        "vars": [vars(record) for record in (newest, oldest)],
        "history page": page(address),
        "version page": page(f"{address}{oldest.history_id}/"),
        "database": every_table(),
    }
    oldest.instance.save()
    fields = sorted(change.field for change in delta.changes)
    return {"shown": shown, "changed": fields, "restored": stored()}


def see_reversion():
    import reversion
    from reversion.admin import VersionAdmin
    from reversion.models import Version

    class Admin(VersionAdmin):
        pass

    admin.site.unregister(CertnCredential)
    admin.site.register(CertnCredential, Admin)
    with reversion.create_revision():
        row = make()
    with reversion.create_revision():
        change(row)
    newest, oldest = Version.objects.get_for_object(row)
    address = f"/admin/django_certn/certncredential/{row.pk}/history/"
    shown = {
        "serialized_data": [newest.serialized_data, oldest.serialized_data],
        "field_dict": [repr(newest.field_dict), str(oldest.field_dict["client_secret"])],
        "history page": page(address),
        "version page": page(f"{address}{oldest.pk}/"),
        "database": every_table(),
    }
    oldest.revision.revert()
    return {"shown": shown, "restored": stored()}


def see_rest_framework():
    from rest_framework import serializers
    from rest_framework.routers import DefaultRouter
    from rest_framework.viewsets import ModelViewSet

    from tests.test_fields import REFUSED

    class Serializer(serializers.ModelSerializer):
        class Meta:
            model = CertnCredential
            fields = "__all__"

    class View(ModelViewSet):
        queryset = CertnCredential.objects.all()
        serializer_class = Serializer

    router = DefaultRouter()
    router.register("keys", View)
    urlpatterns.extend(router.urls)
    row = change(make())
    client = Client()

    def call(method, address, **data):
        response = getattr(client, method)(address, data, content_type="application/json")
        return {"status": response.status_code, "body": response.content.decode()}

    new = {"name": "new", **PAIR}
    one = f"/keys/{row.pk}/"
    shown = {
        "data": repr(Serializer(row).data),
        "json": client.get("/keys/").content.decode(),
        "one": client.get(one).content.decode(),
        "browsable": client.get(one, headers={"accept": "text/html"}).content.decode(),
        "options": call("options", one)["body"],
        "database": every_table(),
    }
    before = every_table()
    refused = {
        name: call("post", "/keys/", client_secret=value, **new)
        for name, (value, _) in REFUSED.items()
        if name != "surrogate"  # is no JSON
    }
    refused["nothing over it"] = call("patch", one, client_secret="")
    refused["null over it"] = call("patch", one, client_secret=None)
    refused["what was read"] = call("put", one, **json.loads(client.get(one).content))
    refused["the mask over it"] = call("patch", one, client_secret="********")
    refused["another half"] = call("patch", one, client_id="fake-other-id")
    refused["another environment"] = call("patch", one, environment="production")
    unchanged = every_table() == before
    taken = {
        "another field": call("patch", one, is_active=False)["status"],
        "the same half": call("patch", one, client_id="fake-id")["status"],
        "both halves": call("patch", one, client_id="fake-2", client_secret=SECOND)["status"],
        "a new row": call("post", "/keys/", client_secret=f" {FIRST}\n", **new)["status"],
    }
    return {
        "shown": shown,
        "refused": refused,
        "unchanged": unchanged,
        "taken": taken,
        "stored": stored(),
    }


def see_graphene_django():
    import graphene
    from graphene_django import DjangoObjectType

    class Credential(DjangoObjectType):
        class Meta:
            model = CertnCredential
            fields = "__all__"

    class Query(graphene.ObjectType):
        credentials = graphene.List(Credential)

        def resolve_credentials(self, info):
            return CertnCredential.objects.all()

    change(make())
    result = graphene.Schema(query=Query).execute("{ credentials { name clientSecret } }")
    return {"shown": {"query": json.dumps(result.formatted, default=str)}}


def see_strawberry_django():
    import strawberry
    import strawberry_django
    from strawberry_django.fields.types import field_type_map

    # It serves no field that it does not know; this one is a text to whoever wants it served.
    field_type_map[type(CertnCredential._meta.get_field("client_secret"))] = str

    @strawberry_django.type(CertnCredential, fields="__all__")
    class Credential:
        pass

    @strawberry.type
    class Query:
        credentials: list[Credential] = strawberry_django.field()

    change(make())
    result = strawberry.Schema(query=Query).execute_sync("{ credentials { name clientSecret } }")
    shown = {
        "data": json.dumps(result.data, default=repr),
        "errors": [str(error) for error in result.errors or ()],
    }
    return {"shown": shown}


if __name__ == "__main__":
    with suppress(AttributeError):
        call_command("migrate", verbosity=0)
    User.objects.create_superuser("boss")
    print(json.dumps(globals()[f"see_{package}"](), default=repr))
