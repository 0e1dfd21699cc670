"""What `CertnAuth` does to requests beside what all clients have in common (test_calls.py)."""

import pickle

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter

from django_certn.client import CertnAuth, CertnSession
from django_certn.exceptions import UnsafeRequestError
from django_certn.tokens import get_token
from tests.clients import Closing, Streaming
from tests.conftest import add_environment

pytestmark = pytest.mark.django_db

PATH = "/api/things/"
TIMEOUT = 10


@pytest.fixture
def url(make_credential, endpoint):
    make_credential(environment="scripted")
    endpoint.answer(200, {"things": 3}, path=PATH)
    return endpoint.url + PATH


def get(url, **kwargs):
    return requests.get(url, auth=CertnAuth(), timeout=TIMEOUT, **kwargs)


def test_its_repr_names_the_credential():
    assert repr(CertnAuth("acme")) == "CertnAuth('acme')"


def test_it_wins_over_a_header_of_the_session(url, endpoint):
    with requests.Session() as session:
        session.headers["Authorization"] = "Basic fake"
        session.auth = CertnAuth()
        session.get(url, timeout=TIMEOUT)
        session.get(url, timeout=TIMEOUT, headers={"Authorization": "Basic fake"})
    sent = {r.headers["Authorization"] for r in endpoint.requests if r.path == PATH}
    assert sent == {get_token().authorization}


@pytest.mark.parametrize("times", [0, 1])
def test_nothing_of_it_stays_in_a_response(url, endpoint, times):
    if times:
        endpoint.answer(401, path=PATH, times=times)
    response = get(url)
    assert response.request.hooks["response"] == []
    pickled = pickle.dumps(response)
    assert pickle.loads(pickled).json() == {"things": 3}
    assert get_token().value.encode() not in pickled


def test_nor_in_one_that_was_redirected(url, endpoint):
    endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH)
    endpoint.answer(200, {"others": 1}, path="/api/others/")
    response = get(url)
    for each in (response, *response.history):
        assert each.request.hooks["response"] == []
    assert get_token().value.encode() not in pickle.dumps(response)


def test_a_redirect_that_is_not_followed_can_be_pickled(url, endpoint):
    endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH)
    response = get(url, allow_redirects=False)
    assert pickle.loads(pickle.dumps(response)).status_code == 302


def test_the_401_is_in_the_history(url, endpoint):
    earlier = get_token().authorization
    endpoint.answer(401, {"detail": "No."}, path=PATH, times=1)
    response = get(url)
    (refused,) = response.history
    assert (refused.status_code, refused.json()) == (401, {"detail": "No."})
    assert refused.request.headers["Authorization"] == earlier
    assert response.request.headers["Authorization"] == get_token().authorization
    assert response.elapsed.total_seconds() > 0


def test_a_redirect_after_a_401_has_the_new_header(url, endpoint):
    endpoint.answer(401, path=PATH, times=1)
    endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH, times=1)
    endpoint.answer(200, {"others": 1}, path="/api/others/")
    assert get(url).json() == {"others": 1}
    sent = [r.headers["Authorization"] for r in endpoint.requests if r.path == "/api/others/"]
    assert sent == [get_token().authorization]


def test_hooks_and_adapters_of_the_caller_stay(url, endpoint):
    seen = []

    class Counting(HTTPAdapter):
        def send(self, request, **kwargs):
            seen.append(kwargs["timeout"])
            return super().send(request, **kwargs)

    with requests.Session() as session:
        session.mount("http://", Counting())
        session.hooks["response"].append(
            lambda response, **kwargs: seen.append(response.status_code)
        )
        endpoint.answer(401, path=PATH, times=1)
        assert session.get(url, auth=CertnAuth(), timeout=7).status_code == 200
    assert seen == [7, 7, 200]


def test_a_cookie_of_the_caller_is_sent_twice(url, endpoint):
    endpoint.answer(401, path=PATH, times=1)
    get(url, cookies={"fake": "cookie"})
    sent = [r.headers["Cookie"] for r in endpoint.requests if r.path == PATH]
    assert sent == ["fake=cookie"] * 2


def test_a_401_is_streamed_when_it_is_returned(url, endpoint):
    endpoint.answer(401, b"fake body", path=PATH)
    response = get(url, stream=True)
    assert response.status_code == 401
    assert response.raw.read() == b"fake body"


@pytest.mark.parametrize("body", [Closing, Streaming])
def test_a_body_that_fails_in_its_own_way_is_not_rewound(url, endpoint, body):
    earlier = get_token().value
    endpoint.answer(401, path=PATH)
    with requests.Session() as session:
        response = session.post(url, data=body(b"fake"), auth=CertnAuth(), timeout=TIMEOUT)
    assert response.status_code == 401
    assert endpoint.count(PATH) == 1
    assert get_token().value != earlier


def test_prepared_twice_it_is_one_hook(url):
    request = requests.Request("GET", url).prepare()
    auth = CertnAuth()
    auth(auth(request))
    assert len(request.hooks["response"]) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("make", [requests.Session, CertnSession])
def test_a_redirect_of_another_method_raises(url, endpoint, method, status, make):
    endpoint.answer(status, b"", {"Location": "/api/others/"}, path=PATH)
    with make() as session, pytest.raises(UnsafeRequestError, match="slash at the end") as caught:
        session.auth = session.auth or CertnAuth()
        session.request(method, url, timeout=TIMEOUT)
    assert f"{method} to {endpoint.url} was answered with a redirect (HTTP {status})" in str(
        caught.value
    )
    assert endpoint.count("/api/others/", method) == endpoint.count("/api/others/", "GET") == 0


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("make", [requests.Session, CertnSession])
def test_a_redirect_of_another_method_after_a_401_raises_too(url, endpoint, status, make):
    endpoint.answer(401, path=PATH, times=1)
    endpoint.answer(status, b"", {"Location": "/api/others/"}, path=PATH, times=1)
    with make() as session, pytest.raises(UnsafeRequestError, match=f"HTTP {status}"):
        session.auth = session.auth or CertnAuth()
        session.post(url, data=b"fake body", timeout=TIMEOUT)
    assert [request.path for request in endpoint.requests].count(PATH) == 2
    assert endpoint.count("/api/others/", "POST") == endpoint.count("/api/others/", "GET") == 0


def test_the_target_of_a_redirect_is_not_in_the_error(url, endpoint):
    endpoint.answer(307, b"", {"Location": "https://fake-echo.example/fake-echo"}, path=PATH)
    with pytest.raises(UnsafeRequestError) as caught:
        requests.post(url, auth=CertnAuth(), timeout=TIMEOUT)
    assert "fake-echo" not in str(caught.value)


def test_a_401_to_the_login_of_a_netrc_is_no_word_about_the_token(
    url, endpoint, tmp_path, monkeypatch
):
    """Requests sends that one after a redirect; a CertnSession does not."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login fake password fake\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH)
    endpoint.answer(401, path="/api/others/")
    assert get(url).status_code == 401
    assert endpoint.count("/api/others/", "GET") == 1
    assert endpoint.count() == 1


def test_from_http_to_https_it_does_not_go_along(make_credential, settings):
    """Requests itself would let it go along, between the ports that they have by default."""
    add_environment(settings, "scripted", "Scripted", "http://localhost")
    make_credential(environment="scripted")
    with responses.RequestsMock() as mock:
        mock.post(
            "http://localhost/token/", json={"access_token": "fake-token", "expires_in": 9000}
        )
        mock.get("http://localhost" + PATH, status=302, headers={"Location": "https://localhost/"})
        mock.get("https://localhost/", json={})
        assert get("http://localhost" + PATH).status_code == 200
        assert "Authorization" not in mock.calls[-1].request.headers


def test_what_is_no_url(make_credential, endpoint):
    make_credential(environment="scripted")
    for url in ("mailto:fake@example.com", "data:text/plain,fake"):
        with pytest.raises(UnsafeRequestError):
            requests.Request("GET", url, auth=CertnAuth()).prepare()
