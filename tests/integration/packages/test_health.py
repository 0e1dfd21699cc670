"""Beside django-health-check: red when a key did not work, and nothing is sent for it."""

from xml.etree import ElementTree as ET

import pytest

from tests.integration.packages.process import printed_by

START = "CertnCredentials(database=None): "


@pytest.fixture(scope="module")
def seen():
    return printed_by("health_site", needs="health_check")


@pytest.mark.parametrize("state", ["nothing stored", "well", "in a coroutine"])
def test_green(seen, state):
    assert seen[state] == [200, f"{START}OK\n"]


def test_red_names_what_was_found_out_and_of_which(seen):
    said = "Unavailable: 1 rejected: acme; 1 rate_limited: gamma; 1 undecryptable: delta."
    assert seen["rejected"] == [500, f"{START}{said}\n"]


def test_what_says_nothing_about_a_key_is_a_warning(seen):
    assert seen["nobody knows"] == [500, f"{START}Warning: 1 rate_limited: gamma.\n"]


def test_numbers_alone(seen):
    said = "Unavailable: 1 rejected, 1 rate_limited, 1 undecryptable."
    assert seen["nameless"] == [500, f"{START}{said}\n"]


@pytest.mark.parametrize(
    ("state", "start"),
    [
        ("by alias", "CertnCredentials(database='beta'): "),
        ("where the router looks", START),
        ("where the router looks, in a coroutine", START),
    ],
)
def test_the_database(seen, state, start):
    assert seen[state] == [500, f"{start}Warning: 1 unreachable: beta.\n"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("bare", "The table of django_certn is missing: run migrate."),
        ("nobody", "The database does not give the credentials: OperationalError."),
        ("unknown", "There is no such database."),
    ],
)
def test_trouble_with_the_database(seen, state, said):
    status, text = seen[state]
    assert (status, text.partition("): ")[2]) == (500, f"Unavailable: {said}\n")


def test_a_name_does_nothing_to_who_reads_it(seen):
    for form, text in seen["hostile"].items():
        assert "\x1b" not in text, form
        assert "\u202e" not in text, form
    assert len(seen["hostile"]["text"].splitlines()) == 1
    assert "<b>" not in seen["hostile"]["html"]
    for form in ("atom", "rss"):
        assert "1 rejected" in "".join(ET.fromstring(seen["hostile"][form]).itertext())


def test_many_are_counted(seen):
    status, text = seen["many"]
    assert status == 500
    assert "31 rejected: " in text
    assert text.endswith(" and 11 more.\n")


def test_nothing_was_sent(seen):
    assert seen["requests"] == 0
