"""The admin in the stock look and in the themes that sites put over it."""

import html
import re
from html.parser import HTMLParser

import pytest
from django.utils.html import strip_tags

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


THEMES = ["django", "unfold", "unfold-plain", "jazzmin", "grappelli"]


@pytest.fixture(scope="module", params=THEMES)
def theme(request):
    return request.param


@pytest.fixture(scope="module")
def shown(theme):
    package = theme.partition("-")[0]
    return printed_by("themed_admin", theme, needs=None if theme == "django" else package)


@pytest.mark.parametrize("page", ["add", "change"])
def test_save_and_verify_is_a_button_of_the_form(shown, page):
    controls = Controls(shown[page])
    button, form = controls.one("_verify")
    assert button["type"] == "submit"
    assert button.get("value") == "Save and verify" or ">Save and verify</button>" in shown[page]
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
    names = [name for name in controls.found if name in ("_verify", "_save", "_continue")]
    assert names[0] == "_verify"


@pytest.mark.parametrize("page", ["add", "change"])
def test_save_and_verify_looks_like_save(shown, page):
    controls = Controls(shown[page])
    (verify, _), (save, _) = controls.one("_verify"), controls.one("_save")
    assert verify.get("class") == save.get("class")


def test_the_outcome_is_reported(shown):
    for page in ("saved", "selected"):
        assert "“renamed”: The detail. The hint." in strip_tags(html.unescape(shown[page]))


def test_a_client_id_is_seen_whole(theme, shown):
    client_id, _form = Controls(shown["change"]).one("client_id")
    wide = "max-w-2xl" if theme == "unfold" else "vURLField"
    assert {wide, "form-control", "w-full"} <= set(client_id["class"].split())


def test_the_list_speaks_in_words(shown):
    assert "Never verified" in shown["list"]
    assert "Verify selected Certn credentials" in html.unescape(shown["list"])


def test_no_page_holds_the_secret(shown):
    assert all(SECRET not in page for page in shown.values())


def test_no_environment_is_chosen_for_anybody(shown):
    (select,) = re.findall(r'<select name="environment".*?</select>', shown["add"], re.DOTALL)
    values = re.findall(r'<option value="([^"]*)"( selected)?', select)
    assert values[0][0] == ""
    assert [value for value, selected in values if selected] in ([], [""])
    # A row has one.
    (select,) = re.findall(r'<select name="environment".*?</select>', shown["change"], re.DOTALL)
    assert re.findall(r'<option value="([^"]*)" selected', select) == ["demo"]


@pytest.mark.parametrize("theme", ["unfold"], scope="module", indirect=True)
def test_with_the_recipe_unfold_draws_each_input(theme, shown):
    for page in ("add", "change"):
        controls = Controls(shown[page])
        for name in ("name", "environment", "client_id", "secret", "expires_on"):
            classes = controls.one(name)[0]["class"].split()
            # Of the many that unfold gives an input: a border in light, and one in dark.
            assert {"border-base-200", "dark:border-base-700", "max-w-2xl"} <= set(classes), name


def test_the_end_of_a_key_is_asked_for_by_the_browser(shown):
    for page in ("add", "change"):
        end, _form = Controls(shown[page]).one("expires_on")
        assert end["type"] == "date"
        assert "vDateField" not in end["class"]
