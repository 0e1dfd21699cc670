"""The row of an API key beside that of a Client ID and a Client Secret."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F, Value
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from django_certn.bulk import LIMITS
from django_certn.conf import BUILT_IN, Scheme
from django_certn.exceptions import CertnConfigurationError
from django_certn.expiry import ends_soon, today
from django_certn.keys import looks_like_api_key
from django_certn.models import CertnCredential
from django_certn.testing.rows import ENVIRONMENTS

pytestmark = pytest.mark.django_db

API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"
ANOTHER = "fakeKey2.0123456789abcdef0123456789abcdef"
YEAR = timedelta(days=365)
DAY = timedelta(days=1)


def new(**fields):
    return CertnCredential(
        **{"environment": "centric-ca", "client_secret": API_KEY, "client_id": "", **fields}
    )


@pytest.fixture
def row():
    """An API key that was entered 300 days ago."""
    row = new()
    row.save()
    CertnCredential.objects.update(
        secret_changed_at=timezone.now() - timedelta(days=300), expires_on=today() + timedelta(65)
    )
    return again(row)


def again(row):
    return CertnCredential.objects.get(pk=row.pk)


def codes(error):
    return {field: [part.code for part in parts] for field, parts in error.error_dict.items()}


# The Client ID


@pytest.mark.parametrize("environment", ["centric-ca", "centric-uk", "centric-sandbox"])
def test_an_api_key_has_no_client_id(environment):
    new(environment=environment).full_clean()
    with pytest.raises(ValidationError) as caught:
        new(environment=environment, client_id="fake-client-id").full_clean()
    assert codes(caught.value) == {"client_id": ["left_over"]}


def test_a_pair_has_one():
    with pytest.raises(ValidationError) as caught:
        new(environment="demo", client_id=" ").full_clean()
    assert codes(caught.value) == {"client_id": ["blank"]}


def test_other_errors_are_reported_beside_it():
    with pytest.raises(ValidationError) as caught:
        new(client_id="fake-client-id", name="").full_clean()
    assert codes(caught.value) == {"client_id": ["left_over"], "name": ["blank"]}


def test_a_field_left_out_is_not_judged():
    new(client_id="fake-client-id").full_clean(exclude=["client_id"])


def test_what_the_settings_do_not_know_is_judged_by_neither_rule():
    for client_id in ("", "fake-client-id"):
        with pytest.raises(ValidationError) as caught:
            new(environment="gone", client_id=client_id).full_clean()
        assert codes(caught.value) == {"environment": ["invalid_choice"]}


# The key


def test_the_key_of_an_api_key():
    row = new(client_id="left over")
    key = row.key()
    assert (key.client_id, key.client_secret, key.environment.scheme) == ("", API_KEY, "api_key")


def test_an_api_key_that_is_missing():
    with pytest.raises(CertnConfigurationError, match="lacks its API key"):
        new(client_secret="").key()


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (API_KEY, True),
        ("sk_test_fake", True),
        ("sk_live_fake-0123", True),
        ("fakeKey1.0123456789abcdef0123456789abcde", False),
        ("fake-secret-0123456789", False),
        (API_KEY + "\n", False),
        ("sk_other", False),
        ("", False),
    ],
)
def test_what_is_clearly_an_api_key(text, is_one):
    assert looks_like_api_key(text) is is_one


# Its end


def test_a_new_api_key_ends_after_a_year():
    row = CertnCredential.objects.create(environment="centric-ca", client_secret=API_KEY)
    assert row.expires_on == again(row).expires_on == today() + YEAR


@pytest.mark.parametrize("day", [date(2027, 3, 4), "2027-03-04"])
def test_or_on_the_day_that_is_said(day):
    row = CertnCredential.objects.create(
        environment="centric-ca", client_secret=API_KEY, expires_on=day
    )
    assert again(row).expires_on == date(2027, 3, 4)


def test_counted_from_when_the_secret_changed():
    row = new(secret_changed_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    row.save()
    assert again(row).expires_on == date(2027, 1, 31)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("use_tz", [True, False])
def test_the_day_is_one_in_utc(zone, use_tz):
    with override_settings(TIME_ZONE=zone, USE_TZ=use_tz):
        row = new()
        row.save()
        assert row.expires_on == today() + YEAR == datetime.now(UTC).date() + YEAR


def test_a_pair_has_no_end():
    row = new(environment="demo", client_id="fake-client-id", expires_on=today())
    row.save()
    assert row.expires_on is again(row).expires_on is None


@pytest.mark.parametrize("update_fields", [None, ["client_secret"]])
def test_a_new_key_has_a_new_end(row, update_fields):
    row.client_secret = ANOTHER
    row.save(update_fields=update_fields)
    assert row.expires_on == again(row).expires_on == today() + YEAR


@pytest.mark.parametrize("update_fields", [None, ["client_secret", "expires_on"]])
def test_unless_a_new_day_comes_with_it(row, update_fields):
    row.client_secret, row.expires_on = ANOTHER, today() + 7 * DAY
    row.save(update_fields=update_fields)
    assert again(row).expires_on == today() + 7 * DAY


def test_a_day_that_is_not_saved_is_not_a_new_day(row):
    row.client_secret, row.expires_on = ANOTHER, today() + 7 * DAY
    row.save(update_fields=["client_secret"])
    assert row.expires_on == again(row).expires_on == today() + YEAR


def test_the_same_key_keeps_its_end(row):
    row.client_secret = API_KEY
    row.save()
    assert again(row).expires_on == today() + 65 * DAY


def test_the_day_may_be_corrected(row):
    row.expires_on = today() + 9 * DAY
    row.save()
    assert again(row).expires_on == today() + 9 * DAY
    row.expires_on = None
    row.save()
    assert again(row).expires_on == today() + 65 * DAY


def test_a_correction_does_not_clear_what_was_verified(row):
    CertnCredential.objects.update(verified_status="ok", verified_at=timezone.now())
    row = again(row)
    row.expires_on = today() + 9 * DAY
    row.save()
    assert again(row).verified_status == "ok"


@pytest.mark.parametrize("update_fields", [None, ["environment", "client_id"]])
def test_moving_to_pairs_clears_the_end(row, update_fields):
    row.environment, row.client_id = "demo", "fake-client-id"
    row.save(update_fields=update_fields)
    assert row.expires_on is again(row).expires_on is None


def test_moving_to_api_keys_sets_it():
    row = new(environment="demo", client_id="fake-client-id", client_secret="fake-secret")
    row.save()
    row.environment, row.client_id, row.client_secret = "centric-ca", "", API_KEY
    row.save()
    assert again(row).expires_on == today() + YEAR


def test_an_environment_that_left_the_settings_keeps_it(row, settings):
    CertnCredential.objects.update(environment="gone")
    row = again(row)
    row.is_active = False
    row.save()
    assert again(row).expires_on == today() + 65 * DAY


def test_an_instance_that_lacks_the_field(row):
    row = CertnCredential.objects.defer("expires_on").get()
    row.client_secret = ANOTHER
    row.save()
    assert again(row).expires_on == today() + YEAR


def test_an_expression_for_the_day(row):
    row.expires_on = F("expires_on")
    row.save()
    assert again(row).expires_on == today() + 65 * DAY
    row = again(row)
    row.expires_on = Value(today())
    row.save()
    assert again(row).expires_on == today()


def test_what_is_no_day(row):
    row.expires_on = "soon"
    with pytest.raises(ValidationError), transaction.atomic():
        row.save()
    assert again(row).expires_on == today() + 65 * DAY


def test_other_fields_cost_no_look_at_the_row(row):
    row.is_active = False
    with CaptureQueriesContext(connection) as queries:
        row.save(update_fields=["is_active"])
    assert len(queries) == 1


@pytest.mark.parametrize(
    ("left", "is_soon"),
    [(-400, True), (-1, True), (0, True), (30, True), (31, False), (365, False)],
)
def test_an_end_that_comes_near(left, is_soon):
    assert ends_soon(today() + left * DAY) is is_soon
    assert not ends_soon(None)


def test_each_kind_has_an_environment_a_pace_and_a_row_for_tests():
    assert {entry.get("scheme", Scheme.OAUTH) for entry in BUILT_IN.values()} == set(Scheme)
    assert set(LIMITS) == set(Scheme)
    assert set(ENVIRONMENTS) == set(Scheme)
