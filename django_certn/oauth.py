"""One exchange: key in, token out (RFC 6749, section 4.4). No cache, no database.

requests-oauthlib makes the request; answers.py judges what comes back, since the library accepts a
500, a form body or ``"access_token": null`` as a token. It also follows redirects with the secret,
waits without limit and logs the token, so the request goes by transport.py. This is the only module
that knows the package.
"""

import logging
import time
from urllib.parse import quote_plus

import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import AuthBase, HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from django_certn import transport
from django_certn.answers import Judge, TokenResponse
from django_certn.exceptions import InvalidTokenResponseError, Status, TokenError, place_of
from django_certn.models import Key

__all__ = ["TokenResponse", "exchange"]

logger = logging.getLogger("django_certn")


def exchange(key: Key, *, timeout: float) -> TokenResponse:
    """POST the key to the token endpoint of its environment and return the token.

    ``POST /token/`` with HTTP Basic and ``grant_type=client_credentials`` is Certn's own recipe:
    https://docs.certn.co/api/guides/use-the-api/get-your-access-token

    Args:
        key: what to exchange.
        timeout: seconds, for all of it.

    Raises:
        TokenError: one of its subclasses; neither it nor its frames and causes hold the secret.
    """
    started = time.monotonic()
    name, environment = key.name, key.environment.slug
    outcome: TokenResponse | TokenError
    try:
        outcome = attempt(key, timeout)
    except Exception as error:  # noqa: BLE001
        # A bug: it is told by its place alone, since its frames hold the key, and perhaps a token.
        kind = type(error).__name__
        outcome = InvalidTokenResponseError(
            f"No token for {name!r}: {kind} in {place_of(error)}.", error_code=kind
        )
    del key  # a tracker reads the variables of each frame that an error passes
    failed = isinstance(outcome, TokenError)
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "Exchange for %r (%s): %s in %d ms",
        name,
        environment,
        outcome.status if isinstance(outcome, TokenError) else Status.OK,
        (time.monotonic() - started) * 1000,
    )
    if isinstance(outcome, TokenError):
        raise outcome
    return outcome


def attempt(key: Key, timeout: float) -> TokenResponse | TokenError:
    client = BackendApplicationClient(client_id=key.client_id)
    request = requests.Request(
        "POST",
        key.environment.token_url,
        auth=KeyAuth(key),
        data=client.prepare_request_body(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    answer = transport.fetch(OAuth2Session(client=client), request, timeout=timeout)
    judge = Judge(key.name, key.environment)
    judge.see(answer.status, answer.headers)
    if answer.body is None:
        return judge.unreachable(answer.failure)
    return judge.hear(answer.body)


class KeyAuth(AuthBase):
    def __init__(self, key: Key) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
        basic = HTTPBasicAuth(
            quote_plus(self.key.client_id), quote_plus(self.key.client_secret.reveal())
        )
        basic(request)
        return request
