"""The sandbox's pages on small screens and large ones, in light and dark."""

from tests.integration.sandbox_pages import browser, every_page

# What is wider than the room that it has, so that somebody has to scroll sideways. What people
# type into scrolls by itself.
TOO_WIDE = """
() => [...document.querySelectorAll("html, body, body *")]
    .filter(each => !each.matches("input, select, option"))
    .filter(each => getComputedStyle(each).display != "inline")
    .filter(each => each.scrollWidth > each.clientWidth + 1)
    .map(each => each.outerHTML.slice(0, 80))
"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


def test_each_page(sandbox, chromium):
    seen = []
    with browser(chromium) as started:
        for name, page in every_page(sandbox, started.new_context()):
            seen.append(name)
            for width in (375, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate(TOO_WIDE) == [], (name, width)
            banner = page.get_by_role("banner").get_by_text("A stand-in for Certn on this")
            assert banner.is_visible(), name
            assert page.get_by_role("main").count() == 1, name
            assert page.get_by_role("heading", level=1).count() == 1, name
            assert page.locator("script").count() == 0, name
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                assert is_dark(page) == (scheme == "dark"), name
    assert len(seen) == 11


def is_dark(page):
    red = page.evaluate(BACKGROUND).removeprefix("rgb(").partition(",")[0]
    return int(red) < 64
