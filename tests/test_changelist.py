"""The list of credentials, as the page that an operator keeps open."""

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.expiry import today
from django_certn.models import CertnCredential

pytestmark = pytest.mark.django_db

LIST = "/admin/django_certn/certncredential/"
STATUS = 2  # the number of the column, as the address has it


@pytest.fixture
def client():
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def add(make_credential):
    """Store a credential that was verified an hour ago, and is well unless a test says else."""

    def add(name, status="ok", *, ago=timedelta(hours=1), **fields):
        at = timezone.now() - ago if status else None
        row = make_credential(name, **{"environment": "demo"} | fields)
        CertnCredential.objects.filter(pk=row.pk).update(verified_status=status, verified_at=at)
        return row

    return add


def names(response):
    return [row.name for row in response.context["cl"].result_list]


def page(response):
    return response.content.decode()


def cells(response, column):
    return re.findall(rf'<td class="field-{column}[^"]*">(.*?)</td>', page(response))


def headings(response):
    found = re.findall(r'<div class="text">(.*?)</div>', page(response), re.DOTALL)
    return [strip_tags(heading).strip() for heading in found]


def facets(response):
    """What the filters count, by their label."""
    links = re.findall(r"<a [^>]*>\s*([^<]*?) \((\d+)\)\s*</a>", page(response))
    return [(html.unescape(label), int(count)) for label, count in links]


class TestStatus:
    @pytest.mark.parametrize("status", [*Status, ""])
    def test_is_a_word_behind_a_sign_that_is_not_read_aloud(self, client, add, status):
        add("acme", status)
        (shown,) = cells(client.get(LIST), "status")
        sign, word = re.fullmatch(r'<span aria-hidden="true">(.)</span>\xa0(.+)', shown).groups()
        assert word == (Status(status).label if status else "Never verified")
        if status in ("ok", ""):
            assert sign == {"ok": "\u2713", "": "\u2013"}[status]
        else:
            assert sign == ("\u21bb" if status in TRY_AGAIN else "\u2717")

    def test_is_second(self, client, add):
        add("acme")
        assert headings(client.get(LIST))[1:3] == ["Name", "Status"]

    def test_says_that_a_credential_is_switched_off(self, client, add):
        add("acme", is_active=False)
        (shown,) = cells(client.get(LIST), "status")
        assert shown.endswith("OK<br>switched off")
        assert "Active" not in headings(client.get(LIST))

    def test_one_click_puts_the_worst_first(self, client, add):
        for status in ("ok", "", "unreachable", "rejected", "rate_limited", "misconfigured"):
            add(status or "never", status)
        found = names(client.get(LIST, {"o": STATUS}))
        assert set(found[:2]) == {"rejected", "misconfigured"}
        assert set(found[2:4]) == {"unreachable", "rate_limited"}
        assert found[4:] == ["never", "ok"]
        assert names(client.get(LIST, {"o": f"-{STATUS}"}))[0] == "ok"

    @pytest.mark.parametrize("status", set(Status) - TRY_AGAIN - {Status.OK})
    def test_whatever_must_be_mended_is_worse_than_what_may_pass(self, client, add, status):
        add("a", "unreachable")
        add("b", status)
        assert names(client.get(LIST, {"o": STATUS})) == ["b", "a"]


class TestNeedsAttention:
    @pytest.fixture(autouse=True)
    def rows(self, add):
        add("ok")
        add("never", "")
        add("rejected", "rejected")
        add("unreachable", "unreachable")
        add("long ago", ago=timedelta(days=31))
        add("not so long ago", ago=timedelta(days=29))
        add("switched off", "rejected", is_active=False)
        api_key = {"environment": "centric-ca", "client_id": ""}
        add("ends", expires_on=today() + timedelta(days=30), **api_key)
        add("goes on", expires_on=today() + timedelta(days=31), **api_key)

    def test_yes(self, client):
        found = names(client.get(LIST, {"attention": "yes"}))
        assert set(found) == {"never", "rejected", "unreachable", "long ago", "ends"}

    def test_no(self, client):
        found = names(client.get(LIST, {"attention": "no"}))
        assert set(found) == {"ok", "not so long ago", "switched off", "goes on"}

    @pytest.mark.parametrize("filtered", ["attention", "status"])
    @pytest.mark.parametrize("nonsense", ["maybe", "", "\0"])
    def test_nonsense_is_no_filter(self, client, filtered, nonsense):
        assert len(names(client.get(LIST, {filtered: nonsense}))) == 9

    def test_is_the_first_filter_and_each_has_its_count(self, client):
        counted = facets(client.get(LIST))
        assert counted[:3] == [("Yes", 5), ("No", 4), ("OK", 5)]
        assert ("Rejected", 2) in counted
        assert ("Never verified", 1) in counted
        assert ("CertnCentric Canada", 2) in counted


class TestTimes:
    @pytest.mark.parametrize(
        ("ago", "shown"),
        [
            (timedelta(seconds=-90), "just now"),  # a clock of another machine
            (timedelta(seconds=50), "just now"),
            (timedelta(minutes=3), "3\u00a0minutes ago"),
            (timedelta(days=3, hours=5), "3\u00a0days ago"),
            (timedelta(days=29), "4\u00a0weeks ago"),
            (timedelta(days=45), "not verified for 1\u00a0month"),
        ],
    )
    def test_verified(self, client, add, ago, shown):
        add("acme", ago=ago)
        (cell,) = cells(client.get(LIST), "verified")
        assert strip_tags(cell) == shown

    def test_the_time_itself_is_there_for_people_and_programs(self, client, add, settings):
        settings.TIME_ZONE = "America/Toronto"
        add("acme")
        moment = datetime(2026, 11, 20, 18, 5, 6, tzinfo=UTC)
        CertnCredential.objects.update(verified_at=moment, secret_changed_at=moment)
        for column in ("verified", "age_of_key"):
            (cell,) = cells(client.get(LIST), column)
            assert 'datetime="2026-11-20T13:05:06-05:00"' in cell
            assert 'title="Nov. 20, 2026, 1:05 p.m."' in cell

    def test_of_a_site_without_time_zones(self, client, add, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "America/Toronto"
        add("acme")
        (cell,) = cells(client.get(LIST), "verified")
        assert strip_tags(cell) == "1\u00a0hour ago"
        (moment,) = re.findall(r'datetime="(.+?)"', cell)
        assert datetime.fromisoformat(moment).utcoffset() is not None


class TestName:
    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("acme", "acme"),
            ("new branch", "new branch"),
            ("customer_4711_production", "customer_<wbr>4711_<wbr>production"),
            ("ann@example.com", "ann@<wbr>example.<wbr>com"),
            ("x" * 32, f"{'x' * 10}<wbr>{'x' * 10}<wbr>{'x' * 10}<wbr>xx"),
            ("__", "__"),
            ("<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/<wbr>b&gt;"),
        ],
    )
    def test_breaks_where_the_room_ends(self, client, add, name, shown):
        add(name)
        (cell,) = re.findall(
            r'<th class="field-breakable_name[^>]*><a [^>]*>(.*?)</a>', page(client.get(LIST))
        )
        assert cell == shown

    def test_sorts(self, client, add):
        for name in ("beta", "acme"):
            add(name)
        assert names(client.get(LIST, {"o": "-1"})) == ["beta", "acme"]


class TestClientID:
    @pytest.mark.parametrize(
        ("client_id", "shown"),
        [
            ("fake-id", "fake-id"),
            ("f" * 20, "f" * 20),
            ("fake0" + "x" * 31 + "end1", "fake0x\u2026end1"),
        ],
    )
    def test_is_shown_as_far_as_one_knows_it_by(self, client, add, client_id, shown):
        add("acme", client_id=client_id)
        (cell,) = cells(client.get(LIST), "environment_of_key")
        assert cell == f'Demo<br><span title="{client_id}">{shown}</span>'

    def test_an_api_key_has_none(self, client, add):
        add("acme", environment="centric-ca", client_id="")
        assert cells(client.get(LIST), "environment_of_key") == ["CertnCentric Canada"]

    def test_is_found_whole(self, client, add):
        add("acme", client_id="fake0" + "x" * 31 + "end1")
        add("beta")
        assert names(client.get(LIST, {"q": "fake0" + "x" * 31 + "end1"})) == ["acme"]


class TestEmpty:
    def test_says_how_it_is_filled(self, client):
        response = client.get(LIST)
        (message,) = response.context["messages"]
        assert message.level_tag == "info"
        assert f'<a href="{LIST}add/">' in str(message)
        assert "python -m django_certn.sandbox" in str(message)

    def test_says_nothing_when_only_nothing_is_found(self, client, add):
        add("acme")
        assert not client.get(LIST, {"q": "beta"}).context["messages"]

    def test_says_nothing_to_whoever_may_not_fill_it(self, django_user_model):
        from django.contrib.auth.models import Permission

        user = django_user_model.objects.create(username="viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_certncredential"))
        viewer = Client()
        viewer.force_login(user)
        assert not viewer.get(LIST).context["messages"]


class TestCost:
    """As many queries for one row as for a hundred; tests/benchmarks has the times of 10,000."""

    def count(self, client, data):
        with CaptureQueriesContext(connection) as queries:
            assert names(client.get(LIST, data))
        return len(queries)

    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"o": STATUS},
            {"q": "row"},
            {"attention": "no"},
            {"status": "ok"},
            {"environment__exact": "demo"},
            {"is_active__exact": "1"},
        ],
    )
    def test_does_not_grow_with_the_rows(self, client, add, data):
        add("row-acme")
        client.get(LIST)
        one = self.count(client, data)
        rows = CertnCredential.objects.bulk_create(
            CertnCredential(
                name=f"row-{number}",
                environment="centric-ca" if number % 2 else "demo",
                client_id="fake-id",
                client_secret="fake-secret",
                verified_status="ok",
                verified_at=timezone.now(),
                secret_changed_at=timezone.now(),
            )
            for number in range(99)
        )
        assert len(rows) == 99
        assert self.count(client, data) == one

    def test_a_page_has_50(self, client, add):
        CertnCredential.objects.bulk_create(
            CertnCredential(name=f"row-{number:02}", environment="demo", client_secret="fake")
            for number in range(60)
        )
        assert len(names(client.get(LIST))) == 50
