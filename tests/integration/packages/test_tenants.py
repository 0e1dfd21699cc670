"""Beside django-tenants, with a schema for each customer: nobody gets a stranger's token."""

import json

import pytest

from tests import services
from tests.integration.packages.process import printed_by


@pytest.fixture(scope="module")
def seen():
    # A database of its own: each customer sees the schema `public`, where another test may have
    # left the table.
    with services.postgresql() as database:
        return printed_by("tenant_site", json.dumps(database), needs="django_tenants")


@pytest.mark.parametrize(
    ("kind", "calls"),
    [("in_threads", 1200), ("through_the_middleware", 60), ("in_coroutines", 900)],
)
def test_nobody_gets_a_strangers_token(seen, kind, calls):
    assert seen[kind] == {"calls": calls, "wrong": []}


def test_each_customer_costs_one_exchange(seen):
    assert seen["exchanges"] == 2


def test_the_counters_name_the_customer(seen):
    assert {"acme:default", "beta:default"} <= set(seen["stats"])


def test_an_instance_stands_for_its_row_under_its_own_schema_alone(seen):
    """In two schemas its alias and primary key are the same."""
    assert seen["instances"] == {
        "acme under acme": "acme",
        "beta under beta": "beta",
        "acme under beta": "CredentialNotFoundError",
        "beta under acme": "CredentialNotFoundError",
    }


def test_what_is_done_for_one_leaves_the_other_alone(seen):
    assert seen["dropped for another"] is False
    assert seen["verified"] == "ok"
    assert seen["still there"] is True
    assert seen["verified elsewhere"] == ""


def test_one_customer_is_checked_by_tenant_command(seen):
    code, output = seen["tenant_command"]
    assert code == 0
    document = json.loads(output[output.index("{") :])
    assert [result["status"] for result in document["results"]] == ["ok"]


def test_the_command_for_all_stops_at_the_first_that_is_not_ok(seen):
    """Whatever that is, a schema without the table here: README says how all are checked."""
    code, _ = seen["all_tenants_command"]
    assert code == 2
