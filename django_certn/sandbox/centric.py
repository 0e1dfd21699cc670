"""What CertnCentric has: ``/api/public/cases/`` and ``/api/public/groups/``, for API keys."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse

from django_certn.sandbox import api_keys
from django_certn.sandbox.errors import error, unauthenticated
from django_certn.sandbox.faults import Fault
from django_certn.sandbox.journal import name_api_key
from django_certn.sandbox.resources import SENDING, page, receipt, resource

__all__ = ["case", "cases", "groups"]

# Certn documents the members of a list; those of a case and a group are made up.
_CASES = [
    {"id": f"00000000-0000-4000-8000-{number:012}", "status": status}
    for number, status in enumerate(["COMPLETE", "IN_PROGRESS", "ACTION_REQUIRED"], start=101)
]
_GROUPS = [
    {"id": f"00000000-0000-4000-8000-{number:012}", "name": name}
    for number, name in enumerate(["Example East", "Example West", "Example North"], start=201)
]


def _key_in(request: HttpRequest) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "api-key" else ""


def _identify(request: HttpRequest) -> Fault | None:
    key = _key_in(request)
    name_api_key(request, api_keys.prefix_of(key))
    return api_keys.magic_fault(key)


def _refuse(request: HttpRequest) -> HttpResponse | None:
    key = _key_in(request)
    if api_keys.is_good(key):
        return None
    return unauthenticated(request.path, given=bool(key))


@resource(_identify, _refuse, SENDING)
def cases(request: HttpRequest) -> HttpResponse:
    """Return a list of cases about nobody, or a receipt for a new one."""
    return receipt(request) if request.method in SENDING else page(request, _CASES)


@resource(_identify, _refuse, SENDING)
def case(request: HttpRequest, number: UUID) -> HttpResponse:
    """Return one case; with the nil UUID, for one, there is none."""
    found = next((each for each in _CASES if each["id"] == str(number)), None)
    if found is None:
        return error(request.path, 404, "not_found", "Not found.")
    return receipt(request) if request.method in SENDING else JsonResponse(found)


@resource(_identify, _refuse)
def groups(request: HttpRequest) -> HttpResponse:
    """Return a list of groups."""
    return page(request, _GROUPS)
