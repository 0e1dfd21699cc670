"""Every page of the sandbox in a browser, as full as it gets."""

from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.integration.web import Web, any_secret

FLAGS = ["--disable-gpu", "--headless=new", "--no-first-run", "--no-sandbox"]
LONG = "a name that is as long as it may be, and without a place to break it: " + "x" * 30


@contextmanager
def browser(executable):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield started
        started.close()


def fill(sandbox):
    """Leave something on each page of the sandbox that is hard to show on a small screen."""
    pair = sandbox.refresh_keys()
    keys = [sandbox.make_api_key(name) for name in ("", LONG, "for staging")]
    with Web(sandbox.url) as web:
        web.exchange(*pair)
        web.exchange("sandbox-rate-limited", any_secret())
        web.users("sandbox-token-fake")
        web.call("GET", "/api/public/cases/00000000-0000-0000-0000-000000000000/", key=keys[0])
        web.call("GET", "/api/public/" + "x" * 300)
    sandbox.fault("unavailable", 3, "/api/")
    sandbox.fault("redirect", 1, "/api/public/cases/")


def every_page(sandbox, context):
    """Lead a browser to each page and yield its name and the page, one after the other."""
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    partner = f"{sandbox.url}/partner/"
    for name, address in [
        ("empty tab", ""),
        ("empty API keys", "api-keys/"),
        ("refresh for the first time", "refresh/"),
    ]:
        page.goto(partner + address)
        yield name, page

    fill(sandbox)
    for name, address in [("tab", ""), ("API keys", "api-keys/"), ("refresh", "refresh/")]:
        page.goto(partner + address)
        yield name, page
    page.get_by_role("button", name="OK").click()
    page.locator("#client-secret").wait_for()
    page.wait_for_load_state()  # and its style sheet
    yield "new pair", page
    page.reload()
    yield "pair shown once", page

    page.goto(f"{partner}api-keys/")
    page.get_by_label("Name").fill("by hand")
    page.get_by_role("button", name="Make a key").click()
    page.locator("#api-key").wait_for()
    page.wait_for_load_state()
    yield "new API key", page
    page.reload()
    yield "API key shown once", page

    page.goto(partner)
    page.locator("#count").evaluate("field => { field.type = 'text'; field.value = 'many' }")
    page.get_by_role("button", name="slow").click()
    page.get_by_role("heading", name="Not understood").wait_for()
    page.wait_for_load_state()
    yield "not understood", page
    page.close()
    # The pages need nothing from anywhere else, and no script.
    assert {urlsplit(url).netloc for url in asked} - {""} == {urlsplit(sandbox.url).netloc}
