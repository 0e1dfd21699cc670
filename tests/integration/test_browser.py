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
        context.set_default_timeout(15_000)
        asked = []
        context.on("request", lambda request: asked.append(urlsplit(request.url)))
        yield context
        browser.close()
        # No page of either server sends the browser anywhere else.
        assert {url.hostname for url in asked if url.scheme != "data"} == {"127.0.0.1"}


class Admin:
    """The admin in one tab of the browser, and all that its server ever sent there."""

    def __init__(self, context, demo):
        self.page = context.new_page()
        self.url = demo.url
        self.bodies = []
        self.page.on("response", self.keep)

    def keep(self, response):
        # A redirect has no body.
        if response.url.startswith(self.url) and not 300 <= response.status < 400:
            self.bodies.append((response.url, response))

    def log_in(self, password):
        self.page.goto(f"{self.url}{CREDENTIALS}")
        self.page.get_by_label("Username").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"**{CREDENTIALS}")

    def enter(self, key):
        """Paste a pair into the form of the credential, and press *Save and verify*."""
        self.page.goto(f"{self.url}{CREDENTIALS}")
        self.page.get_by_role("link", name="default", exact=True).click()
        self.page.get_by_label("Client ID").fill(key.client_id)
        self.page.get_by_label("Client Secret").fill(key.client_secret)
        self.page.get_by_role("button", name="Save and verify").click()
        self.page.wait_for_load_state()

    def verify_selected(self):
        self.page.goto(f"{self.url}{CREDENTIALS}")
        self.page.locator("tr", has_text="default").get_by_role("checkbox").check()
        self.page.get_by_label("Action").select_option(label=re.compile("^Verify selected"))
        self.page.get_by_role("button", name=re.compile("^(Go|Run)$")).click()
        self.page.wait_for_load_state()

    @property
    def message(self):
        return self.page.locator("ul.messagelist").inner_text()

    @property
    def row(self):
        return self.page.locator("#result_list tbody tr", has_text="default").inner_text()


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
    assert "refresh keys" in admin.message
    assert "Rejected" in admin.row

    admin.enter(second)
    assert "works" in admin.message
    admin.verify_selected()
    assert "OK" in admin.row

    # The site, and not only the admin, works with the new key, and nobody was logged out meanwhile.
    admin.page.goto(demo.url)
    assert "ada.example@example.com" in admin.page.content()

    assert len(admin.bodies) > 10
    for url, response in admin.bodies:
        body = html.unescape(response.text())
        for secret in (first.client_secret, second.client_secret):
            assert secret not in body, url
            assert quote_plus(secret) not in body, url
