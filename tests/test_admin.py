import html
import json
import re
import sys
import threading
from datetime import timedelta
from itertools import chain, combinations
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.signals import got_request_exception
from django.db import DatabaseError, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import strip_tags
from django.views.debug import ExceptionReporter

from django_certn import admin as certn_admin
from django_certn.admin import CertnCredentialAdmin
from django_certn.expiry import today
from django_certn.models import CertnCredential
from django_certn.tokens import get_token
from django_certn.tokens.service import installed
from django_certn.tokens.shared_cache import slot_of
from django_certn.verification import verify
from tests.effort import THOROUGH

pytestmark = pytest.mark.django_db

SECRET = "fake-secret-of-the-first-pair"
NEW_SECRET = "fake-secret-of-the-second-pair"
ANOTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="

LIST = "/admin/django_certn/certncredential/"
ADD = LIST + "add/"
SAVED = {
    "name": "default",
    "environment": "demo",
    "client_id": "fake-id",
    "secret": "",
    "is_active": "on",
}
ADDED = SAVED | {"name": "added", "secret": NEW_SECRET}


def change_url(row):
    return f"{LIST}{row.pk}/change/"


def column(row):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client_secret FROM django_certn_certncredential WHERE id = %s", [row.pk]
        )
        return cursor.fetchone()[0]


def page(response):
    return response.content.decode()


def texts(response):
    return [html.unescape(strip_tags(str(text))) for text in response.context["messages"]]


def levels(response):
    return [message.level_tag for message in response.context["messages"]]


def history():
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


def user_with(*actions):
    user = User.objects.create(username="-".join(("user", *actions)), is_staff=True)
    codenames = [f"{action}_certncredential" for action in actions]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def logged_in(user, **kwargs):
    client = Client(**kwargs)
    client.force_login(user)
    return client


@pytest.fixture
def row(db):
    return CertnCredential.objects.create(
        environment="demo", client_id="fake-id", client_secret=SECRET
    )


@pytest.fixture
def superuser(db):
    return User.objects.create_superuser("boss")


@pytest.fixture
def client(superuser):
    return logged_in(superuser)


class Verified:
    """In place of ``verify()``: the names that were verified, and what to answer for each."""

    def __init__(self):
        self.calls = []
        self.in_transaction = []
        self.outcomes = {}

    def __call__(self, credential):
        row = CertnCredential.objects.stored(credential)
        self.calls.append(row.name)
        self.in_transaction += [
            alias for alias in connections if connections[alias].in_atomic_block
        ]
        status = self.outcomes.get(row.name, "ok")
        return SimpleNamespace(
            name=row.name,
            status=status,
            ok=status == "ok",
            detail=f"Detail of {status}.",
            hint="" if status == "ok" else f"Hint for {status}.",
        )


@pytest.fixture
def verified_live(monkeypatch):
    verified = Verified()
    monkeypatch.setattr(certn_admin, "verify", verified)
    return verified


@pytest.fixture
def verified(verified_live, monkeypatch):
    """For a test that runs in a transaction, where nothing is ever committed."""
    monkeypatch.setattr(certn_admin, "after_commit", lambda callback: callback())
    return verified_live


@pytest.fixture(params=[False, True], ids=["plain", "atomic_requests"])
def maybe_atomic(request):
    if request.param:
        request.getfixturevalue("atomic_requests")


@pytest.fixture
def atomic_requests(monkeypatch):
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)


def cell(html, column):
    """What the only row of the list shows in a column."""
    (shown,) = re.findall(rf'<td class="field-{column}[^"]*">(.*?)</td>', html)
    return shown


class TestList:
    def test_shows_each_key_in_words(self, client, row):
        CertnCredential.objects.update(
            verified_status="rejected",
            verified_at=timezone.now(),
            secret_changed_at=timezone.now() - timedelta(days=3, hours=4),
        )
        html = page(client.get(LIST))
        for text in ("default", "Demo", "fake-id", "Rejected", "3\xa0days"):
            assert text in html
        assert "4\xa0hours" not in html
        assert SECRET not in html
        assert column(row) not in html

    def test_a_new_row_was_never_verified(self, client, row):
        CertnCredential.objects.update(secret_changed_at=None)
        html = page(client.get(LIST))
        assert cell(html, "status").endswith("</span>\N{NO-BREAK SPACE}Never verified")
        assert cell(html, "verified") == cell(html, "age_of_key") == "-"

    def test_a_vanished_environment(self, client, row):
        CertnCredential.objects.update(environment="moon")
        assert "moon (not in the settings)" in page(client.get(LIST))

    def test_an_unreadable_secret(self, client, row, settings):
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        response = client.get(LIST)
        assert response.status_code == 200
        assert column(row) not in page(response)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=rejected", ["bad"]),
            ("status=never", ["new"]),
            ("environment__exact=production", ["bad"]),
            ("is_active__exact=0", ["new"]),
            ("q=fake-id-2", ["new"]),
            ("q=bad", ["bad"]),
            (f"q={SECRET}", []),
            ("o=5", ["bad", "new"]),
            ("o=-5", ["new", "bad"]),
            ("", ["bad", "new"]),
        ],
    )
    def test_filters_search_and_order(self, client, make_credential, query, found):
        day = timezone.now() - timedelta(days=1)
        make_credential("bad", environment="production", client_secret=SECRET)
        make_credential("new", client_id="fake-id-2", is_active=False, client_secret=SECRET)
        CertnCredential.objects.filter(name="bad").update(verified_status="rejected")
        CertnCredential.objects.filter(name="new").update(secret_changed_at=day)
        response = client.get(f"{LIST}?{query}")
        assert [row.name for row in response.context["cl"].result_list] == found

    @pytest.mark.parametrize(
        "lookup",
        [
            "client_secret",
            "client_secret__exact",
            "client_secret__startswith",
            "client_secret__isnull",
            "client_secret__in",
            "client_secret__nonsense",
        ],
    )
    def test_refuses_lookups_of_the_secret(self, client, row, lookup):
        assert client.get(LIST, {lookup: SECRET}).status_code == 400

    def test_its_names_do_not_speak_of_the_secret(self):
        model_admin = CertnCredentialAdmin(CertnCredential, admin.site)
        names = {*model_admin.list_display, *model_admin.search_fields, *model_admin.list_filter}
        assert not {"client_secret", "secret"} & names
        assert not model_admin.save_as


class TestPages:
    def test_the_page_of_a_row_shows_each_of_its_fields(self, row, rf):
        fieldsets = CertnCredentialAdmin(CertnCredential, admin.site).get_fieldsets(
            rf.get("/"), row
        )
        shown = {name for _heading, options in fieldsets for name in options["fields"]}
        under_another_name = {"secret": "client_secret", "status": "verified_status"}
        fields = {field.name for field in CertnCredential._meta.concrete_fields}
        assert {under_another_name.get(name, name) for name in shown} - {"explanation"} == (
            fields - {"id"}
        )

    def test_the_change_page(self, client, row):
        now = timezone.now()
        CertnCredential.objects.update(
            verified_status="rejected",
            verified_http_status=401,
            verified_error_code="invalid_client",
            verified_at=now,
        )
        html = page(client.get(change_url(row)))
        for text in (
            "Rejected",
            "401",
            "invalid_client",
            "A secret is stored.",
            "refuses this key",
            "Copy both values again",
        ):
            assert text in html
        assert SECRET not in html
        assert column(row) not in html
        assert 'name="client_secret"' not in html

    def test_the_add_page_speaks_of_no_verification(self, client):
        html = page(client.get(ADD))
        assert "Never verified" not in html
        assert 'name="secret"' in html

    def test_a_link_cannot_show_a_secret(self, client):
        assert SECRET not in page(client.get(ADD, {"secret": SECRET}))

    def test_an_unreadable_secret(self, client, row, settings):
        before = column(row)
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        html = page(client.get(change_url(row)))
        assert "earlier encryption key" in html
        assert before not in html
        response = client.post(change_url(row), SAVED | {"name": "renamed"})
        assert response.status_code == 302
        assert column(row) == before
        settings.FIELD_ENCRYPTION_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
        assert CertnCredential.objects.get(name="renamed").client_secret == SECRET

    def test_a_vanished_environment(self, client, row):
        CertnCredential.objects.update(environment="moon")
        assert "moon (not in the settings)" in page(client.get(change_url(row)))
        response = client.post(change_url(row), SAVED | {"environment": "moon", "is_active": ""})
        assert response.status_code == 302
        row.refresh_from_db()
        assert (row.environment, row.is_active) == ("moon", False)

    def test_getting_changes_nothing(self, client, row, verified):
        with CaptureQueriesContext(connection) as queries:
            for url in (LIST, ADD, change_url(row), f"{LIST}{row.pk}/history/"):
                query = {"_verify": "1", "action": "verify_selected", "_selected_action": row.pk}
                assert client.get(url, query).status_code in (200, 302)
        assert not [q["sql"] for q in queries if not q["sql"].startswith("SELECT")]
        assert not verified.calls

    def test_csrf(self, superuser, row, verified):
        strict = logged_in(superuser, enforce_csrf_checks=True)
        assert strict.post(change_url(row), SAVED | {"_verify": "1"}).status_code == 403
        selected = {"action": "verify_selected", "_selected_action": row.pk}
        assert strict.post(LIST, selected).status_code == 403
        assert not verified.calls

    def test_nothing_inline(self, client, row):
        """What this app adds to the pages runs under a strict Content-Security-Policy."""
        from django.template.loader import get_template

        source = get_template("admin/django_certn/certncredential/submit_line.html")
        text = source.template.source
        assert not re.search(r"<script|<style|style=|\son\w+=", text)


class TestSave:
    def test_without_a_secret_the_column_stays(self, client, row):
        before = column(row)
        client.post(change_url(row), SAVED | {"name": "renamed"})
        assert column(row) == before
        (entry,) = LogEntry.objects.all()
        assert json.loads(entry.change_message) == [{"changed": {"fields": ["Name"]}}]

    def test_history_names_the_secret_and_shows_none(self, client, row):
        client.post(change_url(row), SAVED | {"secret": NEW_SECRET})
        client.post(ADD, ADDED)
        assert history() == ["Changed Client Secret or API key.", "Added."]
        html = page(client.get(f"{LIST}{row.pk}/history/"))
        assert "Changed Client Secret or API key." in html
        for entry in LogEntry.objects.all():
            assert NEW_SECRET not in entry.change_message + entry.object_repr

    def test_messages_and_the_address_hold_no_secret(self, client, row):
        response = client.post(change_url(row), SAVED | {"secret": NEW_SECRET, "_continue": "1"})
        assert NEW_SECRET not in response.url
        assert NEW_SECRET not in str(response.cookies)
        assert NEW_SECRET not in page(client.get(response.url))

    def test_an_error_shows_no_secret(self, client, row):
        response = client.post(change_url(row), SAVED | {"secret": NEW_SECRET, "name": ""})
        assert response.status_code == 200
        assert NEW_SECRET not in page(response)

    def test_a_secret_is_asked_for_again_after_an_error(self, client, row):
        response = client.post(change_url(row), SAVED | {"secret": NEW_SECRET, "name": ""})
        html = page(response)
        assert "What you pasted was not kept: paste it again." in html
        (name,) = re.findall(r'<input type="hidden" name="(secret-[^"]+)"', html)
        response = client.post(change_url(row), SAVED | {name: "1"})
        assert response.status_code == 200
        assert "What you pasted was not kept: paste it again." in page(response)
        client.post(change_url(row), SAVED | {name: "1", "secret": NEW_SECRET})
        row.refresh_from_db()
        assert row.client_secret == NEW_SECRET

    def test_halves_that_look_swapped_are_warned_of(self, client, row):
        data = SAVED | {"client_id": "f" * 128, "secret": "a" * 40}
        response = client.post(change_url(row), data, follow=True)
        warning = next(iter(response.context["messages"]))
        assert warning.level_tag == "warning"
        assert "in the other&#x27;s place" in page(response)
        row.refresh_from_db()
        assert row.client_id == "f" * 128

    def test_the_pair_rule(self, client, row):
        response = client.post(change_url(row), SAVED | {"client_id": "another-id"})
        assert "The stored secret belongs to the earlier" in page(response)
        assert 'value="another-id"' in page(response)
        row.refresh_from_db()
        assert row.client_id == "fake-id"

    def test_no_row_is_saved_as_a_new_one(self, client, row):
        data = SAVED | {"name": "copy", "_saveasnew": "1"}
        response = client.post(change_url(row), data)
        assert response.status_code == 200
        assert not CertnCredential.objects.filter(name="copy").exists()
        assert SECRET not in page(response)

    def test_a_form_of_the_list_is_saved_too(self, superuser, row, rf):
        request = rf.post(LIST)
        request.user = superuser
        model_admin = CertnCredentialAdmin(CertnCredential, admin.site)
        row.is_active = False
        model_admin.save_model(request, row, form=object(), change=True)
        row.refresh_from_db()
        assert not row.is_active


class TestPopup:
    @pytest.mark.parametrize("field", ["client_secret", "secret"])
    def test_the_secret_is_no_field_to_refer_to(self, client, row, field):
        query = f"?_popup=1&_to_field={field}"
        assert client.get(change_url(row) + query).status_code == 400
        data = SAVED | {"_popup": "1", "_to_field": field}
        assert client.post(change_url(row), data).status_code == 400

    def test_what_it_hands_back(self, client, row):
        for url, data in ((ADD, ADDED), (change_url(row), SAVED | {"secret": NEW_SECRET})):
            response = client.post(url, data | {"_popup": "1"})
            assert response.status_code == 200
            assert NEW_SECRET not in page(response)

    def test_has_no_button(self, client, row):
        assert 'name="_verify"' not in page(client.get(ADD + "?_popup=1"))


class TestSaveAndVerify:
    def test_the_button_belongs_to_the_form(self, client, row):
        for url in (ADD, change_url(row)):
            (button,) = re.findall(r'<input[^>]*name="_verify"[^>]*>', page(client.get(url)))
            assert 'type="submit"' in button
            assert 'value="Save and verify"' in button

    def test_pressing_enter_verifies(self, client, row):
        """The first submit button of a form is the one that Enter presses."""
        for url in (ADD, change_url(row)):
            html = page(client.get(url))
            form = html.index('id="certncredential_form"')
            buttons = re.findall(r'type="submit"[^>]*name="(.+?)"', html[form:])
            assert buttons[:2] == ["_verify", "_save"]

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_verifies_after_the_commit(self, client, row, verified_live, maybe_atomic):
        data = SAVED | {"name": "renamed", "_verify": "1"}
        response = client.post(change_url(row), data, follow=True)
        assert verified_live.calls == ["renamed"]
        assert not verified_live.in_transaction
        assert response.redirect_chain == [(change_url(row), 302)]
        assert texts(response)[1:] == ["“renamed”: Detail of ok."]
        assert response.context["messages"]._loaded_data[1].level_tag == "success"
        assert history() == ["Changed Name.", "Verified: ok"]

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_verifies_what_was_added(self, client, verified_live, maybe_atomic):
        verified_live.outcomes["added"] = "rejected"
        response = client.post(ADD, ADDED | {"_verify": "1"}, follow=True)
        added = CertnCredential.objects.get()
        assert verified_live.calls == ["added"]
        assert not verified_live.in_transaction
        assert response.redirect_chain == [(change_url(added), 302)]
        assert texts(response)[1:] == ["“added”: Detail of rejected. Hint for rejected."]
        assert response.context["messages"]._loaded_data[1].level_tag == "error"
        assert history() == ["Added.", "Verified: rejected"]
        assert NEW_SECRET not in page(response)

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_nothing_is_verified_when_the_commit_fails(
        self, client, row, verified_live, atomic_requests, monkeypatch
    ):
        def fail(*args):
            raise DatabaseError("no")

        monkeypatch.setattr(CertnCredentialAdmin, "response_post_save_change", fail)
        monkeypatch.setattr(CertnCredentialAdmin, "get_preserved_filters", fail)
        with pytest.raises(DatabaseError):
            client.post(change_url(row), SAVED | {"name": "renamed", "_verify": "1"})
        row.refresh_from_db()
        assert row.name == "default"
        assert not verified_live.calls

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_the_exchange_holds_no_transaction(self, client, row, monkeypatch, atomic_requests):
        seen = []

        def verify(credential):
            assert not any(connections[alias].in_atomic_block for alias in connections)
            seen.append(CertnCredential.objects.get(pk=credential.pk).name)
            raise certn_admin.CredentialNotFoundError

        monkeypatch.setattr(certn_admin, "verify", verify)
        data = SAVED | {"name": "renamed", "_verify": "1"}
        response = client.post(change_url(row), data, follow=True)
        assert seen == ["renamed"]
        assert texts(response)[1:] == ["“renamed” is not stored any more."]

    def test_an_error_verifies_nothing(self, client, row, verified):
        response = client.post(change_url(row), SAVED | {"name": "", "_verify": "1"})
        assert response.status_code == 200
        assert not verified.calls

    def test_saving_alone_verifies_nothing(self, client, row, verified):
        client.post(change_url(row), SAVED)
        client.post(ADD, ADDED)
        assert not verified.calls

    def test_the_filters_of_the_list_are_kept(self, client, row, verified):
        query = "?_changelist_filters=status%3Dnever"
        response = client.post(change_url(row) + query, SAVED | {"_verify": "1"})
        assert response.url == change_url(row) + query

    def test_in_a_popup(self, client, row, verified):
        response = client.post(ADD, ADDED | {"_verify": "1", "_popup": "1"})
        assert response.status_code == 200
        assert verified.calls == ["added"]

    def test_who_may_only_add_ends_where_they_may_go(self, db, verified):
        adder = logged_in(user_with("add", "verify"))
        response = adder.post(ADD, ADDED | {"_verify": "1"}, follow=True)
        assert response.status_code == 200
        assert verified.calls == ["added"]
        assert "“added”: Detail of ok." in texts(response)

    def test_an_inactive_row(self, client, row, verified):
        client.post(change_url(row), SAVED | {"is_active": "", "_verify": "1"})
        assert verified.calls == ["default"]


class TestVerifySelected:
    def select(self, client, *rows, **data):
        pks = [row.pk for row in rows]
        data = {"action": "verify_selected", "index": "0", "_selected_action": pks, **data}
        return client.post(LIST, data, follow=True)

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_outside_any_transaction(self, client, row, verified_live, maybe_atomic):
        rest = {"environment": "demo", "client_id": "fake-id", "client_secret": SECRET}
        inactive = CertnCredential.objects.create(name="inactive", is_active=False, **rest)
        CertnCredential.objects.create(name="not selected", **rest)
        verified_live.outcomes["inactive"] = "rejected"
        response = self.select(client, row, inactive)
        assert verified_live.calls == ["default", "inactive"]
        assert not verified_live.in_transaction
        assert texts(response) == [
            "“default”: Detail of ok.",
            "“inactive”: Detail of rejected. Hint for rejected.",
        ]
        assert history() == ["Verified: ok", "Verified: rejected"]
        assert set(LogEntry.objects.values_list("user__username", flat=True)) == {"boss"}

    def test_many_share_messages(self, client, make_credential, verified):
        rows = [make_credential(f"row-{number:02}") for number in range(30)]
        verified.outcomes |= {f"row-{number:02}": "rejected" for number in range(12)}
        verified.outcomes["row-29"] = "unreachable"
        response = self.select(client, *rows)
        assert len(verified.calls) == 30
        rejected, ok, unreachable = sorted(texts(response))
        assert rejected.startswith("“row-00”, “row-01”, ")
        assert rejected.endswith("“row-09” and 2 more: Detail of rejected. Hint for rejected.")
        assert ok.startswith("“row-12”, ")
        assert ok.endswith("“row-21” and 7 more: Detail of ok.")
        assert unreachable == "“row-29”: Detail of unreachable. Hint for unreachable."
        assert LogEntry.objects.count() == 30

    def test_stops_in_time(self, client, make_credential, verified, monkeypatch):
        times = iter(range(0, 1000, 7))
        monkeypatch.setattr(certn_admin, "monotonic", lambda: next(times))
        rows = [make_credential(f"row-{number}") for number in range(5)]
        response = self.select(client, *rows)
        assert verified.calls == ["row-0", "row-1"]
        assert texts(response)[-1] == (
            "For lack of time 3 keys were not verified, “row-2”, “row-3”, “row-4”: "
            "select them again, or run manage.py certn_check."
        )
        assert levels(response) == ["success", "warning"]

    def test_one_that_was_deleted_meanwhile(self, client, row, make_credential, monkeypatch):
        monkeypatch.setattr(certn_admin, "after_commit", lambda callback: callback())

        def verify(credential):
            raise certn_admin.CredentialNotFoundError

        monkeypatch.setattr(certn_admin, "verify", verify)
        assert texts(self.select(client, row)) == ["“default” is not stored any more."]
        assert not LogEntry.objects.exists()

    def test_is_an_action_of_the_list_alone(self, client, row, verified):
        """Since Django 6.1 a change form may have actions, which viewers may post."""
        assert "verify_selected" not in page(client.get(change_url(row)))
        data = {
            "CHANGE_FORM-action": "verify_selected",
            "action": "verify_selected",
            "_selected_action": row.pk,
        }
        viewer = logged_in(user_with("view", "verify"))
        assert viewer.post(change_url(row), data).status_code == 403
        assert not verified.calls

    def test_its_name(self, client, row):
        assert "Verify selected Certn credentials" in page(client.get(LIST))


ACTIONS = ("view", "add", "change", "delete", "verify")
ALL_SETS = list(chain.from_iterable(combinations(ACTIONS, n) for n in range(len(ACTIONS) + 1)))
# Each permission alone, and those that decide together.
TOGETHER = [("view", "verify"), ("add", "verify"), ("change", "verify"), ("view", "change")]
SETS = ALL_SETS if THOROUGH else [(), *((action,) for action in ACTIONS), *TOGETHER, ACTIONS]


@pytest.mark.parametrize(
    "granted", [*SETS, None], ids=lambda granted: "all" if granted is None else "-".join(granted)
)
def test_permissions(granted, row, superuser, verified):
    may = dict.fromkeys(ACTIONS, True) if granted is None else {a: a in granted for a in ACTIONS}
    user = superuser if granted is None else user_with(*granted)
    client = logged_in(user)
    sees = may["view"] or may["change"]
    calls = verified.calls

    def status(allowed, then=200):
        return then if allowed else 403

    # Pages, and what is on them
    assert client.get(LIST).status_code == status(sees)
    assert ("verify_selected" in page(client.get(LIST))) == (sees and may["verify"])

    add = client.get(ADD)
    assert add.status_code == status(may["add"])
    assert ('name="_verify"' in page(add)) == (may["add"] and may["verify"])

    change = client.get(change_url(row))
    assert change.status_code == status(sees)
    assert ('name="_verify"' in page(change)) == (may["change"] and may["verify"])
    assert ('name="secret"' in page(change)) == may["change"]
    assert ("Stored, not shown." in page(change)) == (may["view"] and not may["change"])
    assert SECRET not in page(change)
    assert column(row) not in page(change)

    assert client.get(f"{LIST}{row.pk}/history/").status_code == status(sees)
    assert client.get(f"{LIST}{row.pk}/delete/").status_code == status(may["delete"])

    # What is posted
    post = client.post(LIST, {"action": "verify_selected", "_selected_action": row.pk, "index": 0})
    assert (post.status_code == 403) == (not sees)
    assert calls == (["default"] if sees and may["verify"] else [])
    calls.clear()

    post = client.post(change_url(row), SAVED | {"name": "changed"})
    assert post.status_code == status(may["change"], 302)
    assert CertnCredential.objects.filter(name="changed").exists() == may["change"]
    assert not calls

    post = client.post(change_url(row), SAVED | {"name": "verified", "_verify": "1"})
    allowed = may["change"] and may["verify"]
    assert post.status_code == status(allowed, 302)
    assert CertnCredential.objects.filter(name="verified").exists() == allowed
    assert calls == (["verified"] if allowed else [])
    calls.clear()

    post = client.post(ADD, ADDED | {"_verify": "1"})
    allowed = may["add"] and may["verify"]
    assert post.status_code == status(allowed, 302)
    assert CertnCredential.objects.filter(name="added").exists() == allowed
    assert calls == (["added"] if allowed else [])
    calls.clear()

    post = client.post(ADD, ADDED | {"name": "only added"})
    assert post.status_code == status(may["add"], 302)
    assert CertnCredential.objects.filter(name="only added").exists() == may["add"]
    assert not calls

    post = client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert post.status_code == status(may["delete"], 302)
    assert CertnCredential.objects.filter(pk=row.pk).exists() != may["delete"]


def test_who_is_not_logged_in_sees_no_page(row):
    for url in (LIST, ADD, change_url(row)):
        response = Client().get(url)
        assert response.status_code == 302
        assert response.url.startswith("/admin/login/")


@pytest.mark.django_db
class TestAgainstAnEndpoint:
    """Nothing in place of ``verify()``, and in a test case, whose transaction never commits."""

    @pytest.fixture
    def row(self, row):
        CertnCredential.objects.update(environment="scripted")
        return row

    def test_a_rejected_key(self, client, row, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        before = CertnCredential.objects.values("updated_at", "secret_changed_at").get()
        selected = {"action": "verify_selected", "_selected_action": row.pk, "index": 0}
        response = client.post(LIST, selected, follow=True)
        assert endpoint.hits == 1
        (text,) = texts(response)
        assert text.startswith(
            "“default”: Certn (Scripted) refuses this key (HTTP 401, invalid_client)."
        )
        assert "Copy both values again" in text
        assert history() == ["Verified: rejected"]
        assert before == CertnCredential.objects.values("updated_at", "secret_changed_at").get()
        html = page(client.get(change_url(row)))
        assert "Certn (Scripted) refuses this key (HTTP 401, invalid_client)." in html

    def test_a_key_that_works(self, client, row, endpoint):
        data = SAVED | {"environment": "scripted", "secret": NEW_SECRET, "_verify": "1"}
        response = client.post(change_url(row), data, follow=True)
        assert endpoint.requests[0].basic == ("fake-id", NEW_SECRET)
        assert texts(response)[1:] == ["“default”: The key works: Certn (Scripted) issued a token."]
        shown = cell(page(client.get(LIST)), "status")
        assert shown == '<span aria-hidden="true">✓</span>\N{NO-BREAK SPACE}OK'

    @pytest.mark.django_db(transaction=True)
    def test_who_wants_a_token_before_the_new_key_is_verified_waits_for_that(
        self, client, row, endpoint, monkeypatch
    ):
        callers, tokens = [], []

        def verify_late(credential):
            # The key is committed. On SQLite this thread has the one connection.
            key = credential.key()
            caller = threading.Thread(
                target=lambda: tokens.append(
                    installed().flights.join(slot_of(key), lambda: "another exchange").result(10)
                )
            )
            caller.start()
            callers.append(caller)
            caller.join(0.05)
            return verify(credential)

        monkeypatch.setattr(certn_admin, "verify", verify_late)
        data = SAVED | {"environment": "scripted", "secret": NEW_SECRET, "_verify": "1"}
        client.post(change_url(row), data)
        callers[0].join(10)
        assert endpoint.hits == 1
        assert tokens[0].token.access == get_token()

    def test_a_save_that_fails_keeps_nobody_waiting(self, client, row, monkeypatch):
        def fail(*args):
            raise RuntimeError("fake trouble")

        monkeypatch.setattr(certn_admin.CertnCredentialAdmin, "log_change", fail)
        data = SAVED | {"environment": "scripted", "secret": NEW_SECRET, "_verify": "1"}
        with pytest.raises(RuntimeError, match="fake trouble"):
            client.post(change_url(row), data)
        assert not installed().flights.up

    def test_an_unreadable_secret_is_sent_nowhere(self, client, row, endpoint, settings):
        before = column(row)
        settings.FIELD_ENCRYPTION_KEY = ANOTHER_KEY
        data = SAVED | {"environment": "scripted", "_verify": "1"}
        response = client.post(change_url(row), data, follow=True)
        assert not endpoint.hits
        assert "The stored secret cannot be read" in texts(response)[1]
        assert column(row) == before

    def test_a_vanished_environment(self, client, row, endpoint):
        CertnCredential.objects.update(environment="moon")
        data = SAVED | {"environment": "moon", "_verify": "1"}
        response = client.post(change_url(row), data, follow=True)
        assert not endpoint.hits
        assert "“moon” is not in the settings" in texts(response)[1]


class TestErrors:
    """Where Django shows what was posted: debug pages and the mails to the admins."""

    @pytest.fixture
    def reports(self):
        found = []

        def report(sender, request, **kwargs):
            reporter = ExceptionReporter(request, *sys.exc_info())
            found.append(reporter.get_traceback_text() + reporter.get_traceback_html())

        got_request_exception.connect(report, weak=False)
        yield found
        got_request_exception.disconnect(report)

    @pytest.fixture
    def failing_client(self, superuser):
        return logged_in(superuser, raise_request_exception=False)

    @pytest.fixture(
        params=[
            "django_certn.models.CertnCredential.save",
            "django_certn.models.CertnCredential.clean",
            "django_certn.forms.CertnCredentialForm.clean",
            "django_certn.admin.CertnCredentialAdmin.response_change",
            "django.contrib.sessions.backends.db.SessionStore.load",
        ]
    )
    def failure(self, failing_client, row, request, monkeypatch):
        def fail(self, *args, **kwargs):
            raise RuntimeError("forced")

        monkeypatch.setattr(request.param, fail)

    @pytest.mark.usefixtures("failure")
    @pytest.mark.parametrize("debug", [False, True])
    def test_show_no_secret(self, failing_client, row, reports, settings, debug):
        settings.DEBUG = debug
        data = SAVED | {"secret": NEW_SECRET, "name": "shown"}
        response = failing_client.post(change_url(row), data)
        assert response.status_code == 500
        report = "".join(reports) + page(response)
        assert "forced" in report
        assert "shown" in report  # what is posted is in it
        assert NEW_SECRET not in report
        assert SECRET not in report


def test_the_secret_is_masked_on_every_way_to_the_form():
    masked = {
        url.name
        for url in CertnCredentialAdmin(CertnCredential, admin.site).get_urls()
        if getattr(url.callback, "__wrapped__", None)
        and "sensitive_post_parameters" in url.callback.__code__.co_name
    }
    assert masked == {"django_certn_certncredential_add", "django_certn_certncredential_change"}


class TestEnd:
    @pytest.mark.parametrize(
        ("left", "sign", "shown"),
        [
            (-2, "✗", "2 days ago"),
            (-1, "✗", "1 day ago"),
            (0, "✗", "today"),
            (1, "!", "in 1 day"),
            (30, "!", "in 30 days"),
        ],
    )
    def test_one_that_is_near_is_marked(self, client, row, left, sign, shown):
        day = today() + timedelta(days=left)
        CertnCredential.objects.update(environment="centric-ca", expires_on=day)
        assert cell(page(client.get(LIST)), "expires") == (
            f'<span aria-hidden="true">{sign}</span>\N{NO-BREAK SPACE}'
            f'<time datetime="{day}" title="{date_format(day)}">{shown}</time>'
        )

    def test_one_that_is_far_is_a_date(self, client, row):
        day = today() + timedelta(days=31)
        CertnCredential.objects.update(environment="centric-ca", expires_on=day)
        assert cell(page(client.get(LIST)), "expires") == date_format(day)

    def test_there_is_no_column_where_no_key_ends(self, client, row):
        assert "field-expires" not in page(client.get(LIST))

    def test_it_is_entered_beside_the_key(self, client):
        form = {**ADDED, "environment": "centric-ca", "client_id": "", "expires_on": "2027-05-06"}
        assert client.post(ADD, form).status_code == 302
        row = CertnCredential.objects.get(name="added")
        assert (row.client_id, str(row.expires_on)) == ("", "2027-05-06")

    def test_the_browser_asks_for_it(self, client, row):
        """And not the admin's script, which speaks of time zones beside it."""
        CertnCredential.objects.update(environment="centric-ca", expires_on="2027-05-06")
        shown = page(client.get(change_url(row)))
        (shown,) = re.findall(r'<input[^>]*name="expires_on"[^>]*>', shown)
        assert 'type="date"' in shown
        assert 'value="2027-05-06"' in shown
        assert 'placeholder="YYYY-MM-DD"' in shown  # in front of a browser that does not
        assert "vDateField" not in shown

    @pytest.mark.parametrize("language", ["fr", "de"])
    def test_the_browser_asks_for_it_in_each_language(self, client, row, settings, language):
        settings.LANGUAGE_CODE = language
        CertnCredential.objects.update(environment="centric-ca", expires_on="2027-05-06")
        assert 'value="2027-05-06"' in page(client.get(change_url(row)))
        form = {**ADDED, "environment": "centric-ca", "client_id": "", "expires_on": "2027-05-07"}
        assert client.post(ADD, form).status_code == 302
        assert str(CertnCredential.objects.get(name="added").expires_on) == "2027-05-07"


class TestListEditable:
    @pytest.fixture
    def save_list(self, admin_client, row, monkeypatch):
        monkeypatch.setattr(CertnCredentialAdmin, "list_editable", ("client_id", "is_active"))

        def save(**values):
            data = {"form-0-id": row.pk, "form-0-client_id": row.client_id, "_save": "Save"}
            counts = {"TOTAL": 1, "INITIAL": 1, "MIN_NUM": 0, "MAX_NUM": 1000}
            data |= {f"form-{name}_FORMS": number for name, number in counts.items()}
            data |= {f"form-0-{name}": value for name, value in values.items()}
            return admin_client.post(LIST, data)

        return save

    def test_another_client_id_is_refused(self, save_list, row):
        before = column(row)
        response = save_list(client_id="fake-other-id", is_active="on")

        assert response.status_code == 200
        assert "belongs to the earlier Client ID" in page(response)
        assert CertnCredential.objects.get().client_id == row.client_id
        assert column(row) == before

    def test_what_is_no_part_of_the_key_is_saved(self, save_list, row):
        assert save_list().status_code == 302
        assert not CertnCredential.objects.get().is_active
        assert CertnCredential.objects.get().client_secret == SECRET
