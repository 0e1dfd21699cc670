import pytest

from django_certn.answers import FAILURES
from django_certn.exceptions import Status
from django_certn.explanations import OF_API_KEYS, SENTENCES, explain


def sentences(status, environment="demo", http_status=None, error_code=""):
    return explain(status, environment=environment, http_status=http_status, error_code=error_code)


@pytest.mark.parametrize("status", set(Status) - {Status.MISCONFIGURED})
def test_each_status_has_its_own(status):
    detail, hint = sentences(status, http_status=503)
    assert detail.endswith(".")
    assert bool(hint) == (status != Status.OK)
    assert "%" not in detail + hint


@pytest.mark.parametrize("culprit", set(SENTENCES) - set(Status) - {"unanswered"})
def test_each_culprit_has_its_own(culprit):
    detail, hint = sentences("misconfigured", error_code=culprit)
    assert detail.endswith("nothing was sent.")
    assert hint
    assert "%" not in detail + hint


def test_rejected_names_refresh_keys_and_the_environment():
    detail, hint = sentences("rejected", http_status=401, error_code="invalid_client")
    assert detail == "Demo refuses this key (HTTP 401, invalid_client)."
    assert "refresh keys" in hint
    assert "Demo" in hint


def test_undecryptable_names_both_ways_out():
    _, hint = sentences("undecryptable")
    assert "FIELD_ENCRYPTION_KEY" in hint
    assert "refresh keys" in hint
    assert "new pair" in hint


def test_retired_sends_nobody_to_the_keys():
    _, hint = sentences("retired", http_status=410)
    assert "CertnCentric" in hint
    assert "not at fault" in hint
    for misleading in ("refresh keys", "pair", "encryption", "FIELD_ENCRYPTION_KEY"):
        assert misleading not in hint


@pytest.mark.parametrize(("failure", "words"), FAILURES.items())
@pytest.mark.parametrize("http_status", [None, 200])
def test_unreachable_says_why(failure, words, http_status):
    detail, _ = sentences("unreachable", http_status=http_status, error_code=failure)
    assert detail == f"https://demo-api.certn.co cannot be reached: {words}."


def test_unreachable_with_an_answer_blames_the_server():
    detail, hint = sentences("unreachable", http_status=503, error_code="timeout")
    assert detail == "The server of Demo failed (HTTP 503, timeout)."
    assert "firewall" not in hint


def test_an_environment_that_the_settings_no_longer_know():
    detail, hint = sentences("unreachable", environment="gone", error_code="dns")
    assert detail == "gone cannot be reached: its name does not resolve."
    assert "gone" in hint


def test_a_percent_sign_in_a_name():
    detail, _ = sentences("rejected", environment="100%s", http_status=401)
    assert detail == "100%s refuses this key (HTTP 401)."


@pytest.mark.parametrize("case", OF_API_KEYS)
def test_an_api_key_is_another_story(case):
    if case == "forbidden":
        case, http_status = Status.BAD_RESPONSE, 403
    else:
        http_status = 200
    status, code = (case, "") if case in Status else ("misconfigured", case)
    told = sentences(status, "centric-ca", http_status, code)
    assert told != sentences(status, "demo", http_status, code)
    for misleading in ("Client Secret", "Client ID", "pair", "refresh keys", "Partner tab", "%"):
        assert misleading not in " ".join(told)


def test_a_403_is_about_permissions():
    detail, hint = sentences("bad_response", "centric-ca", 403)
    assert detail == "CertnCentric Canada does not permit this request (HTTP 403)."
    assert "permissions" in hint
    assert "permissions" not in " ".join(sentences("bad_response", "demo", 403))


def test_what_is_not_known_is_not_explained():
    assert sentences("new-in-a-later-version") == ("", "")
