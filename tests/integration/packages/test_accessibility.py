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


def test_the_sandbox_has_nothing_that_keeps_people_out(sandbox, chromium, axe):
    with browser(chromium) as started:
        context = started.new_context(viewport={"width": 375, "height": 800}, bypass_csp=True)
        for name, page in every_page(sandbox, context):
            page.evaluate(axe)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(FINDINGS) == [], (name, scheme)
