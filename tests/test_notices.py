"""What the admin reports of verifications."""

import html

import pytest
from django.contrib import messages
from django.utils.html import strip_tags

from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.notices import Report
from django_certn.outcomes import Verification


@pytest.fixture
def report():
    return Report(lambda pk: f"/page/{pk}/")


def outcome(name, status, **fields):
    return Verification(name, "demo", Status(status), **fields)


def text_of(report):
    (notice,) = report.messages()
    return html.unescape(strip_tags(notice[1]))


class TestLevel:
    @pytest.mark.parametrize("status", Status)
    def test_an_error_is_what_somebody_has_to_mend(self, report, status):
        report.add(1, outcome("acme", status, error_code="dns"))
        ((level, _text),) = report.messages()
        if status == "ok":
            assert level == messages.SUCCESS
        else:
            assert level == (messages.WARNING if status in TRY_AGAIN else messages.ERROR)


class TestNames:
    def test_each_links_to_its_page(self, report):
        report.add(7, outcome("acme", "ok"))
        ((_level, text),) = report.messages()
        assert '“<a href="/page/7/">acme</a>”' in text

    def test_not_for_who_may_not_open_it(self):
        report = Report(None)
        report.add(7, outcome("acme", "ok"))
        ((_level, text),) = report.messages()
        assert text.startswith("“acme”: ")

    def test_are_escaped(self, report):
        report.add(7, outcome("<b>", "ok"))
        report.gone.append((8, "<i>"))
        for _level, text in report.messages():
            assert "<b>" not in text
            assert "<i>" not in text

    def test_same_outcomes_share_a_message(self, report):
        for number in range(12):
            report.add(number, outcome(f"row-{number:02}", "rejected", http_status=401))
        report.add(12, outcome("other", "rejected", http_status=403))
        report.add(13, outcome("well", "ok"))
        first, second, third = (html.unescape(strip_tags(text)) for _, text in report.messages())
        assert first.startswith("“row-00”, “row-01”, ")
        assert "“row-09” and 2 more: " in first
        assert "row-10" not in first
        assert second.startswith("“other”: ")
        assert third.startswith("“well”: ")


class TestTheRest:
    def test_one_that_is_gone(self, report):
        report.gone.append((1, "acme"))
        assert text_of(report) == "“acme” is not stored any more."

    def test_several_that_are_gone(self, report):
        report.gone += [(1, "acme"), (2, "beta")]
        assert text_of(report) == "“acme”, “beta” are not stored any more."

    def test_one_that_was_not_reached(self, report):
        report.unreached = [(1, "acme")]
        assert text_of(report) == (
            "For lack of time 1 key was not verified, “acme”: verify it again."
        )

    def test_hundreds_that_were_not_reached(self, report):
        report.unreached = [(number, f"row-{number}") for number in range(300)]
        text = text_of(report)
        assert text.startswith("For lack of time 300 keys were not verified, “row-0”, ")
        assert "“row-9” and 290 more: select them again, or run manage.py certn_check." in text

    def test_nothing_to_report(self, report):
        assert list(report.messages()) == []
