"""The button *Save and verify*, made of what a theme draws for *Save*."""

import pytest
from django.utils import translation

from django_certn.templatetags.certn_admin import with_save_and_verify

STOCK = '<input type="submit" value="Save" class="default" name="_save">'
MORE = '<input type="submit" value="Save and add another" name="_addanother">'


def test_stands_before_save_and_looks_like_it():
    assert with_save_and_verify(STOCK + MORE) == (
        '<input type="submit" value="Save and verify" class="default" name="_verify"> '
        + STOCK
        + MORE
    )


def test_brings_what_is_wrapped_around_one_button():
    row = f'<div><a href="/delete/">Delete</a></div> <div class="x">{STOCK}</div> <div>{MORE}</div>'
    shown = with_save_and_verify(row)
    assert shown.count('<div class="x">') == 2
    assert shown.index("_verify") < shown.index("_save")
    assert shown.count("Delete") == 1


def test_does_not_bring_what_is_wrapped_around_all():
    row = f'<div class="all">\n {STOCK}\n {MORE}\n</div>'
    assert with_save_and_verify(row).count('<div class="all">') == 1


def test_a_button_with_a_picture():
    row = '<button type="submit" name="_save" class="w-full" id="save"><i>disk</i> Save</button>'
    assert with_save_and_verify(row) == (
        '<button type="submit" name="_verify" class="w-full">Save and verify</button> ' + row
    )


@pytest.mark.parametrize("row", ["", "<a>Close</a>", MORE])
def test_without_save_there_is_nothing_to_copy(row):
    assert with_save_and_verify(row) == row


def test_a_label_with_quotes_is_escaped(monkeypatch):
    module = "django_certn.templatetags.certn_admin.gettext"
    monkeypatch.setattr(module, lambda text: 'Spara "och" \\1 <prova>')
    with translation.override("sv"):
        shown = with_save_and_verify(STOCK)
        button = with_save_and_verify('<button name="_save">Spara</button>')
    assert 'value="Spara &quot;och&quot; \\1 &lt;prova&gt;"' in shown
    assert button.startswith(
        '<button name="_verify">Spara &quot;och&quot; \\1 &lt;prova&gt;</button>'
    )
