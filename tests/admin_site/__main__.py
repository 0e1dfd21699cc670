"""Serves the admin until standard input ends, and first prints where, as JSON.

    python -m tests.admin_site unfold fr

With "all" behind these, also what a picture need not show; with "empty", nothing.
"""

import json
import sys
import tempfile
import threading
from datetime import timedelta

import django
from django.conf import settings

from tests.admin_site.themes import settings_of, urls_of
from tests.endpoint import Answer, TokenEndpoint

theme, language, *options = sys.argv[1:]
folder = tempfile.TemporaryDirectory()
endpoint = TokenEndpoint()
REFUSAL = Answer(401, {"error": "invalid_client"})
endpoint.decide(lambda request: REFUSAL if request.path == "/token/" else None)


def environments():
    """Those that are built in, at the endpoint, so that nothing leaves this computer."""
    from django_certn.conf import BUILT_IN

    return {slug: {**built_in, "base_url": endpoint.url} for slug, built_in in BUILT_IN.items()}


settings.configure(
    **settings_of(theme, f"{folder.name}/site.sqlite3")
    | {
        "ROOT_URLCONF": __name__,
        "LANGUAGE_CODE": language,
        "CERTN_ENVIRONMENTS": environments(),
    }
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from django_certn.models import CertnCredential  # noqa: E402

urlpatterns = urls_of(theme)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def pair(number):
    """A Client ID and a Client Secret that nobody takes for real ones."""
    return {
        "client_id": f"fake-client-id-{number}-0123456789abcdef01234567"[:40],
        "client_secret": f"fake-secret-{number}-of-a-picture",
    }


def api_key(number):
    return {"client_secret": f"fake{number:04}.fake-api-key-of-a-picture-0123456789"}


# Name, environment, key, how it was verified and hours ago, the days since the key was made, more.
ROWS = [
    ("default", "production", pair(1), ("ok", 200, ""), 0.07, 61, {}),
    ("acme", "centric-ca", api_key(2), ("ok", 404, ""), 2, 353, {"ends": 12}),
    ("borealis", "production", pair(3), ("rejected", 401, "invalid_client"), 2, 20, {}),
    ("harbour", "production", pair(4), ("unreachable", None, "timeout"), 2, 40, {}),
    ("maple", "centric-ca", api_key(5), ("rate_limited", 429, ""), 3, 100, {"ends": 265}),
    ("new branch", "demo", pair(6), None, 0, 0, {}),
    ("riverside", "demo", pair(7), ("ok", 200, ""), 1080, 400, {"active": False}),
]
# What a picture need not show.
RARE = [
    ("closed", "somewhere", pair(8), ("misconfigured", None, "environment"), 24, 1, {}),
    ("ended", "centric-uk", api_key(9), ("rejected", 401, ""), 24, 370, {"ends": -5}),
    ("gone", "demo", pair(10), ("retired", 410, ""), 24, 3, {}),
    ("odd", "demo", pair(11), ("bad_response", 302, "redirect"), 24, 3, {}),
    ("unreadable", "demo", pair(12), ("undecryptable", None, ""), 24, 3, {}),
    ("a-name-of-which-nobody-would-think-" + "x" * 29, "demo", pair(13), None, 0, 2, {}),
]


def store(name, environment, key, outcome, ago, age, more):
    now = timezone.now()
    row = CertnCredential.objects.create(name=name, environment=environment, **key)
    changes = {
        "secret_changed_at": now - timedelta(days=age),
        "is_active": more.get("active", True),
    }
    if outcome:
        status, http_status, error_code = outcome
        changes |= {
            "verified_status": status,
            "verified_http_status": http_status,
            "verified_error_code": error_code,
            "verified_at": now - timedelta(hours=ago),
        }
    if "ends" in more:
        changes["expires_on"] = (now + timedelta(days=more["ends"])).date()
    CertnCredential.objects.filter(pk=row.pk).update(**changes)
    return row


def unreadable(row):
    """Let the secret be one that this site's encryption key does not open."""
    with connection.cursor() as cursor:
        table = CertnCredential._meta.db_table
        cursor.execute(
            f"UPDATE {table} SET client_secret = %s WHERE id = %s", ["gAAAA" + "A" * 95, row.pk]
        )


def main():
    call_command("migrate", verbosity=0)
    rows = {}
    if "empty" not in options:
        for row in [*ROWS, *(RARE if "all" in options else ())]:
            rows[row[0]] = store(*row)
    if "unreadable" in rows:
        unreadable(rows["unreadable"])
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served = {
        "url": f"http://127.0.0.1:{server.server_port}",
        "cookie": client.cookies["sessionid"].value,
        "rows": {name: row.pk for name, row in rows.items()},
    }
    print(json.dumps(served), flush=True)
    sys.stdin.read()
    server.shutdown()
    endpoint.close()


if __name__ == "__main__":
    main()
