"""What decides where a secret is sent cannot be changed while the secret stays."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from django_certn import tokens
from django_certn.admin import CertnCredentialAdmin
from django_certn.client import auth_headers
from django_certn.models import CertnCredential
from django_certn.tokens import get_token
from django_certn.tokens.service import installed
from django_certn.verification import verify
from tests.conftest import add_environment
from tests.endpoint import TokenEndpoint
from tests.process import Process

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "fake-secret-0123456789"


@pytest.fixture
def credential(endpoint, make_credential):
    installed().clear()
    return make_credential(environment="scripted", client_secret=SECRET)


@pytest.fixture
def elsewhere(settings):
    """Another host, which the settings know as `other`."""
    with TokenEndpoint() as other:
        add_environment(settings, "other", "Other", other.url)
        yield other


def posted(client, credential, **changes):
    form = {
        "name": credential.name,
        "environment": credential.environment,
        "client_id": credential.client_id,
        "secret": "",
        "is_active": "on",
        "_verify": "",
    }
    address = reverse("admin:django_certn_certncredential_change", args=[credential.pk])
    return client.post(address, form | changes)


class TestAdmin:
    @pytest.mark.parametrize("changes", [{"environment": "other"}, {"client_id": "another"}])
    def test_another_place_asks_for_the_secret_again(
        self, admin_client, credential, endpoint, elsewhere, changes
    ):
        response = posted(admin_client, credential, **changes)
        assert response.context["adminform"].form.errors.as_data()["secret"][0].code == "pair"
        credential.refresh_from_db()
        assert credential.environment == "scripted"
        assert endpoint.hits == elsewhere.hits == 0

    def test_with_the_secret_it_is_a_new_pair(self, admin_client, credential, elsewhere):
        posted(admin_client, credential, environment="other", secret="another-fake-secret")
        (request,) = elsewhere.requests
        assert request.basic[1] == "another-fake-secret"

    @pytest.mark.parametrize("name", ["base_url", "token_url", "host", "url", "verified_status"])
    def test_no_host_is_ever_typed(self, admin_client, credential, endpoint, elsewhere, name):
        posted(admin_client, credential, **{name: elsewhere.url})
        assert endpoint.hits == 1
        assert elsewhere.hits == 0

    def test_an_environment_that_nobody_set_is_refused(self, admin_client, credential, elsewhere):
        response = posted(admin_client, credential, environment=elsewhere.url, secret=SECRET)
        assert "environment" in response.context["adminform"].form.errors
        assert elsewhere.hits == 0

    def test_the_list_edits_nothing(self):
        assert CertnCredentialAdmin.list_editable == ()


class TestCode:
    def test_a_change_in_memory_sends_nothing_elsewhere(self, credential, endpoint, elsewhere):
        credential.environment = "other"
        assert verify(credential).ok
        get_token(credential)
        auth_headers(credential)
        assert endpoint.hits
        assert elsewhere.hits == 0

    def test_a_token_is_not_taken_to_another_host(self, credential, endpoint, elsewhere, settings):
        """The settings give the environment a new host: a cached token belongs to the old one."""
        first = get_token()
        assert Process().get_token() == first  # from the cache, as another process
        (slot,) = [key for key in cache._cache if key.count(":") == 3]

        add_environment(settings, "scripted", "Scripted", elsewhere.url)
        elsewhere.answer(200, {"access_token": "fake-token-elsewhere", "expires_in": 36000})
        for process in (tokens, Process()):
            assert process.get_token().value == "fake-token-elsewhere"
        assert (endpoint.hits, elsewhere.hits) == (1, 1)
        assert slot in cache._cache  # of the old host, and nobody asks for it

    def test_nor_to_another_key(self, credential, endpoint):
        first = get_token()
        CertnCredential.objects.update(client_id="another")
        installed().memos.forget()
        assert get_token() != first
        assert endpoint.hits == 2
