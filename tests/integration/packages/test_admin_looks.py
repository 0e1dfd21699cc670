"""The admin in a browser, in each theme: what is seen on a small screen and on a large one."""

import pytest

from tests import services
from tests.admin_site import served
from tests.effort import THOROUGH
from tests.integration.packages.test_admin_themes import THEMES

RIGHT_END = "cell => cell.getBoundingClientRect().right"
WIDTH = "element => element.getBoundingClientRect().width"
# A border that differs from what is behind it, or a background that does.
IS_SEEN = """
input => {
    const own = getComputedStyle(input)
    const behind = getComputedStyle(input.closest("fieldset, main, body")).backgroundColor
    return (parseFloat(own.borderBottomWidth) > 0 && own.borderBottomStyle != "none"
            && own.borderBottomColor != "rgba(0, 0, 0, 0)")
        || !["rgba(0, 0, 0, 0)", behind].includes(own.backgroundColor)
}
"""


@pytest.fixture(params=THEMES)
def theme(request):
    if request.param != "django":
        services.driver(request.param.partition("-")[0])
    return request.param


def test_what_matters_is_seen(started, theme):
    with served(theme, "en", "all") as site:
        page = site.page(started, viewport={"width": 375, "height": 800})
        page.goto(site.list)
        cells = page.locator("td.field-status").all()
        assert len(cells) == len(site.rows)
        for cell in cells:
            assert cell.evaluate(RIGHT_END) <= 375, cell.inner_text()

        page.goto(site.change("default"))
        verify, save = (page.locator(f"[name={name}]") for name in ("_verify", "_save"))
        siblings = [each.evaluate(WIDTH) for each in (verify, save)]
        if theme == "grappelli":  # it puts them side by side
            assert siblings[0] > siblings[1]
        else:
            assert siblings[0] == siblings[1] > 300
        # Without the recipe unfold draws no input at all.
        assert page.locator("[name=secret]").evaluate(IS_SEEN) == (theme != "unfold-plain")


@pytest.mark.parametrize("language", ["fr", *(["en"] if THOROUGH else [])])  # the longer words
def test_nothing_of_the_list_is_cut_off(started, language):
    with served("django", language, "all") as site:
        page = site.page(started, viewport={"width": 1280, "height": 800})
        page.goto(site.list)
        assert page.locator("#nav-sidebar").is_visible()  # which takes its room from the list
        table = page.locator(".results")
        assert table.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
        assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_enter_presses_save_and_verify(started, theme):
    with served(theme) as site:
        page = site.page(started)
        page.goto(site.change("borealis"))
        page.locator("[name=client_id]").press("Enter")
        page.get_by_text("refuses this key").first.wait_for()
        assert "/change/" in page.url
