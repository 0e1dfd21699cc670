"""Where a process can get its token from: this app, and its peers, used as their docs say."""

import json
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import SimpleNamespace

import requests
from django.core.cache import caches

CLIENT_ID, SECRET = "fake-id", "fake-secret"
API = "https://api.example.com/"  # what a token is for; nothing is sent there
LIFE = 36000  # seconds, as at Certn
TIMEOUT = 10  # seconds for an exchange


class Source:
    """A source that a process shares among its threads; its `token()` fetches one if need be.

    Attributes:
        label: what the tables call it.
        package: what has to be installed for it.
        statement: what each request does while the token is good, in terms of the attributes.
        first_life: seconds that the first token lives, where renewal is measured.
        left: how many of them when it is due.
        settles: seconds after a failure until nothing goes on that nobody waits for.
    """

    label = package = statement = ""
    first_life = LIFE
    left = 0
    settles = 0.5

    def __init__(self, url, cache):
        self.url, self.cache = url, cache

    def grow_old(self):
        """Let the token that is held become due for renewal."""

    @classmethod
    def hold(cls, url, cache, names):
        """Return something that holds a good token for each of many credentials."""
        sources = [cls(url, cache) for _ in names]
        for source in sources:
            source.token()
        return sources


class Ours(Source):
    label = "**django-certn**"
    left = 40 * 60  # its renewal starts at some moment of the last hour, 45 minutes before the end

    def __init__(self, url, cache):
        from django_certn.tokens.timing import Clocks
        from tests.process import Process

        super().__init__(url, cache)
        self.ahead = 0
        self.process = Process(
            clocks=Clocks(
                wall=lambda: time.time() + self.ahead,
                monotonic=lambda: time.monotonic() + self.ahead,
            )
        )

    def token(self):
        return self.process.get_token().value

    def grow_old(self):
        self.ahead = LIFE - self.left

    @classmethod
    def hold(cls, url, cache, names):
        from tests.process import Process

        process = Process()
        for name in names:
            process.get_token(name)
        return process


class RequestsOAuthlib(Source):
    label = package = "requests-oauthlib"
    statement = "client.add_token(API, headers={})"
    left = 0  # it is used until the end

    def __init__(self, url, cache):
        from oauthlib.oauth2 import BackendApplicationClient
        from requests_oauthlib import OAuth2Session

        super().__init__(url, cache)
        self.client = BackendApplicationClient(CLIENT_ID)
        self.session = OAuth2Session(client=self.client)

    def token(self):
        from oauthlib.oauth2 import TokenExpiredError

        try:
            _, headers, _ = self.client.add_token(API, headers={})
        except (TokenExpiredError, ValueError):  # or there is none yet
            return self.fetch()["access_token"]
        return headers["Authorization"].removeprefix("Bearer ")

    def fetch(self):
        return self.session.fetch_token(self.url, auth=(CLIENT_ID, SECRET), timeout=TIMEOUT)

    def grow_old(self):
        self.client._expires_at = time.time() - 1


class CachedRequestsOAuthlib(RequestsOAuthlib):
    """What many a site does: a token in the cache, for a minute less than it lives."""

    label = "requests-oauthlib, `cache.get` and `set`"
    statement = "token()"
    left = 60

    def token(self):
        cache = caches[self.cache]
        token = cache.get("certn-token")
        if token is None:
            token = self.fetch()
            cache.set("certn-token", token, token["expires_in"] - self.left)
        return token["access_token"]

    def grow_old(self):
        caches[self.cache].delete("certn-token")


class Authlib(Source):
    label = package = "Authlib"
    statement = "session.ensure_active_token(session.token)"
    first_life = left = 50  # it is renewed when less than 60 are left

    def __init__(self, url, cache):
        from authlib.integrations.requests_client import OAuth2Session

        super().__init__(url, cache)
        self.session = OAuth2Session(
            CLIENT_ID,
            SECRET,
            token_endpoint=url,
            grant_type="client_credentials",
            default_timeout=TIMEOUT,
        )

    def token(self):
        if self.session.token:
            self.session.ensure_active_token(self.session.token)
        else:
            self.session.fetch_token()
        return self.session.token["access_token"]


class GoogleAuth(Source):
    """It has no client credentials grant: this is the grant that it refreshes a token with."""

    label = package = "google-auth"
    statement = 'credentials.before_request(request, "GET", API, {})'
    first_life = left = 200  # it is renewed when less than 225 are left
    settles = 4  # it tries three times, with pauses

    def __init__(self, url, cache):
        from google.auth.transport.requests import Request
        from google.oauth2.credentials import Credentials

        super().__init__(url, cache)
        self.request = Request()
        self.credentials = Credentials(
            None,
            refresh_token="fake-refresh-token",
            token_uri=url,
            client_id=CLIENT_ID,
            client_secret=SECRET,
        )

    def token(self):
        headers = {}
        self.credentials.before_request(self.request, "GET", API, headers)
        return headers["authorization"].removeprefix("Bearer ")


class GoogleAuthInBackground(GoogleAuth):
    label = "google-auth, non-blocking refresh"

    def __init__(self, url, cache):
        super().__init__(url, cache)
        self.credentials.with_non_blocking_refresh()


class Msal(Source):
    label = package = "msal"
    statement = "app.acquire_token_for_client(scopes)"
    first_life = left = 200  # it is renewed when less than 300 are left

    def __init__(self, url, cache):
        from msal import ConfidentialClientApplication

        super().__init__(url, cache)
        self.scopes = [f"{API}.default"]
        self.app = ConfidentialClientApplication(
            CLIENT_ID,
            client_credential=SECRET,
            oidc_authority=MsalTransport.AUTHORITY,
            http_client=MsalTransport(url),
        )

    def token(self):
        return self.app.acquire_token_for_client(self.scopes)["access_token"]


class MsalTransport:
    """Knows an authority, which msal wants to be on https, and sends its exchanges to the URL."""

    AUTHORITY = "https://login.example.com/tenant"

    def __init__(self, url):
        self.url, self.session = url, requests.Session()

    def get(self, url, **options):
        endpoints = {"authorization_endpoint": self.AUTHORITY, "token_endpoint": self.AUTHORITY}
        text = json.dumps({"issuer": self.AUTHORITY, **endpoints})
        return SimpleNamespace(status_code=HTTPStatus.OK, text=text, headers={})

    def post(self, url, **options):
        return self.session.post(self.url, timeout=TIMEOUT, **options)

    def close(self):
        self.session.close()


class Botocore(Source):
    """What holds its bearer tokens; the exchange is for whoever uses it to write."""

    label = package = "botocore"
    statement = "tokens.get_frozen_token()"
    left = 12 * 60  # it tries to renew in the last 15 minutes, and has to in the last ten

    def __init__(self, url, cache):
        from botocore.tokens import DeferredRefreshableToken

        super().__init__(url, cache)
        self.tokens = DeferredRefreshableToken("certn", self.fetch)

    def fetch(self):
        from botocore.tokens import FrozenAuthToken

        response = requests.post(
            self.url,
            data={"grant_type": "client_credentials"},
            auth=(CLIENT_ID, SECRET),
            timeout=TIMEOUT,
        )
        response.raise_for_status()
        token = response.json()
        end = datetime.now(UTC) + timedelta(seconds=token["expires_in"])
        return FrozenAuthToken(token["access_token"], end)

    def token(self):
        return self.tokens.get_frozen_token().token

    def grow_old(self):
        ahead = timedelta(seconds=LIFE - self.left)
        self.tokens._time_fetcher = lambda: datetime.now(UTC) + ahead


PEERS = [RequestsOAuthlib, Authlib, GoogleAuth, GoogleAuthInBackground, Msal, Botocore]
