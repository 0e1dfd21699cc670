"""French: the catalog, what it is made from, and the pages that people see."""

import ast
import html
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path

import polib
import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import checks
from django.core.management import CommandError, call_command
from django.core.validators import RegexValidator
from django.test import Client
from django.utils import timezone, translation
from django.utils.functional import Promise

import django_certn
from django_certn.exceptions import CertnError, Status
from django_certn.expiry import today
from django_certn.forms import CertnCredentialForm
from django_certn.models import CertnCredential
from django_certn.notices import HISTORY, Report
from django_certn.tokens import get_token
from tests import services

PACKAGE = Path(django_certn.__file__).parent
PO = PACKAGE / "locale" / "fr" / "LC_MESSAGES" / "django.po"
CATALOG = polib.pofile(str(PO))
ENTRIES = list(CATALOG)
CODE = [path for path in sorted(PACKAGE.rglob("*.py")) if "sandbox" not in path.parts]
LIST = "/admin/django_certn/certncredential/"

# The same in both languages.
SAME = {
    "Active",
    "Certn",
    "CertnCentric Canada",
    "Dates",
    "OK",
    "Production",
    "active",
}
NBSP = "\N{NO-BREAK SPACE}"
TAG = re.compile(r"<[^>]*>")
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|\{\w*\}")


def key_of(entry):
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def french(entry):
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def texts():
    """Yield each French text, with its entry."""
    for entry in ENTRIES:
        for text in french(entry):
            yield entry, text


# The catalog


def test_the_header_is_of_french():
    assert CATALOG.metadata["Language"] == "fr"
    assert CATALOG.metadata["Content-Type"] == "text/plain; charset=UTF-8"
    assert CATALOG.metadata["Plural-Forms"] == (
        "nplurals=3; plural=(n == 0 || n == 1) ? 0 : n != 0 && n % 1000000 == 0 ? 1 : 2;"
    )


def test_all_is_translated():
    assert len(ENTRIES) > 150
    assert not CATALOG.metadata_is_fuzzy
    assert not CATALOG.fuzzy_entries()  # the compiler leaves these out
    assert not CATALOG.untranslated_entries()
    assert not CATALOG.obsolete_entries()
    for entry in ENTRIES:
        assert all(french(entry)), entry.msgid
        assert len(french(entry)) == (3 if entry.msgid_plural else 1), entry.msgid


def test_what_is_compiled_is_what_is_written():
    compiled = polib.mofile(str(PO.with_suffix(".mo")))
    assert compiled.metadata["Plural-Forms"] == CATALOG.metadata["Plural-Forms"]
    assert {key_of(entry): french(entry) for entry in compiled} == {
        key_of(entry): french(entry) for entry in ENTRIES
    }


@pytest.mark.parametrize("language", sorted(path.name for path in PO.parents[2].iterdir()))
def test_a_language_has_what_french_has(language):
    po = PO.parents[2] / language / "LC_MESSAGES" / "django.po"
    catalog = polib.pofile(str(po))
    assert catalog.metadata["Language"] == language
    assert {key_of(entry) for entry in catalog} == {key_of(entry) for entry in ENTRIES}
    assert not catalog.fuzzy_entries()
    assert not catalog.untranslated_entries()
    compiled = polib.mofile(str(po.with_suffix(".mo")))
    assert {key_of(entry): french(entry) for entry in compiled} == {
        key_of(entry): french(entry) for entry in catalog
    }


def test_what_stays_as_it_is_is_meant():
    assert {entry.msgid for entry in ENTRIES if entry.msgid in french(entry)} == SAME


def placeholders(text):
    return Counter(PLACEHOLDER.findall(text) + TAG.findall(text))


def test_the_placeholders_are_the_same():
    for entry, text in texts():
        assert placeholders(text) == placeholders(entry.msgid_plural or entry.msgid), text


# Typography


def faults_of(text):
    """Yield what is wrong in a French text."""
    text = re.sub(r"\w+://\S*", "URL", TAG.sub("", text))
    for fault, pattern in {
        "straight apostrophe or quotes": r"['\"]",
        "English quotes": r"[“”\u2018]",
        "France and Québec differ before these": "[;!?]",
        "no no-break space before": f"(?<!{NBSP})[:»]",
        "no no-break space after": f"«(?!{NBSP})",
        "two spaces": rf"[ {NBSP}]{{2}}",
        "space at an end": r"^\s|\s$",
        "an English word": r"(?i)\b(tokens?|credentials?|sandbox|the|and)\b",
    }.items():
        if re.search(pattern, text):
            yield fault


def test_each_text_is_set_as_french_is():
    for entry, text in texts():
        assert not list(faults_of(text)), text
        assert text.endswith(".") == entry.msgid.endswith("."), text


@pytest.mark.parametrize(
    "text",
    [
        "l'adresse",
        'une "clé"',
        "une “clé”",
        "une clé; une autre",
        "une clé : une autre",
        "une clé: une autre",
        f"« clé{NBSP}»",
        f"«{NBSP}clé »",
        "une  clé",
        "une clé ",
        "un token",
        "Credentials",
    ],
)
def test_what_is_set_otherwise_is_found(text):
    assert list(faults_of(text))


def test_what_is_set_as_french_is_passes():
    assert not list(faults_of(f"Écrivez http://hôte:80 à «{NBSP}l’hôte{NBSP}»{NBSP}: rien."))


TERMS = {
    r"\bAPI keys?\b": r"\bclés? d’API\b",
    r"\bClient ID\b": r"\b[Ii]dentifiant client\b",
    r"\bClient Secret\b": r"\b[Ss]ecret client\b",
    r"\btokens?\b": r"\bjetons?\b",
    r"\bencryption key\b": r"\bclé de chiffrement\b",
    r"\benvironments?\b(?!\)s| variable)": r"\benvironnements?\b",
    r"\bsandbox\b": r"\bbac à sable\b",
    r"Partner tab": f"onglet «{NBSP}Partner{NBSP}»",
    r"refresh keys on": f"«{NBSP}Refresh keys{NBSP}»",
    r"Client Portal": f"«{NBSP}Client Portal{NBSP}»",
}


@pytest.mark.parametrize(("english", "term"), TERMS.items(), ids=TERMS)
def test_each_term_has_one_translation(english, term):
    found = [text for entry, text in texts() if re.search(english, entry.msgid)]
    assert found
    for text in found:
        assert re.search(term, text), text


# What it is made from


@pytest.mark.standalone
def test_it_holds_all_that_is_marked_and_nothing_else(tmp_path):
    services.program("xgettext")
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "fr", "--no-wrap"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=60)
    made = polib.pofile(str(copy / PO.relative_to(PACKAGE)))
    there = {key_of(entry) for entry in ENTRIES}
    found = {key_of(entry) for entry in made if not entry.obsolete}
    hint = "run makemessages and compilemessages, as .github/CONTRIBUTING.md says"
    assert not found - there, f"not in the catalog: {hint}"
    assert not there - found, f"not in the code any more: {hint}"


MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop"}
# What is marked elsewhere, by gettext_noop.
LOOKED_UP = {"FAILURES.get(error_code, error_code)", "message"}


@cache
def calls():
    """Return each call in the code: its file, the name of what is called, and the expression."""
    return [
        (path, getattr(node.func, "id", None) or getattr(node.func, "attr", None), node)
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


def test_what_is_marked_is_a_text_that_xgettext_sees():
    number = 0
    for path, name, node in calls():
        where = f"{path.name}, line {node.lineno}"
        count = {"ngettext": 2, "pgettext": 2, "pgettext_lazy": 2}.get(name, name in MARKERS)
        for argument in node.args[:count]:
            number += 1
            is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            assert is_text or ast.unparse(argument) in LOOKED_UP, where
    assert number > 150


def shown_by(name, node):
    """Return what a call shows to people, as expressions."""
    if name == "format_html":
        return [text for text in node.args[:1] if re.search("[A-Za-z]", words_in(text))]
    if name in ("display", "action"):
        return [word.value for word in node.keywords if word.arg == "description"]
    return {"ValidationError": node.args[:1], "message_user": node.args[1:2]}.get(name, [])


def words_in(text):
    return html.unescape(TAG.sub("", text.value)) if isinstance(text, ast.Constant) else ""


def test_what_people_read_is_marked():
    number = 0
    for path, name, node in calls():
        for text in shown_by(name, node):
            number += 1
            is_marked = not isinstance(text, ast.Constant | ast.JoinedStr | ast.BinOp)
            assert is_marked, f"{path.name}, line {node.lineno}"
    assert number > 20


def choices_of(field):
    return [label for _value, label in field.choices or ()]


def labels():
    """Yield what the app shows as it is, and where that stands."""
    yield "app", apps.get_app_config("django_certn").verbose_name
    model = CertnCredential._meta
    yield "model", model.verbose_name
    yield "models", model.verbose_name_plural
    for field in model.fields:
        if field.name != "id":
            yield from labels_of(field)
    for name, form_field in CertnCredentialForm.base_fields.items():
        yield f"form: {name}", form_field.label
        yield f"form: {name}: help", form_field.help_text
    yield from labels_of_admin(admin.site._registry[CertnCredential])


def labels_of(field):
    yield field.name, field.verbose_name
    yield f"{field.name}: help", field.help_text
    for label in choices_of(field):
        yield f"{field.name}: choice", label
    for validator in field.validators:
        if isinstance(validator, RegexValidator):
            yield f"{field.name}: validator", validator.message


def labels_of_admin(own):
    for name in {*own.list_display, *own.readonly_fields, *own.actions}:
        if hasattr(own, name):
            yield f"admin: {name}", getattr(own, name).short_description
    for title, _options in own.get_fieldsets(None, CertnCredential()):
        yield "admin: fieldset", title
    for each in own.list_filter:
        if isinstance(each, type):
            yield "filter", each.title
            for _value, label in each.lookups(None, None, own):
                yield f"filter: {each.parameter_name}", label


def test_each_label_is_translated_when_it_is_read():
    found = [(where, label) for where, label in labels() if label]
    assert len(found) > 60
    for where, label in found:
        assert isinstance(label, Promise), f"{where}: {label}"
        with translation.override("en"):
            english = str(label)
        with translation.override("fr"):
            assert str(label) != english or english in SAME, f"{where}: {label}"


def test_what_history_stores_is_translated_when_it_is_read():
    """Django stores the labels of the fields in English and looks them up again."""
    assert HISTORY.keys() == set(Status)
    stored = [*HISTORY.values()]
    with translation.override(None):
        stored += [str(field.label) for field in CertnCredentialForm.base_fields.values()]
    assert len(stored) > 12
    with translation.override("fr"):
        for text in stored:
            assert translation.gettext(text) != text or text in SAME, text


def text_outside_tags(template):
    template = re.sub(r"{% (comment) .*?{% endcomment %}|{#.*?#}", "", template, flags=re.DOTALL)
    template = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", template, flags=re.DOTALL)
    template = re.sub(r"{%.*?%}|{{.*?}}", "", template, flags=re.DOTALL)
    return re.findall(r"\w+", TAG.sub(" ", template))


def test_templates_hold_no_text_of_their_own():
    templates = [path for path in PACKAGE.rglob("*.html") if "sandbox" not in path.parts]
    assert templates
    for path in templates:
        assert not text_outside_tags(path.read_text(encoding="utf-8")), path.name
    assert text_outside_tags('<p class="a">{% translate "b" %} {{ c }} Word</p>') == ["Word"]


# The pages


@pytest.fixture(params=["fr", "fr-ca"])
def language(request, settings):
    """The language of the site; `fr-ca` as the only one that it has."""
    settings.LANGUAGE_CODE = request.param
    if request.param == "fr-ca":
        settings.LANGUAGES = [("fr-ca", "Français (Canada)")]
    return request.param


@pytest.fixture
def client(language, db):
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def seen(response):
    """Return what a person reads on a page, and what a browser shows or says beside it."""
    source = response.content.decode()
    source = re.sub(r"<(script|style)\b.*?</\1>", " ", source, flags=re.DOTALL)
    attributes = re.findall(r'\b(?:title|alt|value|aria-label|placeholder)="([^"]*)"', source)
    text = html.unescape(" ".join([TAG.sub(" ", source), *attributes]))
    return re.sub(r"[^\S\xa0]+", " ", text)


def whole(text):
    return re.compile(rf"(?<![\w-]){re.escape(text)}(?![\w-])")


def fragments():
    """Return the English texts of the catalog, cut at their placeholders."""
    texts = {text for entry in ENTRIES for text in (entry.msgid, entry.msgid_plural) if text}
    found = {
        part.strip(" .,:")
        for text in texts
        for part in PLACEHOLDER.sub("\0", TAG.sub("\0", text)).split("\0")
    }
    # A word that French uses as well says nothing.
    used = " ".join(text for entry in ENTRIES for text in french(entry))
    return [whole(part) for part in sorted(found) if len(part) > 2 and not whole(part).search(used)]


FRAGMENTS = fragments()
# Words of sentences that nobody marked; Certn's own words stand in quotes or in brackets.
WORDS = re.compile(r"(?i)\b(the|this|that|is|are|was|were|not|of|with|keys?|again|enter|paste)\b")
QUOTED = re.compile(r"«[^»]*»|\([^)]*\)")


def english_in(text):
    words = [pattern.pattern for pattern in FRAGMENTS if pattern.search(text)]
    return words + WORDS.findall(QUOTED.sub("", text))


def test_no_english_is_left_in_the_catalog():
    for _entry, text in texts():
        assert not WORDS.findall(QUOTED.sub("", text)), text


def test_english_is_recognised():
    assert english_in("La clé est Rejected")
    assert english_in(f"acme{NBSP}: Certn refuses this key (HTTP 401).")
    assert english_in("Something was left untranslated")
    assert not english_in(f"Enregistrer et vérifier (Client ID), «{NBSP}Refresh keys{NBSP}»")


def store(name, **fields):
    fields = {
        "environment": "demo",
        "client_id": "fake-id",
        "client_secret": "fake-secret-0123456789",
    } | fields
    verified = {each: fields.pop(each) for each in list(fields) if each.startswith("verified")}
    row = CertnCredential.objects.create(name=name, **fields)
    CertnCredential.objects.filter(pk=row.pk).update(**verified)
    return row


class TestPages:
    def test_the_empty_list(self, client):
        text = seen(client.get(LIST))
        assert "Aucune clé n’est encore enregistrée." in text
        assert "Ajoutez-en une" in text
        assert english_in(text) == []

    def test_the_list(self, client):
        moments = [timedelta(0), timedelta(hours=3), timedelta(days=60)]
        for number, status in enumerate(Status):
            at = timezone.now() - moments[number % 3]
            store(f"a-{number}", verified_status=status, verified_at=at)
        for days in (-5, -1, 0, 1, 12, 200):
            end = today() + timedelta(days=days)
            key = {"environment": "centric-sandbox", "client_id": ""}
            store(f"b-{days}", expires_on=end, **key)
        store("c", environment="gone")
        text = seen(client.get(LIST))
        for word in (
            *("Refusée", "Limite d’appels atteinte", "Certn injoignable"),
            *("Service retiré", "Réponse inattendue", "Indéchiffrable", "Mal configurée"),
            *("Jamais vérifiée", "à l’instant", f"il y a 3{NBSP}heures"),
            *("non vérifiée depuis 1", "aujourd’hui", f"dans 1{NBSP}jour", f"dans 12{NBSP}jours"),
            *(f"il y a 1{NBSP}jour", f"il y a 5{NBSP}jours", "gone (absent des réglages)"),
            *("Vérifier les clés Certn sélectionnées", "CertnCentric (bac à sable)"),
            *("Par besoin d’intervention", "Âge"),
        ):
            assert word in text, word
        assert english_in(text) == []

    def test_the_form(self, client):
        text = seen(client.get(f"{LIST}add/"))
        assert "Enregistrer et vérifier" in text
        assert "Secret client (Client Secret) ou clé d’API" in text
        assert "Identifiant client (Client ID)" in text
        assert english_in(text) == []

    @pytest.mark.parametrize("status", Status)
    def test_the_form_of_a_key_that_was_verified(self, client, status):
        for environment in ("demo", "centric-ca"):
            row = store(
                f"acme-{environment}",
                environment=environment,
                client_id="fake-id" if environment == "demo" else "",
                verified_status=status,
                verified_at=timezone.now(),
                verified_http_status=401,
            )
            text = seen(client.get(f"{LIST}{row.pk}/change/"))
            assert "Dernière vérification" in text
            assert "Un secret est enregistré." in text
            assert english_in(text) == []

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"client_id": ""}, "Une clé de cet environnement a un identifiant client"),
            ({"secret": '"fake"'}, "Ceci est entre guillemets"),
            ({"secret": "fake-id"}, "sont identiques"),
            ({"name": ""}, "Ce que vous avez collé n’a pas été conservé"),
            ({"environment": "centric-ca"}, "Une clé d’API n’a pas d’identifiant"),
            ({"client_id": "", "secret": "abcdefgh." + "a" * 32}, "est une clé d’API de"),
            ({"name": "a\u200bb"}, "Ceci contient un caractère invisible"),
        ],
        ids=lambda value: None if isinstance(value, dict) else value[:20],
    )
    def test_errors(self, client, fields, said):
        posted = {"name": "n", "environment": "demo", "client_id": "fake-id", "secret": "fake-one"}
        response = client.post(f"{LIST}add/", posted | fields)
        assert response.status_code == 200
        text = seen(response)
        assert said in text
        assert english_in(text) == []

    def test_messages_and_history(self, client, endpoint):
        endpoint.answer(401, {"error": "invalid_client"})
        row = store("acme", environment="scripted")
        changed = {"name": "new", "environment": "scripted", "client_id": "fake-id", "_verify": "1"}
        shown = seen(client.post(f"{LIST}{row.pk}/change/", changed, follow=True))
        name = rf"«{NBSP} ?new ?{NBSP}»{NBSP}: "
        said = r"Certn \(Scripted\) refuse cette clé \(HTTP 401, invalid_client\)\."
        assert re.search(name + said, shown)
        assert english_in(shown) == []

        stored = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
        assert json.loads(stored[0]) == [{"changed": {"fields": ["Name", "Active"]}}]
        assert stored[1] == "Verified: rejected"
        text = seen(client.get(f"{LIST}{row.pk}/history/"))
        assert f"Vérification{NBSP}: refusée" in text
        assert "Modification de Nom et Active" in text
        assert english_in(text) == []

    def test_history_of_a_row_that_is_gone(self, client):
        assert client.get(f"{LIST}4711/history/").status_code == 302


def test_what_is_reported_of_several():
    report = Report(None)
    report.gone = [(1, "acme"), (2, "beta")]
    report.unreached = [(number, f"row-{number}") for number in range(11)]
    with translation.override("fr"):
        gone, unreached = (html.unescape(text) for _level, text in report.messages())
    assert gone == (f"Les clés «{NBSP}acme{NBSP}», «{NBSP}beta{NBSP}» ne sont plus enregistrées.")
    assert "Faute de temps, 11 clés n’ont pas été vérifiées" in unreached
    assert f"«{NBSP}row-9{NBSP}» et 1 autre{NBSP}: sélectionnez-les" in unreached


# What programs read stays English


@pytest.fixture
def make(make_credential, endpoint):
    return lambda **fields: make_credential(**{"environment": "scripted"} | fields)


def printed(**options):
    stdout = io.StringIO()
    try:
        call_command("certn_check", stdout=stdout, **options)
    except CommandError as error:
        return stdout.getvalue(), str(error)
    return stdout.getvalue(), ""


class TestCommand:
    def test_says_the_shared_sentences_in_french(self, make, endpoint):
        make(name="acme")
        endpoint.answer(401, {"error": "invalid_client"})
        with translation.override("fr"):
            text, problem = printed()
        assert text.startswith("acme (scripted): rejected. Certn (Scripted) refuse cette clé")
        assert problem == "1 of 1 not ok: acme (rejected)."

    def test_says_how_long_the_token_lives(self, make):
        make()
        with translation.override("fr"):
            text, _problem = printed(verbosity=2)
        assert re.search(rf"Le jeton est valable \d+{NBSP}s\.", text)

    def test_json_is_the_same_in_each_language(self, make, endpoint):
        make(environment="gone")
        make(name="acme")
        endpoint.answer(401, {"error": "invalid_client"})
        documents = []
        for language in ("en", "fr", "fr-ca"):
            with translation.override(language):
                results = json.loads(printed(format="json")[0])["results"]
            documents.append([(each["detail"], each["hint"]) for each in results])
        assert documents[0] == documents[1] == documents[2]
        assert "refuses this key" in documents[0][0][0]


def test_errors_and_logs_are_english(make, endpoint, caplog):
    make()
    said = []
    for language in ("en", "fr"):
        endpoint.answer(401, {"error": "invalid_client"})
        caplog.clear()
        with translation.override(language):
            for name in ("nobody", "default"):
                with pytest.raises(CertnError) as caught:
                    get_token(name)
                said.append((language, str(caught.value)))
        assert not any("clé" in record.getMessage() for record in caplog.records)
    texts = {
        language: [text for each, text in said if each == language] for language in ("en", "fr")
    }
    assert texts["fr"] == texts["en"]


def test_system_checks_are_english(make, settings):
    make(environment="gone")
    settings.CERTN_REQUEST_TIMEOUT = 0
    found = {}
    for language in ("en", "fr"):
        with translation.override(language):
            ours = [
                (str(each.msg), str(each.hint))
                for each in checks.run_checks(databases=["default"])
                if each.id and each.id.startswith("django_certn")
            ]
        found[language] = ours
    assert found["en"]
    assert found["fr"] == found["en"]
