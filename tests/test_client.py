import pytest
import requests

from django_certn.client import auth_headers
from django_certn.exceptions import CredentialInactiveError, CredentialNotFoundError
from django_certn.tokens import get_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def credential(make_credential, endpoint):
    return make_credential(environment="scripted")


def test_one_line_gives_the_right_header(credential, endpoint):
    assert auth_headers() == {"Authorization": f"Bearer {get_token().value}"}
    assert endpoint.hits == 1


def test_is_the_callers_own_dict(credential):
    auth_headers()["Authorization"] = "spoilt"
    assert auth_headers()["Authorization"].startswith("Bearer ")


def test_takes_a_name_or_a_credential(credential, make_credential):
    other = make_credential("acme", environment="scripted", client_id="other-fake-id")
    assert auth_headers("acme") == auth_headers(other) != auth_headers()


def test_is_what_certn_takes(local, make_credential):
    client_id, secret = local.refresh_keys()
    make_credential(client_id=client_id, client_secret=secret)
    answer = requests.get(local.url + "/api/v1/users/", headers=auth_headers(), timeout=5)
    assert (answer.status_code, answer.json()["count"]) == (200, 3)


def test_does_not_show_the_token(credential):
    assert get_token().value not in repr(auth_headers())


def test_passes_on_the_errors(credential, make_credential):
    with pytest.raises(CredentialNotFoundError):
        auth_headers("unknown")
    make_credential("off", environment="scripted", is_active=False)
    with pytest.raises(CredentialInactiveError):
        auth_headers("off")
