import re
from itertools import product

import pytest

from django_certn.answers import CONFIGURATION, ERROR_CODES, FAILURES, Answer, read_answer
from django_certn.conf import conf
from django_certn.exceptions import Status
from django_certn.explanations import OF_API_KEYS, case_of, explain
from django_certn.sentences import SENTENCES

REFRESH = "refresh keys on the Partner tab in Demo, which ends the pair for every system that uses"
NOTHING = "This says nothing about the key"


def sentences(status, environment="demo", http_status=None, error_code="", **more):
    return explain(
        status, environment=environment, http_status=http_status, error_code=error_code, **more
    )


@pytest.mark.parametrize("status", Status)
def test_each_status_has_its_sentences(status):
    assert SENTENCES[status][0]
    assert SENTENCES[status][1] or status == Status.OK


# What an outcome is, what is said of it, and what is not, in the second sentence.
CASES = {
    "ok": (("ok", 200), "The key works: Certn (Demo) issued a token.", [], ["key"]),
    "rejected": (
        ("rejected", 401, "invalid_client"),
        "Certn (Demo) refuses this key (HTTP 401, invalid_client).",
        ["Copy both values again", "half a value", "quotes", "swapped", "than Demo", REFRESH],
        [NOTHING],
    ),
    "unauthorized_client": (
        ("rejected", 400, "unauthorized_client"),
        (
            "Certn (Demo) knows this key, and does not let it fetch tokens "
            "(HTTP 400, unauthorized_client)."
        ),
        ["A new pair cannot help", "Ask Certn", "client-credentials"],
        ["refresh", "Copy"],
    ),
    "not_certn": (
        ("rejected", 401, "not_certn"),
        "Something in front of https://demo-api.certn.co asks for a login (HTTP 401).",
        [NOTHING, "a gateway", "https://demo-api.certn.co"],
        ["refresh", "Copy"],
    ),
    "rate_limited": (
        ("rate_limited", 429),
        "Certn (Demo) had too many requests (HTTP 429).",
        [NOTHING, "again in a few minutes"],
        ["refresh"],
    ),
    "unreachable": (
        ("unreachable", 503),
        "The server of Certn (Demo) failed (HTTP 503).",
        [NOTHING, "again in a few minutes"],
        ["firewall"],
    ),
    "later": (
        ("unreachable", 408),
        "Certn (Demo) asks to try again later (HTTP 408).",
        [NOTHING, "again in a few minutes"],
        ["firewall"],
    ),
    "later by its code": (
        ("unreachable", 400, "temporarily_unavailable"),
        "Certn (Demo) asks to try again later (HTTP 400, temporarily_unavailable).",
        [NOTHING, "again in a few minutes"],
        ["firewall"],
    ),
    "timeout": (
        ("unreachable", None, "timeout"),
        "https://demo-api.certn.co did not answer in time.",
        [NOTHING, "Verify it again", "CERTN_REQUEST_TIMEOUT"],
        ["DNS", "reach"],
    ),
    "dns": (
        ("unreachable", None, "dns"),
        "https://demo-api.certn.co cannot be reached: its name does not resolve.",
        [NOTHING, "DNS"],
        ["proxy"],
    ),
    "refused": (
        ("unreachable", None, "refused"),
        "https://demo-api.certn.co cannot be reached: the connection was refused.",
        [NOTHING, "firewall", "https://demo-api.certn.co"],
        ["DNS"],
    ),
    "certificate": (
        ("unreachable", None, "certificate"),
        "https://demo-api.certn.co cannot be reached: its certificate is not trusted.",
        [NOTHING, "REQUESTS_CA_BUNDLE", "inspects TLS", "clock"],
        ["DNS"],
    ),
    "tls": (
        ("unreachable", None, "tls"),
        "https://demo-api.certn.co cannot be reached: TLS failed.",
        [NOTHING, "https is spoken"],
        ["DNS"],
    ),
    "proxy": (
        ("unreachable", None, "proxy"),
        (
            "https://demo-api.certn.co cannot be reached: the proxy is out of reach, or refuses "
            "the connection."
        ),
        [NOTHING, "HTTPS_PROXY", "login"],
        ["DNS"],
    ),
    "broken": (
        ("unreachable", 200, "broken"),
        "No whole answer came from https://demo-api.certn.co: the connection broke off.",
        [NOTHING, "Verify it again"],
        ["DNS"],
    ),
    "not_http": (
        ("unreachable", None, "not_http"),
        "No whole answer came from https://demo-api.certn.co: the answer is not HTTP.",
        [NOTHING, "Verify it again"],
        ["DNS"],
    ),
    "no_thread": (
        ("unreachable", None, "no_thread"),
        "Nothing was sent to https://demo-api.certn.co: no thread could be started.",
        [NOTHING, "threads"],
        ["DNS"],
    ),
    "an error that nobody foresaw": (
        ("unreachable", None, "KeyError"),
        "No whole answer came from https://demo-api.certn.co: KeyError.",
        [NOTHING],
        [],
    ),
    "retired": (
        ("retired", 410),
        "Certn (Demo) has retired this API (HTTP 410).",
        ["not at fault", "CertnCentric"],
        ["refresh", "pair", "encryption"],
    ),
    "bad_response": (
        ("bad_response", 200),
        "What came from https://demo-api.certn.co is not a token (HTTP 200).",
        [NOTHING, "Perhaps it was not Certn", "a proxy"],
        ["refresh"],
    ),
    "redirect": (
        ("bad_response", 302, "redirect"),
        (
            "https://demo-api.certn.co answered with a redirect (HTTP 302), which is never "
            "followed with a key."
        ),
        [NOTHING, "CERTN_ENVIRONMENTS", "login page"],
        ["refresh"],
    ),
    "forbidden": (
        ("bad_response", 403),
        "Certn (Demo) forbids this request (HTTP 403), and does not say why.",
        ["rights", "firewall", "A new pair is unlikely to help"],
        ["refresh"],
    ),
    "refused_request": (
        ("bad_response", 400, "invalid_scope"),
        (
            "Certn (Demo) answered as an OAuth server, and refuses the scope, though none is asked "
            "for (HTTP 400, invalid_scope)."
        ),
        [NOTHING, "no other key will help", "report the code"],
        ["refresh"],
    ),
    "bug": (
        ("bad_response", None, "KeyError"),
        "The verification ended in an error of this app (KeyError).",
        [NOTHING, "log"],
        ["refresh", "proxy"],
    ),
    "undecryptable": (
        ("undecryptable", None),
        "The stored secret cannot be read with FIELD_ENCRYPTION_KEY; nothing was sent.",
        [
            "Put the earlier encryption key",
            "behind the one in force. Only if that is lost",
            "enter the pair again",
            REFRESH,
        ],
        [],
    ),
    "plaintext": (
        ("undecryptable", None, "plaintext"),
        "The stored secret is plain text, not encrypted; nothing was sent.",
        ["certn_reencrypt --encrypt-plaintext", "a backup", REFRESH],
        [],
    ),
    "environment": (
        ("misconfigured", None, "environment"),
        "The environment “demo” is not in the settings; nothing was sent.",
        ["CERTN_ENVIRONMENTS"],
        ["refresh"],
    ),
    "CERTN_ENVIRONMENTS": (
        ("misconfigured", None, "CERTN_ENVIRONMENTS"),
        "The settings of the environment “demo” cannot be used; nothing was sent.",
        ["CERTN_ENVIRONMENTS", "manage.py check says what is wrong", "https://"],
        ["refresh"],
    ),
    "client_id": (
        ("misconfigured", None, "client_id"),
        "The credential has no Client ID; nothing was sent.",
        ["at any time on the Partner tab in Demo"],
        ["refresh"],
    ),
    "client_secret": (
        ("misconfigured", None, "client_secret"),
        "The credential has no Client Secret; nothing was sent.",
        ["Enter the Client Secret", "Only if nobody has it", REFRESH],
        [],
    ),
    **{
        setting: (
            ("misconfigured", None, setting),
            f"The setting {setting} cannot be used; nothing was sent.",
            [f"Set {setting} to"],
            ["refresh"],
        )
        for setting in ("CERTN_REQUEST_TIMEOUT", "CERTN_CACHE_ALIAS", "CERTN_TENANT")
    },
    "ca_bundle": (
        ("misconfigured", None, "ca_bundle"),
        (
            "The file of trusted certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names is "
            "missing, cannot be read, or is not PEM; nothing was sent."
        ),
        [NOTHING, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"],
        ["refresh"],
    ),
    "proxy_url": (
        ("misconfigured", None, "proxy_url"),
        "The address of the proxy in HTTPS_PROXY or ALL_PROXY cannot be used; nothing was sent.",
        [NOTHING, "HTTPS_PROXY", "ALL_PROXY", "http://host:port"],
        ["refresh"],
    ),
    "of a later version": (
        ("misconfigured", None, "CERTN_NEW"),
        "CERTN_NEW is missing or cannot be used; nothing was sent.",
        ["Correct it"],
        ["refresh"],
    ),
}


@pytest.mark.parametrize(("outcome", "said", "there", "not_there"), CASES.values(), ids=CASES)
def test_what_is_said(outcome, said, there, not_there):
    status, http_status, *code = outcome
    detail, hint = sentences(status, "demo", http_status, *code)
    assert detail == said
    assert [words for words in there if words not in hint] == []
    assert [words for words in not_there if words in hint] == []
    assert bool(hint) == (status != "ok")


def test_no_sentence_is_left_out():
    said = {case_of(*(*outcome, "")[:3]) for outcome, *_ in CASES.values()}
    assert said | {"just_entered"} == set(SENTENCES)
    assert set(OF_API_KEYS) <= set(SENTENCES)


@pytest.mark.parametrize("case", SENTENCES)
def test_the_step_that_ends_a_key_comes_last(case):
    *earlier, last = re.split(r"(?<=[.:]) ", str(SENTENCES[case][1]))
    for sentence in earlier:
        assert "refresh" not in sentence.lower()
    if "refresh" in last.lower():
        assert earlier
        assert "which ends the pair for every system that uses it" in last


def test_a_secret_that_was_entered_minutes_ago_is_copied_again_and_no_more():
    outcome = {"http_status": 401, "error_code": "invalid_client"}
    detail, hint = sentences("rejected", **outcome, just_entered=True)
    assert detail == sentences("rejected", **outcome)[0]
    assert hint.startswith("Copy both values again")
    assert "than Demo" in hint
    for misleading in ("refresh", "Partner tab", "new pair"):
        assert misleading not in hint


@pytest.mark.parametrize(
    ("status", "http_status"), [("rate_limited", 429), ("unreachable", 503), ("unreachable", 425)]
)
@pytest.mark.parametrize(
    ("retry_after", "words"),
    [(1, "1 s"), (119, "119 s"), (121, "3 min"), (7199, "120 min"), (86400, "24 h")],
)
def test_how_long_to_wait(status, http_status, retry_after, words):
    _, hint = sentences(status, http_status=http_status, retry_after=retry_after)
    assert f"asks to wait {words} (Retry-After)" in hint
    assert "few minutes" not in hint


@pytest.mark.parametrize("retry_after", [None, 0])
def test_when_it_is_not_said(retry_after):
    _, hint = sentences("rate_limited", http_status=429, retry_after=retry_after)
    assert "again in a few minutes" in hint
    assert "Retry-After" not in hint


ANSWERS = [
    *(Answer(None, {}, None, failure, "X") for failure in [*FAILURES, *CONFIGURATION, "KeyError"]),
    *(Answer(200, {}, None, failure) for failure in [*FAILURES, "KeyError"]),
    *(
        Answer(status, {}, b'{"error": "%s"}' % code.encode())
        for status, code in product(
            [200, 204, 302, 304, 400, 401, 403, 404, 408, 410, 425, 429, 500, 503],
            [*sorted(ERROR_CODES), ""],
        )
    ),
    Answer(401, {"WWW-Authenticate": "Basic"}, b""),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_every_answer_is_explained(answer):
    environment = conf.environment("demo")
    error = read_answer(answer, name="acme", environment=environment)
    detail, hint = sentences(error.status, "demo", error.http_status, error.error_code)
    assert detail.endswith(".")
    assert hint.endswith(".")
    assert "%" not in detail + hint
    if error.http_status and error.http_status != 200:
        assert f"HTTP {error.http_status}" in detail


def test_an_environment_that_the_settings_no_longer_know():
    detail, hint = sentences("unreachable", environment="gone", error_code="refused")
    assert detail == "gone cannot be reached: the connection was refused."
    assert "gone" in hint


def test_a_percent_sign_in_a_name():
    detail, _ = sentences("rejected", environment="100%s", http_status=401)
    assert detail == "Certn (100%s) refuses this key (HTTP 401)."


@pytest.mark.parametrize("case", OF_API_KEYS)
def test_an_api_key_is_another_story(case):
    more = {"just_entered": case == "just_entered"}
    case = Status.REJECTED if more["just_entered"] else case
    status, http_status, *code = next(
        outcome for outcome, *_ in CASES.values() if case_of(*(*outcome, "")[:3]) == case
    )
    said = sentences(status, "centric-ca", http_status, *code, **more)
    assert said != sentences(status, "demo", http_status, *code, **more)
    for misleading in ("Client Secret", "Client ID", "pair", "refresh keys", "Partner tab", "%"):
        assert misleading not in " ".join(said)


def test_a_403_of_an_api_key_is_about_permissions():
    detail, hint = sentences("bad_response", "centric-ca", 403)
    assert detail == "CertnCentric Canada does not permit this request (HTTP 403)."
    assert "permissions" in hint


def test_what_is_not_known_is_not_explained():
    assert sentences("new-in-a-later-version") == ("", "")
