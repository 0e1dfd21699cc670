"""Asks Certn what its pages do not say: ``python -m tests.live --environment demo``.

For somebody who has a key; no test runs this, for it needs one. It makes one exchange and one
harmless GET (of an API key the GET alone), and prints what the answers look like: names, types,
numbers and codes, and no secret, no token and nothing of a person. The key is asked for at a hidden
prompt, is kept nowhere, and goes to the environment that is named and nowhere else.

Two more questions are asked only when that is wanted: ``--refused`` makes one GET without a header,
to see a 401; ``--refresh`` waits until the keys were refreshed on the Partner tab, which loses the
key, and makes the GET again with the token of before.
"""

# ruff: noqa: E402 - Django is set up before what needs it is imported

import argparse
import getpass
import json
import os
import re
import string
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django_certn import __version__, oauth, probe, transport
from django_certn.answers import Answer, parse_object
from django_certn.conf import Environment, Scheme, conf, parse_environment
from django_certn.exceptions import CertnConfigurationError
from django_certn.keys import Key
from django_certn.origin import origin_of
from django_certn.pasted import clean_pasted
from django_certn.secret import Secret

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}", re.ASCII)
HEADERS = (
    "Content-Type",
    "Cache-Control",
    "WWW-Authenticate",
    "Retry-After",
    "Deprecation",
    "Sunset",
)
SHOWN = {"token_type", "expires_in", "error", "type", "code", "scope"}  # values, and no others
TIMEOUT = 30.0  # seconds


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        environment = chosen(options)
    except CertnConfigurationError as error:
        sys.exit(str(error))
    key = ask_for_key(environment)
    report: dict[str, Any] = {
        "django-certn": __version__,
        "environment": environment.slug,
        "scheme": str(environment.scheme),
        "key": {
            "client_id": shape_of_text(key.client_id) if key.client_id else None,
            "secret": shape_of_text(key.client_secret.reveal()),
        },
    }
    secrets = [key.client_id, key.client_secret.reveal()]
    if environment.scheme == Scheme.API_KEY:
        path, header = probe.CASE_PATH, f"Api-Key {key.client_secret.reveal()}"
    else:
        answer = oauth.post(key, oauth.basic_pairs(key)[1], TIMEOUT)
        report["exchange"] = describe(answer, environment)
        token = (parse_object(answer.body or b"") or {}).get("access_token")
        if not isinstance(token, str):
            finish(report, secrets)
            sys.exit("There is no token, so there is nothing to make the GET with.")
        secrets.append(token)
        report["exchange"]["access_token"] = shape_of_text(token)
        path, header = probe.USERS_PATH, f"Bearer {token}"
    report["get"] = describe(get(environment, path, header), environment)
    if options.refused:
        report["get_without_header"] = describe(get(environment, path, None), environment)
    if options.refresh and environment.scheme == Scheme.OAUTH:
        input(
            "Refresh the keys on Certn's Partner tab now, which loses this key; then press Enter: "
        )
        report["get_after_refresh"] = describe(get(environment, path, header), environment)
    finish(report, secrets)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    result.formatter_class = argparse.RawDescriptionHelpFormatter
    result.add_argument("--environment", metavar="SLUG", help="One that is built in, or a name.")
    result.add_argument("--base-url", metavar="URL", help="Of an environment that is not built in.")
    result.add_argument("--scheme", choices=list(Scheme), default=Scheme.OAUTH)
    result.add_argument("--refused", action="store_true", help="Also GET once without a header.")
    result.add_argument(
        "--refresh", action="store_true", help="Wait for a refresh of the keys, and GET once more."
    )
    return result


def chosen(options: argparse.Namespace) -> Environment:
    slug = options.environment or ""
    if options.base_url:
        slug = slug or "named"
        entry = {"base_url": options.base_url, "scheme": options.scheme}
        return parse_environment(slug, entry)
    return conf.environment(slug)


def ask_for_key(environment: Environment) -> Key:
    client_id = ""
    if environment.scheme == Scheme.OAUTH:
        client_id = clean_pasted(input("Client ID: "))
        secret = getpass.getpass("Client Secret (hidden): ")
    else:
        secret = getpass.getpass("API key (hidden): ")
    return Key("live", environment, client_id, Secret(clean_pasted(secret)))


def get(environment: Environment, path: str, header: str | None) -> Answer:
    import requests

    auth = probe.HeaderAuth(header) if header else NoAuth()
    request = requests.Request("GET", environment.base_url + path, auth=auth)
    return transport.fetch(requests.Session(), request, timeout=TIMEOUT)


class NoAuth:
    """In place of netrc."""

    def __call__(self, request: Any) -> Any:
        return request


def describe(answer: Answer, environment: Environment) -> dict[str, Any]:
    """Return what an answer looks like, and of its values only those that are in `SHOWN`."""
    body = answer.body or b""
    payload = parse_object(body)
    result: dict[str, Any] = {
        "status": answer.status,
        "failure": answer.failure or None,
        "headers": {name: worded(answer.headers.get(name)) for name in HEADERS},
        "rate_limit_headers": sorted(
            name for name in answer.headers if "ratelimit" in name.lower().replace("-", "")
        ),
        "bytes": len(body),
        "body": dict(members(payload)) if payload is not None else kind_of_body(body),
    }
    if payload and isinstance(payload.get("next"), str):
        result["next_link"] = next_link(payload["next"], environment)
    return result


def members(payload: dict[str, Any], depth: int = 2) -> Iterator[tuple[str, Any]]:
    for name, value in payload.items():
        shown = name if WORD.fullmatch(name) else "(another name)"
        if name in SHOWN and (value is None or isinstance(value, int | float)):
            yield shown, value
        elif name in SHOWN and isinstance(value, str):
            yield shown, worded(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict) and depth:
            # Of a list the names of what its first item has: no value of a person.
            first = dict(members(value[0], 0))
            yield shown, {"list of": first if name == "errors" else sorted(first)}
        elif isinstance(value, dict) and depth:
            yield shown, dict(members(value, depth - 1))
        else:
            yield shown, type(value).__name__


def worded(value: str | None) -> str | None:
    """Return a value if it is made of words that a protocol has, else how long it is."""
    if value is None or re.fullmatch(r"[A-Za-z0-9_ .;:,/=\"+-]{0,100}", value, re.ASCII):
        return value
    return f"({len(value)} characters)"


def kind_of_body(body: bytes) -> str:
    start = body.lstrip()[:1]
    return {b"": "empty", b"<": "markup", b"[": "a list", b'"': "a string"}.get(start, "other")


def next_link(link: str, environment: Environment) -> str:
    own, there = origin_of(environment.base_url), origin_of(link)
    if not urlsplit(link).netloc:
        return "a path"
    return "on the own origin" if own == there else f"{urlsplit(link).scheme}, another origin"


def shape_of_text(text: str) -> str:
    """Return length and alphabet of a value, and nothing else of it."""
    kinds = {
        "digits": string.digits,
        "lower-case letters": string.ascii_lowercase,
        "upper-case letters": string.ascii_uppercase,
    }
    found = [kind for kind, characters in kinds.items() if set(text) & set(characters)]
    others = set(text) - set("".join(kinds.values()))
    found += [f"the characters {' '.join(sorted(others))}"] if others else []
    return f"{len(text)} characters: {', '.join(found)}"


def finish(report: dict[str, Any], secrets: list[str]) -> None:
    """Print the report, if it holds nothing that it must not."""
    text = json.dumps(report, indent=2)
    for secret in filter(None, secrets):
        if secret in text or json.dumps(secret)[1:-1] in text:
            sys.exit("An answer echoes the key or the token, so the report is not printed.")
    print(text)


if __name__ == "__main__":
    main()
