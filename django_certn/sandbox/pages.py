"""What the pages for people share."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from django_certn.sandbox import BANNER, settings_line

__all__ = ["page", "see"]


def page(
    request: HttpRequest, template: str, *, status: int = 200, **context: object
) -> HttpResponse:
    """Return a page."""
    context = {
        "banner": BANNER,
        "settings_line": settings_line(f"{request.scheme}://{request.get_host()}"),
        **context,
    }
    return render(request, f"sandbox/{template}", context, status=status)


def see(address: str) -> HttpResponse:
    """Send the browser on after a POST: it GETs ``address``, and reloading that posts nothing."""
    response = redirect(address)
    response.status_code = 303
    return response
