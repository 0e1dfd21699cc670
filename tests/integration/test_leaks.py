"""A site in use, with a marked secret and a marked token: the marks are found nowhere."""

import base64
import pickle
import sys
import zlib
from io import StringIO

import pytest
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.urls import reverse
from django.views.debug import ExceptionReporter

from django_certn.client import auth_headers
from django_certn.exceptions import CertnError
from django_certn.models import CertnCredential
from django_certn.tokens import get_token, invalidate_token, stats
from django_certn.tokens.service import installed
from django_certn.verification import verify
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan, everything_logged

PLANTED = "planted/Rw4+Jc6 Tq1%Mark"
EXPORTS = ("json", "jsonl", "xml", "yaml")


class Site:
    """What its staff does, what its code does, and all that anybody could read of it afterwards."""

    def __init__(self, client, endpoint):
        self.client = client
        self.endpoint = endpoint
        self.found = {}

    def keep(self, name, *texts):
        self.found[name] = self.found.get(name, "") + "\n".join(map(str, texts))

    def browse(self, page, *args, **data):
        address = reverse(f"admin:django_certn_certncredential_{page}", args=args)
        call = self.client.post if data else self.client.get
        response = call(address, data, headers={"accept-language": "en"})
        self.keep("pages", response.content.decode(), dict(response.items()))
        self.keep("cookies", self.client.cookies.output())
        if "messages" in self.client.cookies:  # packed, so that it has to be opened
            packed = self.client.cookies["messages"].value
            self.keep("cookies", *CookieStorage(HttpRequest())._decode(packed) or ())
        return response

    def use_the_admin(self, name):
        self.browse("add")
        form = {"name": name, "environment": "scripted", "client_id": CLIENT_ID, "is_active": "on"}
        self.browse("add", **form, secret=SECRET, _verify="")
        row = CertnCredential.objects.get()
        assert row.verified_status == "ok"
        self.browse("change", row.pk)
        # Each of these comes back with the form as it was sent, and with errors.
        self.browse("change", row.pk, **form | {"name": ""}, secret=SECRET)
        self.browse("change", row.pk, **form, secret=f"{SECRET}é")
        self.browse("change", row.pk, **form, secret=SECRET * 50)
        self.endpoint.answer(401, {"error": SECRET, "error_description": SECRET}, times=1)
        self.browse("changelist", action="verify_selected", _selected_action=row.pk)
        self.browse("change", row.pk, **form, secret=SECRET, _verify="")
        self.browse("changelist")
        self.browse("history", row.pk)
        self.browse("delete", row.pk)

    def use_the_command(self, name):
        for output in ("text", "json"):
            for times in (0, 1):
                out = StringIO()
                self.endpoint.answer(400, {"error": TOKEN, "token": TOKEN}, times=times)
                try:
                    call_command(
                        "certn_check", name, format=output, probe=True, verbosity=2, stdout=out
                    )
                except CommandError as error:
                    self.keep("certn_check", error, repr(error))
                self.keep("certn_check", out.getvalue())

    def use_the_code(self, name):
        token = get_token(name)
        assert token.value == TOKEN
        row = CertnCredential.objects.get()
        outcome = verify(row)
        shown = [token, auth_headers(name), row, vars(row), model_to_dict(row), outcome, stats()]
        self.keep("shown", *shown, *map(repr, shown))
        self.keep("shown", [repr(value) for value in CertnCredential.objects.values()])
        stored = [row, list(CertnCredential.objects.all()), outcome]
        self.keep("pickles", *(pickle.dumps(value, 0).decode("latin-1") for value in stored))
        assert invalidate_token(name, token)
        self.endpoint.answer(401, {"error": SECRET, "access_token": TOKEN}, times=1)
        try:
            get_token(name)
        except CertnError as error:
            report = ExceptionReporter(None, *sys.exc_info())
            self.keep("reports", report.get_traceback_text(), report.get_traceback_html())
            self.keep("pickles", pickle.dumps(error, 0).decode("latin-1"))
        assert verify(row).ok  # which leaves a token in the cache

    def export(self):
        for kind in EXPORTS:
            out = StringIO()
            # One of the tables of "records" is missing.
            call_command("dumpdata", format=kind, exclude=["records"], stdout=out)
            self.keep("exports", out.getvalue())

    def read_the_database(self):
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                self.keep("database", table, cursor.fetchall())

    def read_the_cache(self, directory):
        entries = list(getattr(cache, "_cache", {}).values())
        for path in directory.rglob("*.djcache"):
            with path.open("rb") as file:
                pickle.load(file)  # when it ends
                entries.append(zlib.decompress(file.read()))
        assert len(entries) > 1
        self.keep("cache", *(entry.decode("latin-1") for entry in entries))


@pytest.fixture(params=["locmem.LocMemCache", "filebased.FileBasedCache"])
def directory(request, settings, tmp_path):
    backend = f"django.core.cache.backends.{request.param}"
    settings.CACHES = {
        **settings.CACHES,
        "default": {"BACKEND": backend, "LOCATION": str(tmp_path / "cache")},
    }
    installed().clear()
    return tmp_path


@pytest.fixture
def site(admin_client, endpoint, monkeypatch):
    monkeypatch.setattr(
        connections["default"], "force_debug_cursor", True
    )  # so that the SQL is logged
    endpoint.answer(200, {"access_token": TOKEN, "expires_in": 36000})
    endpoint.answer(200, {"count": 3, "results": []}, path="/api/v1/users/")
    return Site(admin_client, endpoint)


def in_use(site, directory, name):
    with everything_logged() as lines:
        site.use_the_admin(name)
        site.use_the_command(name)
        site.use_the_code(name)
        cache.set("planted", name)
    site.export()
    site.read_the_database()
    site.read_the_cache(directory)
    site.keep("logs", *lines)
    site.keep("queries", connection.queries)
    return site.found


@pytest.mark.django_db(transaction=True)
def test_the_marks_are_nowhere(site, directory):
    found = in_use(site, directory, "acme")
    scan = Scan(SECRET, TOKEN)
    assert {name: scan.text(text) for name, text in found.items() if scan.text(text)} == {}


@pytest.mark.django_db(transaction=True)
def test_the_scan_looks_everywhere(site, directory):
    """What is no secret, the name of the credential, is found in every place."""
    found = in_use(site, directory, PLANTED)
    scan = Scan(PLANTED)
    assert [name for name, text in found.items() if not scan.text(text)] == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "z", "yz", "xyz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, bytes.hex])
def test_the_scan_knows_the_forms(before, after, encode):
    coded = encode(f"{before}{SECRET}{after}".encode())
    assert Scan(SECRET, TOKEN).text(coded) == {SECRET}
    assert Scan(SECRET, TOKEN).text(encode(b"nothing of the kind" * 9)) == set()


def test_the_scan_reaches_what_an_error_holds(monkeypatch):
    def fail(secret):
        raise KeyError

    monkeypatch.setattr("tests.leaks.TESTS", "/elsewhere")
    for hidden in [SECRET, [SECRET], {"a": (SECRET,)}, SECRET.encode(), Site(SECRET, None)]:
        with pytest.raises(KeyError) as raised:
            fail(hidden)
        error = RuntimeError()
        error.__context__ = raised.value
        assert Scan(SECRET).error(error) == {SECRET}
