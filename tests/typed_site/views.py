"""Code of a site, as a type checker sees it: `.ci/typed.py` checks it, and nothing runs it.

Each `assert_type` is a promise of the public API.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, assert_type

import httpx
import requests
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse

from django_certn import exceptions, signals
from django_certn.client import CertnAuth, CertnSession, aauth_headers, auth_headers, base_url
from django_certn.httpx import CertnAuth as HttpxCertnAuth
from django_certn.models import CertnCredential
from django_certn.secret import Secret
from django_certn.testing import FakeCertn, fake_certn, make_credential
from django_certn.tokens import AccessToken, aget_token, get_token, invalidate_token, stats
from django_certn.verification import Verification, averify, verify


def users(request: HttpRequest) -> HttpResponse:
    with CertnSession("acme", timeout=(3.0, 10)) as certn:
        response = certn.get("/api/v1/users/", params={"page": 2})
        assert_type(response, requests.Response)
        pages = certn.pages("/api/v1/users/")
        assert_type(pages, Iterator[dict[str, Any]])
        assert_type(certn.base_url, str)
    return JsonResponse({"users": [page["results"] for page in pages]})


def headers(name: str) -> dict[str, str]:
    requests.get(f"{base_url(name)}/api/v1/users/", auth=CertnAuth(name), timeout=10)
    with httpx.Client(auth=HttpxCertnAuth(name), base_url=base_url(name)) as client:
        assert_type(client.get("/api/v1/users/"), httpx.Response)
    return auth_headers(name)


async def ask(credential: CertnCredential) -> str:
    assert_type(await aauth_headers(credential), dict[str, str])
    assert_type(await averify(credential), Verification)
    async with httpx.AsyncClient(auth=HttpxCertnAuth(credential)) as client:
        await client.get("https://certn.test/api/v1/users/")
    return (await aget_token(credential, min_validity=60)).value


def token() -> float:
    access = get_token(timeout=5)
    assert_type(access, AccessToken)
    assert_type(str.upper(access.value), str)
    assert_type(str.upper(access.authorization), str)
    assert_type(access.base_url, str)
    assert_type(access.expires_at, datetime)
    assert_type(invalidate_token("default", access), bool)
    for counts in stats().values():
        assert_type(counts["exchanges"], int)
    return access.expires_in


def row() -> CertnCredential:
    row = CertnCredential(name="acme", environment="demo", client_id="fake-id")
    row.client_secret = "fake-secret-of-a-typed-site"
    row.expires_on = date(2027, 1, 1)
    row.save()
    return row


def rows() -> list[str]:
    found: list[str] = []
    for row in CertnCredential.objects.filter(is_active=True).order_by("name"):
        assert_type(row, CertnCredential)
        assert_type(row.name, str)
        assert_type(row.environment, str)
        assert_type(row.client_id, str)
        assert_type(row.client_secret, Secret)
        assert_type(str.upper(row.client_secret.reveal()), str)
        assert_type(row.expires_on, date | None)
        assert_type(row.is_active, bool)
        assert_type(row.verified_status, str)
        assert_type(row.verified_http_status, int | None)
        assert_type(row.verified_error_code, str)
        assert_type(row.verified_at, datetime | None)
        assert_type(row.secret_changed_at, datetime | None)
        assert_type(row.created_at, datetime)
        assert_type(row.updated_at, datetime)
        found.append(row.name)
    return found


def works(name: str) -> bool:
    outcome = verify(name, timeout=5)
    assert_type(outcome.ok, bool)
    assert_type(outcome.status, exceptions.Status)
    assert_type(outcome.http_status, int | None)
    assert_type(outcome.error_code, str)
    assert_type(outcome.latency, float | None)
    assert_type(outcome.verified_at, datetime)
    print(outcome.detail, outcome.hint)
    return outcome.ok


def try_it() -> str:
    try:
        auth_headers()
    except exceptions.TokenError as error:
        assert_type(error.http_status, int | None)
        assert_type(error.retry_after, int | None)
        assert_type(error.retryable, bool)
        return error.status
    except exceptions.CertnError as error:
        return error.status
    return ""


@receiver(signals.credential_verified)
def on_verified(sender: type[CertnCredential], verification: Verification, **kwargs: Any) -> None:
    print(verification.name, verification.status)


@receiver(signals.credential_status_changed)
def on_changed(verification: Verification, previous_status: str, **kwargs: Any) -> None:
    print(verification.name, previous_status)


@fake_certn()
def test_users(certn: FakeCertn) -> None:
    certn.reject(times=1)
    certn.advance(hours=10)
    assert_type(certn.exchanges, int)


def test_row() -> None:
    with fake_certn() as certn:
        assert_type(certn, FakeCertn)
        assert_type(make_credential("acme"), CertnCredential)
