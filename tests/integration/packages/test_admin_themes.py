"""The admin in the stock look and in the themes that sites put over it."""

import html
from html.parser import HTMLParser

import pytest

from tests.integration.packages.process import printed_by

SECRET = "fake-secret-of-the-themed-admin"


class Controls(HTMLParser):
    """The controls of a page by name, each with its attributes and the id of its form."""

    def __init__(self, page):
        super().__init__()
        self.form = None
        self.forms = {}
        self.found = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form":
            assert self.form is None, "a form in a form"
            self.form = attributes.get("id")
            self.forms[self.form] = attributes
        elif tag in ("input", "select", "textarea", "button") and attributes.get("name"):
            owner = attributes.get("form", self.form)
            self.found.setdefault(attributes["name"], []).append((attributes, owner))

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None

    def one(self, name):
        (control,) = self.found[name]
        return control


@pytest.fixture(scope="module", params=["django", "unfold", "jazzmin", "grappelli"])
def shown(request):
    theme = request.param
    return printed_by("themed_admin", theme, needs=None if theme == "django" else theme)


@pytest.mark.parametrize("page", ["add", "change"])
def test_save_and_verify_is_a_button_of_the_form(shown, page):
    controls = Controls(shown[page])
    button, form = controls.one("_verify")
    assert button["type"] == "submit"
    assert button["value"] == "Save and verify"
    secret, form_of_the_secret = controls.one("secret")
    assert secret["type"] == "password"
    assert form == form_of_the_secret == "certncredential_form"
    assert controls.forms[form]["method"].lower() == "post"


@pytest.mark.parametrize("page", ["add", "change"])
def test_the_buttons_of_the_theme_are_there_once(shown, page):
    controls = Controls(shown[page])
    for name in ("_save", "_addanother", "_continue"):
        _attributes, form = controls.one(name)
        assert form == "certncredential_form"
    assert shown[page].count("/delete/") == (page == "change")
    # Enter presses the first one.
    assert list(controls.found).index("_save") < list(controls.found).index("_verify")


def test_the_outcome_is_told(shown):
    for page in ("saved", "selected"):
        assert "“renamed”: The detail. The hint." in html.unescape(shown[page])


def test_the_list_speaks_in_words(shown):
    assert "Never verified" in shown["list"]
    assert "Verify selected Certn credentials" in html.unescape(shown["list"])


def test_no_page_holds_the_secret(shown):
    assert all(SECRET not in page for page in shown.values())
