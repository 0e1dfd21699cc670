import re
from datetime import date, timedelta

import pytest
from django import forms
from django.db import connection

from django_certn.expiry import today
from django_certn.forms import CertnCredentialForm
from django_certn.models import CertnCredential
from django_certn.secret import MaskedStr

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-of-the-first-pair"
NEW_SECRET = "fake-secret-of-the-second-pair"
ANOTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="


@pytest.fixture
def credential():
    return CertnCredential.objects.create(
        environment="demo", client_id="fake-id", client_secret=SECRET
    )


def column(credential):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client_secret FROM django_certn_certncredential WHERE id = %s", [credential.pk]
        )
        return cursor.fetchone()[0]


def read(credential):
    return CertnCredential.objects.get(pk=credential.pk)


def typed(**changes):
    return {
        "name": "default",
        "environment": "demo",
        "client_id": "fake-id",
        "secret": "",
        "is_active": "on",
    } | changes


def form_for(credential, **changes):
    return CertnCredentialForm(typed(**changes), instance=read(credential))


class TestAdd:
    def test_stores_the_secret(self):
        form = CertnCredentialForm(typed(secret=SECRET))
        assert form.is_valid(), form.errors
        row = form.save()
        assert read(row).client_secret == SECRET
        assert SECRET not in column(row)

    def test_commit_false(self):
        form = CertnCredentialForm(typed(secret=SECRET))
        row = form.save(commit=False)
        assert row.pk is None
        row.save()
        form.save_m2m()
        assert read(row).client_secret == SECRET

    def test_requires_everything_but_active(self):
        form = CertnCredentialForm({})
        assert set(form.errors) == {"name", "environment", "secret"}

    def test_has_no_default_environment(self):
        field = CertnCredentialForm()["environment"]
        assert field.value() in (None, "")
        value, _label = next(iter(field.field.choices))
        assert value == ""
        assert "selected" not in str(field).split(">", 2)[2]

    def test_refuses_an_environment_that_is_not_in_the_settings(self):
        form = CertnCredentialForm(typed(environment="moon", secret=SECRET))
        assert "environment" in form.errors

    def test_offers_the_environments_of_the_settings(self, settings):
        settings.CERTN_ENVIRONMENTS = {"local": {"label": "Here", "base_url": "http://127.0.0.1"}}
        assert ("local", "Here") in list(CertnCredentialForm().fields["environment"].choices)

    def test_errors_of_a_row_are_not_saved(self):
        with pytest.raises(ValueError, match="didn't validate"):
            CertnCredentialForm(typed()).save()


class TestSecretField:
    def test_is_a_password_that_browsers_do_not_fill_in(self):
        html = str(CertnCredentialForm()["secret"])
        assert 'type="password"' in html
        assert 'autocomplete="new-password"' in html
        assert "maxlength" not in html  # a browser would cut what is pasted, without a word

    def test_browsers_take_the_pair_for_no_login(self):
        assert 'autocomplete="off"' in str(CertnCredentialForm()["client_id"])

    def test_looks_like_the_client_id(self):
        wide = {"client_id": forms.TextInput({"class": "wide"})}
        form = forms.modelform_factory(CertnCredential, CertnCredentialForm, widgets=wide)
        assert 'class="wide ' in str(form()["secret"])
        assert "class" not in str(CertnCredentialForm()["secret"])

    def test_help_text_is_tied_to_the_input(self, credential):
        form = CertnCredentialForm(instance=credential)
        assert 'aria-describedby="id_secret_helptext"' in str(form["secret"])
        assert "A secret is stored. Leave this empty to keep it." in form.as_p()

    def test_never_shows_what_is_stored_or_typed(self, credential):
        assert SECRET not in CertnCredentialForm(instance=credential).as_p()
        form = form_for(credential, secret=NEW_SECRET, name="")
        assert not form.is_valid()
        assert NEW_SECRET not in form.as_p()
        assert SECRET not in form.as_p()

    def test_an_initial_value_is_not_shown_either(self):
        assert SECRET not in CertnCredentialForm(initial={"secret": SECRET}).as_p()

    def test_an_error_keeps_the_other_input(self, credential):
        html = form_for(credential, name="renamed", client_id="another-id").as_p()
        assert 'value="renamed"' in html
        assert 'value="another-id"' in html

    @pytest.mark.parametrize("pasted", [f"  {SECRET}\r\n", f"\ufeff{SECRET}", f"{SECRET}\u200b\n"])
    def test_what_copying_adds_is_trimmed(self, pasted):
        form = CertnCredentialForm(typed(secret=pasted, client_id=" fake-id\n"))
        row = form.save()
        assert read(row).client_secret == SECRET
        assert read(row).client_id == "fake-id"

    def test_ciphertext_is_refused_and_not_decrypted(self, credential):
        form = form_for(credential, secret=column(credential))
        (error,) = form.errors.as_data()["secret"]
        assert error.code == "ciphertext"
        assert SECRET not in form.as_p()
        assert column(credential) not in form.as_p()

    @pytest.mark.parametrize(
        "bad", ["fake\x00secret", "fake-sécret", "gAAAAAfake-secret", "fake-secret" * 100]
    )
    def test_no_error_holds_the_value(self, bad):
        form = CertnCredentialForm(typed(secret=bad))
        (error,) = form.errors.as_data()["secret"]
        assert not error.params
        assert bad not in repr(error)
        assert bad not in form.errors.as_json()

    def test_the_same_id_and_secret_are_refused(self):
        form = CertnCredentialForm(typed(client_id="fake-twice", secret=" fake-twice"))
        (error,) = form.errors.as_data()["secret"]
        assert error.code == "same"
        assert list(form.errors) == ["secret"]

    def test_a_new_pair_is_not_compared_with_the_old_secret(self, credential):
        form = form_for(credential, client_id=SECRET, secret=NEW_SECRET)
        assert form.is_valid(), form.errors


class TestKeep:
    def test_an_empty_secret_keeps_the_column(self, credential):
        before = column(credential)
        form = form_for(credential, name="renamed", is_active="")
        form.save()
        row = read(credential)
        assert (row.name, row.is_active) == ("renamed", False)
        assert column(row) == before

    def test_spaces_alone_are_no_secret(self, credential):
        before = column(credential)
        form = form_for(credential, secret="  \r\n")
        assert form.is_valid()
        assert "secret" not in form.changed_data
        form.save()
        assert column(credential) == before

    def test_the_verification_stays(self, credential):
        CertnCredential.objects.update(verified_status="ok")
        form_for(credential, name="renamed").save()
        assert read(credential).verified_status == "ok"

    def test_a_pair_stored_meanwhile_stays(self, credential):
        form = form_for(credential, name="renamed")
        assert form.is_valid()
        meanwhile = read(credential)
        meanwhile.client_id = "fake-id-2"
        meanwhile.client_secret = NEW_SECRET
        meanwhile.save()
        CertnCredential.objects.update(verified_status="ok")
        stored = column(credential)
        changed_at = read(credential).secret_changed_at

        form.save()

        row = read(credential)
        assert (row.name, row.client_id, row.client_secret) == ("renamed", "fake-id-2", NEW_SECRET)
        assert (row.verified_status, row.secret_changed_at) == ("ok", changed_at)
        assert column(credential) == stored

    def test_a_new_pair_is_written_whole(self, credential):
        form = form_for(credential, secret=NEW_SECRET)
        assert form.is_valid()
        meanwhile = read(credential)
        meanwhile.environment = "production"
        meanwhile.client_id = "fake-id-2"
        meanwhile.client_secret = "fake-secret-of-the-third-pair"
        meanwhile.save()

        form.save()

        row = read(credential)
        assert (row.environment, row.client_id) == ("demo", "fake-id")
        assert row.client_secret == NEW_SECRET

    def test_a_new_secret_clears_the_verification(self, credential):
        CertnCredential.objects.update(verified_status="ok")
        changed_at = read(credential).secret_changed_at
        form_for(credential, secret=NEW_SECRET).save()
        row = read(credential)
        assert row.client_secret == NEW_SECRET
        assert row.verified_status == ""
        assert row.secret_changed_at > changed_at

    def test_saving_moves_updated_at(self, credential):
        before = read(credential).updated_at
        form_for(credential, name="renamed").save()
        assert read(credential).updated_at > before

    def test_a_row_without_a_secret_requires_one(self, credential):
        CertnCredential._base_manager.update(client_secret="")
        form = form_for(credential)
        assert form.errors.as_data()["secret"][0].code == "required"


class TestPair:
    @pytest.mark.parametrize("change", [{"client_id": "another-id"}, {"environment": "production"}])
    def test_another_id_or_environment_asks_for_the_secret(self, credential, change):
        form = form_for(credential, **change)
        (error,) = form.errors.as_data()["secret"]
        assert error.code == "pair"
        assert list(form.errors) == ["secret"]

    @pytest.mark.parametrize("change", [{"client_id": "another-id"}, {"environment": "production"}])
    def test_with_the_secret_it_is_saved(self, credential, change):
        form_for(credential, secret=NEW_SECRET, **change).save()
        row = read(credential)
        assert row.client_secret == NEW_SECRET
        assert all(getattr(row, name) == value for name, value in change.items())

    def test_what_copying_adds_makes_no_other_id(self, credential):
        assert form_for(credential, client_id=" fake-id\u200b\n").is_valid()

    def test_it_holds_for_a_form_without_the_secret(self, credential):
        class Form(CertnCredentialForm):
            secret = None

        form = Form(typed(client_id="another-id"), instance=credential)
        assert not form.is_valid()
        assert form.non_field_errors()

    def test_a_refused_secret_is_the_only_error(self, credential):
        form = form_for(credential, client_id="another-id", secret="fake-sécret")
        assert [error.code for error in form.errors.as_data()["secret"]] == ["invalid"]


class TestUndecryptable:
    @pytest.fixture
    def credential(self, credential, settings):
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        return credential

    def test_the_form_says_both_ways_out(self, credential):
        html = CertnCredentialForm(instance=read(credential)).as_p()
        assert "earlier encryption key back, behind the one in force. Only if that is" in html
        assert "new pair" in html
        assert "A secret is stored." not in html
        assert column(credential) not in html

    def test_saving_without_a_secret_keeps_the_column(self, credential):
        before = column(credential)
        form = form_for(credential, name="renamed")
        form.save()
        assert read(credential).name == "renamed"
        assert column(credential) == before

    def test_a_new_pair_replaces_it(self, credential):
        form_for(credential, secret=NEW_SECRET).save()
        assert read(credential).client_secret == NEW_SECRET

    def test_the_pair_rule_holds(self, credential):
        form = form_for(credential, environment="production")
        assert form.errors.as_data()["secret"][0].code == "pair"


class TestVanishedEnvironment:
    @pytest.fixture
    def credential(self, credential):
        CertnCredential.objects.update(environment="moon")
        return credential

    def test_the_form_shows_it(self, credential):
        html = str(CertnCredentialForm(instance=read(credential))["environment"])
        assert '<option value="moon" selected>moon (not in the settings)</option>' in html

    def test_the_other_fields_are_editable(self, credential):
        form = form_for(credential, environment="moon", name="renamed", is_active="")
        form.save()
        row = read(credential)
        assert (row.name, row.is_active, row.environment) == ("renamed", False, "moon")

    def test_a_new_secret_for_it_is_kept(self, credential):
        form_for(credential, environment="moon", secret=NEW_SECRET).save()
        assert read(credential).client_secret == NEW_SECRET

    def test_another_vanished_one_is_refused(self, credential):
        assert "environment" in form_for(credential, environment="mars", secret=NEW_SECRET).errors

    def test_it_can_be_left(self, credential):
        form_for(credential, environment="demo", secret=NEW_SECRET).save()
        assert read(credential).environment == "demo"

    @pytest.mark.parametrize("broken", [{"moon": "https://moon.example"}, "moon"])
    def test_broken_settings_do_not_keep_the_form_from_opening(self, credential, settings, broken):
        settings.CERTN_ENVIRONMENTS = broken
        assert "moon" in CertnCredentialForm(instance=read(credential)).as_p()


def test_a_form_with_fewer_fields():
    class Form(CertnCredentialForm):
        class Meta(CertnCredentialForm.Meta):
            fields = ("name",)

    assert set(Form().fields) == {"name", "secret"}


def test_a_secret_in_the_data_stays_masked(credential):
    form = form_for(credential, secret=MaskedStr(NEW_SECRET))
    assert form.is_valid()
    assert NEW_SECRET not in repr(form.cleaned_data)
    assert isinstance(form.cleaned_data["secret"], MaskedStr)
    assert isinstance(form.fields["secret"].widget, forms.PasswordInput)


API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"
ANOTHER_API_KEY = "fakeKey2.0123456789abcdef0123456789abcdef"
NEXT_YEAR = today() + timedelta(days=365)


@pytest.fixture
def api_key():
    return CertnCredential.objects.create(environment="centric-ca", client_secret=API_KEY)


def centric(**changes):
    return typed(environment="centric-ca", client_id="", expires_on="") | changes


def reasons(form):
    return {
        field: [error.code for error in errors] for field, errors in form.errors.as_data().items()
    }


class TestAPIKey:
    def test_is_stored_without_a_client_id_and_with_its_end(self):
        form = CertnCredentialForm(centric(secret=API_KEY))
        assert form.is_valid(), form.errors
        row = read(form.save())
        assert (row.client_id, row.client_secret) == ("", API_KEY)
        assert row.expires_on == NEXT_YEAR

    def test_may_have_another_end(self):
        form = CertnCredentialForm(centric(secret=API_KEY, expires_on="2027-02-03"))
        assert read(form.save()).expires_on == date(2027, 2, 3)

    def test_the_environments_say_what_they_need(self, settings):
        settings.CERTN_ENVIRONMENTS = {
            "own": {"label": "Own", "base_url": "https://example.com", "scheme": "api_key"},
            "broken": {"base_url": "http://example.com"},
        }
        said = CertnCredentialForm().fields["environment"].help_text
        assert "With a Client ID and a Client Secret: Production, Demo." in said
        assert "With an API key alone: CertnCentric Canada," in said
        assert said.endswith("CertnCentric sandbox, Own.")

    def test_the_label_names_both(self):
        assert CertnCredentialForm().fields["secret"].label == "Client Secret or API key"

    @pytest.mark.parametrize("environment", ["production", "demo"])
    def test_a_pair_needs_its_client_id(self, environment):
        form = CertnCredentialForm(typed(environment=environment, client_id=" ", secret=SECRET))
        assert reasons(form) == {"client_id": ["blank"], "secret": ["not_kept"]}

    def test_a_client_id_left_over_is_refused(self):
        form = CertnCredentialForm(centric(client_id="fake-id", secret=API_KEY))
        assert reasons(form) == {"client_id": ["left_over"], "secret": ["not_kept"]}
        assert "An API key has no Client ID: leave this empty." in str(form.errors)

    @pytest.mark.parametrize("environment", ["demo", "production"])
    def test_in_place_of_a_pair_is_recognised(self, environment):
        form = CertnCredentialForm(typed(environment=environment, client_id="", secret=API_KEY))
        assert reasons(form) == {"environment": ["other_kind"], "secret": ["not_kept"]}
        assert "is an API key of CertnCentric" in str(form.errors)
        assert API_KEY not in str(form.errors)

    @pytest.mark.parametrize("environment", ["demo", "centric-ca"])
    def test_in_place_of_a_client_id_is_recognised(self, environment):
        form = CertnCredentialForm(typed(environment=environment, client_id=API_KEY))
        assert reasons(form) == {"client_id": ["other_kind"], "secret": ["required"]}

    def test_a_pair_that_looks_like_one_is_a_pair(self):
        """Nobody promises a shape."""
        form = CertnCredentialForm(typed(client_id=API_KEY, secret=ANOTHER_API_KEY))
        assert form.is_valid(), form.errors

    def test_a_secret_that_looks_like_no_api_key_is_one(self):
        form = CertnCredentialForm(centric(secret=SECRET))
        assert form.is_valid(), form.errors

    def test_moving_from_a_pair_asks_for_the_api_key(self, credential):
        form = form_for(credential, environment="centric-ca", client_id="")
        assert reasons(form) == {"secret": ["pair"]}

    def test_moving_from_an_api_key_asks_for_the_secret(self, api_key):
        form = form_for(api_key)
        assert reasons(form) == {"secret": ["pair"]}

    def test_moving_to_the_other_kind(self, credential):
        form = form_for(credential, environment="centric-ca", client_id="", secret=API_KEY)
        assert form.is_valid(), form.errors
        form.save()
        row = read(credential)
        assert (row.client_id, row.client_secret) == ("", API_KEY)
        assert row.expires_on == NEXT_YEAR

    def test_and_back_clears_the_end(self, api_key):
        form = CertnCredentialForm(
            typed(secret=SECRET, expires_on=str(api_key.expires_on)), instance=read(api_key)
        )
        assert form.is_valid(), form.errors
        form.save()
        assert read(api_key).expires_on is None

    def test_a_new_key_beside_the_old_end_has_a_new_end(self, api_key):
        CertnCredential.objects.update(expires_on=date(2026, 12, 1))
        form = CertnCredentialForm(
            centric(secret=ANOTHER_API_KEY, expires_on="2026-12-01"), instance=read(api_key)
        )
        assert form.is_valid(), form.errors
        form.save()
        assert read(api_key).expires_on == NEXT_YEAR

    def test_the_end_alone_may_change(self, api_key):
        form = CertnCredentialForm(centric(expires_on="2027-01-02"), instance=read(api_key))
        assert form.is_valid(), form.errors
        form.save()
        assert read(api_key).expires_on == date(2027, 1, 2)
        assert read(api_key).client_secret == API_KEY

    def test_an_end_that_another_person_stored_meanwhile_stays(self, api_key):
        form = CertnCredentialForm(
            centric(name="renamed", expires_on=str(api_key.expires_on)), instance=read(api_key)
        )
        CertnCredential.objects.update(expires_on=date(2027, 1, 2))
        assert form.is_valid(), form.errors
        form.save()
        row = read(api_key)
        assert (row.name, row.expires_on) == ("renamed", date(2027, 1, 2))

    def test_a_read_only_environment_decides_too(self, api_key):
        class Form(CertnCredentialForm):
            class Meta(CertnCredentialForm.Meta):
                exclude = ("environment", "client_id")

        form = Form(
            {"name": "default", "expires_on": "", "is_active": "on"}, instance=read(api_key)
        )
        assert form.is_valid(), form.errors


class TestASecretThatWasNotKept:
    """A password input forgets what was typed when another field is wrong."""

    def test_is_asked_for_again(self, credential):
        form = form_for(credential, name="", secret=NEW_SECRET)
        assert set(form.errors) == {"name", "secret"}
        assert form.errors["secret"] == ["What you pasted was not kept: paste it again."]
        assert "open this page anew" in form["secret"].help_text
        assert NEW_SECRET not in form.as_p()

    def test_is_required_in_the_next_round(self, credential):
        first = form_for(credential, name="", secret=NEW_SECRET)
        form = form_for(credential, **hidden_in(first))
        assert form.errors == {"secret": ["What you pasted was not kept: paste it again."]}
        assert form["secret"].errors.as_data()[0].code == "not_kept"
        again = form_for(credential, **hidden_in(form))
        assert set(again.errors) == {"secret"}
        last = form_for(credential, secret=NEW_SECRET, **hidden_in(again))
        assert last.is_valid(), last.errors
        last.save()
        assert read(credential).client_secret == NEW_SECRET

    def test_is_required_after_one_that_was_refused(self, credential):
        first = form_for(credential, secret=f'"{NEW_SECRET}"')
        assert "in quotes" in first.errors["secret"][0]
        assert set(form_for(credential, **hidden_in(first)).errors) == {"secret"}

    def test_is_asked_for_when_another_form_of_the_page_is_wrong(self, credential):
        form = form_for(credential, secret=NEW_SECRET)
        assert form.is_valid()
        assert form["secret"].help_text == "What you pasted was not kept: paste it again."
        assert hidden_in(form)

    def test_of_a_new_row(self):
        form = CertnCredentialForm(typed(name="", secret=NEW_SECRET))
        assert form.errors["secret"] == ["What you pasted was not kept: paste it again."]
        assert "is stored. To keep" not in form["secret"].help_text
        again = CertnCredentialForm(typed(**hidden_in(form)))
        assert set(again.errors) == {"secret"}

    def test_with_a_prefix(self, credential):
        data = {f"a-{name}": value for name, value in typed(name="", secret=NEW_SECRET).items()}
        form = CertnCredentialForm(data, instance=credential, prefix="a")
        assert form.errors["secret"]
        data = {f"a-{name}": value for name, value in typed().items()}
        again = CertnCredentialForm(data | hidden_in(form), instance=credential, prefix="a")
        assert set(again.errors) == {"secret"}

    @pytest.mark.parametrize("secret", ["", "  "])
    def test_nothing_is_asked_where_nothing_was_typed(self, credential, secret):
        form = form_for(credential, name="", secret=secret)
        assert set(form.errors) == {"name"}
        assert hidden_in(form) == {}
        assert form_for(credential).is_valid()
        assert hidden_in(CertnCredentialForm(instance=credential)) == {}


def hidden_in(form):
    inputs = re.findall(r'<input type="hidden" name="(.+?)" value="(.+?)">', str(form["secret"]))
    return dict(inputs)


class TestSwapped:
    @pytest.mark.parametrize(
        ("client_id", "secret"),
        [
            ("f" * 128, "f" * 40),
            ("sandbox-secret-fake", "sandbox-id-fake"),
            ("sandbox-secret-fake", "fake-of-any-length-whatever"),
        ],
    )
    def test_is_warned_of_and_stored(self, client_id, secret):
        form = CertnCredentialForm(typed(client_id=client_id, secret=secret))
        assert form.is_valid()
        (warning,) = form.warnings
        assert "in the other's place" in str(warning)
        assert read(form.save()).client_id == client_id

    @pytest.mark.parametrize(
        ("client_id", "secret"),
        [
            ("f" * 40, "f" * 128),
            ("f" * 40, "g" * 40),
            ("f" * 36, "f" * 32),
            ("sandbox-rejected", "sandbox-any"),
        ],
    )
    def test_no_warning(self, client_id, secret):
        form = CertnCredentialForm(typed(client_id=client_id, secret=secret))
        assert form.is_valid()
        assert form.warnings == []

    def test_nothing_to_compare(self, credential):
        form = form_for(credential)
        assert form.is_valid()
        assert form.warnings == []


class TestWhatIsNoKey:
    @pytest.mark.parametrize("field", ["client_id", "secret"])
    @pytest.mark.parametrize(
        "text",
        [
            "'fake'",
            "`fake`",
            "fake fake",
            "Bearer fake",
            "Client Secret: fake",
            "CERTN_SECRET=fake",
            '{"a": 1}',
            "********",
        ],
    )
    def test_is_refused_in_either_field(self, credential, field, text):
        form = form_for(credential, **{"secret": NEW_SECRET, field: text})
        assert field in form.errors
        assert text not in str(form.errors.get("secret", ""))
        assert read(credential).client_secret == SECRET


def test_a_secret_in_clear_is_said_to_be_in_clear(credential):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_certn_certncredential SET client_secret = %s", ["fake-in-clear"]
        )
    field = CertnCredentialForm(instance=read(credential)).fields["secret"]
    assert "in the database as plain text" in str(field.help_text)
    assert "certn_reencrypt --encrypt-plaintext" in str(field.help_text)
    assert not field.required
