import logging

import pytest

from django_certn.models import CertnCredential
from django_certn.signals import credential_verified
from django_certn.verification import verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def credential(make_credential, endpoint):
    return make_credential(environment="scripted")


@pytest.fixture
def received():
    calls = []

    def receiver(**kwargs):
        row = CertnCredential.objects.using(kwargs["using"]).get()
        calls.append(kwargs | {"recorded": row.verified_status})

    credential_verified.connect(receiver, sender=CertnCredential)
    yield calls
    credential_verified.disconnect(receiver, sender=CertnCredential)


def test_is_sent_once_the_outcome_is_recorded(credential, received):
    outcome = verify("default")
    assert received == [
        {
            "signal": credential_verified,
            "sender": CertnCredential,
            "verification": outcome,
            "using": "default",
            "recorded": "ok",
        }
    ]


def test_is_sent_for_a_failure(credential, endpoint, received):
    endpoint.answer(401, {"error": "invalid_client"})
    verify("default")
    (call,) = received
    assert call["verification"].status == call["recorded"] == "rejected"


def test_is_sent_for_what_was_not_exchanged(make_credential, received):
    make_credential(environment="gone")
    verify("default")
    (call,) = received
    assert call["verification"].status == "misconfigured"


@pytest.mark.django_db(databases=["default", "other"])
def test_names_the_database(endpoint, received):
    row = CertnCredential.objects.using("other").create(
        environment="scripted", client_id="fake-id", client_secret="fake-secret"
    )
    verify(row)
    assert received[0]["using"] == "other"


def test_a_receiver_that_fails_is_none_of_ours(credential, caplog):
    def receiver(**kwargs):
        raise RuntimeError("fake trouble")

    credential_verified.connect(receiver)
    try:
        with caplog.at_level(logging.ERROR, logger="django.dispatch"):
            assert verify("default").ok
    finally:
        credential_verified.disconnect(receiver)
    assert "fake trouble" in caplog.text
    assert CertnCredential.objects.get().verified_status == "ok"
