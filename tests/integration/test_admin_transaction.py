"""Nobody waits for a key that is being verified: while Certn thinks, another process writes."""

import html
import json
import sqlite3

import pytest
from django.utils.html import strip_tags

from tests import warm
from tests.effort import each_of_each
from tests.endpoint import TokenEndpoint
from tests.sandbox import environment

pytestmark = pytest.mark.standalone

LIST = "/admin/django_certn/certncredential/"
KEY = {"environment": "local", "client_id": "fake-id", "is_active": "on"}
SAVE = {"name": "renamed", "secret": "", "_verify": "1", **KEY}
ADD = {"name": "renamed", "secret": "fake-secret", "_verify": "1", **KEY}
SELECT = {"action": "verify_selected", "index": "0", "_selected_action": "1"}

VISIT = """
import json, sys
import django
from django.conf import settings
from tests import settings as usual

own, path, data = (json.loads(argument) for argument in sys.argv[1:])
settings.configure(**{k: v for k, v in vars(usual).items() if k.isupper()} | own)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django_certn.models import CertnCredential

call_command("migrate", verbosity=0)
key = {"environment": "local", "client_id": "fake-id", "client_secret": "fake-secret"}
CertnCredential.objects.create(**key)
client = Client()
client.force_login(User.objects.create_superuser("boss"))
print(client.post(path, data, follow=True).content.decode())
"""


VISITS = {
    "save and verify": (f"{LIST}1/change/", SAVE, "renamed"),
    "add and verify": (f"{LIST}add/", ADD, "renamed"),
    "verify selected": (LIST, SELECT, "default"),
}


@pytest.mark.parametrize(("visit", "atomic_requests"), each_of_each([*VISITS], [True, False]))
def test_another_process_writes_during_the_exchange(tmp_path, visit, atomic_requests):
    path, data, name = VISITS[visit]
    database = tmp_path / "site.sqlite3"
    seen = []

    def answer(connection):
        # This process is another one than the site's, and does not wait for a lock.
        with sqlite3.connect(database, timeout=0) as other:
            seen.extend(other.execute("SELECT name FROM django_certn_certncredential"))
            other.execute("UPDATE auth_user SET first_name = 'meanwhile'")
        other.close()
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with TokenEndpoint() as endpoint:
        endpoint.raw(answer)
        own = {
            "ROOT_URLCONF": "tests.urls",
            "DATABASES": {
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": str(database),
                    "ATOMIC_REQUESTS": atomic_requests,
                }
            },
            "CERTN_ENVIRONMENTS": {"local": {"label": "Local", "base_url": endpoint.url}},
        }
        arguments = map(json.dumps, (own, path, data))
        done = warm.run("-W", "error", "-c", VISIT, *arguments, env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    assert endpoint.hits == 1
    assert (name,) in seen
    shown = strip_tags(html.unescape(done.stdout))
    assert f"“{name}”: Certn (Local) refuses this key (HTTP 401)." in shown
    with sqlite3.connect(database) as other:
        assert list(other.execute("SELECT first_name FROM auth_user")) == [("meanwhile",)]
    other.close()
