"""The field keeps what the package's own field loses or shows.

A test under ``@trap`` is run on both: it has to pass on ours and to fail on the package's.
"""

import copy
import functools
import json
import pickle
import pprint
import sys
from io import StringIO
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django import forms
from django.contrib.admin import ModelAdmin, site
from django.core import serializers
from django.core.cache import caches
from django.core.exceptions import (
    FieldError,
    ObjectDoesNotExist,
    ValidationError,
)
from django.core.management import call_command
from django.core.validators import RegexValidator
from django.db import connection, models, transaction
from django.db.models import Case, Count, F, Max, Q, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Concat, Length, Upper
from django.forms import model_to_dict, modelform_factory
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, register_lookup
from django.utils.safestring import mark_safe
from django.views.debug import ExceptionReporter, technical_500_response

from django_certn.fields import EncryptedSecretField, decrypt, encrypt, is_current, stored_text
from django_certn.formfields import SecretFormField
from django_certn.models import CertnCredential
from django_certn.pasted import MAX_LENGTH, clean_pasted, clean_secret, clean_text
from django_certn.secret import MaskedStr, Secret, UndecryptableSecret
from tests.bare.models import BareCredential

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-0123456789abcdef"
ANOTHER = "fake-secret-another-fedcba98"
OLD_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="  # of tests/settings.py
NEW_KEY = "ZmFrZS1lbmNyeXB0aW9uLWtleS1udW1iZXItMi4uLi4="


def trap(test):
    """Run the test on both models, and let it fail on the package's field."""

    @pytest.mark.parametrize("model", [CertnCredential, BareCredential], ids=["ours", "bare"])
    @functools.wraps(test)
    def both(model, **fixtures):
        if model is CertnCredential:
            test(model, **fixtures)
        else:
            with pytest.raises((AssertionError, pytest.fail.Exception, ObjectDoesNotExist)):
                test(model, **fixtures)

    return both


@pytest.fixture
def row():
    return CertnCredential.objects.create(
        environment="demo", client_id="fake-client-id", client_secret=SECRET
    )


def read_column(row):
    """The text of the column, as a database shell shows it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT client_secret FROM {row._meta.db_table} WHERE id = %s",
            [row.pk],
        )
        return cursor.fetchone()[0]


def write_column(row, text):
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {row._meta.db_table} SET client_secret = %s WHERE id = %s",
            [text, row.pk],
        )


@async_to_sync
async def await_(coroutine):
    return await coroutine


def again(row):
    return type(row).objects.get(pk=row.pk)


# The same column and the same ciphertext as the package


def test_the_column_is_the_packages_and_holds_what_the_package_reads(row):
    ours = CertnCredential._meta.get_field("client_secret")
    theirs = BareCredential._meta.get_field("client_secret")
    assert ours.db_type(connection) == theirs.db_type(connection)
    assert "max_length" not in ours.deconstruct()[3]

    text = read_column(row)
    assert text.startswith("gAAAAA")
    assert SECRET not in text
    bare = BareCredential.objects.create(client_secret="fake")
    write_column(bare, text)
    assert again(bare).client_secret == SECRET


def test_the_package_wrote_it_and_we_read_it(row):
    bare = BareCredential.objects.create(client_secret=ANOTHER)
    write_column(row, read_column(bare))

    assert again(row).client_secret == ANOTHER


@pytest.mark.parametrize(
    "read",
    [
        lambda row: CertnCredential.objects.get(pk=row.pk),
        lambda row: next(CertnCredential.objects.iterator()),
        lambda row: CertnCredential.objects.only("name").get(),
        lambda row: CertnCredential.objects.defer("client_secret").get(),
        lambda row: CertnCredential.objects.only("client_secret").get(),
        lambda row: CertnCredential.objects.raw(
            "SELECT id, client_secret FROM django_certn_certncredential"
        )[0],
        lambda row: CertnCredential.objects.select_for_update().get(),
        lambda row: CertnCredential.objects.earliest("created_at"),
        lambda row: CertnCredential.objects.in_bulk([row.pk])[row.pk],
        lambda row: await_(CertnCredential.objects.aget()),
    ],
)
def test_it_is_read_in_every_way(row, read):
    assert read(row).client_secret == SECRET


def test_it_is_read_again(row):
    CertnCredential.objects.update(client_secret=ANOTHER)
    row.refresh_from_db(fields=["name"])
    assert row.client_secret == SECRET
    row.refresh_from_db(fields=["client_secret"])
    assert row.client_secret == ANOTHER


def test_values_hold_it_masked(row):
    (by_name,) = CertnCredential.objects.values("client_secret")
    (by_place,) = CertnCredential.objects.values_list("client_secret", flat=True)

    assert by_name["client_secret"] == by_place == SECRET
    assert SECRET not in repr((by_name, by_place))


async def write_asynchronously(case):
    objects = CertnCredential.objects
    if case == "acreate":
        await objects.acreate(client_secret=SECRET)
    elif case == "abulk_create":
        await objects.abulk_create([CertnCredential(client_secret=SECRET)])
    elif case == "aupdate_or_create":
        await objects.aupdate_or_create(name="default", defaults={"client_secret": SECRET})
    else:
        row = await objects.acreate(client_secret=ANOTHER)
        if case == "aupdate":
            await objects.aupdate(client_secret=SECRET)
        elif case == "asave":
            row.client_secret = SECRET
            await row.asave()
    return [row.client_secret async for row in objects.all()]


@pytest.mark.parametrize(
    "case", ["acreate", "abulk_create", "aupdate_or_create", "aupdate", "asave"]
)
def test_it_is_written_asynchronously(case):
    assert await_(write_asynchronously(case)) == [SECRET]
    assert decrypt(read_column(CertnCredential.objects.get())) == SECRET


def write_by_save(row):
    row.client_secret = ANOTHER
    row.save()


def write_by_save_of_one_field(row):
    row.client_secret = ANOTHER
    row.save(update_fields=["client_secret"])


def write_by_upsert(row):
    CertnCredential.objects.bulk_create(
        [CertnCredential(client_secret=ANOTHER)],
        update_conflicts=True,
        update_fields=["client_secret"],
        **({"unique_fields": ["name"]} if connection.vendor != "mysql" else {}),
    )


@pytest.mark.parametrize(
    "write",
    [
        write_by_save,
        write_by_save_of_one_field,
        write_by_upsert,
        lambda row: CertnCredential.objects.update(client_secret=ANOTHER),
        lambda row: CertnCredential.objects.update_or_create(
            name=row.name, defaults={"client_secret": ANOTHER}
        ),
        lambda row: CertnCredential.objects.filter(pk=row.pk).update(client_secret=Secret(ANOTHER)),
    ],
)
def test_it_is_written_in_every_way_and_the_sql_log_shows_nothing(row, write):
    before = read_column(row)
    with CaptureQueriesContext(connection) as log:
        write(row)

    assert decrypt(read_column(row)) == again(row).client_secret == ANOTHER
    assert read_column(row) != before
    assert "UPDATE" in str(log.captured_queries)
    assert ANOTHER not in str(log.captured_queries)
    assert SECRET not in str(log.captured_queries)


# Expressions


def save_an_expression(row):
    row.client_secret = F("name")
    row.save()


EXPRESSIONS = {
    "bulk_update": lambda row: type(row).objects.bulk_update([row], ["client_secret"]),
    "abulk_update": lambda row: await_(type(row).objects.abulk_update([row], ["client_secret"])),
    "F": lambda row: type(row).objects.update(client_secret=F("name")),
    "aupdate": lambda row: await_(type(row).objects.aupdate(client_secret=F("name"))),
    "Value": lambda row: type(row).objects.update(client_secret=Value(ANOTHER)),
    "Concat": lambda row: type(row).objects.update(client_secret=Concat("name", Value("x"))),
    "Case": lambda row: type(row).objects.update(
        client_secret=Case(When(name="default", then=Value(ANOTHER)), output_field=TextField())
    ),
    "Subquery": lambda row: type(row).objects.filter(pk=row.pk).update(
        client_secret=Subquery(BareCredential.objects.values("name")[:1])
    ),
    "save": save_an_expression,
    "create": lambda row: type(row).objects.create(name="b", client_secret=Value(ANOTHER)),
    "bulk_create": lambda row: type(row).objects.bulk_create(
        [type(row)(name="b", client_secret=Value(ANOTHER))]
    ),
    "update_or_create": lambda row: type(row).objects.update_or_create(
        name="default", defaults={"client_secret": Upper(Value(ANOTHER))}
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", EXPRESSIONS.values(), ids=EXPRESSIONS)
@trap
def test_an_expression_is_refused(model, write):
    row = model.objects.create(client_secret=SECRET)

    with (
        pytest.raises(FieldError, match="is encrypted, and an expression cannot be") as caught,
        transaction.atomic(),
    ):
        write(row)

    assert SECRET not in str(caught.value)
    assert ANOTHER not in str(caught.value)
    assert [row.client_secret for row in model.objects.all()] == [SECRET]


def test_what_the_package_makes_of_bulk_update():
    rows = [
        BareCredential.objects.create(name=name, client_secret=secret)
        for name, secret in [("a", SECRET), ("b", ANOTHER)]
    ]
    BareCredential.objects.bulk_update(rows, ["client_secret"])

    sent_to_the_vendor = BareCredential.objects.get(name="a").client_secret
    assert ANOTHER in sent_to_the_vendor


def test_bulk_update_of_other_fields_leaves_it_alone(row):
    before = read_column(row)
    row.is_active = False
    CertnCredential.objects.bulk_update([row], ["is_active"])

    assert read_column(row) == before


def test_full_clean_does_not_take_an_expression_for_a_string(row):
    row.client_secret = F("name")
    with pytest.raises(FieldError):
        row.full_clean()


# Lookups


LOOKUPS = {
    "exact": lambda objects: objects.filter(client_secret=SECRET),
    "get": lambda objects: objects.get(client_secret=SECRET),
    "exclude": lambda objects: objects.exclude(client_secret=SECRET),
    "none": lambda objects: objects.filter(client_secret__exact="x"),
    "Q": lambda objects: objects.filter(Q(name="x") | ~Q(client_secret=SECRET)),
    "get_or_create": lambda objects: objects.get_or_create(
        client_secret=SECRET, defaults={"name": "b"}
    ),
    "update_or_create": lambda objects: objects.update_or_create(
        client_secret=SECRET, defaults={"name": "b"}
    ),
    "iexact": lambda objects: objects.filter(client_secret__iexact=SECRET),
    "in": lambda objects: objects.filter(client_secret__in=[SECRET, ANOTHER]),
    "contains": lambda objects: objects.filter(client_secret__contains=SECRET),
    "icontains": lambda objects: objects.filter(client_secret__icontains=SECRET),
    "startswith": lambda objects: objects.filter(client_secret__startswith=SECRET),
    "istartswith": lambda objects: objects.filter(client_secret__istartswith=SECRET),
    "endswith": lambda objects: objects.filter(client_secret__endswith=SECRET),
    "iendswith": lambda objects: objects.filter(client_secret__iendswith=SECRET),
    "regex": lambda objects: objects.filter(client_secret__regex=SECRET),
    "iregex": lambda objects: objects.filter(client_secret__iregex=SECRET),
    "gt": lambda objects: objects.filter(client_secret__gt=SECRET),
    "lte": lambda objects: objects.filter(client_secret__lte=SECRET),
    "range": lambda objects: objects.filter(client_secret__range=(SECRET, ANOTHER)),
    "annotation": lambda objects: objects.annotate(x=F("client_secret")).filter(x=SECRET),
    "aggregate": lambda objects: objects.aggregate(
        x=Count("pk", filter=Q(client_secret=SECRET))
    ),
    "When": lambda objects: objects.annotate(x=Case(When(client_secret=SECRET, then=Value(1)))),
    "F": lambda objects: objects.filter(client_secret=F("name")),
    "Subquery": lambda objects: objects.filter(client_secret__in=objects.values("name")),
    "filter by bytes": lambda objects: objects.filter(client_secret=SECRET.encode()),
}  # fmt: skip


@pytest.mark.parametrize("look_up", LOOKUPS.values(), ids=LOOKUPS)
@trap
def test_it_cannot_be_looked_up(model, look_up):
    model.objects.create(client_secret=SECRET)

    with (
        CaptureQueriesContext(connection) as log,
        pytest.raises(FieldError, match="a query cannot compare it") as caught,
    ):
        repr(look_up(model.objects))

    assert SECRET not in str(log.captured_queries)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "look_up",
    [
        lambda objects: objects.filter(client_secret__length=28),
        lambda objects: objects.filter(client_secret__length__gt=28),
        lambda objects: objects.values("client_secret__length"),
        lambda objects: objects.order_by("client_secret__length"),
    ],
)
@trap
def test_a_transform_of_it_cannot_be_looked_up(model, look_up):
    with register_lookup(models.CharField, Length), pytest.raises(FieldError):
        repr(look_up(model.objects))


@trap
def test_a_value_of_its_kind_does_not_reach_the_sql_log(model):
    value = Value(ANOTHER, output_field=model._meta.get_field("client_secret"))

    with (
        CaptureQueriesContext(connection) as log,
        pytest.raises(FieldError, match="a query cannot compare it"),
    ):
        repr(model.objects.annotate(x=value))
    assert ANOTHER not in str(log.captured_queries)


@trap
def test_the_admins_search_cannot_reach_it(model):
    class Admin(ModelAdmin):
        search_fields = ("client_secret",)

    request = RequestFactory().get("/")
    with pytest.raises(FieldError):
        Admin(model, site).get_search_results(request, model.objects.all(), SECRET)


def test_isnull_can_be_looked_up(row):
    assert CertnCredential.objects.filter(client_secret__isnull=False).get() == row
    assert not CertnCredential.objects.filter(client_secret__isnull=True).exists()


def test_looking_up_and_ordering_by_other_fields(row):
    CertnCredential.objects.create(name="acme", client_secret=ANOTHER)

    assert [row.client_secret for row in CertnCredential.objects.all()] == [ANOTHER, SECRET]
    assert [row.name for row in CertnCredential.objects.order_by("-name")] == ["default", "acme"]
    assert CertnCredential.objects.filter(name="default").count() == 1


def test_a_function_works_on_ciphertext_and_shows_nothing(row):
    (found,) = CertnCredential.objects.annotate(
        upper=Upper("client_secret"), text=Cast("client_secret", TextField())
    )
    assert isinstance(found.upper, UndecryptableSecret)
    assert found.text == read_column(row)
    assert CertnCredential.objects.aggregate(x=Max("client_secret"))["x"] == SECRET


def test_the_text_of_the_column_can_be_compared(row):
    before = read_column(row)
    rows = CertnCredential.objects.annotate(stored=stored_text("client_secret"))

    assert rows.get().stored == before
    assert rows.filter(stored="gAAAAA-something-else").update(client_secret=ANOTHER) == 0
    assert rows.filter(stored=before).update(client_secret=ANOTHER) == 1
    assert again(row).client_secret == ANOTHER


# Serializers and fixtures

FORMATS = ["json", "jsonl", "xml", "yaml", "python"]


def serialize(kind, rows, **options):
    if kind == "yaml":
        pytest.importorskip("yaml")
    return serializers.serialize(kind, rows, **options)


@pytest.mark.parametrize("kind", FORMATS)
@trap
def test_a_serializer_writes_ciphertext(model, kind):
    model.objects.create(client_secret=SECRET)

    assert SECRET not in str(serialize(kind, model.objects.all()))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_serialized_is_loaded_again(row, kind):
    written = serialize(kind, CertnCredential.objects.all())
    row.delete()
    for loaded in serializers.deserialize(kind, written):
        assert SECRET not in repr(vars(loaded.object))
        loaded.save()

    assert CertnCredential.objects.get().client_secret == SECRET


@pytest.mark.parametrize("kind", FORMATS)
@trap
def test_what_another_key_encrypted_passes_a_fixture_unchanged(model, kind, settings):
    row = model.objects.create(client_secret=SECRET)
    before = read_column(row)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    written = serialize(kind, model.objects.all())
    model.objects.all().delete()
    for loaded in serializers.deserialize(kind, written):
        loaded.save()

    row = model.objects.get()
    assert not row.client_secret
    assert read_column(row) == before
    settings.FIELD_ENCRYPTION_KEY = OLD_KEY
    assert again(row).client_secret == SECRET


def dump(*options):
    out = StringIO()
    call_command("dumpdata", "django_certn", *options, stdout=out)
    return out.getvalue()


def load(path, text):
    path = path / "fixture.json"
    path.write_text(text, encoding="utf-8")
    call_command("loaddata", str(path), verbosity=0)


def test_dumpdata_and_loaddata_with_natural_keys(row, tmp_path):
    dumped = dump("--natural-primary", "--natural-foreign")
    assert SECRET not in dumped
    assert "pk" not in json.loads(dumped)[0]
    CertnCredential.objects.update(client_secret=ANOTHER)

    load(tmp_path, dumped)

    assert CertnCredential.objects.get() == row
    assert again(row).client_secret == SECRET


def test_loaddata_encrypts_what_a_fixture_holds_in_clear(row, tmp_path):
    (entry,) = json.loads(dump())
    entry["fields"]["client_secret"] = ANOTHER
    load(tmp_path, json.dumps([entry]))

    assert decrypt(read_column(row)) == again(row).client_secret == ANOTHER


def test_a_fixture_keeps_what_was_verified(row, tmp_path):
    CertnCredential.objects.update(verified_status="ok", verified_http_status=200)
    dumped = dump()
    row.delete()
    load(tmp_path, dumped)

    assert CertnCredential.objects.get().verified_status == "ok"


# What is shown

VIEWS = {
    "vars": lambda row: repr(vars(row)),
    "pprint": lambda row: pprint.pformat(vars(row), width=20),
    "model_to_dict": lambda row: repr(model_to_dict(row)),
    "values": lambda row: repr(list(type(row).objects.values())),
    "values_list": lambda row: repr(type(row).objects.values_list("client_secret")),
    "attribute": lambda row: repr(row.client_secret),
    "percent": lambda row: f"%r {row.client_secret!r}" % row.client_secret,
    "format": lambda row: f"{[row.client_secret]}",
    "initial": lambda row: repr(page_of(type(row), instance=row)[0].initial),
    "pickle": lambda row: repr(pickle.dumps(row)),
    "pickle 0": lambda row: repr(pickle.dumps(row, 0)),
    "pickled rows": lambda row: repr(pickle.dumps(type(row).objects.all())),
    "pickled values": lambda row: repr(pickle.dumps(list(type(row).objects.values()))),
    "copy": lambda row: repr(vars(copy.copy(row))),
    "deepcopy": lambda row: repr(vars(copy.deepcopy(row))),
    "copied values": lambda row: repr(copy.deepcopy(vars(row))),
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("state", ["unsaved", "saved", "read", "changed"])
@trap
def test_it_is_not_shown(model, view, state):
    row = model(client_secret=SECRET)
    # The views by query are of a row that is stored in any case.
    stored = model.objects.create(name="stored", client_secret=SECRET)
    if state != "unsaved":
        row.save()
    if state == "read":
        row = again(stored)
    if state == "changed":
        row.client_secret = SECRET

    assert SECRET not in view(row)


@pytest.mark.parametrize(
    "value",
    [
        mark_safe(SECRET),
        type("Text", (str,), {})(SECRET),
        SECRET.encode(),
        bytearray(SECRET.encode()),
        memoryview(SECRET.encode()),
    ],
    ids=["SafeString", "a subclass", "bytes", "bytearray", "memoryview"],
)
def test_whatever_text_is_assigned_is_masked_and_stored(value):
    row = CertnCredential(client_secret=value)
    assert SECRET not in repr(vars(row))
    row.save()
    assert again(row).client_secret == SECRET


@trap
def test_a_cache_entry_does_not_hold_it_in_clear(model, tmp_path, settings):
    settings.CACHES = {
        "default": settings.CACHES["default"],
        "file": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": tmp_path,
        },
    }
    row = model.objects.create(client_secret=SECRET)
    for alias in ("default", "file"):
        caches[alias].set("row", row)
        caches[alias].set("rows", model.objects.all())
        assert caches[alias].get("row").client_secret == SECRET
        assert caches[alias].get("rows")[0].client_secret == SECRET

    # What LocMemCache holds is the pickle itself.
    assert SECRET.encode() not in b"".join(caches["default"]._cache.values())


def test_a_pickle_and_a_copy_hold_the_secret(row):
    for source in (CertnCredential(client_secret=SECRET), row, again(row)):
        for clone in (copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))):
            assert clone(source).client_secret == SECRET
    secret = Secret(SECRET)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_a_pickle_read_after_its_key_was_dropped(row, settings):
    pickled = pickle.dumps(again(row))
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    assert isinstance(pickle.loads(pickled).client_secret, UndecryptableSecret)
    settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]
    assert pickle.loads(pickled).client_secret == SECRET


def crash(credential):
    unsaved = type(credential)(client_secret=credential.client_secret)
    chosen_by_the_site = unsaved.client_secret
    everything = {"nested": [vars(credential), list(type(credential).objects.values())]}
    raise ZeroDivisionError(f"{len(everything)} {chosen_by_the_site is None}")


def crash_page(credential):
    try:
        crash(credential)
    except ZeroDivisionError:
        error = sys.exc_info()
    request = RequestFactory().get("/")
    response = technical_500_response(request, *error)
    reporter = ExceptionReporter(request, *error)
    texts = [
        response.content.decode(),
        reporter.get_traceback_html(),
        reporter.get_traceback_text(),
    ]
    assert "chosen_by_the_site" in texts[0]
    return "".join(texts)


@trap
def test_a_debug_page_and_an_error_mail_do_not_show_it(model, settings):
    settings.DEBUG = True
    page = crash_page(model.objects.create(client_secret=SECRET))

    assert "ZeroDivisionError" in page
    assert SECRET not in page


@trap
def test_an_error_tracker_does_not_get_it(model):
    sentry_sdk = pytest.importorskip("sentry_sdk")
    sent = []

    class Transport(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope):
            sent.append(envelope.serialize().decode())

    client = sentry_sdk.Client(
        dsn="https://fake@localhost/1", transport=Transport, default_integrations=False
    )
    credential = model.objects.create(client_secret=SECRET)
    with sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        try:
            crash(credential)
        except ZeroDivisionError as error:
            scope.capture_exception(error)
    client.close()

    assert "chosen_by_the_site" in "".join(sent)
    assert SECRET not in "".join(sent)


# Forms


def page_of(model, data=None, **options):
    form = modelform_factory(model, fields="__all__")(data, **options)
    return form, str(form)


@trap
def test_a_form_does_not_show_what_is_stored(model):
    row = model.objects.create(client_secret=SECRET)

    assert SECRET not in page_of(model, instance=row)[1]


@trap
def test_a_form_does_not_show_what_was_typed(model):
    form, page = page_of(model, {"client_secret": SECRET, "name": ""})

    assert form.errors.keys() >= {"name"}
    assert SECRET not in page


@trap
def test_a_form_does_not_decrypt_what_is_pasted(model):
    found_elsewhere = encrypt(SECRET)
    data = {"name": "a", "environment": "demo", "client_id": "i", "client_secret": found_elsewhere}
    form, page = page_of(model, data)

    assert list(form.errors) == ["client_secret"]
    assert "an encrypted value, not a secret" in page
    assert SECRET not in str(form.cleaned_data)
    assert form.instance.client_secret != SECRET


def form_data(**data):
    return {"name": "a", "environment": "demo", "client_id": "fake-client-id", **data}


def test_a_form_stores_what_was_pasted_cleaned():
    form, _ = page_of(CertnCredential, form_data(client_secret=f" {SECRET}\n"))
    assert form.is_valid(), form.errors

    assert again(form.save()).client_secret == SECRET


def keeping_form(data, row):
    form = modelform_factory(CertnCredential, fields="__all__")(data, instance=row)
    form.fields["client_secret"].required = False
    return form


@pytest.mark.parametrize("typed", ["", " ", "\n", "\u200b", None])
def test_a_field_left_empty_keeps_what_is_stored(row, typed):
    data = form_data() if typed is None else form_data(client_secret=typed)
    form = keeping_form(data, row)

    assert form.is_valid(), form.errors
    assert "client_secret" not in form.changed_data
    assert again(form.save()).client_secret == SECRET


def test_a_field_left_empty_keeps_what_cannot_be_read(row, settings):
    before = read_column(row)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    form = keeping_form(form_data(), again(row))

    assert form.is_valid(), form.errors
    assert read_column(form.save()) == before


def test_a_new_row_needs_a_secret():
    form, _ = page_of(CertnCredential, form_data(client_secret=""))

    assert form.errors["client_secret"].data[0].code == "required"


def test_the_form_field_is_write_only_whatever_a_site_asks_for():
    field = CertnCredential._meta.get_field("client_secret")
    for form_field in (field.formfield(), field.formfield(widget=forms.TextInput)):
        assert isinstance(form_field, SecretFormField)
        html = form_field.widget.render("client_secret", SECRET)
        assert 'type="password"' in html
        assert 'autocomplete="new-password"' in html
        assert SECRET not in html


def test_the_form_field_has_changed_when_something_was_typed():
    field = SecretFormField()

    assert field.has_changed(SECRET, SECRET)
    assert not any(field.has_changed(SECRET, empty) for empty in ("", None, "  "))


# Cleaning


@pytest.mark.parametrize(
    "pasted",
    [
        SECRET,
        f"  {SECRET}\r\n",
        f"\t{SECRET}\u00a0",
        f"\ufeff{SECRET}\u200b",
        f" \u200b \u2060{SECRET}\u200b \u200d\n",
        f"\u2028{SECRET}\u3000",
        f"\u202a{SECRET}\u202c",
    ],
)
def test_what_is_pasted_around_a_secret_goes(pasted):
    assert clean_pasted(pasted) == clean_secret(pasted) == SECRET
    assert SecretFormField().clean(pasted) == SECRET
    row = CertnCredential(environment="demo", client_id="fake-client-id", client_secret=pasted)
    row.full_clean()
    assert row.client_secret == SECRET


@pytest.mark.parametrize("secret", ["a", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\", "x" * 1024])
def test_printable_ascii_is_a_secret(secret):
    cleaned = clean_secret(secret)

    assert (cleaned, type(cleaned)) == (secret, MaskedStr)


def test_a_space_may_be_part_of_what_is_stored():
    assert clean_text("with inner space") == "with inner space"


REFUSED = {
    "empty": ("", "required"),
    "blank": (" \u200b\n", "required"),
    "line end": (f"{SECRET}\n{SECRET}", "space"),
    "tab": (f"{SECRET}\t{SECRET}", "space"),
    "NUL": (f"{SECRET}\x00{SECRET}", "invalid"),
    "NUL at the end": (f"{SECRET}\x00", "invalid"),
    "DEL": (f"{SECRET}\x7f", "invalid"),
    "accent": (f"{SECRET}é", "invalid"),
    "inner NBSP": (f"{SECRET}\u00a0{SECRET}", "space"),
    "inner zero width": (f"{SECRET}\u200b{SECRET}", "invalid"),
    "other digits": (f"{SECRET}\u0661", "invalid"),
    "surrogate": (f"{SECRET}\ud800", "invalid"),
    "too long": (SECRET * 40, "too_long"),
    "ciphertext": (f"gAAAAA{SECRET}", "ciphertext"),
    "asterisks": ("********", "masked"),
    "asterisks in it": (f"{SECRET}********", "masked"),
    "what a Secret shows": (repr(Secret(SECRET)), "placeholder"),
}


def parts_of(error):
    by_field = getattr(error, "error_dict", {"": [error]})
    return [part for parts in by_field.values() for part in parts]


def full_clean(value):
    CertnCredential(environment="demo", client_id="id", client_secret=value).full_clean()


@pytest.mark.parametrize(("value", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("clean", [clean_secret, SecretFormField().clean, full_clean])
def test_what_cannot_be_a_secret_is_refused_with_a_sentence(clean, value, code):
    with pytest.raises(ValidationError) as caught:
        clean(value)

    (part,) = parts_of(caught.value)
    assert part.code == code
    assert part.messages[0].endswith(".")
    assert SECRET not in repr(vars(part))
    assert SECRET not in repr(vars(caught.value))


@trap
def test_an_error_does_not_carry_the_value_along(model):
    row = model(name="a", client_secret=SECRET * 40)
    with pytest.raises(ValidationError) as caught:
        row.full_clean()

    parts = parts_of(caught.value)
    assert len(parts) >= 1
    assert SECRET not in repr([vars(part) for part in parts])


def test_save_does_not_clean():
    row = CertnCredential.objects.create(client_secret=" a\n")
    assert again(row).client_secret == " a\n"


@pytest.mark.parametrize("write", [lambda row: row.save(), lambda row: row.full_clean()])
def test_assigned_ciphertext_is_refused(row, write):
    before = read_column(row)
    row.client_secret = before

    with pytest.raises((ValueError, ValidationError)) as caught, transaction.atomic():
        write(row)

    assert before not in repr(caught.value)
    assert read_column(row) == before


def test_ciphertext_is_not_encrypted_again_by_update(row):
    with pytest.raises(ValueError, match="is encrypted already; it was not saved"):
        CertnCredential.objects.update(client_secret=read_column(row))


def test_bytes_that_are_no_text():
    with pytest.raises(ValueError, match="these bytes are not UTF-8") as caught:
        CertnCredential(client_secret=b"\xff" + SECRET.encode())

    assert not isinstance(caught.value, UnicodeError)
    assert caught.value.__context__ is None


def test_a_number_is_its_digits():
    row = CertnCredential.objects.create(client_secret=12345)

    assert again(row).client_secret == "12345"


# Asterisks, and nothing at all


MASKS = ["********", " ********\n", "<Secret: ********>", "****************", str(Secret(SECRET))]

WRITES = {
    "save": write_by_save,
    "save of the field": write_by_save_of_one_field,
    "create": lambda row: CertnCredential.objects.create(name="b", client_secret=ANOTHER),
    "upsert": write_by_upsert,
    "bulk_create": lambda row: CertnCredential.objects.bulk_create(
        [CertnCredential(name="b", client_secret=ANOTHER)]
    ),
    "update": lambda row: CertnCredential.objects.update(client_secret=ANOTHER),
    "bulk_create, by position": lambda row: CertnCredential.objects.bulk_create(
        [CertnCredential(name=row.name, client_secret=ANOTHER)],
        None,
        False,
        True,
        ["client_secret"],
        ["name"] if connection.vendor != "mysql" else None,
    ),
    "update past the manager": lambda row: CertnCredential._base_manager.update(
        client_secret=ANOTHER
    ),
    "update_or_create": lambda row: CertnCredential.objects.update_or_create(
        name=row.name, defaults={"client_secret": ANOTHER}
    ),
    "aupdate": lambda row: await_(CertnCredential.objects.aupdate(client_secret=ANOTHER)),
    "fixture": lambda row: next(
        serializers.deserialize(
            "python",
            [
                {
                    "model": "django_certn.certncredential",
                    "pk": row.pk,
                    "fields": {"name": row.name, "client_secret": ANOTHER},
                }
            ],
        )
    ).save(),
}


def everything():
    return list(CertnCredential.objects.order_by("pk").values()), [
        read_column(row) for row in CertnCredential.objects.order_by("pk")
    ]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_asterisks_are_refused_and_nothing_changes(row, write, mask, monkeypatch):
    CertnCredential.objects.update(verified_status="ok")
    before = everything()
    monkeypatch.setitem(globals(), "ANOTHER", mask)
    with pytest.raises(ValueError, match="stands for a secret and is none"), transaction.atomic():
        write(row)

    assert everything() == before


# Past the manager, nobody knows what is stored.
OTHERS = ("create", "bulk_create", "update past the manager")
OVERWRITES = {name: write for name, write in WRITES.items() if name not in OTHERS}


@pytest.mark.parametrize(
    "nothing",
    ["", b"", Secret(""), None, "  ", b"\n", Secret("\t"), "\u200b", bytearray(b" ")],
    ids=repr,
)
@pytest.mark.parametrize("write", OVERWRITES.values(), ids=OVERWRITES)
def test_nothing_does_not_take_the_place_of_a_secret(row, write, nothing, monkeypatch):
    CertnCredential.objects.update(verified_status="ok")
    before = everything()
    monkeypatch.setitem(globals(), "ANOTHER", nothing)
    with pytest.raises(ValueError, match="client_secret is empty"), transaction.atomic():
        write(row)

    assert everything() == before


def test_a_fixture_without_the_field_does_not_erase_it(row):
    before = everything()
    entry = {"model": "django_certn.certncredential", "pk": row.pk, "fields": {"name": "acme"}}
    (loaded,) = serializers.deserialize("python", [entry])
    with pytest.raises(ValueError, match="client_secret is empty"), transaction.atomic():
        loaded.save()

    assert everything() == before


def test_a_row_may_begin_without_a_secret():
    row = CertnCredential.objects.create()
    row.name = "acme"
    row.save()
    again(row).save()
    (entry,) = serializers.serialize("python", [row], fields=["created_at", "updated_at"])
    entry["fields"]["name"] = "other"
    (loaded,) = serializers.deserialize("python", [entry])
    loaded.save()
    assert (again(row).name, again(row).client_secret) == ("other", "")

    CertnCredential.objects.update(client_secret=SECRET)
    assert again(row).client_secret == SECRET


@pytest.mark.parametrize("stored", ["********", f"{SECRET}********", "gAAAAA"])
def test_what_was_read_from_the_column_is_never_refused(row, stored):
    write_column(row, encrypt(stored) if "*" in stored else stored)
    read = again(row)
    read.full_clean()
    read.save()
    CertnCredential.objects.bulk_create(
        [CertnCredential(name="b", client_secret=read.client_secret)]
    )
    CertnCredential.objects.filter(name="b").update(client_secret=read.client_secret)

    assert again(row).client_secret == read.client_secret
    assert CertnCredential.objects.get(name="b").client_secret == read.client_secret


def test_what_was_saved_counts_as_stored(row):
    assert CertnCredential(client_secret=SECRET).client_secret.is_new
    assert not row.client_secret.is_new
    assert not again(row).client_secret.is_new
    assert not pickle.loads(pickle.dumps(row)).client_secret.is_new
    row.client_secret = ANOTHER
    row.save(update_fields=["name"])
    assert row.client_secret.is_new
    row.save()
    assert not row.client_secret.is_new


# Validators


def no_fake_secret(text):
    if "another" in text:
        raise ValidationError("%(value)s is %(kind)s.", params={"value": text, "kind": "bad"})


class TestValidators:
    @pytest.fixture
    def field(self):
        field = EncryptedSecretField(validators=[no_fake_secret, RegexValidator("[0-9]")])
        field.set_attributes_from_name("client_secret")
        return field

    def test_those_that_are_given_are_used_as_well(self, field):
        assert field.clean(SECRET, None) == SECRET
        with pytest.raises(ValidationError) as caught:
            field.clean(ANOTHER, None)
        with pytest.raises(ValidationError):
            field.clean("fake", None)
        with pytest.raises(ValidationError):
            field.clean("fake-é-9", None)

        (error,) = caught.value.error_list
        assert error.messages == ["******** is bad."]
        assert ANOTHER[:-2] not in repr(vars(error))
        assert caught.value.__context__ is None or ANOTHER[:-2] not in repr(
            caught.value.__context__
        )

    @pytest.mark.parametrize(
        ("message", "params"),
        [("This is bad: {}.", {}), ("This is bad: %(value)s", {"value": "{}."})],
        ids=["message", "parameter"],
    )
    def test_an_error_that_quotes_it_does_not_show_it(self, message, params):
        def refuse(text):
            quoted = {name: value.format(str.__str__(text)) for name, value in params.items()}
            raise ValidationError(message.format(str.__str__(text)), params=quoted)

        field = EncryptedSecretField(validators=[refuse])
        field.set_attributes_from_name("client_secret")
        with pytest.raises(ValidationError) as caught:
            field.clean(ANOTHER, None)

        (error,) = caught.value.error_list
        assert error.messages == ["This is bad: ********."]
        assert ANOTHER not in repr(vars(error))

    def test_each_gives_its_own_error(self, field):
        with pytest.raises(ValidationError) as caught:
            field.clean("fake-another-\u00e9", None)

        assert len(caught.value.error_list) == 3

    def test_whoever_reads_the_validators_gets_all_that_the_form_refuses(self, field):
        for value, code in REFUSED.values():
            if code == "required":
                continue
            errors = []
            for validator in field.validators:
                try:
                    validator(value)
                except ValidationError as error:
                    errors += error.error_list
            assert code in [error.code for error in errors]

    def test_they_survive_a_clone_and_are_not_part_of_a_migration(self, field):
        assert field.deconstruct()[3]["validators"] == field._validators
        assert len(field.clone().validators) == len(field.validators) == 3
        ours = CertnCredential._meta.get_field("client_secret")
        assert "validators" not in ours.deconstruct()[3]


# Another encryption key


@pytest.fixture
def before(row):
    return read_column(row)


@trap
def test_ciphertext_is_not_taken_for_the_secret(model, settings):
    row = model.objects.create(client_secret=SECRET)
    text = read_column(row)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    read = again(row)

    assert read.client_secret != text
    assert not read.client_secret
    assert text not in repr([vars(read), read.client_secret])


@trap
def test_saving_what_cannot_be_read_loses_nothing(model, settings):
    row = model.objects.create(client_secret=SECRET)
    text = read_column(row)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    read = again(row)
    read.name = "renamed"
    read.save()
    again(row).save(update_fields=["client_secret"])
    pickle.loads(pickle.dumps(again(row))).save()

    assert read_column(row) == text
    settings.FIELD_ENCRYPTION_KEY = OLD_KEY
    assert again(row).client_secret == SECRET
    assert again(row).name == "renamed"


def test_a_row_that_cannot_be_read_is_valid_and_takes_another_secret(row, settings):
    CertnCredential.objects.update(environment="demo", client_id="fake-client-id")
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    read = again(row)
    assert isinstance(read.client_secret, UndecryptableSecret)
    assert repr(read.client_secret) == "<UndecryptableSecret: ********>"
    read.full_clean()

    read.client_secret = ANOTHER
    read.full_clean()
    read.save()
    assert again(row).client_secret == ANOTHER


def test_a_copy_to_another_row_loses_nothing(row, before, settings):
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    copied = CertnCredential.objects.create(name="copy", client_secret=again(row).client_secret)

    assert read_column(copied) == before


def test_rotation(row, before, settings):
    settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]
    assert again(row).client_secret == SECRET
    assert read_column(row) == before
    again(row).save()
    assert read_column(row) != before

    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    assert again(row).client_secret == SECRET


@pytest.mark.parametrize("keys", ["malformed", f"{NEW_KEY},{OLD_KEY}", [NEW_KEY, ""], None])
def test_a_malformed_override_leaves_the_keys_as_they_were(row, before, settings, keys):
    settings.FIELD_ENCRYPTION_KEY = keys
    assert again(row).client_secret == SECRET
    assert is_current(before)


@pytest.mark.parametrize("keys", [[NEW_KEY, OLD_KEY], NEW_KEY, OLD_KEY])
@trap
def test_what_was_encrypted_twice_is_no_secret(model, settings, keys):
    row = model.objects.create(client_secret=SECRET)
    text = Fernet(NEW_KEY).encrypt(read_column(row).encode()).decode()
    write_column(row, text)
    settings.FIELD_ENCRYPTION_KEY = keys

    assert not again(row).client_secret
    again(row).save()
    assert read_column(row) == text


# What else may be in the column


def one_character_changed(text):
    return text[:40] + ("A" if text[40] != "A" else "B") + text[41:]


FOREIGN = {
    "plain text": lambda text: SECRET,
    "plain text that is not ASCII": lambda text: f"{SECRET} \u20ac",
    "one character changed": one_character_changed,
    "cut off": lambda text: text[:-8],
    "only the start": lambda text: "gAAAAA",
    "empty": lambda text: "",
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
@trap
def test_what_is_not_ciphertext_is_not_taken_for_the_secret(model, foreign):
    row = model.objects.create(client_secret=SECRET)
    text = foreign(read_column(row))
    write_column(row, text)
    read = again(row)

    assert isinstance(read.client_secret, UndecryptableSecret)
    assert not read.client_secret
    read.save()
    again(row).save(update_fields=["client_secret"])
    pickle.loads(pickle.dumps(again(row))).save()
    assert read_column(row) == text


@pytest.mark.parametrize("around", ['"{}"', " {}"], ids=repr)
def test_what_is_read_stays_the_same_wherever_it_is_copied(row, around):
    write_column(row, around.format(read_column(row)))
    secret = again(row).client_secret
    (loaded,) = serializers.deserialize("json", serialize("json", [again(row)]))

    assert pickle.loads(pickle.dumps(again(row))).client_secret == secret
    if secret:  # Pythons differ
        assert loaded.object.client_secret == SECRET


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_plain_text_in_the_column_is_not_shown(row, view):
    write_column(row, SECRET)

    assert SECRET not in view(again(row))


@pytest.mark.parametrize("kind", FORMATS)
def test_plain_text_in_the_column_is_not_serialized(row, kind):
    write_column(row, SECRET)

    assert SECRET not in str(serialize(kind, CertnCredential.objects.all()))


def test_a_pickle_of_plain_text_read_after_its_key_was_dropped(row, settings):
    write_column(row, SECRET)
    pickled = pickle.dumps(again(row))
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    unpickled = pickle.loads(pickled)
    assert isinstance(unpickled.client_secret, UndecryptableSecret)
    unpickled.save()

    settings.FIELD_ENCRYPTION_KEY = OLD_KEY
    assert decrypt(read_column(row)) == SECRET


def test_bytes_in_the_column_are_read_as_text(row):
    field = CertnCredential._meta.get_field("client_secret")

    assert field.from_db_value(encrypt(SECRET).encode(), None, connection) == SECRET


# The field by itself


@pytest.mark.parametrize(
    "option",
    [
        {"unique": True},
        {"primary_key": True},
        {"db_default": "x"},
        {"db_default": ""},
        {"db_default": Value("x")},
    ],
)
def test_options_that_cannot_be(option):
    with pytest.raises(TypeError, match="An encrypted field cannot have"):
        EncryptedSecretField(**option)


def test_the_greatest_length_is_fixed_and_survives_a_clone():
    field = CertnCredential._meta.get_field("client_secret")
    assert field.max_length == field.clone().max_length == copy.copy(field).max_length == MAX_LENGTH
    with pytest.raises(TypeError):
        EncryptedSecretField(max_length=50)

    bare = BareCredential._meta.get_field("client_secret")
    assert (bare.max_length, bare.clone().max_length) == (1024, None)


def test_a_field_that_may_be_null_or_blank():
    field = EncryptedSecretField(null=True, blank=True)
    field.set_attributes_from_name("client_secret")

    assert field.get_db_prep_save(None, connection) is None
    assert field.from_db_value(None, None, connection) is None
    assert field.to_python(None) is None
    assert field.clean(None, None) is None
    assert field.clean("", None) == ""
    assert field.value_to_string(SimpleNamespace(client_secret=None)) == ""
    assert decrypt(field.value_to_string(SimpleNamespace(client_secret="x"))) == "x"


def test_what_a_fixture_may_hold():
    field = CertnCredential._meta.get_field("client_secret")

    assert field.to_python(encrypt(SECRET)) == SECRET
    assert field.to_python(SECRET) == SECRET
    assert field.to_python(SECRET.encode()) == SECRET
    secret = Secret(SECRET)
    assert field.to_python(secret) is secret


def test_decrypt_gives_none_for_what_it_cannot_read():
    assert decrypt(encrypt(SECRET)) == SECRET
    assert decrypt("") is None
    assert decrypt("\ud800") is None
    assert decrypt(Fernet(OLD_KEY).encrypt(b"\xff").decode()) is None


def test_only_the_first_key_is_the_current_one(settings):
    old = encrypt(SECRET)
    assert is_current(old)

    settings.FIELD_ENCRYPTION_KEY = [NEW_KEY, OLD_KEY]
    assert not is_current(old)
    assert is_current(encrypt(SECRET))
    settings.FIELD_ENCRYPTION_KEY = (OLD_KEY,)
    assert is_current(old)
    assert not any(is_current(text) for text in ("", "gAAAAA", SECRET, "\u20ac", "\ud800"))


@pytest.mark.parametrize(
    ("stored", "secret"),
    [
        (SECRET, SECRET),
        (f" {SECRET}\n", SECRET),
        ("", None),
        (f"{SECRET}\u20ac", None),
        ("gAAAAA", None),
        ("'gAAAAA'", None),
    ],
)
def test_the_secret_that_is_stored_in_clear(stored, secret):
    found = UndecryptableSecret(stored).plain_text()

    assert found == secret
    assert SECRET not in repr(found)


# Locks


@pytest.mark.django_db(transaction=True)
def test_it_is_read_under_a_lock():
    row = CertnCredential.objects.create(client_secret=SECRET)
    with transaction.atomic():
        locked = CertnCredential.objects.select_for_update().get(pk=row.pk)
        locked.client_secret = ANOTHER
        locked.save()

    assert again(row).client_secret == ANOTHER
