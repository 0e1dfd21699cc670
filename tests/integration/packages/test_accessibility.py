"""What axe-core, which comes with a package, finds on the pages for people."""

from importlib.resources import files

import pytest

from tests import services
from tests.admin_site import served
from tests.integration.demo import RunningDemo
from tests.integration.sandbox_pages import every_page

# The rule, the element and what it is told.
FINDINGS = """
async () => (await axe.run()).violations.flatMap(
    each => each.nodes.map(node => [each.id, node.target.join(" "), node.html.slice(0, 100)])
)
"""
# What changes its colour slowly would be seen half-way.
AT_ONCE = "*, *::before, *::after { transition: none !important; animation: none !important }"

# The width decides what is there, and the scheme what can be read.
LOOKS = [(1280, "light"), (1280, "dark"), (375, "light")]


@pytest.fixture(scope="module")
def axe():
    services.driver("axe_playwright_python")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def findings(page, axe):
    """Return what is found on a page, on a large screen and on a small one, in light and dark."""
    page.evaluate(axe)
    page.add_style_tag(content=AT_ONCE)
    found = []
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        found += [(width, scheme, *finding) for finding in page.evaluate(FINDINGS)]
    return found


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_admin_has_nothing_that_keeps_people_out(started, axe, language):
    from tests.screenshots import scenes

    seen = []
    with served("django", language, "all") as site:
        page = site.page(started, bypass_csp=True)
        for name in scenes(site, page):
            seen.append(name)
            assert findings(page, axe) == [], name
    assert {"list", "filtered", "add-error", "refused", "history", "delete", "selected"} < set(seen)


def test_an_empty_list_says_what_to_do_to_everybody(started, axe):
    with served("django", "en", "empty") as site:
        page = site.page(started, bypass_csp=True)
        page.goto(site.list)
        assert page.get_by_text("No key is stored yet.").is_visible()
        assert findings(page, axe) == []


def test_the_example_has_nothing_that_keeps_people_out(started, axe, tmp_path):
    with RunningDemo(tmp_path) as demo:
        page = started.new_context(bypass_csp=True).new_page()
        page.goto(demo.url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(demo.password)
        page.get_by_role("button", name="Log in").click()
        for address, heading in [("/", "Users at Certn"), ("/centric/", "Cases at Certn")]:
            page.goto(demo.url + address)
            page.get_by_role("heading", name=heading).wait_for()
            assert findings(page, axe) == [], address
        # And one that says why there is nothing to show.
        assert demo.manage("shell", "-c", FORGET).returncode == 0
        page.goto(demo.url)
        page.get_by_role("heading", name="Nothing to show").wait_for()
        assert findings(page, axe) == []


FORGET = """
from django_certn.models import CertnCredential
CertnCredential.objects.get(name="default").delete()
"""


def test_the_sandbox_has_nothing_that_keeps_people_out(sandbox, started, axe):
    context = started.new_context(viewport={"width": 375, "height": 800}, bypass_csp=True)
    for name, page in every_page(sandbox, context):
        assert findings(page, axe) == [], name
