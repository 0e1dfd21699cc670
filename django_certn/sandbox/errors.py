"""What each of Certn's two APIs says when it refuses.

The OAuth API says ``{"detail": ...}`` (docs.certn.co/api, resources, error codes) and CertnCentric
``{"type": ..., "errors": [{"code", "detail", "attr"}]}``
(centric-api-docs.certn.co/reference/error-handling.md). The wording is that of Django REST
framework, on which both seem to be built.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, JsonResponse

__all__ = ["CENTRIC", "error", "refused_key", "unauthenticated"]

# Below it is CertnCentric; all else is the OAuth API.
CENTRIC = "/api/public/"


def error(
    path: str, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return an error in the shape of the API that ``path`` belongs to."""
    content: dict[str, Any] = {"detail": detail}
    if path.startswith(CENTRIC):
        kind = "validation_error" if status == HTTPStatus.BAD_REQUEST else "client_error"
        content = {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}
    return JsonResponse(content, status=status, headers=headers)


def refused_key() -> HttpResponse:
    """Return what django-oauth-toolkit answers to a wrong pair."""
    return JsonResponse(
        {"error": "invalid_client"},
        status=401,
        headers={"WWW-Authenticate": 'Bearer error="invalid_client"'},
    )


def unauthenticated(path: str, *, challenge: str = "", given: bool = False) -> HttpResponse:
    """Return an API's 401; ``given`` says that there was a credential, which is no good.

    ``challenge`` is the toolkit's, for the OAuth API. Whether Certn sends one is not documented.
    """
    if path.startswith(CENTRIC):
        challenge = "Api-Key"
    else:
        # Certn documents this one sentence for all cases.
        given = False
    code, detail = (
        ("authentication_failed", "Incorrect authentication credentials.")
        if given
        else ("not_authenticated", "Authentication credentials were not provided.")
    )
    return error(path, 401, code, detail, {"WWW-Authenticate": challenge})
