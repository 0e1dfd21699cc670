"""When a request fails, who reads of it does not read the secret: debug page, mail and tracker."""

import itertools
import logging

import pytest
import sentry_sdk
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client
from django.urls import path, reverse
from django.utils.log import AdminEmailHandler

from django_certn import fields, recording
from django_certn.client import auth_headers
from django_certn.models import CertnCredential
from django_certn.tokens import get_token, invalidate_token, shared_cache
from django_certn.tokens.service import installed
from tests.leaks import CLIENT_ID, SECRET, TOKEN, Scan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SCAN = Scan(SECRET, TOKEN)
MARKER = "a bug that nobody foresaw"


def calls_certn(request):
    headers = auth_headers()
    return HttpResponse(f"{len(headers)}")


def drops_a_token(request):
    invalidate_token("nobody", TOKEN)


def has_a_bug_of_its_own(request):
    credential = CertnCredential.objects.get()
    mine = credential.client_secret
    logging.getLogger("site").error("careless", extra={"mine": mine, "ours": auth_headers()})
    nested = {"outer": [{"inner": (mine, get_token())}], "ours": vars(credential)}
    headers = auth_headers()
    token = get_token().value
    raise KeyError(MARKER, len([credential, mine, nested, headers, token]))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("call/", calls_certn),
    path("bug/", has_a_bug_of_its_own),
    path("drop/", drops_a_token),
]


def bug(*args, **kwargs):
    raise KeyError(MARKER)


NUMBERS = itertools.count()
ADD = "admin:django_certn_certncredential_add"
FORM = {"environment": "scripted", "client_id": CLIENT_ID, "secret": SECRET}


def calls(client):
    return client.get("/call/")


def saves_and_verifies(client):
    return client.post(reverse(ADD), FORM | {"name": f"new {next(NUMBERS)}", "_verify": ""})


# What breaks, and what is done then.
FAILURES = {
    "a refused key": (None, calls),
    "a bug of the site": (None, lambda client: client.get("/bug/")),
    "a token of nobody": (None, lambda client: client.get("/drop/")),
    "a bug in the cache": ((shared_cache.SharedCache, "write_token"), calls),
    "a bug in the slot": ((shared_cache, "salted_hmac"), calls),
    "a bug in the row": ((CertnCredential, "key"), calls),
    "a bug in reading": ((fields, "looks_encrypted"), calls),
    "a bug in the form": ((fields, "looks_encrypted"), saves_and_verifies),
    "a bug in save": ((CertnCredential, "save"), saves_and_verifies),
    "a bug in the encryption": ((fields.package, "encrypt_str"), saves_and_verifies),
    "a bug in the verification": ((recording, "record"), saves_and_verifies),
}


class Captured(sentry_sdk.transport.Transport):
    def __init__(self):
        super().__init__()
        self.sent = []

    def capture_envelope(self, envelope):
        self.sent.append(envelope.serialize())


@pytest.fixture
def tracker():
    """Sentry as a site has it that sets nothing but where to send to, and sends nothing."""
    transport = Captured()
    with sentry_sdk.isolation_scope():
        sentry_sdk.init(dsn="https://fake@sentry.invalid/1", transport=transport)
        yield transport
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


class Mails(AdminEmailHandler):
    """Django's handler as a site has it in LOGGING; the mails go no further."""

    def __init__(self):
        super().__init__(include_html=True)
        self.sent = []

    def send_mail(self, subject, message, *args, html_message=None, **kwargs):
        self.sent.append((f"{subject} {message}", html_message))


@pytest.fixture
def mails():
    handler, logger = Mails(), logging.getLogger("django.request")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def site(endpoint, make_credential, admin_user):
    """A browser of the staff, on a site that has a key and a token."""
    installed().clear()
    endpoint.answer(200, {"access_token": TOKEN, "expires_in": 36000})
    make_credential(environment="scripted", client_id=CLIENT_ID, client_secret=SECRET)
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)
    return client


@pytest.mark.parametrize(("broken", "ask"), FAILURES.values(), ids=FAILURES)
def test_nobody_reads_the_secret(
    site, endpoint, monkeypatch, settings, tracker, mails, broken, ask
):
    if broken:
        monkeypatch.setattr(*broken, bug)
    elif ask is calls:
        endpoint.answer(401, {"error": SECRET, "access_token": TOKEN})

    settings.DEBUG = True
    page = ask(site)
    installed().clear()
    site.defaults["HTTP_ACCEPT"] = "text/plain"
    text = ask(site)
    settings.DEBUG = False
    mails.sent.clear()
    tracker.sent.clear()
    installed().clear()
    ask(site)

    ((message, html),) = mails.sent
    sentry_sdk.flush()
    events = [sent.decode() for sent in tracker.sent]
    assert any('"exception"' in event for event in events)
    read = {
        "page": page.content.decode(),
        "text": text.content.decode(),
        "mail": message,
        "HTML mail": html,
        "tracker": "".join(events),
    }
    for name, content in read.items():
        assert "django_certn" in content, name  # there is something to read
    assert {name: SCAN.text(content) for name, content in read.items() if SCAN.text(content)} == {}
