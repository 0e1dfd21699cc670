"""A session of requests that knows where a credential's requests go."""

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_user_agent
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

from django_certn import __version__
from django_certn.conf import conf, is_loopback
from django_certn.exceptions import UnsafeRequestError
from django_certn.origin import describe, join, origin_of, upgrade
from django_certn.requests_auth import CertnAuth, refuse_redirect, take_off
from django_certn.tokens.service import authorization
from django_certn.tokens.tenant import Name
from django_certn.verification import is_seconds

__all__ = ["CertnSession"]

MAX_RETRY_AFTER = 30.0  # seconds
STATUSES = (429, 502, 503, 504)

Timeout = float | tuple[float, float]


class CertnSession(requests.Session):
    """A `requests.Session` for one credential: ``CertnSession("acme").get("/api/v1/users/")``.

    A path is joined to the base URL of the credential's environment, and goes to another when the
    row does. Requests are authenticated by `CertnAuth`; netrc has no part in it, and on a loopback
    environment neither has a proxy. What is idempotent is tried up to four times in all, when no
    answer comes or one of 429, 502, 503 and 504; a ``Retry-After`` of more than 30 seconds is not
    waited for, the answer is returned. In every other way it is a `requests.Session`.

    Args:
        name: the name of the credential, or the credential, which stands for its stored row.
        timeout: seconds for the connection, and for each read; or one number for either.
            ``None``: the setting ``CERTN_REQUEST_TIMEOUT``. A call may say another.

    Raises:
        ValueError: the timeout is not a number of seconds above 0, or two of them.

    Attributes:
        name: as given.
        timeout: as given; it may be set.
    """

    # What is pickled.
    __attrs__: Any = [*requests.Session.__attrs__, "name", "timeout"]  # noqa: RUF012

    def __init__(self, name: Name = "default", *, timeout: Timeout | None = None) -> None:
        if timeout is not None and not is_timeout(timeout):
            raise ValueError("A timeout is a number of seconds above 0, or two of them.")
        super().__init__()
        self.name = name
        self.timeout = timeout
        self.auth: Any = SessionAuth(name)  # a site may set another, as with any session
        self.headers["User-Agent"] = f"django-certn/{__version__} {default_user_agent()}"
        for prefix in ("https://", "http://"):
            self.mount(prefix, HTTPAdapter(max_retries=Patience()))

    @property
    def base_url(self) -> str:
        """Where the requests of the credential go now."""
        return authorization(self.name).base_url

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Join a path to the base URL, and prepare the request.

        Raises:
            UnsafeRequestError: it would go to another host; nothing is sent.
            CertnError: what `CertnAuth` raises.
        """
        request = copy.copy(request)
        url = request.url
        url = url.decode() if isinstance(url, bytes) else str(url or "")
        request.url = join(self.base_url, url)
        return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, within the time limit of the session unless it has another."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout or conf.CERTN_REQUEST_TIMEOUT
        if is_loopback(urlsplit(request.url or "").hostname):
            # Over plain http a proxy would see the header.
            kwargs["proxies"] = {}
        return super().send(request, **kwargs)

    def resolve_redirects(
        self, resp: requests.Response, req: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Any:
        """Follow redirects, of GET and HEAD alone.

        Raises:
            UnsafeRequestError: another method is redirected; nothing is sent to the target.
        """
        if resp.is_redirect and not kwargs.get("yield_requests"):  # which only looks ahead
            refuse_redirect(resp)
        return super().resolve_redirects(resp, req, *args, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep the header of a redirected request on its own origin, and drop it elsewhere."""
        url, earlier = prepared_request.url or "", response.request.url or ""
        if origin_of(url) is None or origin_of(url) != origin_of(earlier):
            prepared_request.headers.pop("Authorization", None)

    def pages(self, path: str, *, params: Any = None, **kwargs: Any) -> Iterator[dict[str, Any]]:
        """GET a list, and yield one decoded page after another by its ``next`` links.

        Certn's lists are ``count``, ``next``, ``previous`` and ``results``:
        https://docs.certn.co/api/api-reference

        Args:
            path: of the first page.
            params: its query, as `requests.Session.get` takes it; the links have their own.
            **kwargs: for each GET.

        Raises:
            requests.HTTPError: a page came with a status of 400 or more.
            requests.exceptions.InvalidJSONError: a page is no JSON object.
            requests.TooManyRedirects: a link leads back to a page that was there.
            UnsafeRequestError: a link leads to another origin; nothing is sent there.
            CertnError: what `CertnAuth` raises.
        """
        seen: set[str] = set()
        while True:
            response = self.get(path, params=params, **kwargs)
            response.raise_for_status()
            page = response.json()
            if not isinstance(page, dict) or not isinstance(page.get("next") or "", str):
                raise requests.exceptions.InvalidJSONError(
                    "A page of a list is a JSON object, and its next link a string or null.",
                    response=response,
                )
            yield page
            if not page.get("next"):
                return
            path, params = self._next(response, page["next"]), None
            if path in seen:
                raise requests.TooManyRedirects(
                    "The next link of a page leads back to an earlier page.", response=response
                )
            seen.add(path)

    def _next(self, response: requests.Response, link: str) -> str:
        base = self.base_url
        link = upgrade(urljoin(response.url, link), base)
        if origin_of(link) is None or origin_of(link) != origin_of(base):
            # Its host is text of an answer, and stays out of the message.
            raise UnsafeRequestError(
                f"The next link of a page leads to another host than {describe(base)}; "
                "nothing was sent there."
            )
        return link


class SessionAuth(CertnAuth):
    """What `CertnAuth` does; the session knows whether a redirect is followed at all."""

    def _redirected(self, response: requests.Response) -> None:
        take_off(response)


class Patience(Retry):
    """urllib3's own rules for what is tried again, and no long sleep."""

    RETRY_AFTER_STATUS_CODES = frozenset(STATUSES)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{
                "total": 3,
                "backoff_factor": 0.5,
                "status_forcelist": STATUSES,
                "raise_on_status": False,
                **kwargs,
            }
        )

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if response is not None and (self.get_retry_after(response) or 0) > MAX_RETRY_AFTER:
            # The answer is returned: raise_on_status is off.
            raise MaxRetryError(kwargs["_pool"], url or "")
        return super().increment(method, url, response, *args, **kwargs)

    def get_retry_after(self, response: Any) -> float | None:
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None


def is_timeout(value: object) -> bool:
    try:
        connect, read = value if isinstance(value, tuple) else (value, value)
    except ValueError:
        return False
    return is_seconds(connect) and is_seconds(read)
