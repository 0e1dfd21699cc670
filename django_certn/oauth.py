"""One exchange: key in, token out (RFC 6749, section 4.4). No cache, no database.

requests-oauthlib makes the request; answers.py reads what comes back, since the library accepts a
500, a form body or ``"access_token": null`` as a token. It also follows redirects with the secret,
waits without limit and logs the token, so the request goes by transport.py. This is the only module
that knows the package.
"""

import logging
import time
from base64 import b64encode
from http import HTTPStatus
from urllib.parse import quote

import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import AuthBase
from requests_oauthlib import OAuth2Session

from django_certn import transport
from django_certn.answers import Answer, TokenResponse, read_answer
from django_certn.exceptions import Status, TokenError, cause_of, unforeseen
from django_certn.models import Key
from django_certn.secret import MaskedStr

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
        outcome = unforeseen(error, name)
    del key  # a tracker reads the variables of each frame that an error passes
    failed = isinstance(outcome, TokenError)
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "Exchange for %r (%s): %s in %d ms",
        name,
        environment,
        cause_of(outcome) if isinstance(outcome, TokenError) else Status.OK,
        (time.monotonic() - started) * 1000,
    )
    if isinstance(outcome, TokenError):
        raise outcome
    return outcome


def attempt(key: Key, timeout: float) -> TokenResponse | TokenError:
    """Make the exchange; once more with the plain pair where only that may be understood."""
    deadline = time.monotonic() + timeout
    encoded, plain = basic_pairs(key)
    answer = post(key, encoded, timeout)
    # RFC 6749, section 2.3.1 asks for the encoding, and many servers do not undo it.
    # Certn's own recipe leaves it out. The first 401 says nothing then; the second answer counts.
    if answer.status == HTTPStatus.UNAUTHORIZED and plain != encoded:
        seconds_left = deadline - time.monotonic()
        if seconds_left > 0:
            answer = post(key, plain, seconds_left)
    return read_answer(answer, name=key.name, environment=key.environment)


def basic_pairs(key: Key) -> tuple[MaskedStr, MaskedStr]:
    """Return what HTTP Basic sends: both parts percent-encoded, and both as they are."""
    # A space as %20, which every decoder reads; "+" is one to those of forms alone.
    return (
        joined(quote(key.client_id, safe=""), quote(key.client_secret.reveal(), safe="")),
        joined(key.client_id, key.client_secret.reveal()),
    )


def joined(client_id: str, secret: str) -> MaskedStr:
    return MaskedStr(f"{client_id}:{secret}")


def post(key: Key, pair: MaskedStr, timeout: float) -> Answer:
    client = BackendApplicationClient(client_id=key.client_id)
    request = requests.Request(
        "POST",
        key.environment.token_url,
        auth=PairAuth(pair),
        data=client.prepare_request_body(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    return transport.fetch(OAuth2Session(client=client), request, timeout=timeout)


class PairAuth(AuthBase):
    """HTTP Basic (RFC 7617), in UTF-8: requests knows Latin-1 alone."""

    def __init__(self, pair: MaskedStr) -> None:
        self.pair = pair

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Basic {b64encode(self.pair.encode()).decode()}"
        return request
