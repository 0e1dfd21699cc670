"""A site where requests fail, under the eyes of what shows errors: prints who saw what.

    python -m tests.integration.packages.failing_site 128

In a process of its own, for a tracker hooks into Django and the logs. The argument is how long the
secret and the token are, for many tools shorten what they show. The document is
`{failure: {tool: [what was seen]}}`.
"""

import io
import json
import logging
import sys
import traceback
from contextlib import contextmanager, suppress
from unittest import mock

import django
from django.conf import settings

from tests import settings as usual
from tests.endpoint import TokenEndpoint
from tests.integration.packages.parts import seen_in, value_of
from tests.services import free_port

LENGTH = int(sys.argv[1])


# The last is what is no secret, in a variable of the site: a tool that shows those shows this.
SECRET, TOKEN, CONTROL = (value_of(name, LENGTH) for name in ("secret", "token", "control"))

endpoint = TokenEndpoint()
endpoint.__enter__()
settings.configure(
    **{name: value for name, value in vars(usual).items() if name.isupper()}
    | {
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "ROOT_URLCONF": __name__,
        "ALLOWED_HOSTS": ["*"],
        "LOGGING_CONFIG": None,
        "CERTN_ENVIRONMENTS": {"local": {"label": "Local", "base_url": endpoint.url}},
    }
)
django.setup()

import elasticapm.contrib.django.client  # noqa: E402
import requests  # noqa: E402
import rich.console  # noqa: E402
import rich.traceback  # noqa: E402
import rollbar  # noqa: E402
import sentry_sdk  # noqa: E402
import stackprinter  # noqa: E402
import structlog  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.signals import got_request_exception  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.log import AdminEmailHandler  # noqa: E402
from django.views.debug import ExceptionReporter, technical_500_response  # noqa: E402

from django_certn import fields, formfields  # noqa: E402
from django_certn.client import auth_headers  # noqa: E402
from django_certn.models import CertnCredential  # noqa: E402
from django_certn.pasted import MAX_LENGTH  # noqa: E402
from django_certn.tokens import get_token, invalidate_token  # noqa: E402
from django_certn.verification import verify  # noqa: E402


def asks_for_headers(request):
    control = CONTROL
    headers = auth_headers()
    raise AssertionError((control, headers))


def calls_nobody(request):
    control = CONTROL
    headers = auth_headers()
    requests.get(f"https://127.0.0.1:{free_port()}/api/", headers=headers, timeout=5)
    raise AssertionError(control)


def has_a_bug(request):
    control = CONTROL
    credential = CertnCredential.objects.get()
    token = get_token()
    value, shortened, lines = token.value, token.value[:20], token.authorization.split()
    headers = {"Authorization": token.authorization}
    raise KeyError(len([control, credential, value, shortened, lines, headers]))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("headers/", asks_for_headers),
    path("nobody/", calls_nobody),
    path("bug/", has_a_bug),
]


def bug(*args, **kwargs):
    control = CONTROL
    raise KeyError(len(control))


# Those who show errors


class Mails(AdminEmailHandler):
    sent = []  # noqa: RUF012

    def send_mail(self, subject, message, *args, html_message=None, **kwargs):
        self.sent.append((message, html_message))


class Sentry(sentry_sdk.transport.Transport):
    sent = []  # noqa: RUF012

    def capture_envelope(self, envelope):
        self.sent.append(envelope.serialize().decode())


ROLLBAR, ELASTIC = [], []


def hear_rollbar(payload, **kwargs):
    ROLLBAR.append(json.dumps(payload, default=repr))
    return False  # not to be sent


class ElasticClient(elasticapm.contrib.django.client.DjangoClient):
    def queue(self, event_type, data, flush=False):
        # What it masks, it masks in the thread that sends.
        data = self._transport._process_event(event_type, data)
        ELASTIC.append(json.dumps(data, default=repr))


def start():
    logging.getLogger("django.request").addHandler(Mails(include_html=True))
    sentry_sdk.init("https://fake@sentry.invalid/1", transport=Sentry, traces_sample_rate=1.0)
    rollbar.init("fake", environment="test", handler="blocking")
    rollbar.events.add_payload_handler(hear_rollbar)
    return ElasticClient(
        service_name="fake",
        disable_send=True,
        central_config=False,
        cloud_provider="none",
        metrics_interval="0ms",
    )


def show(error):
    """What each tool makes of an error, by the name of the tool."""
    exc_info = (type(error), error, error.__traceback__)
    console = rich.console.Console(file=io.StringIO(), width=240)
    console.print(rich.traceback.Traceback.from_exception(*exc_info, show_locals=True))
    tracebacks = structlog.processors.dict_tracebacks(None, "error", {"exc_info": exc_info})
    lines = traceback.TracebackException(*exc_info, capture_locals=True).format()
    return {
        "rich": console.file.getvalue(),
        "structlog": json.dumps(tracebacks),
        "stackprinter": stackprinter.format(error),
        "traceback": "".join(lines),
    }


def show_with_request(error, request, elastic):
    exc_info = (type(error), error, error.__traceback__)
    settings.DEBUG = True
    shown = {"debug page": technical_500_response(request, *exc_info).content.decode()}
    shown["debug text"] = ExceptionReporter(request, *exc_info).get_traceback_text()
    settings.DEBUG = False
    rollbar.report_exc_info(exc_info, request)
    elastic.capture("Exception", exc_info=exc_info, request=request)
    return shown | {"rollbar": "".join(ROLLBAR), "elastic-apm": "".join(ELASTIC)}


@contextmanager
def broken(*target):
    if not target:
        yield
    else:
        with mock.patch.object(*target, bug):
            yield


ADD = "/admin/django_certn/certncredential/add/"
FORM = {"name": "added", "environment": "local", "client_id": "fake-id", "secret": SECRET}


def forget():
    with suppress(Exception):
        invalidate_token("default", get_token())


FAILURES = {
    "a refused key": lambda client: (refuse(), client.get("/headers/")),
    "nobody there": lambda client: client.get("/nobody/"),
    "a bug of the site": lambda client: client.get("/bug/"),
    "a bug in the form": lambda client: add(client, formfields, "clean_secret"),
    "a bug in the encryption": lambda client: add(client, fields.package, "encrypt_str"),
    "a bug in save": lambda client: add(client, CertnCredential, "save"),
}
if LENGTH > 1024:  # which a form refuses
    FAILURES = {
        name: ask for name, ask in FAILURES.items() if "encr" not in name and "save" not in name
    }


def refuse():
    forget()
    endpoint.answer(401, {"error": SECRET, "access_token": TOKEN})


def add(client, *target):
    with broken(*target):
        client.post(ADD, FORM)


def main():
    elastic = start()
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("boss")
    secret = SECRET[:MAX_LENGTH]
    CertnCredential.objects.create(environment="local", client_id="fake-id", client_secret=secret)
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get())
    document = {}
    for name, ask in FAILURES.items():
        endpoint.answer(200, {"access_token": TOKEN, "expires_in": 36000})
        assert verify("default").ok  # whatever was remembered of the failure before
        shown = {}

        def hear(sender, request, shown=shown, **kwargs):
            error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
            shown |= show(error) | show_with_request(error, request, elastic)

        for sent in (Mails.sent, Sentry.sent, ROLLBAR, ELASTIC):
            sent.clear()
        got_request_exception.connect(hear, weak=False, dispatch_uid="hear")
        ask(client)
        got_request_exception.disconnect(dispatch_uid="hear")
        sentry_sdk.flush()
        shown["mail"] = "".join(text for text, _ in Mails.sent)
        shown["HTML mail"] = "".join(html for _, html in Mails.sent)
        shown["sentry"] = "".join(Sentry.sent)
        document[name] = {tool: seen_in(text) if text else None for tool, text in shown.items()}
    return document


if __name__ == "__main__":
    print(json.dumps(main()))
    endpoint.__exit__(None, None, None)
