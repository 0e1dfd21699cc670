"""What the demo does to the site's database. All of it may be done again and again."""

import sys

import requests
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from demo.servers import HOST
from django_certn.models import CertnCredential
from django_certn.verification import verify


def migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)


def make_admin(password: str) -> None:
    user, _ = User.objects.get_or_create(username="admin")
    user.is_active = user.is_staff = user.is_superuser = True
    # Setting a password ends its owner's sessions: not at each start.
    if not user.check_password(password):
        user.set_password(password)
    user.save()


def store_key(sandbox_port: int) -> str:
    """Store a key that the sandbox issues, unless a good one is there; say which it is."""
    stored = CertnCredential.objects.filter(name="default").first()
    if stored is not None:
        if stored.environment != "local":
            return f'"default" is for {stored.environment}, and stays as it is'
        if verify(stored).ok:
            return '"default" has one that works, and keeps it'
    # What "Refresh keys" on the Partner tab does.
    response = requests.post(f"http://{HOST}:{sandbox_port}/__sandbox__/keys", json={}, timeout=10)
    response.raise_for_status()
    CertnCredential.objects.update_or_create(
        name="default", defaults={"environment": "local", **response.json()}
    )
    return 'the sandbox issued a new one, stored as "default"'


def certn_check() -> int:
    """Run the command and return the exit code that a shell would see."""
    try:
        call_command("certn_check")
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.returncode
    return 0
