import logging

import pytest

from django_certn.models import CertnCredential
from django_certn.recording import conclude
from django_certn.signals import credential_status_changed, credential_verified
from django_certn.verification import prepare, stored, verify

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


@pytest.fixture
def changes():
    calls = []

    def receiver(**kwargs):
        row = CertnCredential.objects.using(kwargs["using"]).get()
        calls.append((kwargs["previous_status"], kwargs["verification"].status, kwargs["using"]))
        assert row.verified_status == kwargs["verification"].status

    credential_status_changed.connect(receiver, sender=CertnCredential)
    yield calls
    credential_status_changed.disconnect(receiver, sender=CertnCredential)


class TestStatusChanged:
    def test_is_sent_when_the_outcome_differs_from_the_last(self, credential, endpoint, changes):
        for status in (200, 200, 401, 401, 503, 200):
            endpoint.answer(status)
            verify("default")
        assert changes == [
            ("", "ok", "default"),
            ("ok", "rejected", "default"),
            ("rejected", "unreachable", "default"),
            ("unreachable", "ok", "default"),
        ]

    def test_of_several_who_verify_at_once_one_has_changed_it(
        self, credential, endpoint, changes, received
    ):
        verify("default")
        endpoint.answer(401)
        first, second = (stored("default", None) for _ in range(2))
        for row in (first, second):
            conclude(row, prepare(row, None).make().verification)
        assert changes[1:] == [("ok", "rejected", "default")]
        assert len(received) == 3

    def test_is_not_sent_for_what_is_not_recorded(self, credential, endpoint, changes):
        row = stored("default", None)
        verification = prepare(row, None).make().verification
        credential.client_secret = "fake-secret-of-another"
        credential.save()
        conclude(row, verification)
        assert changes == []

    def test_another_key_was_never_verified(self, credential, endpoint, changes):
        endpoint.answer(401)
        verify("default")
        credential.refresh_from_db()
        credential.client_secret = "fake-secret-of-another"
        credential.save()
        verify("default")
        assert changes == [("", "rejected", "default"), ("", "rejected", "default")]

    @pytest.mark.django_db(databases=["default", "other"])
    def test_names_the_database(self, endpoint, changes):
        row = CertnCredential.objects.using("other").create(
            environment="scripted", client_id="fake-id", client_secret="fake-secret"
        )
        verify(row)
        assert changes == [("", "ok", "other")]
