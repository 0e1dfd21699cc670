"""Whether Certn's API takes a token: one harmless authenticated GET."""

from dataclasses import dataclass
from http import HTTPStatus

import requests
from requests.auth import AuthBase

from django_certn.answers import MAX_BODY, Answer, parse_object
from django_certn.conf import Environment
from django_certn.exceptions import Status
from django_certn.transport import fetch

__all__ = ["Probe", "probe"]

# The cheapest GET that is documented. It lists people, so nothing but their number is kept:
# https://docs.certn.co/api/guides/understand-your-general-resources
USERS_PATH = "/api/v1/users/"


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it.

    Attributes:
        status: in the words of a verification; `ok` when the API took the token.
        http_status: the status of the answer, ``None`` when there was none.
        count: how many users there are, ``None`` when the answer does not tell, or is too long.
    """

    status: Status
    http_status: int | None
    count: int | None


def probe(environment: Environment, token: str, *, timeout: float) -> Probe:
    """GET the users of the account. The token goes to no other host, and no redirect is followed.

    Args:
        environment: the one that issued the token.
        token: the token's value.
        timeout: seconds, for all of it.
    """
    request = requests.Request("GET", environment.base_url + USERS_PATH, auth=BearerAuth(token))
    answer = fetch(requests.Session(), request, timeout=timeout)
    payload = parse_object(answer.body or b"")
    count = (payload or {}).get("count")
    return Probe(
        status_of(answer, is_object=payload is not None),
        answer.status,
        count if type(count) is int else None,
    )


class BearerAuth(AuthBase):
    """Not a header of the request: requests would put an entry of netrc in its place."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def status_of(answer: Answer, *, is_object: bool) -> Status:
    status, body = answer.status, answer.body
    if status in STATUSES:
        return STATUSES[status]
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Status.UNREACHABLE
    if status != HTTPStatus.OK:
        return Status.BAD_RESPONSE
    if body is None:
        return Status.UNREACHABLE
    return Status.OK if is_object or len(body) > MAX_BODY else Status.BAD_RESPONSE


STATUSES: dict[int, Status] = {
    HTTPStatus.UNAUTHORIZED: Status.REJECTED,
    HTTPStatus.TOO_MANY_REQUESTS: Status.RATE_LIMITED,
    HTTPStatus.GONE: Status.RETIRED,
}
