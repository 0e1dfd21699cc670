import socket
from ipaddress import ip_address

import pytest
from django.core.cache import caches


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """A test that would leave this computer fails instead."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX:
            host = address[0]
            assert host == "localhost" or ip_address(host).is_loopback, f"{host} is not loopback"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def empty_caches():
    yield
    for cache in caches.all(initialized_only=True):
        cache.clear()
