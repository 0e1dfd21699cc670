import signal
import socket
import ssl
from ipaddress import ip_address

import pytest
from django.conf import settings as site
from django.core.cache import cache, caches
from django.core.cache.backends.db import BaseDatabaseCache

from tests import services
from tests.endpoint import TokenEndpoint

pytest_plugins = ["tests.distribution", "tests.marks"]

# Whoever is started in the background by a shell ignores it, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def loopback_only():
    """A test that would leave this computer fails instead."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = address[0]
            assert host == "localhost" or ip_address(host).is_loopback, f"{host} is not loopback"
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown():
    """Empty the caches, once all that the test used has ended."""
    try:
        return (yield)
    finally:
        for alias in site.CACHES:
            # The one in the database is emptied with the database.
            if not isinstance(caches[alias], BaseDatabaseCache):
                caches[alias].clear()


def add_environment(settings, slug, label, base_url, scheme="oauth"):
    own = getattr(settings, "CERTN_ENVIRONMENTS", {})
    entry = {"label": label, "base_url": base_url, "scheme": scheme}
    settings.CERTN_ENVIRONMENTS = {**own, slug: entry}


@pytest.fixture
def make_credential(db):
    """Store a credential; the environment is `local` unless a test says another."""
    from django_certn.models import CertnCredential

    def make(name="default", **fields):
        fields = {
            "environment": "local",
            "client_id": "fake-client-id",
            "client_secret": "fake-secret-0123456789",
        } | fields
        return CertnCredential.objects.create(name=name, **fields)

    return make


CASE = "/api/public/cases/00000000-0000-0000-0000-000000000000/"
NO_CASE = {
    "type": "client_error",
    "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}],
}


# The counterparts of an exchange: the sandbox, which behaves as Certn does, and an endpoint that
# behaves as a test wants. The settings know them as the environments `local` and `scripted`.


@pytest.fixture(scope="session")
def running_sandbox():
    from tests.sandbox import RunningSandbox

    with RunningSandbox.start() as running:
        yield running


@pytest.fixture
def sandbox(running_sandbox):
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def local(sandbox, settings):
    add_environment(settings, "local", "Sandbox", sandbox.url)
    return sandbox


@pytest.fixture
def endpoint(settings):
    with TokenEndpoint() as endpoint:
        add_environment(settings, "scripted", "Scripted", endpoint.url)
        yield endpoint


@pytest.fixture
def centric(endpoint, settings):
    """The endpoint once more, as the environment `centric`, which takes API keys."""
    add_environment(settings, "centric", "Centric", endpoint.url, "api_key")
    endpoint.answer(404, NO_CASE, path=CASE)
    return endpoint


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A server's TLS context for localhost and 127.0.0.1, and the file of the CA to trust."""
    import trustme

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    return context, str(ca_file)


@pytest.fixture
def tls_endpoint(certificate, settings):
    """The same over TLS; nobody trusts it without its `ca_file`."""
    context, ca_file = certificate
    with TokenEndpoint(context=context, host="localhost") as endpoint:
        endpoint.ca_file = ca_file
        add_environment(settings, "scripted", "Scripted", endpoint.url)
        yield endpoint


# The services, each skipped with a reason where it is not installed.


@pytest.fixture(scope="session")
def redis():
    with services.redis() as location:
        yield location


@pytest.fixture(scope="session")
def memcached():
    with services.memcached() as location:
        yield location


@pytest.fixture(scope="session")
def postgresql():
    with services.postgresql() as database:
        yield database


@pytest.fixture(scope="session")
def mariadb():
    with services.mariadb() as database:
        yield database


@pytest.fixture(scope="session")
def chromium():
    return services.chromium()


@pytest.fixture(params=["locmem", "database", "redis", "memcached"])
def shared_cache(request, settings):
    """The default cache, once for each kind; the value is the kind."""
    kind = request.param
    if kind == "locmem":
        entry = {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": request.node.nodeid,
        }
    elif kind == "database":
        request.getfixturevalue("db")
        entry = site.CACHES["database"]
    elif kind == "redis":
        entry = {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": request.getfixturevalue("redis"),
        }
    else:
        entry = {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": request.getfixturevalue("memcached"),
        }
    settings.CACHES = {**site.CACHES, "default": entry}
    yield kind
    cache.clear()
    cache.close()
