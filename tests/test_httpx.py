"""What `CertnAuth` for httpx does beside what all clients have in common (test_calls.py)."""

import io

import httpx
import pytest
from asgiref.sync import async_to_sync

from django_certn.httpx import CertnAuth
from django_certn.tokens import get_token
from tests.clients import Closing, Streaming

pytestmark = pytest.mark.django_db

PATH = "/api/things/"


@pytest.fixture(autouse=True)
def url(make_credential, endpoint):
    endpoint.answer(200, {"things": 3}, path=PATH)
    make_credential(environment="scripted")
    return endpoint.url + PATH


@pytest.fixture
def client():
    with httpx.Client(auth=CertnAuth()) as client:
        yield client


def bodies(endpoint):
    return [request.body for request in endpoint.requests if request.path == PATH]


def test_its_repr_names_the_credential():
    assert repr(CertnAuth("acme")) == "CertnAuth('acme')"


def test_the_401_is_in_the_history(client, url, endpoint):
    endpoint.answer(401, {"detail": "No."}, path=PATH, times=1)
    response = client.get(url)
    (refused,) = response.history
    assert (refused.status_code, refused.json()) == (401, {"detail": "No."})


def test_a_base_url_of_the_client(endpoint):
    with httpx.Client(auth=CertnAuth(), base_url=endpoint.url) as client:
        assert client.get(PATH).json() == {"things": 3}


def test_a_form_with_files_is_sent_again(client, url, endpoint):
    endpoint.answer(401, path=PATH, times=1)
    files = {"report": ("fake.pdf", io.BytesIO(b"fake report"))}
    assert client.post(url, data={"a": "b"}, files=files).status_code == 200
    first, second = bodies(endpoint)
    assert first == second
    assert b"fake report" in first


def test_a_form_with_a_file_that_cannot_be_rewound(client, url, endpoint):
    class Once(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *args):
            raise io.UnsupportedOperation

    earlier = get_token().value
    endpoint.answer(401, path=PATH, times=1)
    response = client.post(url, files={"report": ("fake.pdf", Once(b"fake report"))})
    assert response.status_code == 401
    assert len(bodies(endpoint)) == 1
    assert get_token().value != earlier


@pytest.mark.parametrize("status", [200, 401])
def test_a_generator_is_sent_once(client, url, endpoint, status):
    endpoint.answer(status, path=PATH)
    assert client.post(url, content=(each for each in [b"a", b"b"])).status_code == status
    assert endpoint.count(PATH) == 1


def test_an_asynchronous_generator_is_sent_once(url, endpoint):
    endpoint.answer(401, path=PATH, times=1)

    async def pieces():
        yield b"fake"

    async def post():
        async with httpx.AsyncClient(auth=CertnAuth()) as client:
            return await client.post(url, content=pieces())

    earlier = get_token().value
    assert async_to_sync(post)().status_code == 401
    assert endpoint.count(PATH) == 1
    assert endpoint.count() == 1  # nobody waits for a token that is not sent
    assert get_token().value != earlier


@pytest.mark.parametrize("body", [Closing, Streaming])
def test_a_file_that_fails_in_its_own_way_is_not_rewound(client, url, endpoint, body):
    earlier = get_token().value
    endpoint.answer(401, path=PATH)
    length = {"Content-Length": "4"}  # or httpx asks for it by seek()
    assert client.post(url, content=body(b"fake"), headers=length).status_code == 401
    assert endpoint.count(PATH) == 1
    assert get_token().value != earlier


@pytest.mark.parametrize("status", [302, 307])
def test_no_redirect_is_followed_unless_it_is_switched_on(client, url, endpoint, status):
    endpoint.answer(status, b"", {"Location": "/api/others/"}, path=PATH)
    assert client.post(url, content=b"fake").status_code == status
    assert endpoint.count("/api/others/") == endpoint.count("/api/others/", "GET") == 0


def test_the_token_is_in_no_repr(client, url):
    response = client.get(url)
    assert get_token().value not in repr(response.request.headers)
