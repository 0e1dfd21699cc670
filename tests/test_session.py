"""What `CertnSession` does beside what all clients have in common (test_calls.py)."""

import json
import pickle
import time

import pytest
import requests
import responses

import django_certn
from django_certn.client import CertnSession
from django_certn.exceptions import CertnConfigurationError, UnsafeRequestError
from django_certn.tokens import get_token
from tests.conftest import add_environment
from tests.endpoint import TokenEndpoint

pytestmark = pytest.mark.django_db

PATH = "/api/things/"


@pytest.fixture(autouse=True)
def credential(make_credential, endpoint):
    endpoint.answer(200, {"things": 3}, path=PATH)
    return make_credential(environment="scripted")


@pytest.fixture
def session():
    with CertnSession() as session:
        yield session


@pytest.fixture
def elsewhere():
    with TokenEndpoint() as endpoint:
        yield endpoint


def sent(endpoint, path=PATH):
    return [request for request in endpoint.requests if request.path.partition("?")[0] == path]


def authorizations(endpoint, path=PATH):
    return [request.headers["Authorization"] for request in sent(endpoint, path)]


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    path = tmp_path / "netrc"
    path.write_text("default login fake password fake\n", encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


class TestURL:
    @pytest.mark.parametrize("path", [PATH, PATH.strip("/") + "/", b"/api/things/"])
    def test_a_path_goes_to_the_base_url(self, session, endpoint, path):
        assert session.get(path).json() == {"things": 3}

    def test_so_does_one_with_the_host(self, session, endpoint):
        assert session.get(endpoint.url + PATH).json() == {"things": 3}

    def test_the_path_of_the_base_url_is_kept(self, session, endpoint, settings):
        add_environment(settings, "scripted", "Scripted", endpoint.url + "/certn/")
        session.get("x/")
        session.get("/y/", params={"a": "b"})
        assert [r.path for r in endpoint.requests][-2:] == ["/certn/x/", "/certn/y/?a=b"]

    @pytest.mark.parametrize(
        "url", ["//{}/x", "/\\{}/x", "\\\\{}/x", "http:/{}/x", "/../{}", "/\t/{}/x", "ftp://{}/x"]
    )
    def test_what_is_no_path_is_refused(self, session, endpoint, elsewhere, url):
        earlier = endpoint.hits
        with pytest.raises(UnsafeRequestError):
            session.get(url.format(elsewhere.url.removeprefix("http://")))
        assert (endpoint.hits, elsewhere.hits) == (earlier or 1, 0)

    @pytest.mark.parametrize("url", ["@{}/x", ".{}/x", ":80@{}/x", "?@{}/x", "#@{}/x", "/%2F{}/x"])
    def test_or_stays_on_the_host(self, session, endpoint, elsewhere, url):
        get_token()
        earlier = endpoint.hits
        session.get(url.format(elsewhere.url.removeprefix("http://")))
        assert (endpoint.hits, elsewhere.hits) == (earlier + 1, 0)

    def test_a_prepared_request_too(self, session, endpoint):
        request = requests.Request("GET", PATH)
        prepared = session.prepare_request(request)
        assert prepared.url == endpoint.url + PATH
        assert request.url == PATH
        assert session.send(prepared).json() == {"things": 3}

    def test_it_follows_the_row(self, session, endpoint, elsewhere, credential, settings):
        add_environment(settings, "moved", "Moved", elsewhere.url)
        elsewhere.answer(200, {"moved": True}, path=PATH)
        assert session.get(PATH).json() == {"things": 3}
        credential.environment = "moved"
        credential.save()
        assert session.get(PATH).json() == {"moved": True}
        assert len(sent(endpoint)) == 1
        (there,) = authorizations(elsewhere)
        assert there == get_token().authorization
        with pytest.raises(UnsafeRequestError):
            session.get(endpoint.url + PATH)


class TestTime:
    def test_the_setting_is_the_limit(self, session, endpoint, settings):
        get_token()
        settings.CERTN_REQUEST_TIMEOUT = 0.2
        get_token()
        endpoint.answer(delay=5, path=PATH)
        began = time.monotonic()
        with pytest.raises(requests.Timeout):
            session.post(PATH)
        assert time.monotonic() - began < 2

    def test_or_the_sessions_own_or_the_calls(self, endpoint):
        endpoint.answer(delay=5, path=PATH)
        with CertnSession(timeout=0.2) as session, pytest.raises(requests.Timeout):
            session.post(PATH)
        with CertnSession(timeout=(5, 0.2)) as session, pytest.raises(requests.Timeout):
            session.post(PATH)
        with CertnSession() as session, pytest.raises(requests.Timeout):
            session.post(PATH, timeout=0.2)

    def test_a_prepared_request_has_it_too(self, endpoint):
        endpoint.answer(delay=5, path=PATH)
        with CertnSession(timeout=0.2) as session, pytest.raises(requests.Timeout):
            session.send(session.prepare_request(requests.Request("POST", PATH)))

    @pytest.mark.parametrize("timeout", [0, -1, "5", True, (1,), (1, 2, 3), (1, 0), float("inf")])
    def test_what_is_no_limit(self, timeout):
        with pytest.raises(ValueError, match="number of seconds"):
            CertnSession(timeout=timeout)

    def test_a_wrong_setting(self, session, settings):
        prepared = session.prepare_request(requests.Request("GET", PATH))
        settings.CERTN_REQUEST_TIMEOUT = 0
        with pytest.raises(CertnConfigurationError):
            session.send(prepared)


class TestRetry:
    @pytest.fixture(autouse=True)
    def no_sleep(self, monkeypatch):
        self.slept = []
        monkeypatch.setattr(time, "sleep", self.slept.append)

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    def test_what_is_idempotent_is_tried_again(self, session, endpoint, status, method):
        endpoint.answer(status, path=PATH, times=3)
        assert session.request(method, PATH).status_code == 200
        assert len(sent(endpoint)) == 4

    def test_four_times_in_all_and_then_the_answer_is_returned(self, session, endpoint):
        endpoint.answer(503, b"fake body", path=PATH)
        response = session.get(PATH)
        assert (response.status_code, response.content) == (503, b"fake body")
        assert len(sent(endpoint)) == 4
        assert 0 < sum(self.slept) < 10

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_what_is_not_is_not(self, session, endpoint, method):
        endpoint.answer(503, path=PATH)
        assert session.request(method, PATH, data=b"fake").status_code == 503
        assert len(sent(endpoint)) == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 500])
    def test_other_answers_are_returned_at_once(self, session, endpoint, status):
        endpoint.answer(status, b"", {"Retry-After": "1"}, path=PATH)
        assert session.get(PATH).status_code == status
        assert len(sent(endpoint)) == 1

    @pytest.mark.parametrize(("seconds", "tries"), [("30", 4), ("31", 1), ("86400", 1)])
    def test_a_long_wait_is_not_waited_for(self, session, endpoint, seconds, tries):
        endpoint.answer(429, b"fake body", {"Retry-After": seconds}, path=PATH)
        response = session.get(PATH)
        assert (response.status_code, response.content) == (429, b"fake body")
        assert response.headers["Retry-After"] == seconds
        assert len(sent(endpoint)) == tries
        assert self.slept == [30] * (tries - 1)

    def test_one_that_cannot_be_read_is_none(self, session, endpoint):
        endpoint.answer(429, b"", {"Retry-After": "soon"}, path=PATH, times=1)
        assert session.get(PATH).status_code == 200

    def test_with_the_same_header_and_no_exchange(self, session, endpoint):
        endpoint.answer(503, path=PATH, times=2)
        session.get(PATH)
        assert set(authorizations(endpoint)) == {get_token().authorization}
        assert endpoint.count() == 1

    def test_a_connection_that_breaks_off(self, session, endpoint):
        endpoint.raw(lambda connection: None, path=PATH, times=1)
        assert session.get(PATH).status_code == 200


class TestRedirect:
    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_beside_a_netrc_the_header_is_kept(self, session, endpoint, netrc, status):
        endpoint.answer(status, b"", {"Location": "/api/others/"}, path=PATH)
        assert requests.utils.get_netrc_auth(endpoint.url) == ("fake", "fake")
        assert session.get(PATH).ok
        assert authorizations(endpoint, "/api/others/") == [get_token().authorization]

    def test_elsewhere_nothing_goes_along(self, session, endpoint, elsewhere, netrc):
        endpoint.answer(302, b"", {"Location": f"{elsewhere.url}/report/"}, path=PATH)
        elsewhere.answer(302, b"", {"Location": endpoint.url + "/back/"}, path="/report/")
        assert session.get(PATH).ok
        assert authorizations(elsewhere, "/report/") == [None]
        assert authorizations(endpoint, "/back/") == [None]

    def test_with_the_slash_that_was_missing(self, session, endpoint):
        endpoint.answer(301, b"", {"Location": PATH}, path=PATH.rstrip("/"))
        assert session.get(PATH.rstrip("/")).json() == {"things": 3}

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_one_that_nobody_follows_is_an_answer(self, session, endpoint, method):
        endpoint.answer(307, b"", {"Location": "/api/others/"}, path=PATH)
        response = session.request(method, PATH, allow_redirects=False)
        assert response.status_code == 307
        assert response.next.url == endpoint.url + "/api/others/"
        assert sent(endpoint, "/api/others/") == []


class TestEnvironment:
    def test_no_netrc(self, session, endpoint, netrc):
        session.get(PATH)
        assert authorizations(endpoint) == [get_token().authorization]

    @pytest.mark.parametrize("follow", [True, False])
    def test_no_proxy_on_this_computer(self, session, endpoint, elsewhere, monkeypatch, follow):
        get_token()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv("no_proxy", "")
        session.proxies = {"http": elsewhere.url}
        endpoint.answer(302, b"", {"Location": "/api/others/"}, path=PATH)
        assert session.get(PATH, allow_redirects=follow).status_code == (200 if follow else 302)
        session.send(session.prepare_request(requests.Request("GET", PATH)))
        assert elsewhere.hits == 0

    def test_a_proxy_elsewhere(self, session, monkeypatch, credential, elsewhere):
        credential.environment = "demo"
        credential.save()
        with responses.RequestsMock() as mock:
            mock.post(
                "https://demo-api.certn.co/token/",
                json={"access_token": "fake-token", "expires_in": 9000},
            )
            mock.get("https://demo-api.certn.co" + PATH, json={})
            monkeypatch.setenv("https_proxy", elsewhere.url)
            session.get(PATH)
            assert mock.calls[-1].request.req_kwargs["proxies"]["https"] == elsewhere.url

    def test_it_says_who_it_is(self, session, endpoint):
        session.get(PATH)
        agent = sent(endpoint)[0].headers["User-Agent"]
        assert agent.startswith(f"django-certn/{django_certn.__version__} python-requests/")

    def test_it_can_be_pickled(self, endpoint):
        with CertnSession("default", timeout=7) as session:
            again = pickle.loads(pickle.dumps(session))
        assert (again.name, again.timeout) == ("default", 7)
        assert again.get(PATH).json() == {"things": 3}


def page(number, following=None, **more):
    return {"count": 3, "next": following, "previous": None, "results": [number], **more}


class TestPages:
    def test_one_after_another(self, session, endpoint):
        endpoint.answer(200, page(1, f"{endpoint.url}{PATH}?page=2"), path=PATH, times=1)
        endpoint.answer(200, page(2, f"{PATH}?page=3"), path=PATH, times=1)
        endpoint.answer(200, page(3, ""), path=PATH, times=1)
        pages = session.pages(PATH, params={"page_size": 1})
        assert [each["results"] for each in pages] == [[1], [2], [3]]
        assert [r.path for r in sent(endpoint)] == [
            f"{PATH}?page_size=1",
            f"{PATH}?page=2",
            f"{PATH}?page=3",
        ]
        assert set(authorizations(endpoint)) == {get_token().authorization}

    def test_none_is_fetched_before_it_is_wanted(self, session, endpoint):
        endpoint.answer(200, page(1, f"{PATH}?page=2"), path=PATH)
        next(session.pages(PATH))
        assert len(sent(endpoint)) == 1

    def test_a_list_without_links(self, session, endpoint):
        endpoint.answer(200, {"results": []}, path=PATH)
        assert list(session.pages(PATH)) == [{"results": []}]

    @pytest.mark.parametrize(
        "link", ["{}/x", "//{}/x", "http://user@{}/x", "{}\\x", "https://{}/x", "ftp://{}/x"]
    )
    def test_a_link_elsewhere_raises(self, session, endpoint, elsewhere, link):
        there = elsewhere.url if link.startswith("{") else elsewhere.url.removeprefix("http://")
        endpoint.answer(200, page(1, link.format(there)), path=PATH)
        pages = session.pages(PATH)
        next(pages)
        with pytest.raises(UnsafeRequestError, match="next link") as caught:
            next(pages)
        assert endpoint.url in str(caught.value)
        assert elsewhere.url not in str(caught.value)
        assert elsewhere.hits == 0

    def test_http_of_the_same_host_is_followed_by_https(
        self, session, tls_endpoint, make_credential
    ):
        """As Django REST framework writes links behind a proxy that ends TLS."""
        plain = tls_endpoint.url.replace("https:", "http:")
        tls_endpoint.answer(200, page(1, f"{plain}{PATH}?page=2"), path=PATH, times=1)
        tls_endpoint.answer(200, page(2), path=PATH, times=1)
        session.verify = tls_endpoint.ca_file

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_endpoint.ca_file)
            assert [each["results"] for each in session.pages(PATH)] == [[1], [2]]

    def test_a_link_in_a_circle(self, session, endpoint):
        endpoint.answer(200, page(1, f"{PATH}?page=2"), path=PATH)
        with pytest.raises(requests.TooManyRedirects):
            list(session.pages(PATH))
        assert len(sent(endpoint)) == 2

    @pytest.mark.parametrize("body", [[], "fake", 3, {"next": 3}, {"next": ["x"]}])
    def test_what_is_no_page(self, session, endpoint, body):
        endpoint.answer(200, json.dumps(body), path=PATH)
        with pytest.raises(requests.exceptions.InvalidJSONError):
            list(session.pages(PATH))

    def test_what_is_no_json(self, session, endpoint):
        endpoint.answer(200, b"<h1>fake</h1>", path=PATH)
        with pytest.raises(requests.JSONDecodeError):
            list(session.pages(PATH))

    def test_a_status_that_is_none_of_a_page(self, session, endpoint):
        endpoint.answer(404, {"detail": "No."}, path=PATH)
        with pytest.raises(requests.HTTPError, match="404"):
            list(session.pages(PATH))
