"""What axe-core, which comes with a package, finds on the pages for people."""

from importlib.resources import files

import pytest

from tests import services
from tests.integration.sandbox_pages import browser, every_page

FINDINGS = """
async () => (await axe.run()).violations.map(
    each => [each.id, each.help, ...each.nodes.map(node => node.html.slice(0, 100))]
)
"""


@pytest.fixture(scope="module")
def axe():
    services.driver("axe_playwright_python")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sandbox_has_nothing_that_keeps_people_out(sandbox, chromium, axe, scheme):
    with browser(chromium) as started:
        context = started.new_context(
            viewport={"width": 375, "height": 800}, color_scheme=scheme, bypass_csp=True
        )
        for name, page in every_page(sandbox, context):
            page.evaluate(axe)
            assert page.evaluate(FINDINGS) == [], name
