"""Packages that record, export or serve all models of a site show the secret of none."""

import json

import pytest

from tests.integration.packages.process import FIRST, SECOND, printed_by
from tests.leaks import Scan

PACKAGES = [
    "auditlog",
    "easyaudit",
    "import_export",
    "simple_history",
    "reversion",
    "rest_framework",
    "graphene_django",
    "strawberry_django",
]


@pytest.fixture(scope="session")
def documents():
    return {}


@pytest.fixture
def made_of(documents):
    """What the package made of a credential; each runs once."""

    def of(package):
        if package not in documents:
            documents[package] = printed_by("recording_site", package, needs=package)
        return documents[package]

    return of


@pytest.mark.parametrize("package", PACKAGES)
def test_the_secret_is_nowhere(made_of, package):
    shown = made_of(package)["shown"]
    scan = Scan(FIRST, SECOND)

    assert not [name for name, text in shown.items() if scan.text(json.dumps(text))]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_credential_is_everywhere(made_of, package):
    """So that the scan looked at what the package is there for."""
    shown = made_of(package)["shown"]

    shows_values = {name for name, text in shown.items() if "default" in json.dumps(text)}
    assert shows_values >= set(shown) - {"changed_fields", "diff_against", "errors", "options"}


def test_an_audit_log_has_each_act(made_of):
    assert sorted(made_of("auditlog")["actions"]) == ["create", "delete", "update"]
    assert sorted(made_of("easyaudit")["actions"]) == ["Create", "Delete", "Update"]


class TestImportExport:
    @pytest.mark.parametrize(
        ("cell", "problem"),
        [("as exported", "stands for a secret and is none"), ("an empty cell", "is empty where")],
    )
    def test_what_was_exported_does_not_overwrite_the_secret(self, made_of, cell, problem):
        imported = made_of("import_export")["back"][cell]

        assert problem in imported["errors"][0]
        assert imported["stored"] == [["default", SECOND]]
        assert imported["unchanged"]

    def test_without_the_column_the_others_are_imported(self, made_of):
        imported = made_of("import_export")["back"]["without the column"]

        assert (imported["errors"], imported["active"]) == ([], False)
        assert imported["stored"] == [["default", SECOND]]

    def test_a_secret_may_be_imported(self, made_of):
        imported = made_of("import_export")["back"]["another secret"]

        assert (imported["errors"], imported["stored"]) == ([], [["default", FIRST]])

    def test_no_error_holds_it(self, made_of):
        found = Scan(FIRST, SECOND)
        for imported in made_of("import_export")["back"].values():
            assert not found.text("".join(imported["errors"]))


def test_a_history_sees_that_it_changed_and_gives_it_back(made_of):
    history = made_of("simple_history")

    assert "client_secret" in history["changed"]
    assert history["restored"] == [["default", FIRST]]


def test_a_revision_gives_it_back(made_of):
    assert made_of("reversion")["restored"] == [["default", FIRST]]


class TestRestFramework:
    def test_what_a_form_refuses_is_a_400_and_nothing_changes(self, made_of):
        document = made_of("rest_framework")

        assert len(document["refused"]) > 20
        assert {answer["status"] for answer in document["refused"].values()} == {400}
        assert document["unchanged"]

    def test_the_answer_names_the_field_and_not_the_value(self, made_of):
        for name, answer in made_of("rest_framework")["refused"].items():
            assert not Scan(FIRST, SECOND).text(answer["body"])
            assert "fake-secret-0123" not in answer["body"]
            half = {"another half": "client_id", "another environment": "environment"}
            assert list(json.loads(answer["body"])) == [half.get(name, "client_secret")]

    def test_what_is_right_is_taken(self, made_of):
        document = made_of("rest_framework")

        assert set(document["taken"].values()) == {200, 201}
        assert document["stored"] == [["default", SECOND], ["new", FIRST]]
