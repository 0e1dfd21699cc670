"""What the clients have in common: where the header goes, and what a 401 does."""

import io

import pytest
import requests
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext
from httpx import InvalidURL

from django_certn import httpx, requests_auth
from django_certn.client import CertnSession
from django_certn.exceptions import (
    CertnUnavailableError,
    CredentialRejectedError,
    UnsafeRequestError,
)
from django_certn.models import CertnCredential
from django_certn.tokens import get_token
from django_certn.tokens.service import areplace, replace
from tests.clients import CLIENTS, call
from tests.conftest import add_environment
from tests.endpoint import TokenEndpoint

pytestmark = pytest.mark.django_db

PATH = "/api/things/"
API_KEY = "fakeKey1.0123456789abcdef0123456789abcdef"
ANOTHER = "fakeKey2.0123456789abcdef0123456789abcdef"

EACH = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(autouse=True)
def things(endpoint):
    endpoint.answer(200, {"things": 3}, path=PATH)


@pytest.fixture
def credential(make_credential, endpoint):
    return make_credential(environment="scripted")


@pytest.fixture
def api_key(make_credential, centric):
    return make_credential("acme", environment="centric", client_id="", client_secret=API_KEY)


@pytest.fixture
def elsewhere():
    """A server that listens, and has no business with our header."""
    with TokenEndpoint() as endpoint:
        yield endpoint


def headers(endpoint, path=PATH):
    """The Authorization headers that came to a path, in order."""
    return [
        request.headers["Authorization"]
        for request in endpoint.requests
        if request.path.partition("?")[0] == path
    ]


@EACH
class TestHeader:
    def test_of_a_pair(self, client, credential, endpoint):
        assert call(client, "GET", PATH).status == 200
        assert headers(endpoint) == [f"Bearer {get_token().value}"]

    def test_of_an_api_key(self, client, api_key, centric):
        assert call(client, "GET", PATH, name="acme").status == 200
        assert headers(centric) == [f"Api-Key {API_KEY}"]

    def test_for_a_credential_as_for_its_name(self, client, credential, endpoint):
        assert call(client, "GET", PATH, name=credential).status == 200
        assert headers(endpoint) == [get_token().authorization]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_with_every_method(self, client, credential, endpoint, method):
        content = b"fake" if method in ("POST", "PUT", "PATCH") else None
        assert call(client, method, PATH, content=content).status == 200
        (request,) = [request for request in endpoint.requests if request.path == PATH]
        assert (request.method, request.body) == (method, content or b"")

    def test_wins_over_netrc(self, client, credential, endpoint, tmp_path, monkeypatch):
        use_netrc(tmp_path, monkeypatch)
        call(client, "GET", PATH)
        assert headers(endpoint) == [get_token().authorization]

    def test_errors_come_before_anything_is_sent(self, client, credential, endpoint):
        endpoint.answer(503, path="/token/")
        with pytest.raises(CertnUnavailableError):
            call(client, "GET", PATH, url=endpoint.url + PATH)
        assert headers(endpoint) == []


def use_netrc(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login fake password fake\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))


@EACH
class TestRefused:
    """A 401."""

    def test_is_made_good_once(self, client, credential, endpoint):
        earlier = get_token().authorization
        endpoint.answer(401, {"detail": "Invalid token."}, path=PATH, times=1)
        assert call(client, "GET", PATH).status == 200
        assert headers(endpoint) == [earlier, get_token().authorization]
        assert len(set(headers(endpoint))) == 2
        assert endpoint.count() == 2

    @pytest.mark.parametrize("content", [b"fake content", "fake text", b""])
    def test_with_a_body_in_memory(self, client, credential, endpoint, content):
        endpoint.answer(401, path=PATH, times=1)
        assert call(client, "POST", PATH, content=content).status == 200
        bodies = [request.body for request in endpoint.requests if request.path == PATH]
        plain = content.encode() if isinstance(content, str) else content
        assert bodies == [plain, plain]

    def test_that_stays_is_returned_and_costs_one_exchange(self, client, credential, endpoint):
        endpoint.answer(401, {"detail": "No."}, path=PATH)
        outcomes = [call(client, "GET", PATH) for _ in range(5)]
        assert {outcome.status for outcome in outcomes} == {401}
        assert b"No." in outcomes[0].body
        assert endpoint.count() == 2
        assert endpoint.count(PATH, "GET") == 6  # one of them twice

    def test_while_the_endpoint_issues_the_same_token(self, client, credential, endpoint):
        same = {"access_token": "fake-token-always-the-same", "expires_in": 36000}
        endpoint.answer(200, same, path="/token/")
        endpoint.answer(401, path=PATH)
        for _ in range(4):
            assert call(client, "GET", PATH).status == 401
        assert endpoint.count() == 2
        assert endpoint.count(PATH, "GET") == 4

    def test_with_a_key_that_was_refreshed(self, client, credential, endpoint):
        get_token()
        endpoint.answer(401, path=PATH)
        endpoint.answer(401, {"error": "invalid_client"}, path="/token/")
        for _ in range(3):
            with pytest.raises(CredentialRejectedError, match="'default'"):
                call(client, "GET", PATH, url=endpoint.url + PATH)
        assert endpoint.count() == 2
        assert endpoint.count(PATH, "GET") == 1

    def test_a_403_is_left_alone(self, client, credential, endpoint):
        endpoint.answer(403, path=PATH)
        assert call(client, "GET", PATH).status == 403
        assert (endpoint.count(), endpoint.count(PATH, "GET")) == (1, 1)

    def test_an_api_key_that_stays_is_not_tried_again(self, client, api_key, centric):
        centric.answer(401, path=PATH)
        assert call(client, "GET", PATH, name="acme").status == 401
        assert headers(centric) == [f"Api-Key {API_KEY}"]
        assert centric.count() == 0

    # In a transaction that is open the row is looked at each time.
    @pytest.mark.django_db(transaction=True)
    def test_another_api_key_is_tried_once(self, client, api_key, centric):
        call(client, "GET", PATH, name="acme")
        # As another process would: this one hears nothing of it.
        CertnCredential.objects.filter(name="acme").update(client_secret=ANOTHER)
        centric.answer(401, path=PATH, times=1)
        assert call(client, "GET", PATH, name="acme").status == 200
        assert headers(centric)[-2:] == [f"Api-Key {API_KEY}", f"Api-Key {ANOTHER}"]

    def test_after_which_the_row_has_moved(
        self, client, credential, endpoint, elsewhere, settings, monkeypatch
    ):
        add_environment(settings, "moved", "Moved", elsewhere.url)
        endpoint.answer(401, path=PATH)

        def move():
            credential.environment = "moved"
            credential.save()

        def moving(name, refused):
            move()
            return replace(name, refused)

        async def amoving(name, refused):
            await sync_to_async(move)()
            return await areplace(name, refused)

        for module in (requests_auth, httpx):
            monkeypatch.setattr(module, "replace", moving)
        monkeypatch.setattr(httpx, "areplace", amoving)
        assert call(client, "GET", PATH).status == 401
        assert endpoint.count(PATH, "GET") == 1
        assert {request.path for request in elsewhere.requests} == {"/token/"}


def goes(client, url):
    """Whether the call is made; what does not go has an error that says what is wrong."""
    try:
        call(client, "GET", PATH, url=url)
    except (UnsafeRequestError, UnicodeError, requests.exceptions.InvalidURL, InvalidURL):
        return False
    return True


@EACH
class TestOrigin:
    @pytest.fixture(autouse=True)
    def counted(self, credential, api_key, endpoint, elsewhere):
        get_token()
        yield
        assert [r for r in elsewhere.requests if r.headers["Authorization"]] == []

    @pytest.mark.parametrize("name", ["default", "acme"])
    def test_another_host(self, client, name, endpoint, elsewhere):
        with pytest.raises(UnsafeRequestError) as caught:
            call(client, "GET", PATH, name=name, url=elsewhere.url + PATH)
        assert elsewhere.url in str(caught.value)
        assert endpoint.url in str(caught.value)
        assert elsewhere.hits == 0

    @pytest.mark.parametrize(
        "url",
        [
            "http://localhost:{port}{path}",
            "http://[::1]:{port}{path}",
            "http://127.0.0.2:{port}{path}",
            "http://127.1:{port}{path}",
            "http://2130706433:{port}{path}",
            "http://127.0.0.1.:{port}{path}",
            "http://127.0.0.1{path}",
            "http://127.0.0.1:{other}{path}",
            "https://127.0.0.1:{port}{path}",
            "http://127.0.0.1:{port}@127.0.0.1:{other}{path}",
            "http://127.0.0.1:{port}\\@127.0.0.1:{other}{path}",
            "http://127.0.0.1:{other}\\@127.0.0.1:{port}{path}",
            "http://user@127.0.0.1:{port}{path}",
            "http://127.0.0.1:{other}#@127.0.0.1:{port}{path}",
            "http://127.0.0.1:{other}?@127.0.0.1:{port}{path}",
            "http://xn--lcalhost-n3a:{port}{path}",
            "http://xn--127-0-0-1.example:{port}{path}",
            "http://\uff11\uff12\uff17.0.0.1:{other}{path}",
            "HTTP://LOCALHOST:{port}{path}",
        ],
    )
    def test_spellings_of_another_host(self, client, url, endpoint, elsewhere):
        earlier = endpoint.hits
        port, other = (each.url.rpartition(":")[2] for each in (endpoint, elsewhere))
        url = url.format(port=port, other=other, path=PATH)
        # Refused by us, or no URL to the library; or it goes to the own host for all that.
        went = goes(client, url)
        assert (endpoint.hits, elsewhere.hits) == (earlier + went, 0)

    @pytest.mark.parametrize("url", ["HTTP://127.0.0.1:{port}{path}", "http://127.0.0.1:{port}"])
    def test_spellings_of_the_own(self, client, url, endpoint):
        port = endpoint.url.rpartition(":")[2]
        assert call(client, "GET", PATH, url=url.format(port=port, path=PATH)).status == 200

    def test_a_redirect_elsewhere(self, client, endpoint, elsewhere):
        endpoint.answer(302, b"", {"Location": elsewhere.url + "/report.pdf"}, path=PATH)
        elsewhere.answer(200, b"fake report")
        assert call(client, "GET", PATH, follow=True).body == b"fake report"
        assert [request.path for request in elsewhere.requests] == ["/report.pdf"]

    def test_a_401_of_another_host_is_no_word_about_the_token(self, client, endpoint, elsewhere):
        earlier = get_token().value
        endpoint.answer(302, b"", {"Location": elsewhere.url + "/report.pdf"}, path=PATH)
        elsewhere.answer(401)
        assert call(client, "GET", PATH, follow=True).status == 401
        assert get_token().value == earlier
        assert elsewhere.hits == 1
        assert endpoint.count() == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_on_the_own_origin(self, client, endpoint, status):
        endpoint.answer(status, b"", {"Location": "/api/others/"}, path=PATH)
        endpoint.answer(200, {"others": 1}, path="/api/others/")
        assert call(client, "GET", PATH, follow=True).body == b'{"others": 1}'
        assert headers(endpoint, "/api/others/") == [get_token().authorization]

    def test_a_401_behind_a_redirect_on_the_own_origin(self, client, endpoint):
        earlier = get_token().authorization
        endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH)
        endpoint.answer(200, {"others": 1}, path="/api/others/")
        endpoint.answer(401, path="/api/others/", times=1)
        assert call(client, "GET", PATH, follow=True).status == 200
        assert headers(endpoint, "/api/others/") == [earlier, get_token().authorization]

    def test_a_row_that_was_moved(self, client, endpoint, elsewhere, settings, credential):
        add_environment(settings, "moved", "Moved", elsewhere.url)
        credential.environment = "moved"
        credential.save()
        elsewhere.answer(200, {"moved": True}, path=PATH)
        earlier = endpoint.hits
        with pytest.raises(UnsafeRequestError):
            call(client, "GET", PATH, url=endpoint.url + PATH)
        assert endpoint.hits == earlier
        assert call(client, "GET", PATH).body == b'{"moved": true}'
        assert len(elsewhere.requests) == 2
        elsewhere.reset()  # its header was its own


@pytest.mark.parametrize("client", ["requests", "session", "httpx"])
class TestStreams:
    def bodies(self, endpoint):
        return [request.body for request in endpoint.requests if request.path == PATH]

    def test_a_file_is_rewound_to_where_it_stood(self, client, credential, endpoint, tmp_path):
        path = tmp_path / "fake.bin"
        path.write_bytes(b"head|" + b"x" * 200_000)
        endpoint.answer(401, path=PATH, times=1)
        # httpx announces the length of the whole file, wherever it stands.
        start = 0 if client == "httpx" else 5
        with path.open("rb") as file:
            file.seek(start)
            assert call(client, "PUT", PATH, content=file).status == 200
        assert self.bodies(endpoint) == [path.read_bytes()[start:]] * 2

    def test_a_file_in_memory_too(self, client, credential, endpoint):
        endpoint.answer(401, path=PATH, times=1)
        assert call(client, "POST", PATH, content=io.BytesIO(b"fake")).status == 200
        assert self.bodies(endpoint) == [b"fake", b"fake"]

    def test_what_cannot_be_rewound_is_not_sent_twice(self, client, credential, endpoint):
        earlier = get_token().value
        endpoint.answer(401, path=PATH, times=1)
        assert call(client, "POST", PATH, content=NoSeek(b"fake")).status == 401
        assert len(self.bodies(endpoint)) == 1
        assert endpoint.count("/token/") == 1  # nobody waits for a token that is not sent
        assert get_token().value != earlier

    def test_not_even_when_the_credential_is_gone(self, client, credential, endpoint):
        class Last(NoSeek):
            def readinto(self, buffer):
                type(credential).objects.all().delete()
                return super().readinto(buffer)

        endpoint.answer(401, path=PATH)
        assert call(client, "POST", PATH, content=Last(b"fake")).status == 401


class NoSeek(io.RawIOBase):
    """A stream of known length that can be read once."""

    def __init__(self, content):
        self.source = io.BytesIO(content)
        self.len = len(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.source.readinto(buffer)

    def __len__(self):
        return self.len


def test_the_hot_path_makes_no_query(credential, endpoint):
    with CertnSession() as session:
        session.get(PATH)
        with CaptureQueriesContext(connection) as queries:
            session.get(PATH)
    assert len(queries) == 0
