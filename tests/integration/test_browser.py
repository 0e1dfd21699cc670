"""A person with a browser: a key from the Partner tab to the admin, lost, and replaced.

The real demo, the real sandbox, and Chromium. There is no Django in this process.
"""

import html
import re
from urllib.parse import quote_plus, urlsplit

import pytest

from tests.integration.demo import RunningDemo

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--headless=new",
    "--no-first-run",
    "--no-sandbox",
]
pytestmark = pytest.mark.standalone

CREDENTIALS = "/admin/django_certn/certncredential/"


@pytest.fixture
def demo(tmp_path):
    with RunningDemo(tmp_path) as running:
        yield running


@pytest.fixture
def context(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context()
        context.set_default_timeout(60_000)
        asked = []
        context.on("request", lambda request: asked.append(urlsplit(request.url)))
        yield context
        browser.close()
        # No page of either server sends the browser anywhere else.
        assert {url.hostname for url in asked if url.scheme != "data"} <= {"127.0.0.1"}


class Admin:
    """The admin in one tab of the browser, and every page that its server ever sent there."""

    def __init__(self, context, demo):
        self.page = context.new_page()
        self.url = demo.url
        self.responses = []
        self.sources = []
        # Playwright writes an attribute onto what it is given, which append() does not take.
        self.page.on("response", lambda response: self.responses.append(response))  # noqa: PLW0108

    def go_to(self, path):
        self.keep_sources()
        self.page.goto(self.url + path)

    def click(self, element):
        self.keep_sources()
        element.click()
        self.page.wait_for_load_state()

    def keep_sources(self):
        """Keep what came so far: the browser forgets a page when it leaves it."""
        for response in self.responses:
            # A redirect has no source.
            if response.request.resource_type != "image" and not 300 <= response.status < 400:
                self.sources.append((response.url, response.text()))
        self.responses.clear()

    def log_in(self, password):
        self.go_to(CREDENTIALS)
        self.page.get_by_label("Username").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.click(self.page.get_by_role("button", name="Log in"))
        assert self.page.url == self.url + CREDENTIALS

    def enter(self, key, name="default"):
        """Paste a key into the form of the credential, and press *Save and verify*."""
        self.go_to(CREDENTIALS)
        self.click(self.page.get_by_role("link", name=name, exact=True))
        self.page.get_by_label("Client ID").fill(key.client_id)
        self.page.locator("[name=secret]").fill(key.client_secret)
        self.click(self.page.get_by_role("button", name="Save and verify"))

    def verify_selected(self, name="default"):
        self.go_to(CREDENTIALS)
        self.page.locator("tr", has_text=name).get_by_role("checkbox").check()
        verify = self.page.locator("select[name=action] option", has_text="Verify selected")
        self.page.locator("select[name=action]").select_option(verify.inner_text())
        self.click(self.page.get_by_role("button", name=re.compile("^(Go|Run)$")))

    @property
    def message(self):
        return self.page.locator("ul.messagelist").inner_text()

    def row(self, name="default"):
        return self.page.locator("#result_list tbody tr", has_text=name).inner_text()


class Key:
    def __init__(self, client_id, client_secret):
        self.client_id = client_id
        self.client_secret = client_secret


class PartnerTab:
    def __init__(self, context, demo):
        self.page = context.new_page()
        self.url = f"{demo.sandbox_url}/partner/"

    def refresh_keys(self):
        self.page.goto(self.url)
        self.page.get_by_text("Refresh keys").click()
        self.page.get_by_role("button", name="OK").click()
        return Key(
            self.page.locator("#client-id").inner_text(),
            self.page.locator("#client-secret").inner_text(),
        )

    def make_api_key(self):
        self.page.goto(f"{self.url}api-keys/")
        self.page.get_by_role("button", name="Make a key").click()
        return Key("", self.page.locator("#api-key").inner_text())

    def revoke_api_key(self, key):
        self.page.goto(f"{self.url}api-keys/")
        prefix = key.client_secret.partition(".")[0]
        self.page.get_by_role("button", name=f"Revoke {prefix}").click()
        self.page.get_by_text(prefix).wait_for(state="detached")


def test_a_key_goes_in_is_lost_and_is_replaced(context, demo):
    partner, admin = PartnerTab(context, demo), Admin(context, demo)

    admin.log_in(demo.password)
    first = partner.refresh_keys()
    admin.enter(first)
    assert "works" in admin.message

    second = partner.refresh_keys()
    assert second.client_secret != first.client_secret
    admin.verify_selected()
    assert "refuses this key" in admin.message
    assert "Copy both values again" in admin.message
    assert "Rejected" in admin.row()

    admin.enter(second)
    assert "works" in admin.message
    admin.verify_selected()
    assert "OK" in admin.row()

    # And the same with an API key, of which several live at a time.
    first_key, second_key = partner.make_api_key(), partner.make_api_key()
    admin.enter(first_key, "centric")
    assert "works" in admin.message
    partner.revoke_api_key(first_key)
    admin.verify_selected("centric")
    assert "refuses this key" in admin.message
    assert "Rejected" in admin.row("centric")
    admin.enter(second_key, "centric")
    assert "works" in admin.message

    # The site, and not only the admin, works with the new key, and nobody was logged out meanwhile.
    admin.go_to("/")
    assert "ada.example@example.com" in admin.page.content()
    admin.click(admin.page.get_by_role("link", name="centric"))
    assert "Cases at Certn" in admin.page.content()

    admin.keep_sources()
    assert sum(CREDENTIALS in url for url, _ in admin.sources) > 8
    for url, source in admin.sources:
        for key in (first, second, first_key, second_key):
            secret = key.client_secret
            assert secret not in html.unescape(source), url
            assert quote_plus(secret) not in source, url
