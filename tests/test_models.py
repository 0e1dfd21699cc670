import dataclasses
import pickle
from datetime import timedelta
from itertools import takewhile

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.forms import model_to_dict, modelform_factory
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from django_certn.exceptions import (
    CertnConfigurationError,
    CredentialNotFoundError,
    CredentialUndecryptableError,
    Status,
)
from django_certn.models import KEY_FIELDS, VERIFIED_FIELDS, CertnCredential, Key
from django_certn.secret import Secret, UndecryptableSecret

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-0123456789abcdef"
ANOTHER = "fake-secret-another-fedcba98"
NEW_KEY = "ZmFrZS1lbmNyeXB0aW9uLWtleS1udW1iZXItMi4uLi4="
LONG_AGO = timezone.now() - timedelta(days=30)
VERIFIED = {
    "verified_status": Status.REJECTED,
    "verified_http_status": 401,
    "verified_error_code": "invalid_client",
    "verified_at": LONG_AGO,
}


def new(**fields):
    return CertnCredential(
        **{
            "environment": "demo",
            "client_id": "fake-client-id",
            "client_secret": SECRET,
            **fields,
        }
    )


@pytest.fixture
def row():
    """A row that was stored and verified long ago."""
    row = new()
    row.save()
    CertnCredential.objects.update(
        secret_changed_at=LONG_AGO, created_at=LONG_AGO, updated_at=LONG_AGO, **VERIFIED
    )
    return again(row)


def again(row):
    return CertnCredential.objects.using(row._state.db).get(pk=row.pk)


def is_verified(row):
    stored = {field: getattr(again(row), field) for field in VERIFIED_FIELDS}
    assert stored in (VERIFIED, VERIFIED_FIELDS)
    return stored == VERIFIED


def codes(error):
    return {field: [part.code for part in parts] for field, parts in error.error_dict.items()}


# Shape


def test_the_fields():
    assert [field.name for field in CertnCredential._meta.get_fields()] == [
        "id",
        "name",
        "environment",
        "client_id",
        "client_secret",
        "expires_on",
        "is_active",
        "verified_status",
        "verified_http_status",
        "verified_error_code",
        "verified_at",
        "secret_changed_at",
        "created_at",
        "updated_at",
    ]
    assert CertnCredential._meta.label == "django_certn.CertnCredential"
    assert (str(new(name="acme")), new().name, new().is_active) == ("acme", "default", True)


def test_there_is_no_default_environment():
    field = CertnCredential._meta.get_field("environment")

    assert not field.has_default()
    with pytest.raises(ValidationError) as caught:
        new(environment="").full_clean()
    assert codes(caught.value) == {"environment": ["blank"]}


def test_the_kind_of_the_primary_key_is_pinned():
    assert apps.get_app_config("django_certn").default_auto_field == (
        "django.db.models.BigAutoField"
    )
    with override_settings(DEFAULT_AUTO_FIELD="django.db.models.SmallAutoField"):
        assert apps.get_app_config("django_certn").default_auto_field.endswith("BigAutoField")


def test_the_permissions():
    names = Permission.objects.filter(content_type__app_label="django_certn")
    assert set(names.values_list("codename", flat=True)) == {
        f"{verb}_certncredential" for verb in ("add", "change", "delete", "view", "verify")
    }


def test_a_name_is_stored_once():
    new().save()
    with pytest.raises(IntegrityError), transaction.atomic():
        new().save()
    with pytest.raises(ValidationError) as caught:
        new().full_clean()
    assert codes(caught.value) == {"name": ["unique"]}


def test_a_natural_key():
    row = new(name="acme")
    row.save()

    assert row.natural_key() == ("acme",)
    assert CertnCredential.objects.get_by_natural_key("acme") == row


@pytest.mark.parametrize(
    "name",
    [
        *("a\nb", "a\tb", "a\x1b[2Jb", "a\0b", "a\x85b", "a\u200bb", "a\u202eb", "a\xadb"),
        *("a\u2028b", "a\ufeffb", "a\ud800b", "a\U000e0041b"),
    ],
)
def test_a_name_that_cannot_be_seen_whole(row, name):
    row.name = name
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert list(caught.value.error_dict) == ["name"]
    assert {error.code for error in caught.value.error_dict["name"]} <= {
        "unseen",
        "null_characters_not_allowed",
    }


@pytest.mark.parametrize(
    "name", ["default", "Zoë & co", "鍵", "a/b.c:d", "tenant 7", "with 'quotes'"]
)
def test_a_name_that_can_be_seen(row, name):
    row.name = name
    row.full_clean()


def test_rows_are_ordered_by_name():
    for name in ("b", "a", "c"):
        new(name=name).save()
    assert [row.name for row in CertnCredential.objects.all()] == ["a", "b", "c"]


# Cleaning


@pytest.mark.parametrize(
    "around", [" {}", "{}\r\n", "\u00a0{}\u200b", "\ufeff{}", " \u200b {} \u2060 ", "\t{}\u2028"]
)
def test_what_is_pasted_around_a_value_goes(around):
    row = new(
        name=around.format("acme"),
        client_id=around.format("fake-client-id"),
        client_secret=around.format(SECRET),
    )
    row.full_clean()

    assert (row.name, row.client_id, row.client_secret) == ("acme", "fake-client-id", SECRET)


@pytest.mark.parametrize(
    "client_id", ["fake\nid", "fake\u00a0id", "fake\u200bid", "fäke", "fake\x00id", "\u0661"]
)
def test_a_client_id_is_printable_ascii(client_id):
    with pytest.raises(ValidationError) as caught:
        new(client_id=client_id).full_clean()

    (message,) = caught.value.message_dict["client_id"]
    assert "printable ASCII" in message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"client_id": ""}, {"client_id": ["blank"]}),
        ({"client_id": None}, {"client_id": ["blank"]}),
        ({"client_id": " \n"}, {"client_id": ["blank"]}),
        ({"client_id": "x" * 256}, {"client_id": ["max_length"]}),
        ({"name": None}, {"name": ["null"]}),
        ({"name": "\u200b"}, {"name": ["blank"]}),
        ({"client_secret": ""}, {"client_secret": ["required"]}),
        ({"client_secret": None}, {"client_secret": ["required"]}),
        ({"environment": "absent"}, {"environment": ["invalid_choice"]}),
    ],
)
def test_what_is_missing_or_wrong_is_reported(fields, expected):
    with pytest.raises(ValidationError) as caught:
        new(**fields).full_clean()
    assert codes(caught.value) == expected


def test_255_characters_are_a_client_id():
    new(client_id="x" * 255, client_secret="y" * 255).full_clean()


def test_an_excluded_field_is_left_alone():
    row = new(name=" acme ", client_id=" i ")
    row.clean_fields(exclude={"name"})
    assert (row.name, row.client_id) == (" acme ", "i")


@pytest.mark.parametrize("client_id", [SECRET, f" {SECRET}\n"])
def test_the_same_pasted_twice_is_refused(client_id):
    with pytest.raises(ValidationError) as caught:
        new(client_id=client_id).full_clean()

    assert codes(caught.value) == {"__all__": ["same"]}
    assert SECRET not in repr(vars(caught.value))


def test_an_environment_of_the_settings_will_do(settings):
    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://localhost"}}
    row = new(environment="local")
    row.full_clean()
    assert row.get_environment_display() == "local"


# What follows the key


def test_a_new_row_was_never_verified():
    row = new()
    row.save()
    read = again(row)

    assert {field: getattr(read, field) for field in VERIFIED_FIELDS} == VERIFIED_FIELDS
    assert read.secret_changed_at == row.secret_changed_at
    assert timezone.now() - read.secret_changed_at < timedelta(minutes=1)


def test_a_new_row_may_say_since_when_it_has_its_secret():
    row = new(secret_changed_at=LONG_AGO)
    row.save()
    assert again(row).secret_changed_at == LONG_AGO


OTHER_KEY = {"environment": "production", "client_id": "fake-other-id", "client_secret": ANOTHER}


def assign(row, fields):
    for field, value in fields.items():
        setattr(row, field, value)
    return row


def save_of_that_field(row, fields):
    assign(row, fields).save(update_fields=list(fields))


def save_of_more_fields(row, fields):
    assign(row, fields).save(update_fields=(*fields, "is_active"))


def save_of_what_was_not_deferred(row, fields):
    assign(CertnCredential.objects.only(*fields).get(pk=row.pk), fields).save()


def save_of_what_was_deferred(row, fields):
    assign(CertnCredential.objects.defer(*KEY_FIELDS).get(pk=row.pk), fields).save()


def save_of_a_row_that_was_not_read(row, fields):
    written = {field: getattr(row, field) for field in (*KEY_FIELDS, "secret_changed_at")}
    CertnCredential(pk=row.pk, created_at=row.created_at, **{**written, **fields}).save()


def save_with_force_update(row, fields):
    assign(row, fields).save(force_update=True)


def save_asynchronously(row, fields):
    async_to_sync(save_it)(assign(row, fields))


async def save_it(row):
    await row.asave()


def update_or_create(row, fields):
    CertnCredential.objects.update_or_create(name=row.name, defaults=fields)


def full_clean_and_save(row, fields):
    assign(row, {"client_secret": SECRET, **fields}).full_clean()
    row.save()


SAVES = [
    lambda row, fields: assign(row, fields).save(),
    save_of_that_field,
    save_of_more_fields,
    save_of_what_was_not_deferred,
    save_of_what_was_deferred,
    save_of_a_row_that_was_not_read,
    save_with_force_update,
    save_asynchronously,
    update_or_create,
    full_clean_and_save,
]


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("field", KEY_FIELDS)
def test_another_key_clears_what_was_verified(row, field, save):
    assert is_verified(row)

    save(row, {field: OTHER_KEY[field]})

    read = again(row)
    assert getattr(read, field) == OTHER_KEY[field]
    assert not is_verified(row)
    assert (read.secret_changed_at > LONG_AGO) is (field == "client_secret")


@pytest.mark.parametrize(
    "save", [save for save in SAVES if save is not save_of_a_row_that_was_not_read]
)
@pytest.mark.parametrize(
    "fields",
    [
        {"client_secret": SECRET},
        {"environment": "demo"},
        {"client_id": "fake-client-id"},
        {"is_active": False},
        {"name": "renamed"},
    ],
    ids=str,
)
def test_the_same_key_keeps_what_was_verified(row, fields, save):
    save(row, fields)

    assert is_verified(row)
    assert again(row).secret_changed_at == LONG_AGO


def test_saving_moves_updated_at_and_not_created_at(row):
    row.save()
    read = again(row)

    assert read.updated_at > LONG_AGO
    assert read.created_at == LONG_AGO


def test_fields_that_are_not_saved_do_not_clear(row):
    assign(row, OTHER_KEY).save(update_fields=["is_active"])
    assert is_verified(row)
    row.save(update_fields=[])
    assert is_verified(row)
    assert again(row).client_secret == SECRET


@pytest.mark.parametrize(
    "save",
    [
        lambda row: row.save(update_fields=["is_active"]),
        lambda row: CertnCredential.objects.only("is_active").get(pk=row.pk).save(),
    ],
)
def test_saving_other_fields_does_not_read_the_row_first(row, save):
    with CaptureQueriesContext(connection) as log:
        save(row)
    before = list(takewhile(lambda query: "UPDATE" not in query["sql"], log))

    assert len(before) < len(log)
    assert not [query for query in before if "client_id" in query["sql"]]


def test_a_stale_instance_that_brings_an_earlier_key_back_clears(row):
    stale = again(row)
    assign(row, {"client_secret": ANOTHER}).save()
    CertnCredential.objects.update(secret_changed_at=LONG_AGO, **VERIFIED)

    stale.save()

    assert again(row).client_secret == SECRET
    assert not is_verified(row)
    assert again(row).secret_changed_at > LONG_AGO


def test_the_instance_in_memory_is_cleared_as_well(row):
    assign(row, OTHER_KEY).save()

    assert {field: getattr(row, field) for field in VERIFIED_FIELDS} == VERIFIED_FIELDS


def test_a_forced_insert_of_a_row_that_is_there_is_refused(row):
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)
    assert is_verified(row)


def test_a_row_whose_primary_key_is_chosen(row):
    chosen = new(name="chosen", pk=row.pk + 1000)
    chosen.save(force_insert=True)
    assert again(chosen).secret_changed_at is not None


def test_save_takes_keywords_only(row):
    with pytest.raises(TypeError):
        row.save(False, True)


def test_a_secret_that_cannot_be_read_is_the_same_as_long_as_it_is_stored(row, settings):
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    again(row).save()
    assert is_verified(row)

    assign(again(row), {"client_secret": ANOTHER}).save()
    assert not is_verified(row)
    assert again(row).secret_changed_at > LONG_AGO


def test_a_secret_that_cannot_be_read_is_another_than_another(row, settings):
    other = new(name="other", client_secret=ANOTHER)
    other.save()
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    assign(again(row), {"client_secret": again(other).client_secret}).save()

    assert not is_verified(row)


def test_holds(row):
    assert row.holds(again(row))
    assert row.holds(assign(again(row), {"name": "renamed", "is_active": False}))
    for field, value in OTHER_KEY.items():
        assert not row.holds(assign(again(row), {field: value}))


def test_holds_a_secret_that_cannot_be_read(row, settings):
    readable = again(row)
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    unreadable = again(row)

    assert unreadable.holds(again(row))
    assert not unreadable.holds(readable)
    assert not readable.holds(unreadable)


# The key


def test_the_key_of_a_row(row):
    key = row.key()

    assert isinstance(key, Key)
    assert (key.name, key.client_id, key.client_secret) == ("default", "fake-client-id", SECRET)
    assert key.environment.base_url == "https://demo-api.certn.co"
    assert isinstance(key.client_secret, Secret)


def test_a_key_does_not_show_its_secret(row):
    key = row.key()

    assert SECRET not in repr([key, dataclasses.asdict(key)])
    assert SECRET.encode() not in pickle.dumps(key)
    assert pickle.loads(pickle.dumps(key)).client_secret == SECRET
    with pytest.raises(dataclasses.FrozenInstanceError):
        key.client_id = "x"


@pytest.mark.parametrize("environment", ["absent", ""])
def test_no_key_without_an_environment(environment):
    with pytest.raises(CertnConfigurationError, match="neither built in nor in") as caught:
        new(environment=environment).key()
    assert caught.value.status == "misconfigured"


@pytest.mark.parametrize(
    "half", [{"client_id": ""}, {"client_secret": ""}, {"client_secret": None}]
)
def test_no_key_of_one_half(half):
    with pytest.raises(
        CertnConfigurationError,
        match=r"^The credential 'default' lacks its Client ID or its Client Secret\.$",
    ) as caught:
        new(**half).key()
    assert caught.value.status == "misconfigured"


def test_a_row_is_read_again_in_each_way_of_django(row):
    rows = CertnCredential.objects.select_for_update()
    for name, refresh in [
        ("one", row.refresh_from_db),
        ("two", lambda: row.refresh_from_db("default", ["name"])),
        ("three", lambda: row.refresh_from_db(from_queryset=rows)),
        ("four", lambda: row.refresh_from_db(fields=["name"], from_queryset=rows)),
        ("five", async_to_sync(row.arefresh_from_db)),
    ]:
        CertnCredential.objects.update(name=name)
        refresh()
        assert row.name == name


def test_no_key_of_a_secret_that_cannot_be_read(row, settings):
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    read = again(row)
    with pytest.raises(CredentialUndecryptableError, match="FIELD_ENCRYPTION_KEY") as caught:
        read.key()

    assert caught.value.status == "undecryptable"
    assert read.client_secret.column() not in str(caught.value)
    assert "earlier encryption key" in str(caught.value)
    assert "behind the one in force. Only if that is lost" in str(caught.value)
    assert "new pair" in str(caught.value)


# The halves of a key


@pytest.mark.parametrize("change", [{"client_id": "fake-other-id"}, {"environment": "production"}])
class TestHalves:
    def test_another_half_asks_for_the_secret(self, row, change):
        for kept in (row, again(row), pickle.loads(pickle.dumps(row))):
            with pytest.raises(ValidationError) as caught:
                assign(kept, change).full_clean()
            ((error,),) = caught.value.error_dict.values()
            assert error.code == "pair"

    @pytest.mark.parametrize("secret", [SECRET, ANOTHER])
    def test_with_the_secret_it_is_well(self, row, change, secret):
        assign(again(row), {**change, "client_secret": secret}).full_clean()

    def test_the_key_of_another_row_is_well(self, row, change):
        other = new(name="other", client_secret=ANOTHER, **change)
        other.save()
        assign(again(row), {**change, "client_secret": again(other).client_secret}).full_clean()

    def test_it_holds_where_the_secret_cannot_be_read(self, row, change, settings):
        settings.FIELD_ENCRYPTION_KEY = NEW_KEY
        with pytest.raises(ValidationError, match="belongs to the earlier Client ID"):
            assign(again(row), change).full_clean()

    def test_it_is_compared_with_what_is_stored_now(self, row, change):
        read = again(row)
        CertnCredential.objects.update(client_secret=ANOTHER, **change)
        assign(read, change).full_clean()
        CertnCredential.objects.update(client_secret=SECRET)
        read.full_clean()

    def test_a_new_row_is_well(self, row, change):
        new(name="other", **change).full_clean()

    def test_a_sites_own_form_is_held_to_it(self, row, change):
        form_class = modelform_factory(
            CertnCredential, fields=["name", "environment", "client_id", "is_active"]
        )
        data = {**model_to_dict(row), **change}
        form = form_class(data, instance=again(row))
        assert not form.is_valid()
        assert [error.code for error in form.errors.as_data()["__all__"]] == ["pair"]
        assert form_class({**model_to_dict(row), "name": "renamed"}, instance=again(row)).is_valid()


# The stored row


def test_stored_by_name(row):
    assert CertnCredential.objects.stored("default") == row


@pytest.mark.parametrize(
    "name", ["absent", "", "Default", "DEFAULT", "default ", " default", "défault"]
)
def test_no_other_row_is_stored_under_a_name(row, name):
    with pytest.raises(CredentialNotFoundError, match="No Certn credential is named") as caught:
        CertnCredential.objects.stored(name)
    assert repr(name) in str(caught.value)


def test_names_that_differ_by_case(row):
    try:
        with transaction.atomic():
            new(name="Default", client_secret=ANOTHER).save()
    except IntegrityError:
        assert connection.vendor == "mysql"
    else:
        assert CertnCredential.objects.stored("Default").client_secret == ANOTHER

    assert CertnCredential.objects.stored("default") == row


def test_an_instance_stands_for_its_stored_row(row):
    assign(row, {"client_secret": ANOTHER, "name": "in memory"})
    stored = CertnCredential.objects.stored(row)

    assert stored == row
    assert (stored.name, stored.client_secret) == ("default", SECRET)


def test_an_instance_that_is_not_stored(row):
    unsaved = new(pk=row.pk)
    deleted = new(name="deleted")
    deleted.save()
    kept = again(deleted)
    deleted.delete()
    for credential in (new(), unsaved, deleted, kept):
        with pytest.raises(CredentialNotFoundError, match="is not stored: save it first"):
            CertnCredential.objects.stored(credential)


@pytest.mark.parametrize("value", [None, 1, b"default", ["default"], Permission()])
def test_what_stands_for_no_credential(value):
    with pytest.raises(TypeError, match="by its name or as a CertnCredential"):
        CertnCredential.objects.stored(value)


# Several databases


class Primary:
    """Reads from `other`, a replica, and writes to `default`."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"


@pytest.mark.django_db(databases=["default", "other"])
def test_an_instance_stands_for_the_row_of_its_own_database(row):
    other = new(pk=row.pk, client_secret=ANOTHER)
    other.save(using="other")
    manager = CertnCredential.objects

    assert manager.stored(other).client_secret == ANOTHER
    assert manager.stored(row).client_secret == SECRET
    assert manager.stored("default").client_secret == SECRET
    assert manager.db_manager("other").stored("default").client_secret == ANOTHER


@pytest.mark.django_db(databases=["default", "other"])
def test_a_row_is_read_where_it_is_written(row, settings):
    settings.DATABASE_ROUTERS = ["tests.test_models.Primary"]
    replica = new(pk=row.pk, client_secret=ANOTHER)
    replica.save(using="other")
    read = CertnCredential.objects.get()
    assert read.client_secret == ANOTHER

    assert CertnCredential.objects.stored("default").client_secret == SECRET
    assert CertnCredential.objects.stored(read).client_secret == SECRET


class Hinted:
    """A router that reads where the caller's hint says."""

    def db_for_read(self, model, **hints):
        return hints.get("region")


@pytest.mark.django_db(databases=["default", "other"])
def test_a_router_gets_the_hints_of_the_caller(row, settings):
    settings.DATABASE_ROUTERS = ["tests.test_models.Hinted"]
    new(client_secret=ANOTHER).save(using="other")
    manager = CertnCredential.objects.db_manager(hints={"region": "other"})

    assert manager.get().client_secret == ANOTHER
    assert CertnCredential.objects.get().client_secret == SECRET


@pytest.mark.django_db(databases=["default", "other"])
def test_a_key_is_compared_with_the_one_of_the_database_that_is_written(row):
    other = new(pk=row.pk, client_secret=ANOTHER, **VERIFIED)
    other.save(using="other")
    assert is_verified(other)
    other.save()
    assert is_verified(other)
    assert is_verified(row)

    other.save(using="default")

    assert not is_verified(again(row))
    assert again(row).client_secret == ANOTHER


def test_an_undecryptable_secret_is_false_and_equal_to_no_text(row, settings):
    settings.FIELD_ENCRYPTION_KEY = NEW_KEY
    secret = again(row).client_secret
    assert (type(secret), str(secret), bool(secret)) == (UndecryptableSecret, "********", False)
    assert secret not in ("", SECRET)
