"""A site whose tests move the clock: ``travelling_site PACKAGE``.

It prints for how many seconds a token lives, and which it is, at several moments; with the fake of
`django_certn.testing`, and with the token service that a site has.
"""

import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.core.cache import cache  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from django_certn.testing import fake_certn  # noqa: E402
from django_certn.testing.endpoint import Endpoint  # noqa: E402
from django_certn.tokens import get_token  # noqa: E402
from django_certn.tokens.process import TokenService  # noqa: E402
from django_certn.tokens.service import install  # noqa: E402
from django_certn.tokens.tenant import Place, Row  # noqa: E402

if sys.argv[1] == "freezegun":
    from freezegun import freeze_time as travel
else:
    from time_machine import travel

START = datetime(2031, 1, 1, tzinfo=UTC)


@contextmanager
def own_service():
    """Put the service of a process in place that has the site's cache and the real clocks."""
    endpoint = Endpoint()
    cache.clear()
    earlier = install(
        TokenService(
            load=lambda name: Row(endpoint.key(name), name),
            place_of=lambda name: Place(name, None),
            has_tenants=lambda: False,
            exchange=endpoint.exchange,
        )
    )
    try:
        yield
    finally:
        install(earlier)


def at(hours):
    with travel(START + timedelta(hours=hours), tick=False):
        token = get_token()
        return [round(token.expires_in), token.value[-1], token.expires_at.isoformat()]


def seen(service):
    with service():
        moved = [at(0), at(5), at(11)]
    with service():
        started = at(0)
        later = round(get_token().expires_in)  # back from 2031
    return {"moved": moved, "started": started, "later": later}


setup_test_environment()
print(json.dumps({"fake": seen(fake_certn), "own": seen(own_service)}))
