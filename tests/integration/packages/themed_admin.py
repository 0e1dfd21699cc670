"""A visitor to an admin that a theme draws: prints, as JSON, what it was shown.

    python -m tests.integration.packages.themed_admin unfold

In a process of its own, for a theme puts itself in the place of the admin when Django starts.
"""

import json
import sys
from types import SimpleNamespace

import django
from django.conf import settings

from tests.admin_site.themes import settings_of, urls_of

SECRET = "fake-secret-of-the-themed-admin"
LIST = "/admin/django_certn/certncredential/"

theme = sys.argv[1]
settings.configure(**settings_of(theme), ROOT_URLCONF=__name__)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

from django_certn import admin as certn_admin  # noqa: E402
from django_certn.models import CertnCredential  # noqa: E402

urlpatterns = urls_of(theme)


def verify(credential):
    return SimpleNamespace(
        name=credential.name, status="rejected", ok=False, detail="The detail.", hint="The hint."
    )


def visit():
    call_command("migrate", verbosity=0)
    certn_admin.verify = verify
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    key = {"environment": "demo", "client_id": "fake-id"}
    row = CertnCredential.objects.create(client_secret=SECRET, **key)
    change = f"{LIST}{row.pk}/change/"

    def page(url):
        return client.get(url).content.decode()

    shown = {"list": page(LIST), "add": page(f"{LIST}add/"), "change": page(change)}
    posted = {"name": "renamed", "is_active": "on", "secret": "", "_verify": "1", **key}
    shown["saved"] = client.post(change, posted, follow=True).content.decode()
    selected = {"action": "verify_selected", "index": "0", "_selected_action": row.pk}
    shown["selected"] = client.post(LIST, selected, follow=True).content.decode()
    return shown


if __name__ == "__main__":
    print(json.dumps(visit()))
