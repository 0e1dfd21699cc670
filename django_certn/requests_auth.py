"""Authentication for requests: our header, its own origin, and one recovery from a 401."""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from django_certn.exceptions import CertnError, UnsafeRequestError
from django_certn.masked import MaskedStr
from django_certn.origin import describe, origin_of, require_origin
from django_certn.tokens.service import authorization, installed, replace
from django_certn.tokens.tenant import Name

__all__ = ["CertnAuth"]

SAFE_METHODS = ("GET", "HEAD")  # what is redirected


class CertnAuth(AuthBase):
    """Authenticates requests to Certn: ``requests.get(url, auth=CertnAuth("acme"))``.

    The header goes to the scheme, host and port of the credential's base URL and nowhere else. On
    a 401 the token is dropped, and the request is made once more if another token is in force by
    then; with an API key the row is looked at again, and another key is tried once. A body that
    cannot be rewound is not sent twice: the 401 is returned.

    It wins over an entry in netrc and over an ``Authorization`` header of the session; but after a
    redirect on the same host requests itself sends netrc's login, save in a `CertnSession`. A GET
    that is redirected to another origin goes on without the header; another method that is
    redirected raises, since requests would turn it into a GET or send its body elsewhere.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.

    Raises:
        UnsafeRequestError: when the request is prepared for another origin; nothing is sent. When a
            redirect is met by a request other than GET and HEAD; nothing is sent to its target.
        CertnError: when the request is prepared, or after a 401, what
            `django_certn.tokens.get_token` raises.
    """

    def __init__(self, name: Name = "default") -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.name)!r})"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        memo = authorization(self.name)
        require_origin(request.url or "", memo.base_url, self.name)
        request.headers["Authorization"] = memo.authorization
        if self._answered not in request.hooks["response"]:
            request.register_hook("response", self._answered)  # type: ignore[no-untyped-call]
        return request

    def _answered(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        """Meet a redirect or a 401; it is the hook of a request until its last answer.

        Nothing of it stays in the request then, since responses are pickled, by caches for one.
        """
        request = response.request
        refused = request.headers.get("Authorization")
        if response.is_redirect:
            self._redirected(response)
            return response
        # Another list: the hooks of the caller are being called from the one that is there.
        request.hooks["response"] = [
            hook for hook in request.hooks["response"] if hook != self._answered
        ]
        # What we set is masked: this is neither netrc's login nor another origin.
        if response.status_code != requests.codes.unauthorized or not isinstance(
            refused, MaskedStr
        ):
            return response
        try:
            rewind(request)
        except UnrewindableBodyError:
            with suppress(CertnError):
                installed().let_go(self.name, refused)
            return response
        memo = replace(self.name, refused)
        # The row may have moved to another environment meanwhile: the next request goes there.
        if memo is None or origin_of(memo.base_url) != origin_of(request.url or ""):
            return response
        answer = send_again(response, memo.authorization, kwargs)
        if answer.is_redirect:  # no hook meets this one
            self._redirected(answer)
        return answer

    def _redirected(self, response: requests.Response) -> None:
        refuse_redirect(response)
        take_off(response)


def refuse_redirect(response: requests.Response) -> None:
    """Refuse to follow a redirect with another method than GET and HEAD."""
    method = response.request.method
    if method not in SAFE_METHODS:
        response.close()
        asked = f"{method} to {describe(response.request.url or '')}"
        raise UnsafeRequestError(
            f"{asked} was answered with a redirect (HTTP {response.status_code}), which is "
            "followed for GET and HEAD alone; nothing was sent to its target. Is the slash at the "
            "end of the path missing?"
        )


def take_off(response: requests.Response) -> None:
    """Take the header off a request that is about to be redirected to another origin.

    Reports are downloaded from other hosts. Requests takes it off itself when it goes to another
    host, but not from http to https.
    """
    request = response.request
    target = urljoin(request.url or "", response.headers["Location"])
    if origin_of(target) != origin_of(request.url or ""):
        request.headers.pop("Authorization", None)


def rewind(request: requests.PreparedRequest) -> None:
    """Put the body back to where it stood.

    Raises:
        UnrewindableBodyError: it cannot be read again.
    """
    if request.body is not None and not isinstance(request.body, str | bytes):
        try:
            rewind_body(request)
        except UnrewindableBodyError:
            raise
        except Exception as error:  # it is closed by now, or has a seek() of its own
            raise UnrewindableBodyError from error


def send_again(
    response: requests.Response, header: str, kwargs: dict[str, Any]
) -> requests.Response:
    """Make the request of a response once more, by the same adapter, with another header."""
    request = response.request
    with suppress(requests.RequestException, RuntimeError):
        _ = response.content  # or its connection does not go back to the pool
    response.close()
    response.request = request.copy()
    # The same object: should the answer be a redirect, requests goes on with this one.
    request.headers["Authorization"] = header
    started = time.monotonic()
    answer: requests.Response = response.connection.send(request, **kwargs)
    answer.elapsed = timedelta(seconds=time.monotonic() - started)
    answer.history.append(response)
    return answer
