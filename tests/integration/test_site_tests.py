"""A site whose tests use the kit, under each runner; and one whose tests use none."""

import subprocess
import sys

import pytest

from tests.effort import THOROUGH
from tests.sandbox import environment

FILES = {
    "manage.py": """
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
execute_from_command_line(sys.argv)
""",
    "site_settings.py": """
SECRET_KEY = "fake"
FIELD_ENCRYPTION_KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
INSTALLED_APPS = ["django_certn"]
ROOT_URLCONF = "views"
STATIC_URL = "/static/"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
""",
    "views.py": """
import httpx
from django.http import JsonResponse
from django.urls import path

from django_certn.client import CertnSession, base_url
from django_certn.httpx import CertnAuth


def users(request):
    with CertnSession() as certn:
        return JsonResponse(certn.get("/api/v1/users/").json())


async def users_async(request):
    async with httpx.AsyncClient(auth=CertnAuth(), transport=transport) as client:
        answer = await client.get("https://certn.test/api/v1/users/")
    return JsonResponse(answer.json())


transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"count": 3}))

urlpatterns = [path("users/", users), path("async/", users_async)]
""",
    "tests.py": """
import responses
from django.core.cache import cache
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase

from django_certn.client import auth_headers
from django_certn.models import CertnCredential
from django_certn.testing import fake_certn
from django_certn.tokens import get_token
from django_certn.verification import verify


@fake_certn()
class WithTheKit(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.header = auth_headers()

    @responses.activate
    def test_a_view(self):
        assert self.certn.calls == []
        responses.get("https://certn.test/api/v1/users/", json={"count": 3})
        assert self.client.get("/users/").json() == {"count": 3}
        assert self.certn.exchanges == 1

    test_a_view_again = test_a_view

    async def test_a_coroutine(self):
        answer = await self.async_client.get("/async/")
        assert answer.json() == {"count": 3}
        assert self.certn.exchanges == 1


class Decorated(SimpleTestCase):
    @fake_certn(kwarg_name="certn")
    def test_it(self, certn):
        assert auth_headers() == {"Authorization": "Bearer fake-certn-token-1"}
        certn.reject("acme")
        assert verify("acme").status == "rejected"

    @fake_certn()
    async def test_a_coroutine(self):
        assert (await self.async_client.get("/async/")).json() == {"count": 3}


class WithoutTheKit:
    \"\"\"What a site does that has not heard of it: no test sees the token of another.\"\"\"

    def setUp(self):
        cache.clear()
        mock = responses.RequestsMock()
        mock.start()
        self.addCleanup(mock.stop)
        answer = {"access_token": self.id(), "token_type": "Bearer", "expires_in": 36000}
        mock.post("https://demo-api.certn.co/token/", json=answer)

    def test_one(self):
        for _ in range(2):
            assert get_token().value == self.id()

    test_two = test_three = test_one


KEY = {"environment": "demo", "client_id": "fake-id", "client_secret": "fake-secret"}


class ARowOfTheClass(WithoutTheKit, TestCase):
    @classmethod
    def setUpTestData(cls):
        CertnCredential.objects.create(**KEY)


class AnotherRowOfTheClass(ARowOfTheClass):
    pass


class ARowOfEachTest(WithoutTheKit, TransactionTestCase):
    def setUp(self):
        super().setUp()
        CertnCredential.objects.create(**KEY)
""",
    "test_fixture.py": """
import responses

from django_certn.tokens import get_token


@responses.activate
def test_a_view(client, certn):
    responses.get("https://certn.test/api/v1/users/", json={"count": 3})
    assert client.get("/users/").json() == {"count": 3}
    assert certn.exchanges == 1


def test_another_view(async_client, certn):
    from asgiref.sync import async_to_sync

    assert async_to_sync(async_client.get)("/async/").json() == {"count": 3}
    assert certn.exchanges == 1


def test_threads_of_a_live_server(certn, live_server):
    import urllib.request

    with urllib.request.urlopen(f"{live_server}/async/", timeout=10) as answer:
        assert answer.read() == b'{"count": 3}'
    assert certn.calls == [("headers", "default")]
""",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


PYTEST = [
    *(
        "-m",
        "pytest",
        "--ds=site_settings",
        "-p",
        "no:cacheprovider",
        "tests.py",
        "test_fixture.py",
    ),
    # The plugins by name: what else is installed takes longer to start than the tests.
    *("-p", "pytest_django.plugin", "-p", "django_certn.pytest_plugin"),
]
RUNNERS = {
    "manage.py test --parallel": ["manage.py", "test", "--parallel=2"],
    "pytest": PYTEST,
}
# They run the same code as the two above, and take the time of several processes.
MORE_RUNNERS = {
    "manage.py test": ["manage.py", "test"],
    "pytest -n 2": [*PYTEST, "-p", "xdist", "-n2"],
}


@pytest.mark.parametrize("runner", [*RUNNERS, *(MORE_RUNNERS if THOROUGH else ())])
def test_all_is_well_under_each_runner(site, runner):
    command = (RUNNERS | MORE_RUNNERS)[runner]
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=site,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    tests = "17 passed" if "pytest" in runner else "Ran 14 tests"
    assert tests in printed
