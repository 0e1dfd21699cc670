"""Why a request brought no answer, concluded from errors and from the environment."""

import socket
import ssl
from ssl import SSLCertVerificationError

import pytest
import requests
import trustme
from urllib3 import exceptions as urllib3

from django_certn.answers import CONFIGURATION, FAILURES
from django_certn.failures import KINDS, ca_bundle, failure_of

URL = "https://certn.test/token/"
LOOPBACK = "https://localhost/token/"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
SECRET = "fake-secret-0123456789"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*BUNDLES, *PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def because(error, cause):
    error.__cause__ = cause
    return error


CERTIFICATE = SSLCertVerificationError(1, "certificate verify failed")
CERTIFICATE.reason = "CERTIFICATE_VERIFY_FAILED"  # a string, as ssl has it
WRAPPED = urllib3.SSLError(CERTIFICATE)

ERRORS = {
    "as an argument": (WRAPPED, "certificate"),
    "as a reason": (
        requests.exceptions.SSLError(urllib3.MaxRetryError(None, "/", WRAPPED)),
        "certificate",
    ),
    "as a cause": (because(requests.ConnectionError(), CERTIFICATE), "certificate"),
    "before the proxy": (
        because(urllib3.ProxyError("", WRAPPED), CERTIFICATE),
        "certificate",
    ),
    "TLS": (requests.exceptions.SSLError(ssl.SSLError(1, SECRET)), "tls"),
    "a proxy": (requests.exceptions.ProxyError(socket.gaierror()), "proxy"),
    "a name": (requests.ConnectionError(socket.gaierror()), "dns"),
    "a name that is none": (requests.exceptions.InvalidURL(SECRET), "dns"),
    "a refusal": (requests.ConnectionError(ConnectionRefusedError()), "refused"),
    "time": (requests.ReadTimeout(), "timeout"),
    "an end": (requests.ConnectionError(ConnectionResetError()), "broken"),
    "no HTTP": (requests.exceptions.ContentDecodingError(urllib3.HTTPError()), "not_http"),
    "another": (KeyError(SECRET), "KeyError"),
}


@pytest.mark.parametrize(("error", "failure"), ERRORS.values(), ids=ERRORS)
def test_it_is_concluded_from_types(error, failure):
    assert failure_of(error, URL) == (failure, "")


def test_each_has_words():
    assert set(KINDS.values()) <= set(FAILURES)
    assert {"ca_bundle", "proxy_url"} == set(CONFIGURATION)


def test_an_error_that_leads_to_itself():
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert failure_of(one, URL) == ("ValueError", "")


class TestBundle:
    def test_none(self):
        assert ca_bundle() is True

    @pytest.mark.parametrize("empty", BUNDLES)
    def test_an_empty_variable_is_none(self, monkeypatch, empty):
        monkeypatch.setenv(empty, "")
        assert ca_bundle() is True

    def test_the_first_counts(self, monkeypatch, tmp_path):
        for name in BUNDLES:
            monkeypatch.setenv(name, f"{tmp_path}/{name}")
        assert ca_bundle() == f"{tmp_path}/REQUESTS_CA_BUNDLE"
        assert failure_of(KeyError(), URL) == ("ca_bundle", "REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
        assert failure_of(KeyError(), URL) == ("ca_bundle", "CURL_CA_BUNDLE")

    def test_for_this_computer_too(self, monkeypatch, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert failure_of(KeyError(), LOOPBACK) == ("ca_bundle", "REQUESTS_CA_BUNDLE")
        assert failure_of(KeyError(), "http://localhost/") == ("KeyError", "")

    def test_one_that_can_be_used_is_not_at_fault(self, monkeypatch, tmp_path):
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        for path in (tmp_path, tmp_path / "ca.pem"):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
            assert failure_of(KeyError(), URL) == ("KeyError", "")


class TestProxy:
    @pytest.mark.parametrize("variable", PROXIES)
    def test_the_variable_is_named(self, monkeypatch, variable):
        monkeypatch.setenv(variable, f"http://user:{SECRET}@:3128")
        assert failure_of(KeyError(), URL) == ("proxy_url", variable)

    @pytest.mark.parametrize(
        "address",
        [
            "proxy.test",
            "proxy.test:3128",
            "http://user:a%2Fb@proxy.test:3128",
            "https://[::1]:3128",
        ],
    )
    def test_one_that_can_be_used_is_not_at_fault(self, monkeypatch, address):
        monkeypatch.setenv("https_proxy", address)
        assert failure_of(KeyError(), URL) == ("KeyError", "")

    def test_never_on_this_computer(self, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://")
        assert failure_of(KeyError(), LOOPBACK) == ("KeyError", "")

    def test_not_where_it_is_not_used(self, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://")
        monkeypatch.setenv("no_proxy", ".test")
        assert failure_of(KeyError(), URL) == ("KeyError", "")

    def test_of_the_system_and_not_of_a_variable(self, monkeypatch):
        """As Windows and macOS have them."""
        monkeypatch.setattr(
            "django_certn.failures.get_environ_proxies", lambda url: {"https": "http://"}
        )
        assert failure_of(KeyError(), URL) == ("proxy_url", "the settings of this computer")
