"""What the resources of both APIs have in common: who is let in, lists by pages, and receipts."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from django_certn.sandbox import faults
from django_certn.sandbox.counters import pending
from django_certn.sandbox.errors import error

__all__ = ["PAGE_SIZE", "SENDING", "page", "receipt", "resource"]

View = Callable[..., HttpResponse]

# Methods that may bring a body; a receipt answers them.
SENDING = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# So few that a list has a second page: who reads the first one alone finds it out here.
PAGE_SIZE = 2
_LARGEST_PAGE = 100

_CHUNK = 64 * 1024
_RECEIVED = "sandbox.received"


def resource(
    identify: Callable[[HttpRequest], faults.Fault | None],
    refuse: Callable[[HttpRequest], HttpResponse | None],
    methods: Sequence[str] = (),
) -> Callable[[View], View]:
    """Make a view of an API of one that only serves; GET and HEAD are always among its methods.

    ``identify`` tells the journal who asks, and returns the fault that this one always meets.
    ``refuse`` returns the answer for whoever is not let in.
    """
    allowed = ("GET", "HEAD", *methods)

    def decorate(serve: View) -> View:
        @csrf_exempt
        def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if request.method not in allowed:
                detail = f'Method "{request.method}" not allowed.'
                allow = {"Allow": ", ".join(allowed)}
                return error(request.path, 405, "method_not_allowed", detail, allow)
            own = identify(request)
            # Read in any case: who is refused after sending has sent it all the same.
            request.META[_RECEIVED] = _receive(request)
            fault = pending.take(request.path) or own
            if fault is not None and (answer := faults.start(fault, request)):
                return answer
            return refuse(request) or serve(request, **kwargs)

        return view

    return decorate


def page(request: HttpRequest, items: Sequence[dict[str, Any]]) -> HttpResponse:
    """Return the page of ``items`` that ``?page=`` asks for, in the shape of Certn's lists.

    ``?page_size=`` is honoured up to a hundred.
    """
    size = min(_number(request, "page_size") or PAGE_SIZE, _LARGEST_PAGE)
    number = _number(request, "page") if "page" in request.GET else 1
    last = max(1, -(-len(items) // size))
    if not 1 <= number <= last:
        return error(request.path, 404, "not_found", "Invalid page.")
    return JsonResponse(
        {
            "count": len(items),
            "next": _link(request, number + 1) if number < last else None,
            "previous": _link(request, number - 1) if number > 1 else None,
            "results": items[(number - 1) * size : number * size],
        }
    )


def receipt(request: HttpRequest) -> HttpResponse:
    """Say what arrived: its size in bytes and its SHA-256, and nothing of what it said.

    Nothing is kept: what is sent to Certn is about people.
    """
    if request.method == "DELETE":
        return HttpResponse(status=204)
    content = {"id": str(uuid.uuid4()), "received": request.META[_RECEIVED]}
    return JsonResponse(content, status=201 if request.method == "POST" else 200)


def _receive(request: HttpRequest) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    # By pieces, for an upload may be larger than memory.
    while piece := request.read(_CHUNK):
        digest.update(piece)
        size += len(piece)
    return {
        "method": request.method,
        "content_type": request.content_type,
        "size": size,
        "sha256": digest.hexdigest(),
    }


def _number(request: HttpRequest, name: str) -> int:
    value = request.GET.get(name, "")
    # Nine digits: more pages than there are, and no number too long to be read.
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else 0  # noqa: PLR2004


def _link(request: HttpRequest, number: int) -> str:
    query = request.GET.copy()
    query["page"] = str(number)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
