"""The pages for scripts, and what a test wants to know. Requests and answers are JSON."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_certn.sandbox import api_keys, faults, keys
from django_certn.sandbox.counters import first_tokens, pending
from django_certn.sandbox.journal import journal

__all__ = [
    "MOST",
    "BadRequestError",
    "api_key_list",
    "fault_list",
    "health",
    "key",
    "parse_fault",
    "parse_name",
    "request_list",
    "reset",
    "reset_everything",
    "revoke_tokens",
]

# Of one counted fault.
MOST = 10_000
# Characters of a place to redirect to.
_LONGEST_LOCATION = 2000


class BadRequestError(Exception):
    """The text says what is wrong with the JSON that came."""


@require_GET
def health(_request: HttpRequest) -> HttpResponse:
    """Say that it runs."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_POST
def reset(_request: HttpRequest) -> HttpResponse:
    """Go back to how it was at the first start."""
    reset_everything()
    return HttpResponse(status=204)


def reset_everything() -> None:
    """Forget keys, tokens, faults and the journal."""
    keys.reset()
    api_keys.reset()
    pending.replace([])
    first_tokens.clear()
    journal.clear()


@csrf_exempt
@require_http_methods(["GET", "POST"])
def key(request: HttpRequest) -> HttpResponse:
    """GET returns the Client ID. POST refreshes the key.

    ``{"revoke_tokens": true}`` is optional.
    """
    if request.method == "GET":
        return JsonResponse({"client_id": keys.current_client_id()})
    try:
        revoke = _whether_to_revoke(_read(request))
    except BadRequestError as error:
        return _refused(error)
    return JsonResponse(keys.refresh(revoke_tokens=revoke)._asdict())


@csrf_exempt
@require_http_methods(["GET", "POST", "DELETE"])
def api_key_list(request: HttpRequest) -> HttpResponse:
    """GET returns what may be shown of the API keys, POST makes one, DELETE revokes one.

    POST takes ``{"name": "for staging"}``, which may be left out, and returns the key, this once.
    DELETE takes ``{"prefix": "sandbox-key-1a2b3c4d"}``.
    """
    if request.method == "GET":
        return JsonResponse({"api_keys": api_keys.as_list()})
    try:
        if request.method == "POST":
            return JsonResponse(api_keys.make(_wanted_name(_read(request)))._asdict())
        _revoke_api_key(_read(request))
    except BadRequestError as error:
        return _refused(error)
    return HttpResponse(status=204)


@csrf_exempt
@require_POST
def revoke_tokens(request: HttpRequest) -> HttpResponse:
    """End the live tokens of all, or of ``{"client_id": ...}``; return how many there were."""
    try:
        client_id = _whose_tokens(_read(request))
    except BadRequestError as error:
        return _refused(error)
    return JsonResponse({"revoked": keys.revoke_tokens(client_id)})


@csrf_exempt
@require_http_methods(["GET", "PUT"])
def fault_list(request: HttpRequest) -> HttpResponse:
    """GET returns the counted faults that are pending, and PUT sets them.

    ``{"fault": "unavailable", "count": 2, "path": "/token/"}`` sets one and leaves the others;
    count and path may be left out (1, ``/token/``), and a count of 0 takes it back. The fault
    ``redirect`` may have a ``location``, an address or a path. ``{"faults": [...]}`` replaces all
    of them, so an empty list clears them.
    """
    if request.method == "PUT":
        try:
            _set_faults(_read(request))
        except BadRequestError as error:
            return _refused(error)
    return JsonResponse({"faults": pending.as_list()})


@csrf_exempt
@require_http_methods(["GET", "DELETE"])
def request_list(request: HttpRequest) -> HttpResponse:
    """GET returns the journal, the oldest request first, and DELETE clears it."""
    if request.method == "DELETE":
        journal.clear()
        return HttpResponse(status=204)
    return JsonResponse({"requests": journal.as_list()})


def _whether_to_revoke(wanted: dict[str, Any]) -> bool:
    _refuse_others(wanted, "revoke_tokens")
    revoke = wanted.get("revoke_tokens", False)
    if not isinstance(revoke, bool):
        raise BadRequestError("revoke_tokens is true or false.")
    return revoke


def _wanted_name(wanted: dict[str, Any]) -> str:
    _refuse_others(wanted, "name")
    return parse_name(wanted.get("name", ""))


def _revoke_api_key(wanted: dict[str, Any]) -> None:
    _refuse_others(wanted, "prefix")
    if not api_keys.revoke(str(wanted.get("prefix"))):
        raise BadRequestError("prefix is that of a key which GET names.")


def _whose_tokens(wanted: dict[str, Any]) -> str | None:
    _refuse_others(wanted, "client_id")
    client_id = wanted.get("client_id")
    if client_id is None:
        return None
    if not keys.is_known(str(client_id)):
        raise BadRequestError("client_id is one that the sandbox knows.")
    return str(client_id)


def _set_faults(wanted: dict[str, Any]) -> None:
    if "faults" not in wanted:
        pending.set(*parse_fault(wanted))
        return
    _refuse_others(wanted, "faults")
    if not isinstance(wanted["faults"], list):
        raise BadRequestError("faults is a list.")
    pending.replace([parse_fault(item) for item in wanted["faults"]])


def parse_fault(wanted: Any) -> tuple[faults.Fault, str, int]:
    """Return the fault, path and count that a JSON object asks for."""
    if not isinstance(wanted, dict):
        raise BadRequestError("A fault is an object with fault, count and path.")
    _refuse_others(wanted, "fault", "count", "path", "location")
    name = wanted.get("fault")
    count = wanted.get("count", 1)
    path = wanted.get("path", faults.TOKEN_PATH)
    fault = faults.FAULTS.get(name) if isinstance(name, str) else None
    if fault is None:
        raise BadRequestError(f"fault is one of: {', '.join(faults.FAULTS)}.")
    if path not in fault.paths:
        raise BadRequestError(f"path for {fault.name} is one of: {', '.join(fault.paths)}.")
    if type(count) is not int or not 0 <= count <= MOST:
        raise BadRequestError(f"count is a whole number from 0 to {MOST}.")
    if "location" in wanted:
        if fault is not faults.REDIRECT:
            raise BadRequestError("location is for the fault redirect.")
        fault = faults.redirect_to(_location(wanted["location"]))
    return fault, path, count


def parse_name(name: Any) -> str:
    """Return the name for an API key; it may be empty."""
    if not isinstance(name, str) or len(name) > api_keys.LONGEST_NAME or not name.isprintable():
        raise BadRequestError(f"name is up to {api_keys.LONGEST_NAME} printable characters.")
    return name.strip()


def _location(value: Any) -> str:
    # A header's value: nothing in it may begin a new line.
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_LOCATION:
        raise BadRequestError(f"location is a text of up to {_LONGEST_LOCATION} characters.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise BadRequestError("location is an address: no space, and nothing outside of ASCII.")
    return value


def _read(request: HttpRequest) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError):
        raise BadRequestError("The body is not JSON.") from None
    if not isinstance(content, dict):
        raise BadRequestError("The body is a JSON object.")
    return content


def _refuse_others(wanted: dict[str, Any], *known: str) -> None:
    if unknown := sorted(wanted.keys() - set(known)):
        raise BadRequestError(f"Unknown: {', '.join(unknown)}. Known: {', '.join(known)}.")


def _refused(error: BadRequestError) -> HttpResponse:
    return JsonResponse({"error": str(error)}, status=400)
