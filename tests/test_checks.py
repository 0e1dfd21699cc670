"""What a check finds, what it says, and that every id is registered, tagged and documented."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache.backends.db import DatabaseCache
from django.core.checks import Tags, run_checks
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction

from django_certn import checks
from django_certn.conf import Settings, conf
from django_certn.encryption_key import encryption_keys
from django_certn.exceptions import CertnConfigurationError
from django_certn.expiry import today
from django_certn.fields import encrypt
from django_certn.models import CertnCredential
from tests.test_docs import code, section, table

KEY = "dGVzdHMtb25seS1mYWtlLWVuY3J5cHRpb24ta2V5ISE="
OTHER_KEY = "YW5vdGhlci1mYWtlLWVuY3J5cHRpb24ta2V5LTEyMyE="
SECRET = "fake-secret-0123456789"

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
DUMMY = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
FILES = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/nowhere"}
DATABASE = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "certn_cache"}

IDS = re.findall(r'"(django_certn\.[EW]\d{3})"', Path(checks.__file__).read_text(encoding="utf-8"))


def found(databases=()):
    """What all checks of the app find, by id."""
    messages = run_checks(tags=[checks.TAG], include_deployment_checks=True, databases=databases)
    return {message.id: message for message in messages}


@pytest.fixture
def make_credential(make_credential):
    """Store a credential of an environment that is in the settings."""
    return lambda name="default", **fields: make_credential(
        name, **{"environment": "demo", **fields}
    )


@pytest.fixture(autouse=True)
def shared(settings):
    """A cache that is well: the one of the test settings is not shared."""
    settings.CACHES = {**settings.CACHES, "default": FILES}


IN_DETAIL = "django_certn/management/README.md"


class TestIds:
    def test_each_stands_for_one_thing(self):
        assert IDS
        assert len(IDS) == len(set(IDS))

    def test_the_readme_has_them_all(self):
        assert [code(row[0]) for row in table(section("System checks", IN_DETAIL))] == sorted(IDS)

    @pytest.mark.parametrize(
        ("check", "tag", "only_on_deploy"),
        [
            (checks.check_encryption_key, Tags.security, False),
            (checks.check_settings, Tags.security, False),
            (checks.check_stored_secrets, Tags.database, False),
            (checks.check_environments, Tags.database, False),
            (checks.check_ends, Tags.database, False),
            (checks.check_cache_is_shared, Tags.caches, True),
            (checks.check_cache_in_requests, Tags.caches, False),
        ],
    )
    def test_each_check_is_registered_and_tagged(self, check, tag, only_on_deploy):
        assert set(check.tags) == {"django_certn", tag}
        assert (check in registry.registered_checks) is not only_on_deploy
        assert (check in registry.deployment_checks) is only_on_deploy

    def test_no_check_is_left_out(self):
        ours = {check for check in registry.get_checks(True) if checks.TAG in check.tags}
        public = {getattr(checks, name) for name in checks.__all__ if name != "TAG"}
        assert ours == public


@pytest.mark.django_db
def test_a_site_that_is_well(make_credential):
    make_credential()
    assert found(databases=["default"]) == {}
    call_command("check", "--tag", "django_certn", "--database", "default", "--deploy")


class TestEncryptionKey:
    """What is wrong with a key is the matter of test_encryption_key.py."""

    @pytest.mark.parametrize("value", [KEY, KEY.encode(), [KEY], (KEY, OTHER_KEY), "-_" + KEY[2:]])
    def test_is_well(self, settings, value):
        settings.FIELD_ENCRYPTION_KEY = value
        assert found() == {}

    @pytest.mark.parametrize("value", [None, "", [], 5, "fake", KEY + "\n", [KEY, ""], {KEY}])
    def test_no_key(self, settings, value):
        settings.FIELD_ENCRYPTION_KEY = value
        assert set(found()) == {"django_certn.E001"}

    def test_several_in_one_string(self, settings):
        settings.FIELD_ENCRYPTION_KEY = f"{KEY},{OTHER_KEY}"
        assert set(found()) == {"django_certn.E002"}

    def test_each_item_of_a_list_is_judged(self, settings):
        settings.FIELD_ENCRYPTION_KEY = [KEY, " " + KEY, f"{KEY};{OTHER_KEY}", "+" + KEY[1:]]
        assert [(message.id, message.msg[:6]) for message in checks.check_encryption_key()] == [
            ("django_certn.E001", "Item 2"),
            ("django_certn.E002", "Item 3"),
            ("django_certn.W007", "Item 4"),
        ]

    def test_it_says_what_keeps_a_site_from_starting(self, settings):
        settings.FIELD_ENCRYPTION_KEY = KEY[:30]
        (message,) = checks.check_encryption_key()
        with pytest.raises(ImproperlyConfigured, match=re.escape(f"{message.msg} {message.hint}")):
            encryption_keys()

    @pytest.mark.parametrize("respelled", ["+" + KEY[1:], "/" + KEY[1:], b"+/" + KEY[2:].encode()])
    def test_a_character_that_newer_pythons_will_not_read(self, settings, respelled):
        settings.FIELD_ENCRYPTION_KEY = respelled
        (message,) = checks.check_encryption_key()
        assert message.id == "django_certn.W007"
        assert message.msg.startswith("FIELD_ENCRYPTION_KEY holds a character")
        assert "the same encryption key" in message.hint
        assert KEY[2:8] not in str(message)


def for_request(request):
    """What a site may take for a function that CERTN_TENANT can name."""


async def coroutine():
    """Another one: what it returns is hashable, and no tenant."""


class TestSettings:
    @pytest.mark.parametrize("name", [name for name in vars(Settings) if name.isupper()])
    def test_each_setting_has_one(self, settings, name):
        setattr(settings, name, object())
        assert any(name in message.msg for message in found().values())

    @pytest.mark.parametrize(
        ("check_id", "name", "value"),
        [
            ("E003", "CERTN_ENVIRONMENTS", ["local"]),
            ("E003", "CERTN_ENVIRONMENTS", None),
            ("E005", "CERTN_CACHE_ALIAS", "nowhere"),
            ("E005", "CERTN_CACHE_ALIAS", None),
            ("E006", "CERTN_REQUEST_TIMEOUT", "10"),
            ("E006", "CERTN_REQUEST_TIMEOUT", True),
            ("E006", "CERTN_REQUEST_TIMEOUT", 0),
            ("E007", "CERTN_TENANT", "tests.nowhere.tenant"),
            ("E007", "CERTN_TENANT", "tests.settings.BASE_DIR"),
            ("E007", "CERTN_TENANT", "nothing"),
            ("E007", "CERTN_TENANT", 7),
            ("E007", "CERTN_TENANT", "tests.test_checks.for_request"),
            ("E007", "CERTN_TENANT", "tests.test_checks.coroutine"),
        ],
    )
    def test_of_a_wrong_type(self, settings, check_id, name, value):
        setattr(settings, name, value)
        (message,) = found().values()
        assert message.id == f"django_certn.{check_id}"
        assert name in message.msg

    def test_a_tenant_in_a_module_that_fails(self, settings, tmp_path, monkeypatch):
        tmp_path.joinpath("fake_tenants.py").write_text("{}['nothing']\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        settings.CERTN_TENANT = "fake_tenants.current"
        (message,) = found().values()
        assert message.id == "django_certn.E007"
        assert message.msg.endswith("imported (KeyError).")
        with pytest.raises(CertnConfigurationError) as caught:
            _ = conf.CERTN_TENANT
        assert isinstance(caught.value.__cause__, KeyError)

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"base_url": "http://certn.example"}, "must begin with https://"),
            ({"base_url": "ftp://certn.example"}, "must begin with https://"),
            ({"base_url": "certn.example"}, "must begin with https://"),
            ({"base_url": "https://fake:fake@certn.example"}, "nothing but scheme"),
            ({"label": "Without"}, '"base_url"'),
            ("https://certn.example", '"base_url"'),
            ({"base_url": "https://certn.example", "label": 5}, "label"),
        ],
    )
    def test_an_environment(self, settings, entry, words):
        settings.CERTN_ENVIRONMENTS = {"acme": entry, "well": {"base_url": "https://certn.example"}}
        (message,) = checks.check_settings()
        assert message.id == "django_certn.E004"
        assert "['acme']" in message.msg
        assert words in message.msg

    def test_a_built_in_one_that_was_overridden(self, settings):
        settings.CERTN_ENVIRONMENTS = {"demo": {"base_url": "http://demo.example"}}
        assert set(found()) == {"django_certn.E004"}

    def test_each_environment_is_reported(self, settings):
        settings.CERTN_ENVIRONMENTS = {"acme": {}, "beta": {}}
        assert len(checks.check_settings()) == 2

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765"])
    def test_plain_http_on_loopback(self, settings, host):
        settings.CERTN_ENVIRONMENTS = {"local": {"base_url": f"http://{host}"}}
        assert found() == {}


def write_column(credential, text):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_certn_certncredential SET client_secret = %s WHERE id = %s",
            [text, credential.pk],
        )


@pytest.mark.django_db
class TestStoredSecrets:
    def test_another_encryption_key(self, make_credential, settings):
        make_credential("acme")
        make_credential("beta")
        settings.FIELD_ENCRYPTION_KEY = OTHER_KEY
        make_credential("gamma")
        (message,) = found(databases=["default"]).values()
        assert message.id == "django_certn.W001"
        assert message.msg.startswith("No encryption key in FIELD_ENCRYPTION_KEY opens")
        assert message.msg.endswith("database 'default': 'acme', 'beta'.")
        assert "earlier encryption key" in message.hint
        assert "behind the one in force; what is stored is untouched. Only if" in message.hint

    def test_plain_text(self, make_credential):
        write_column(make_credential("acme"), SECRET)
        make_credential("beta")
        (message,) = found(databases=["default"]).values()
        assert message.id == "django_certn.W002"
        assert message.msg.endswith(": 'acme'.")
        assert "certn_reencrypt --encrypt-plaintext --database default" in message.hint
        assert "refresh keys ends the pair for every system that uses it" in message.hint
        assert SECRET not in str(message)

    @pytest.mark.parametrize("text", ["", "b'gAAAAAfake'", '"gAAAAAfake"', "not ascii: ü"])
    def test_what_cannot_be_a_secret_is_not_plain_text(self, make_credential, text):
        write_column(make_credential(), text)
        assert set(found(databases=["default"])) == {"django_certn.W001"}

    def test_encrypted_twice(self, make_credential):
        credential = make_credential()
        once = CertnCredential.objects.get().client_secret.column()
        write_column(credential, encrypt(once))
        assert set(found(databases=["default"])) == {"django_certn.W001"}

    def test_not_all_are_named_when_there_are_many(self, make_credential):
        for number in range(23):
            write_column(make_credential(f"acme-{number:02}"), SECRET)
        (message,) = found(databases=["default"]).values()
        assert message.msg.endswith("'acme-18', 'acme-19' and 3 more.")

    @pytest.mark.parametrize("databases", [None, []])
    def test_no_database_is_read_unasked(self, databases, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert checks.check_stored_secrets(databases=databases) == []

    def test_check_reads_no_database_unasked(self, make_credential, settings, capsys):
        make_credential()
        settings.FIELD_ENCRYPTION_KEY = OTHER_KEY
        call_command("check")
        assert "django_certn" not in capsys.readouterr().err
        call_command("check", "--database", "default")
        assert "django_certn.W001" in capsys.readouterr().err

    @pytest.mark.django_db(databases=["default", "other"])
    def test_each_database_that_is_named(self, make_credential, settings):
        make_credential("acme")
        CertnCredential.objects.using("other").create(name="beta", client_secret=SECRET)
        settings.FIELD_ENCRYPTION_KEY = OTHER_KEY
        first, second = checks.check_stored_secrets(databases=["default", "other"])
        assert "'default': 'acme'" in first.msg
        assert "'other': 'beta'" in second.msg

    def test_before_migrate(self, make_credential, monkeypatch):
        make_credential()
        monkeypatch.setattr(connection.introspection, "table_names", list)
        assert found(databases=["default"]) == {}

    def test_a_database_out_of_reach(self, monkeypatch):
        def table_names():
            raise OperationalError("fake: no route")

        monkeypatch.setattr(connection.introspection, "table_names", table_names)
        assert found(databases=["default"]) == {}

    def test_it_leaves_a_transaction_usable(self, make_credential):
        with transaction.atomic():
            found(databases=["default"])
            make_credential()


class TestCacheIsShared:
    @pytest.mark.parametrize("entry", [LOCMEM, DUMMY])
    def test_each_process_has_its_own(self, settings, entry):
        settings.CACHES = {"default": FILES, "tokens": entry}
        assert found() == {}
        settings.CERTN_CACHE_ALIAS = "tokens"
        (message,) = found().values()
        assert message.id == "django_certn.W003"
        assert entry["BACKEND"].rpartition(".")[2] in message.msg
        assert "CERTN_CACHE_ALIAS" in message.hint

    def test_only_before_a_deployment(self, settings):
        settings.CACHES = {"default": LOCMEM}
        assert run_checks(tags=[checks.TAG], databases=()) == []


@pytest.mark.django_db
class TestEnvironments:
    @pytest.fixture(autouse=True)
    def two_of_them(self, settings):
        settings.CERTN_ENVIRONMENTS = {"own": {"base_url": "https://example.com"}}

    def test_rows_whose_environment_left_the_settings(self, make_credential):
        make_credential("well", environment="demo")
        make_credential("own", environment="own")
        make_credential("acme", environment="moon")
        make_credential("beta", environment="mars", is_active=False)
        (message,) = found(databases=["default"]).values()
        assert message.id == "django_certn.W005"
        assert "('mars', 'moon')" in message.msg
        assert message.msg.endswith(": 'beta', 'acme'.")
        assert "CERTN_ENVIRONMENTS" in message.hint

    def test_one_that_cannot_be_used_is_another_matter(self, make_credential, settings):
        make_credential("acme", environment="own")
        settings.CERTN_ENVIRONMENTS = {"own": {"base_url": "http://example.com"}}
        assert set(found(databases=["default"])) == {"django_certn.E004"}
        settings.CERTN_ENVIRONMENTS = ["own"]
        assert set(found(databases=["default"])) == {"django_certn.E003"}

    def test_many_are_counted(self, make_credential):
        for number in range(22):
            make_credential(f"row-{number:02}", environment="moon")
        (message,) = found(databases=["default"]).values()
        assert message.msg.endswith("'row-19' and 2 more.")

    def test_only_in_the_databases_that_are_named(self, make_credential, django_assert_num_queries):
        make_credential("acme", environment="moon")
        with django_assert_num_queries(0):
            assert checks.check_environments(databases=None) == []

    def test_before_migrate(self, make_credential, monkeypatch):
        make_credential("acme", environment="moon")
        monkeypatch.setattr(connection.introspection, "table_names", list)
        assert found(databases=["default"]) == {}

    def test_a_database_out_of_reach(self, monkeypatch):
        def table_names():
            raise OperationalError("fake: no route")

        monkeypatch.setattr(connection.introspection, "table_names", table_names)
        assert checks.check_environments(databases=["default"]) == []


@pytest.mark.django_db
class TestEnds:
    def make(self, make_credential, name, left, **fields):
        day = today() + timedelta(days=left)
        make_credential(name, environment="centric-ca", client_id="", expires_on=day, **fields)
        return day

    def test_keys_that_end_soon_or_have_ended(self, make_credential):
        ended = self.make(make_credential, "acme", -3)
        self.make(make_credential, "beta", 30)
        self.make(make_credential, "far", 31)
        self.make(make_credential, "off", 1, is_active=False)
        make_credential("pair", environment="demo")
        (message,) = found(databases=["default"]).values()
        assert message.id == "django_certn.W006"
        assert f"'acme', 'beta'; the first on {ended} (UTC)." in message.msg
        assert "Client Portal" in message.hint
        assert "revoke the old one only then" in message.hint

    def test_only_in_the_databases_that_are_named(self, make_credential, django_assert_num_queries):
        self.make(make_credential, "acme", 1)
        with django_assert_num_queries(0):
            assert checks.check_ends(databases=None) == []

    def test_before_migrate(self, make_credential, monkeypatch):
        self.make(make_credential, "acme", 1)
        monkeypatch.setattr(checks, "has_column", lambda *args: False)
        assert found(databases=["default"]) == {}
        monkeypatch.undo()
        monkeypatch.setattr(connection.introspection, "table_names", list)
        assert found(databases=["default"]) == {}

    def test_a_column_that_is_there_and_one_that_is_not(self):
        name = CertnCredential._meta.db_table
        assert checks.has_column(connection, name, "expires_on")
        assert not checks.has_column(connection, name, "absent")

    def test_a_database_out_of_reach(self, monkeypatch):
        def table_names():
            raise OperationalError("fake: no route")

        monkeypatch.setattr(connection.introspection, "table_names", table_names)
        assert checks.check_ends(databases=["default"]) == []


class TestCacheInRequests:
    @pytest.fixture
    def database_cache(self, settings):
        settings.CACHES = {"default": DATABASE}

    def atomic(self, monkeypatch, alias, value):
        monkeypatch.setitem(connections[alias].settings_dict, "ATOMIC_REQUESTS", value)

    def test_the_same_database(self, database_cache, monkeypatch):
        self.atomic(monkeypatch, "default", True)
        (message,) = found().values()
        assert message.id == "django_certn.W004"
        assert "'default'" in message.msg
        assert "CERTN_CACHE_ALIAS" in message.hint

    def test_a_connection_pool(self, database_cache, monkeypatch):
        options = {"pool": {"max_size": 4}}
        monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)
        (message,) = found().values()
        assert message.id == "django_certn.W004"
        assert "a connection pool" in message.msg

    def test_without_atomic_requests(self, database_cache):
        assert found() == {}

    def test_another_database(self, database_cache, monkeypatch):
        self.atomic(monkeypatch, "other", True)
        assert found() == {}

    def test_the_database_that_a_router_says(self, database_cache, monkeypatch, settings):
        self.atomic(monkeypatch, "other", True)
        settings.DATABASE_ROUTERS = ["tests.test_checks.CacheRouter"]
        (message,) = found().values()
        assert "'other'" in message.msg

    def test_another_cache(self, settings, monkeypatch):
        self.atomic(monkeypatch, "default", True)
        settings.CACHES = {"default": FILES, "database": DATABASE}
        assert found() == {}


class CacheRouter:
    def db_for_write(self, model, **hints):
        return "other" if model._meta.app_label == "django_cache" else None


def test_a_subclass_of_the_database_cache_is_one(settings, monkeypatch):
    settings.CACHES = {"default": {**DATABASE, "BACKEND": "tests.test_checks.OwnCache"}}
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert set(found()) == {"django_certn.W004"}


class OwnCache(DatabaseCache):
    pass


def test_the_level_is_in_the_id(settings):
    settings.FIELD_ENCRYPTION_KEY = [KEY + ",", f"{KEY},{KEY}"]
    settings.CERTN_REQUEST_TIMEOUT = 0
    settings.CACHES = {"default": LOCMEM}
    levels = {"E": "ERROR", "W": "WARNING"}
    for message in found().values():
        assert f"?: ({message.id})" in str(message)
        assert type(message).__name__.upper() == levels[message.id.partition(".")[2][0]]
