import math
from types import MappingProxyType

import pytest
from django.core.management import call_command
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.utils.translation import gettext_lazy as _

from django_certn.conf import BUILT_IN, MAX_TIMEOUT, Scheme, conf, environment_choices, scheme_of
from django_certn.exceptions import CertnConfigurationError
from django_certn.models import CertnCredential

CENTRIC = ["centric-ca", "centric-uk", "centric-au", "centric-sandbox"]


def environments(settings, **entries):
    settings.CERTN_ENVIRONMENTS = entries


def base_url(settings, url):
    environments(settings, local={"label": "Sandbox", "base_url": url})
    return conf.environment("local")


# Defaults


def test_all_settings_are_optional():
    assert list(conf.CERTN_ENVIRONMENTS) == ["production", "demo", *CENTRIC]
    assert conf.CERTN_CACHE_ALIAS == "default"
    assert conf.CERTN_REQUEST_TIMEOUT == 10.0


def test_the_built_in_environments():
    production, demo = conf.environment("production"), conf.environment("demo")

    assert (production.slug, str(production.label)) == ("production", "Production")
    assert production.base_url == "https://api.certn.co"
    assert production.token_url == "https://api.certn.co/token/"
    assert demo.token_url == "https://demo-api.certn.co/token/"
    assert not production.is_loopback


def test_settings_are_read_when_they_are_used(settings):
    settings.CERTN_REQUEST_TIMEOUT = 3
    assert conf.CERTN_REQUEST_TIMEOUT == 3.0
    assert isinstance(conf.CERTN_REQUEST_TIMEOUT, float)
    del settings.CERTN_REQUEST_TIMEOUT
    assert conf.CERTN_REQUEST_TIMEOUT == 10.0


@pytest.mark.parametrize(
    ("slug", "base_url"),
    [
        ("centric-ca", "https://api.ca.certn.co"),
        ("centric-uk", "https://api.uk.certn.co"),
        ("centric-au", "https://api.au.certn.co"),
        ("centric-sandbox", "https://api.sandbox.certn.co"),
    ],
)
def test_the_environments_of_api_keys(slug, base_url):
    environment = conf.environment(slug)
    assert (environment.scheme, environment.base_url) == ("api_key", base_url)


def test_the_environments_of_pairs():
    assert {conf.environment(slug).scheme for slug in ("production", "demo")} == {"oauth"}


# CERTN_REQUEST_TIMEOUT


@pytest.mark.parametrize("timeout", [0.001, 1, 2.5, MAX_TIMEOUT])
def test_a_time_limit(settings, timeout):
    settings.CERTN_REQUEST_TIMEOUT = timeout
    read = conf.CERTN_REQUEST_TIMEOUT
    assert (type(read), read) == (float, timeout)


@pytest.mark.parametrize(
    "timeout",
    [True, False, None, "10", b"10", 0, -0.0, -1, math.nan, math.inf, -math.inf, 3601, 10**400, []],
)
def test_a_time_limit_of_the_wrong_kind(settings, timeout):
    settings.CERTN_REQUEST_TIMEOUT = timeout
    with pytest.raises(
        CertnConfigurationError, match=r"^CERTN_REQUEST_TIMEOUT must be a number of seconds above 0"
    ):
        conf.CERTN_REQUEST_TIMEOUT  # noqa: B018


# CERTN_CACHE_ALIAS


def test_a_cache_alias(settings):
    settings.CERTN_CACHE_ALIAS = "database"
    assert conf.CERTN_CACHE_ALIAS == "database"


@pytest.mark.parametrize("alias", ["absent", "", None, 1, True, ["default"], {}])
def test_a_cache_alias_of_the_wrong_kind(settings, alias):
    settings.CERTN_CACHE_ALIAS = alias
    with pytest.raises(
        CertnConfigurationError, match=r"^CERTN_CACHE_ALIAS must be the name of one of CACHES\.$"
    ):
        conf.CERTN_CACHE_ALIAS  # noqa: B018


# CERTN_ENVIRONMENTS


def test_own_environments_are_merged_over_the_built_in_ones(settings):
    environments(
        settings,
        local={"label": "Sandbox", "base_url": "http://127.0.0.1:8765"},
        demo={"label": "Our demo", "base_url": "https://demo.example.com/certn/"},
    )

    assert list(conf.CERTN_ENVIRONMENTS) == ["production", "demo", *CENTRIC, "local"]
    assert conf.environment("production").base_url == "https://api.certn.co"
    assert conf.environment("demo").token_url == "https://demo.example.com/certn/token/"
    assert conf.environment("local").label == "Sandbox"


def test_an_environment_without_a_label_is_called_by_its_name(settings):
    environments(settings, local={"base_url": "http://localhost"})
    assert conf.environment("local").label == "local"


def test_a_mapping_and_a_lazy_label_will_do(settings):
    entry = MappingProxyType({"label": _("Sandbox"), "base_url": " https://certn.example.com/ "})
    settings.CERTN_ENVIRONMENTS = MappingProxyType({"local": entry})

    environment = conf.environment("local")
    assert (str(environment.label), environment.base_url) == (
        "Sandbox",
        "https://certn.example.com",
    )


@pytest.mark.parametrize("slug", ["absent", "", "Production", None, 5])
def test_an_environment_that_is_not_there(slug):
    with pytest.raises(
        CertnConfigurationError, match="is neither built in nor in CERTN_ENVIRONMENTS"
    ):
        conf.environment(slug)


@pytest.mark.parametrize("value", [None, "", [], "local", 5, True, {"local"}, [("local", {})]])
def test_environments_that_are_no_dict(settings, value):
    settings.CERTN_ENVIRONMENTS = value
    with pytest.raises(CertnConfigurationError, match=r"^CERTN_ENVIRONMENTS must be a dict"):
        conf.environment("production")


@pytest.mark.parametrize(
    "entry",
    [None, "https://example.com", 5, [], {}, {"label": "x"}, {"base_url": None}, {"base_url": b""}],
)
def test_an_environment_that_is_no_dict_with_a_base_url(settings, entry):
    environments(settings, local=entry)
    with pytest.raises(
        CertnConfigurationError, match=r'^CERTN_ENVIRONMENTS\[\'local\'\] must be .* "base_url"'
    ):
        conf.environment("local")


@pytest.mark.parametrize("label", [None, 5, ["a"], b"a", True])
def test_a_label_of_the_wrong_kind(settings, label):
    environments(settings, local={"label": label, "base_url": "https://example.com"})
    with pytest.raises(CertnConfigurationError, match="label must be a string"):
        conf.environment("local")


@pytest.mark.parametrize(
    ("entry", "scheme"),
    [({}, "oauth"), ({"scheme": "oauth"}, "oauth"), ({"scheme": "api_key"}, "api_key")],
)
def test_a_scheme(settings, entry, scheme):
    environments(settings, local={"base_url": "https://example.com", **entry})
    assert conf.environment("local").scheme is Scheme(scheme)
    assert scheme_of("local") is Scheme(scheme)


@pytest.mark.parametrize(
    "scheme", [None, "", "OAuth", "api-key", "Api-Key", "bearer", 5, ["oauth"], {}]
)
def test_a_scheme_that_is_none(settings, scheme):
    environments(settings, local={"base_url": "https://example.com", "scheme": scheme})
    with pytest.raises(CertnConfigurationError, match=r"\['local'\]: the scheme must be \"oauth\""):
        conf.environment("local")
    assert scheme_of("local") is None


@pytest.mark.parametrize("slug", ["", None, 5])
def test_a_name_of_the_wrong_kind(settings, slug):
    settings.CERTN_ENVIRONMENTS = {slug: {"base_url": "https://example.com"}}
    with pytest.raises(CertnConfigurationError, match="name of an environment must be a string"):
        conf.environment(slug)


def test_a_name_that_no_row_can_hold(settings):
    longest = "x" * CertnCredential._meta.get_field("environment").max_length
    settings.CERTN_ENVIRONMENTS = {
        slug: {"base_url": "https://example.com"} for slug in (longest, f"{longest}x")
    }
    assert conf.environment(longest).slug == longest
    with pytest.raises(CertnConfigurationError, match="has 50 characters at most"):
        conf.environment(f"{longest}x")
    assert f"{longest}x" not in dict(environment_choices())


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("https://certn.example.com", False),
        ("https://certn.example.com:8443/a/b", False),
        ("HTTPS://CERTN.EXAMPLE.COM", False),
        ("https://192.0.2.1", False),
        ("https://localhost", True),
        ("https://127.0.0.1:8443", True),
        ("http://localhost", True),
        ("http://LOCALHOST:8765", True),
        ("http://127.0.0.1:8765", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:8765", True),
    ],
)
def test_https_anywhere_and_http_on_this_computer(settings, url, loopback):
    environment = base_url(settings, url)

    assert environment.token_url == url + "/token/"
    assert environment.is_loopback is loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://api.certn.co",
        "http://192.0.2.1",
        "http://0.0.0.0",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1example.com",
        "http://[::2]",
        "http://",
    ],
)
def test_plain_http_elsewhere_is_refused_with_the_reason(settings, url):
    with pytest.raises(CertnConfigurationError, match=r"must begin with https://\. Plain http"):
        base_url(settings, url)


@pytest.mark.parametrize(
    "url",
    ["ftp://localhost", "file:///etc", "api.certn.co", "//api.certn.co", "https://", "https:///a"],
)
def test_any_other_scheme_is_refused(settings, url):
    with pytest.raises(CertnConfigurationError, match="must begin with https:// and a host"):
        base_url(settings, url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://user:fake-password@api.certn.co",
        "https://user@api.certn.co",
        "https://@api.certn.co",
        "https://certn.example.com\\@localhost",
        "http://127.0.0.1\\.example.com",
        "https://api.certn.co?a=1",
        "https://api.certn.co?",
        "https://api.certn.co#a",
        "https://api.certn.co#",
        "https://api.\ncertn.co",
        "https://api.certn.co /",
        "https://api.certn.co\x00",
        "https://аpi.certn.co",  # noqa: RUF001 - a Cyrillic letter
    ],
)
def test_a_url_with_anything_else_in_it_is_refused_and_not_repeated(settings, url):
    with pytest.raises(CertnConfigurationError, match="must hold nothing but") as caught:
        base_url(settings, url)
    assert "fake-password" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://api.certn.co:x", "https://api.certn.co:99999", "https://[::1"]
)
def test_what_is_not_a_url_is_refused(settings, url):
    with pytest.raises(CertnConfigurationError, match="is not a URL") as caught:
        base_url(settings, url)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]evil.example",
        "http://[::1].evil.example",
        "https://[::1]evil.example:443",
        "https://[::1%25lo]",
        "https://[fe80::1%25eth0]",
        "https://[v1.fake]",
        "https://[127.0.0.1]",
        "https://[]",
        "https://api.certn.co%2eevil.example",
        "https://api.certn.co%2Eevil.example",
        "https://api.certn.co%00.evil.example",
        "https://api.certn.co%40evil.example",
        "https://api%2ecertn.co",
        "https://api.certn.co.",
        "https://localhost.",
        "https://api..certn.co",
        "https://.certn.co",
        "https://.",
        "https://-api.certn.co",
        "https://api-.certn.co",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 127 + "example",
        "https://api,certn.co",
        "https://api;certn.co",
        "https://api.certn.co'",
        "https://*.certn.co",
        "https://127.1",
        "https://2130706433",
        "https://0x7f.0.0.1",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://256.0.0.1",
        "https://127.0.0.1.2",
        "https://api.certn.co:",
        "https://api.certn.co:0",
        "https://[::1]:",
    ],
)
def test_a_host_that_another_reader_finds_elsewhere(settings, url):
    with pytest.raises(CertnConfigurationError, match=r"must|not a URL") as caught:
        base_url(settings, url)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://my_service.internal:8443",
        "https://xn--bcher-kva.example",
        "https://a",
        "https://3.example.com",
        "https://" + "a" * 63 + ".example",
        "https://192.0.2.1:65535",
        "https://[2001:db8::1]:8443",
        "https://[::ffff:192.0.2.1]",
    ],
)
def test_hosts_of_each_kind(settings, url):
    assert base_url(settings, url).base_url == url


@pytest.mark.parametrize(
    "path",
    ["/a/../b", "/..", "/./a", "/.", "/%2e%2e/a", "/a%2fb", "/a%20b", "/%", '/"', "/[a]", "/a|b"],
)
def test_a_path_that_another_reader_finds_elsewhere(settings, path):
    with pytest.raises(CertnConfigurationError, match="the path in the base_url"):
        base_url(settings, "https://certn.example.com" + path)


def test_an_ipv4_address_in_ipv6_is_on_this_computer_on_each_python(settings):
    assert base_url(settings, "http://[::ffff:127.0.0.1]:8765").is_loopback
    with pytest.raises(CertnConfigurationError, match="Plain http"):
        base_url(settings, "http://[::ffff:192.0.2.1]")


# The choices of the model


def choices():
    return [(slug, str(label)) for slug, label in environment_choices()]


def test_the_choices_are_the_environments(settings):
    environments(settings, local={"label": "Sandbox", "base_url": "http://localhost"})
    assert choices() == [
        ("production", "Production"),
        ("demo", "Demo"),
        ("centric-ca", "CertnCentric Canada"),
        ("centric-uk", "CertnCentric United Kingdom"),
        ("centric-au", "CertnCentric Australia"),
        ("centric-sandbox", "CertnCentric sandbox"),
        ("local", "Sandbox"),
    ]


@pytest.mark.parametrize("value", [None, 5, "local", []])
def test_the_choices_of_a_broken_setting_are_the_built_in_ones(settings, value):
    settings.CERTN_ENVIRONMENTS = value
    assert [slug for slug, _ in choices()] == list(BUILT_IN)


@pytest.mark.parametrize(
    "entries",
    [
        {"local": None},
        {"local": {"label": ["a", "b"], "base_url": "https://example.com"}},
        {"local": {"base_url": "http://example.com"}},
        {5: {"base_url": "https://example.com"}},
        {None: {"base_url": "https://example.com"}},
        {("a", "b"): {}},
    ],
)
def test_an_environment_that_cannot_be_used_is_no_choice(settings, entries):
    settings.CERTN_ENVIRONMENTS = entries
    assert [slug for slug, _ in choices()] == list(BUILT_IN)


def test_a_broken_environment_hides_the_built_in_one_of_its_name(settings):
    environments(settings, demo="broken")
    assert [slug for slug, _ in choices()] == ["production", *CENTRIC]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value", [{"local": {"label": "Sandbox", "base_url": "http://localhost"}}, {"demo": 5}, None]
)
def test_no_setting_makes_a_migration(settings, value):
    settings.CERTN_ENVIRONMENTS = value
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_a_migration_names_the_choices_instead_of_holding_them():
    field = models.CharField(choices=environment_choices)
    written, imports = MigrationWriter.serialize(field)

    assert "choices=django_certn.conf.environment_choices" in written
    assert "import django_certn.conf" in imports
