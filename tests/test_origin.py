import pytest

from django_certn.exceptions import UnsafeRequestError
from django_certn.origin import describe, join, origin_of, require_origin, upgrade

BASE = "https://api.certn.co"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.certn.co", ("https", "api.certn.co", 443)),
        ("https://api.certn.co/api/v1/users/?page=2#x", ("https", "api.certn.co", 443)),
        ("HTTPS://API.Certn.CO:443/", ("https", "api.certn.co", 443)),
        ("https://api.certn.co:8443", ("https", "api.certn.co", 8443)),
        ("http://127.0.0.1:8765/x", ("http", "127.0.0.1", 8765)),
        ("http://[::1]:8765/x", ("http", "::1", 8765)),
        ("https://xn--pi-7kc.certn.co/", ("https", "xn--pi-7kc.certn.co", 443)),
        ("https://api.certn.co/?q=a@b", ("https", "api.certn.co", 443)),
    ],
)
def test_an_origin(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/api/v1/users/",
        "//api.certn.co/x",
        "ftp://api.certn.co/",
        "file:///etc/passwd",
        "https:api.certn.co",
        "https:///x",
        "https://api.certn.co.",
        "https://api.certn.co./",
        "https://user@api.certn.co/",
        "https://@api.certn.co/",
        "https://user:fake@api.certn.co/",
        "https://evil.example\\@api.certn.co/",
        "https://api.certn.co\\.evil.example/",
        "https://api.certn.co/\\evil.example",
        "https://api.certn.co\t.evil.example/",
        "https://api.certn.co/a b",
        "https://api.certn.co/\x00",
        "https://api.certn.co:x/",
        "https://api.certn.co:99999/",
        "https://api%2ecertn.co/",
        "https://аpi.certn.co/",  # noqa: RUF001 - a Cyrillic letter
        "https://[::1/",
        "https://[::1]evil.example/",
        "https://127.1/",
    ],
)
def test_what_not_all_read_alike_is_none(url):
    assert origin_of(url) is None
    with pytest.raises(UnsafeRequestError):
        require_origin(url, BASE, "acme")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.certn.co:8443/",
        "http://api.certn.co/",
        "http://api.certn.co:443/",
        "https://demo-api.certn.co/",
        "https://api.certn.co.evil.example/",
        "https://certn.co/",
    ],
)
def test_another_origin_is_refused_with_both_hosts(url):
    with pytest.raises(UnsafeRequestError) as caught:
        require_origin(url + "secret-path/?q=secret", BASE, "acme")
    assert describe(url) in str(caught.value)
    assert "'acme' is for https://api.certn.co alone; nothing was sent" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://fake:fake@api.certn.co/", "https://api.certn.co/a b"])
def test_what_is_wrong_with_an_address_of_the_own_host_is_said(url):
    with pytest.raises(UnsafeRequestError, match="by an address with a user name, or that not"):
        require_origin(url, BASE, "acme")


@pytest.mark.parametrize("base", [BASE, "https://API.certn.co/v2", "https://api.certn.co:443"])
def test_the_own_origin_passes_whatever_the_path(base):
    require_origin("https://api.certn.co/anything/?at=all", base, "acme")


def test_names_of_this_computer_are_not_the_same():
    for url in ("http://localhost:80/", "http://[::1]/", "http://127.0.0.2/"):
        with pytest.raises(UnsafeRequestError):
            require_origin(url, "http://127.0.0.1", "acme")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user:fake-password@evil.example:1/p?q", "https://evil.example:1"),
        ("https://[::1", "an address that cannot be read"),
        ("", "an address without a host"),
        ("mailto:fake", "an address without a host"),
        ("https://\u0430pi.certn.co", "https://\\u0430pi.certn.co"),
        ("https://evil\x1b31m", "https://evil\\x1b31m"),
    ],
)
def test_a_message_names_the_host_alone(url, told):
    assert describe(url) == told


@pytest.mark.parametrize(
    ("base", "url", "joined"),
    [
        (BASE, "/api/v1/users/", BASE + "/api/v1/users/"),
        (BASE, "api/v1/users/", BASE + "/api/v1/users/"),
        (BASE + "/", "/x", BASE + "/x"),
        (BASE + "/certn", "/x", BASE + "/certn/x"),
        (BASE + "/certn", "x", BASE + "/certn/x"),
        (BASE, "", BASE + "/"),
        (BASE, "?page=2", BASE + "/?page=2"),
        (BASE, " /x \n", BASE + "/x"),
        (BASE, "/x?next=//evil.example\\", BASE + "/x?next=//evil.example\\"),
        (BASE, "/x?next=../..", BASE + "/x?next=../.."),
        (BASE, "/x/..y/", BASE + "/x/..y/"),
        (BASE, "@evil.example/x", BASE + "/@evil.example/x"),
        (BASE, ":8443/x", BASE + "/:8443/x"),
        (BASE, ".evil.example/x", BASE + "/.evil.example/x"),
        (BASE, "cases:search", BASE + "/cases:search"),
        (BASE, "/x//y", BASE + "/x//y"),
        (BASE, "https://elsewhere.example/x", "https://elsewhere.example/x"),
        (BASE, "HTTP://api.certn.co", "HTTP://api.certn.co"),
    ],
)
def test_a_path_is_joined(base, url, joined):
    assert join(base, url) == joined


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example/x",
        "///evil.example/x",
        " //evil.example/x",
        "/\\evil.example",
        "\\\\evil.example",
        "\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\x00//evil.example",
        "https:/evil.example",
        "https:evil.example",
        "http:\\\\evil.example",
        "ftp://evil.example/",
        "gopher:\\\\evil.example",
        "/../x",
        "../x",
        "/a/../../x",
        "/a/%2e%2E/x",
        "/a/..%2Fx",
        "/a/..",
    ],
)
def test_what_is_no_plain_path_is_refused(url):
    with pytest.raises(UnsafeRequestError, match="sent") as caught:
        join(BASE, url)
    assert BASE in str(caught.value)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "base", "upgraded"),
    [
        ("http://api.certn.co/x?page=2", BASE, BASE + "/x?page=2"),
        ("http://api.certn.co:80/x", BASE, BASE + "/x"),
        ("http://localhost:8443/x", "https://localhost:8443", "https://localhost:8443/x"),
        ("http://localhost/x", "https://localhost:8443", "https://localhost:8443/x"),
        ("http://api.certn.co:8080/x", BASE, "http://api.certn.co:8080/x"),
        ("http://evil.example/x", BASE, "http://evil.example/x"),
        ("https://api.certn.co/x", BASE, "https://api.certn.co/x"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1", "http://127.0.0.1:1/x"),
        ("http://[::1/x", BASE, "http://[::1/x"),
        ("http://user@api.certn.co/x", BASE, "http://user@api.certn.co/x"),
    ],
)
def test_a_link_behind_a_proxy_that_ends_tls(link, base, upgraded):
    assert upgrade(link, base) == upgraded
