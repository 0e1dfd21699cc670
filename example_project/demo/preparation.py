"""What the demo does to the site's database. All of it may be done again and again."""

import sys
from collections.abc import Callable, Iterator

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


def store_keys(sandbox_port: int) -> Iterator[str]:
    """Store keys that the sandbox issues, unless good ones are there; say of each which it is."""
    control = f"http://{HOST}:{sandbox_port}/__sandbox__"
    # What "Refresh keys" on the Partner tab does, and "Make a key" on the page of the API keys.
    yield store("default", "local", lambda: issued(f"{control}/keys"))
    yield store("centric", "local-centric", lambda: issued_api_key(f"{control}/api-keys"))


def store(name: str, environment: str, issue: Callable[[], dict[str, str]]) -> str:
    stored = CertnCredential.objects.filter(name=name).first()
    if stored is not None:
        if stored.environment != environment:
            return f'"{name}" is for {stored.environment}, and stays as it is'
        if verify(stored).ok:
            return f'"{name}" has one that works, and keeps it'
    key = {"environment": environment, **issue()}
    CertnCredential.objects.update_or_create(name=name, defaults=key)
    return f'the sandbox issued a new one, stored as "{name}"'


def issued(url: str) -> dict[str, str]:
    response = requests.post(url, json={}, timeout=10)
    response.raise_for_status()
    key: dict[str, str] = response.json()
    return key


def issued_api_key(url: str) -> dict[str, str]:
    key = issued(url)
    return {"client_secret": key["api_key"], "expires_on": key["expires_on"]}


def certn_check() -> int:
    """Run the command and return the exit code that a shell would see."""
    try:
        call_command("certn_check")
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.returncode
    return 0
