"""The button *Save and verify*, in the looks of whatever draws the admin."""

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

register = template.Library()

ELEMENT = (
    r'(?:<input\b[^<>]*\bname="_save"[^<>]*>|<button\b[^<>]*\bname="_save"[^<>]*>.*?</button>)'
)
# With what the theme wraps around it, if that holds nothing else.
SAVE = re.compile(rf"<(\w+)(?:\s[^<>]*)?>\s*{ELEMENT}\s*</\1>|{ELEMENT}", re.DOTALL)
CONTENT = re.compile(r"(<button\b[^<>]*>).*(</button>)", re.DOTALL)


@register.filter
def with_save_and_verify(row: str) -> SafeString:
    """Put a button *Save and verify* before *Save*, so that it is the one that Enter presses.

    It is a copy of that button, so it looks, and behaves on a small screen, as a theme wants it,
    one that nobody has heard of included.
    """
    save = SAVE.search(row)
    if save is None:
        return mark_safe(row)  # noqa: S308 - rendered by the theme's own template
    label = escape(gettext("Save and verify"))
    button = save[0].replace('name="_save"', 'name="_verify"')
    button = re.sub(r'\svalue="[^"]*"', lambda found: f' value="{label}"', button)
    button = CONTENT.sub(lambda found: f"{found[1]}{label}{found[2]}", button)
    button = re.sub(r'\sid="[^"]*"', "", button)
    return mark_safe(f"{row[: save.start()]}{button} {row[save.start() :]}")  # noqa: S308
