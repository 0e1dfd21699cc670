"""What happens to every request, whatever it is for."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from django_certn.sandbox import BANNER, HEADER, faults
from django_certn.sandbox.journal import journal

__all__ = ["keep_journal", "refuse_foreign_pages", "say_what_it_is"]

_View = Callable[[HttpRequest], HttpResponseBase]

CONTROL = "/__sandbox__/"
_NOT_CERTN = ("/partner/", CONTROL)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

_HEADERS = {
    HEADER: BANNER,
    "Cache-Control": "no-store",
    # No script at all, and nothing from elsewhere. The icon is an empty data: address, which keeps
    # browsers from asking for /favicon.ico.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not "no-referrer": with it browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def say_what_it_is(get_response: _View) -> _View:
    """Mark every answer as the sandbox's, and keep browsers from storing, framing or running it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response

    return middleware


def keep_journal(get_response: _View) -> _View:
    """Write down what Certn would have been asked; the page and the control calls are left out."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path == "/" or request.path.startswith(_NOT_CERTN):
            return get_response(request)
        entry = journal.begin(request)
        response = get_response(request)
        status = response.status_code
        journal.finish(entry, request, status=status, fault=faults.name_of(request))
        return response

    return middleware


def refuse_foreign_pages(get_response: _View) -> _View:
    """Refuse what a page of another origin sends through somebody's browser.

    Browsers say where a request comes from, and scripts outside of browsers say nothing. The
    control calls are closed to foreign pages altogether, all else to what changes something. A
    link from elsewhere to the Partner tab works.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        control = request.path.startswith(CONTROL)
        unsafe = request.method not in _SAFE_METHODS
        if (control or unsafe) and _is_foreign(request):
            return _refused(403, "Refused: this came from a page of another origin.")
        if control and unsafe and request.content_type != "application/json":
            # A form of another origin can send three content types without asking first. This is
            # none of them.
            return _refused(415, "Send Content-Type: application/json.")
        return get_response(request)

    return middleware


def _is_foreign(request: HttpRequest) -> bool:
    # "same-site" is foreign too: it is what a page on another port of this host says.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    own = f"{request.scheme}://{request.get_host()}"
    return request.headers.get("Origin", own) != own


def _refused(status: int, message: str) -> HttpResponse:
    return JsonResponse({"error": message}, status=status)
