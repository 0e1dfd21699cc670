"""No tenant gets another's token: a router, and a function of the site, that say who is served."""

import asyncio
import contextvars
import random
import threading

import pytest
from asgiref.local import Local
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import OperationalError, connections, transaction

from django_certn import tenancy, tokens
from django_certn.answers import TokenResponse
from django_certn.client import auth_headers
from django_certn.exceptions import (
    CertnConfigurationError,
    CertnUnavailableError,
    CredentialNotFoundError,
)
from django_certn.models import CertnCredential
from django_certn.secret import MaskedStr
from django_certn.tokens import AccessToken, aget_token, get_token, invalidate_token, stats
from django_certn.verification import verify
from tests.effort import effort
from tests.tokens.conftest import busy_thread, key, settle, wait_until

TENANTS = ("default", "other")
tenant = contextvars.ContextVar("tenant", default="default")
local = Local()


class Router:
    """Sends all to the database of the tenant that a context variable names."""

    def db_for_read(self, model, **hints):
        return tenant.get()

    db_for_write = db_for_read


class Replica:
    """Reads from another database than it writes to."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"


class RandomReplica(Replica):
    """One of several, and by now not the one that a row was read from; as Django's docs have it."""

    def db_for_read(self, model, **hints):
        return "third"

    def allow_relation(self, one, another, **hints):
        return {one._state.db, another._state.db} <= {"default", "other", "third"}


class LocalRouter:
    """The same, by asgiref's own kind of variable."""

    def db_for_write(self, model, **hints):
        return getattr(local, "tenant", "default")

    db_for_read = db_for_write


def current():
    """What a site names in CERTN_TENANT."""
    return tenant.get()


def broken():
    raise LookupError("no tenant is set")


def unhashable():
    return {}


def close_connections():
    """Close those of this thread: Django keeps the ones to a database in memory open."""
    assert threading.current_thread() is not threading.main_thread()
    for each in connections.all(initialized_only=True):
        if each.connection is not None:
            each.connection.close()
            each.connection = None


def serve(name):
    tenant.set(name)
    local.tenant = name


@pytest.fixture(autouse=True)
def nobody_is_served_yet():
    serve("default")
    yield
    serve("default")


@pytest.fixture
def owned(service, exchanges):
    """Let the token tell for which key it was issued."""
    service.service.renewal.exchange = issue = Issue()
    return issue


class Issue:
    def __init__(self):
        self.count = 0
        self.hold = None

    def __call__(self, key, *, timeout):
        self.count += 1
        if self.hold:
            assert self.hold.wait(10)
        return TokenResponse(MaskedStr(f"fake-token-of-{key.client_id}-{self.count}"), 36000.0)


def owner(token):
    return str(token.value).removeprefix("fake-token-of-").rpartition("-")[0]


@pytest.fixture(params=["Router", "LocalRouter"])
def routed(request, settings, transactional_db, owned):
    """Two databases, each with a credential of the same name and primary key."""
    settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://127.0.0.1:9"}}
    rows = {}
    for alias in TENANTS:
        rows[alias] = CertnCredential(
            pk=7, environment="local", client_id=alias, client_secret="fake-secret"
        )
        rows[alias].save(using=alias)
    settings.DATABASE_ROUTERS = [f"tests.tokens.test_tenants.{request.param}"]
    for alias in TENANTS:
        serve(alias)
        rows[alias] = CertnCredential.objects.get()
    serve("default")
    return rows


pytestmark = pytest.mark.django_db(databases=TENANTS, transaction=True)


class TestARouter:
    @pytest.mark.parametrize("call", ["get_token", "auth_headers", "aget_token"])
    def test_who_is_served_gets_its_own(self, routed, call):
        for _ in range(3):
            for alias in TENANTS:
                serve(alias)
                if call == "auth_headers":
                    assert f"of-{alias}-" in auth_headers()["Authorization"]
                elif call == "aget_token":
                    assert owner(async_to_sync(aget_token)()) == alias
                else:
                    assert owner(get_token()) == alias

    def test_each_tenant_costs_one_exchange(self, routed, owned, django_assert_num_queries):
        for _ in range(20):
            for alias in TENANTS:
                serve(alias)
                get_token()
        assert owned.count == 2
        with django_assert_num_queries(0):
            get_token()

    def test_an_instance_stands_for_its_row_under_its_tenant(self, routed):
        for alias in TENANTS:
            serve(alias)
            assert owner(get_token(routed[alias])) == alias
            assert owner(async_to_sync(aget_token)(routed[alias])) == alias

    @pytest.mark.parametrize(
        "call",
        [
            get_token,
            auth_headers,
            verify,
            async_to_sync(aget_token),
            lambda row: invalidate_token(row, "fake"),
        ],
        ids=["get_token", "auth_headers", "verify", "aget_token", "invalidate_token"],
    )
    def test_an_instance_of_another_tenant_stands_for_nothing(self, routed, call):
        serve("default")
        get_token(routed["default"])
        serve("other")
        with pytest.raises(CredentialNotFoundError, match="another tenant"):
            call(routed["default"])

    @pytest.mark.parametrize("how", ["using", "save", "refresh_from_db"])
    def test_an_instance_of_a_database_that_was_named_stands_for_its_row_there(self, routed, how):
        serve("other")
        row = CertnCredential.objects.using("default").get()
        if how == "save":
            row.save(using="default")
        elif how == "refresh_from_db":
            row = CertnCredential.objects.get()
            row.refresh_from_db(using="default")
        get_token("default")
        assert owner(get_token(row)) == "default"
        assert owner(async_to_sync(aget_token)(row)) == "default"
        assert auth_headers(row)["Authorization"] == get_token(row).authorization
        assert verify(row).ok
        assert CertnCredential.objects.get().verified_status == ""
        assert CertnCredential.objects.using("default").get().verified_status == "ok"
        assert not invalidate_token(row, get_token("default"))
        assert invalidate_token(row, get_token(row))

    def test_an_instance_that_is_read_again_is_of_the_tenant_served_then(self, routed):
        row = routed["default"]
        serve("other")
        row.refresh_from_db()
        assert owner(get_token(row)) == "other"
        serve("default")
        with pytest.raises(CredentialNotFoundError, match="another tenant"):
            get_token(row)

    def test_instances_of_bulk_create(self, routed):
        serve("other")
        pair = {"environment": "local", "client_id": "bulk", "client_secret": "fake-secret"}
        (row,) = CertnCredential.objects.bulk_create([CertnCredential(name="bulk", **pair)])
        if row.pk is None:  # MySQL does not tell
            row = CertnCredential.objects.get(name="bulk")
        assert owner(get_token(row)) == "bulk"
        serve("default")
        with pytest.raises(CredentialNotFoundError, match="another tenant"):
            get_token(row)

    @pytest.mark.parametrize("name", ["Replica", "RandomReplica"])
    def test_an_instance_that_was_read_from_a_replica_is_looked_up_where_it_is_written(
        self, routed, settings, name
    ):
        CertnCredential.objects.using("other").update(client_id="behind")
        settings.DATABASE_ROUTERS = [f"tests.tokens.test_tenants.{name}"]
        row = CertnCredential.objects.using("other").get()
        assert owner(get_token(row)) == "default"
        assert verify(row).ok
        assert CertnCredential.objects.using("default").get().verified_status == "ok"

    def test_a_tenant_without_a_credential_gets_an_error_at_once(self, routed, owned):
        get_token()
        serve("other")
        get_token()
        CertnCredential.objects.all().delete()
        for call in (get_token, auth_headers, async_to_sync(aget_token), verify):
            for name in ("default", "default"):
                with pytest.raises(CredentialNotFoundError):
                    call(name)
        assert owned.count == 2

    def test_a_token_is_dropped_for_its_tenant_alone(self, routed):
        found = {}
        for alias in TENANTS:
            serve(alias)
            found[alias] = get_token()
        assert invalidate_token("default", found["default"]) is False  # "other" is served
        assert invalidate_token("default", found["other"]) is True
        assert get_token() != found["other"]
        serve("default")
        assert get_token() == found["default"]

    def test_a_save_is_seen_by_its_tenant_and_costs_the_other_nothing(self, routed, owned):
        for alias in TENANTS:
            serve(alias)
            get_token()
        routed["other"].client_id = "rotated"
        routed["other"].save()
        assert owner(get_token()) == "rotated"
        serve("default")
        assert owner(get_token()) == "default"
        assert owned.count == 3

    def test_verifications_are_of_the_tenant(self, routed):
        for alias in TENANTS:
            serve(alias)
            assert verify("default").ok
            assert owner(get_token()) == alias
            assert CertnCredential.objects.using(alias).get().verified_status == "ok"

    def test_stats_name_the_tenant(self, routed):
        for alias in TENANTS:
            serve(alias)
            get_token()
        assert stats().keys() == {"default:default", "other:default"}
        assert stats()["other:default"]["exchanges"] == 1

    def test_a_renewal_that_ends_after_the_tenant_changed(self, routed, owned, time_):
        serve("other")
        get_token()
        time_.pass_(9.2 * 3600)
        owned.hold = threading.Event()
        assert owner(get_token()) == "other"  # and a renewal begins
        assert wait_until(lambda: owned.count == 2)
        serve("default")
        owned.hold.set()
        settle()
        owned.hold = None
        assert owner(get_token()) == "default"
        serve("other")
        assert str(get_token().value).endswith("-2")

    def test_threads_that_change_tenant(self, routed):
        wrong = []

        def call():
            for number in range(150):
                alias = TENANTS[random.random() < 0.5]
                serve(alias)
                if number % 30 == 7:
                    tokens.service.installed().memos.forget()
                header = auth_headers()["Authorization"]
                if owner(get_token()) != alias or f"of-{alias}-" not in header:
                    wrong.append(alias)
            close_connections()

        callers = [threading.Thread(target=call) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert wrong == []

    @pytest.mark.parametrize("threads", ["one for all", "one for each"])
    def test_coroutines_that_change_tenant(self, routed, threads):
        many, rounds = effort(30, thorough=100), effort(3, thorough=5)

        async def request(alias):
            serve(alias)
            found = []
            for _ in range(2 * rounds):
                found.append(owner(await aget_token()))
                await asyncio.sleep(0)
                alias = TENANTS[alias == "default"]
                serve(alias)
            return found

        async def on_a_thread_of_its_own(alias):
            async with ThreadSensitiveContext():
                found = await request(alias)
                await sync_to_async(close_connections)()
                return found

        async def all_of_them():
            run = request if threads == "one for all" else on_a_thread_of_its_own
            return await asyncio.gather(*(run(TENANTS[number % 2]) for number in range(many)))

        if threads == "one for all":
            found = async_to_sync(all_of_them)()  # all queries on this thread
        else:
            found = asyncio.run(all_of_them())
        for number, served in enumerate(found):
            first, second = TENANTS[number % 2], TENANTS[1 - number % 2]
            assert served == [first, second] * rounds

    def test_coroutines_that_start_cold_share_an_exchange_for_each_tenant(self, routed, owned):
        async def request(alias):
            serve(alias)
            return owner(await aget_token())

        async def all_of_them():
            return await asyncio.gather(*(request(TENANTS[number % 2]) for number in range(100)))

        assert async_to_sync(all_of_them)() == [*TENANTS] * 50
        assert owned.count == 2

    def test_a_table_that_is_missing_is_an_error_at_once(self, routed):
        serve("other")
        get_token()
        with connections["other"].schema_editor() as editor:
            editor.alter_db_table(CertnCredential, "django_certn_certncredential", "elsewhere")
        try:
            tokens.service.installed().memos.by_key.clear()
            serve("default")
            get_token()
            serve("other")
            for _ in range(2):
                with pytest.raises(Exception, match=r"(?i)no such table|exist"):
                    get_token()
        finally:
            with connections["other"].schema_editor() as editor:
                editor.alter_db_table(CertnCredential, "elsewhere", "django_certn_certncredential")
        assert owner(get_token()) == "other"

    def test_a_table_that_went_away_takes_the_token_along(self, routed, time_):
        serve("other")
        get_token()
        time_.pass_(13)
        with connections["other"].schema_editor() as editor:
            editor.alter_db_table(CertnCredential, "django_certn_certncredential", "elsewhere")
        try:
            with pytest.raises(Exception, match=r"(?i)no such table|exist"):
                get_token()
        finally:
            with connections["other"].schema_editor() as editor:
                editor.alter_db_table(CertnCredential, "elsewhere", "django_certn_certncredential")

    def test_a_database_that_is_down_leaves_the_token_in_force(self, routed, time_, monkeypatch):
        serve("other")
        get_token()
        time_.pass_(13)

        def down(*args):
            raise OperationalError("connection refused")

        monkeypatch.setattr(CertnCredential.objects, "stored", down)
        assert owner(get_token()) == "other"
        serve("default")
        with pytest.raises(OperationalError):
            get_token()

    def test_an_open_transaction_is_not_shared(self, routed, time_):
        serve("other")
        get_token()
        time_.pass_(13)
        with transaction.atomic(using="other"):
            CertnCredential.objects.update(client_id="uncommitted")
            assert owner(get_token()) == "uncommitted"
            transaction.set_rollback(True, using="other")
        assert owner(get_token()) == "other"


class TestAFunctionOfTheSite:
    """What it returns decides which row the database shows, by row-level security say."""

    @pytest.fixture
    def told(self, settings, new_service):
        """Each tenant has a key of its own, and no row."""
        settings.CERTN_TENANT = "tests.tokens.test_tenants.current"

        def load(name):
            return tokens.tenant.Row(key(name, client_id=tenant.get()), 7)

        process = new_service(load=load, exchange=Issue())
        earlier = tokens.service.install(process.service)
        yield process
        tokens.service.install(earlier)

    def test_who_is_served_gets_its_own(self, told):
        for alias in ("a", "b", "a", "b"):
            serve(alias)
            assert owner(get_token()) == alias
            assert owner(async_to_sync(aget_token)()) == alias
        assert stats().keys() == {"default"}  # the name that `load` put into the key

    def test_threads_and_coroutines(self, told):
        wrong = []

        async def crowd():
            async def request(alias):
                serve(alias)
                return owner(await aget_token()) == alias

            outcomes = await asyncio.gather(*(request(random.choice("abc")) for _ in range(100)))
            wrong.extend(outcome for outcome in outcomes if not outcome)

        def call():
            for _ in range(150):
                serve(random.choice("abc"))
                if owner(get_token()) != tenant.get():
                    wrong.append(tenant.get())

        callers = [threading.Thread(target=call) for _ in range(8)]
        for caller in callers:
            caller.start()
        for _ in range(5):
            async_to_sync(crowd)()
        for caller in callers:
            caller.join(60)
        assert wrong == []

    def test_the_tenant_of_an_instance_is_noted(self, settings, make_credential):
        settings.CERTN_TENANT = "tests.tokens.test_tenants.current"
        serve("a")
        row = make_credential()
        assert verify(row).status != "ok"
        serve("b")
        with pytest.raises(CredentialNotFoundError, match="another tenant"):
            verify(row)

    @pytest.mark.parametrize(
        "path", ["tests.nowhere", "tests.tokens.test_tenants.TENANTS", 7, "broken", "unhashable"]
    )
    def test_one_that_is_wrong_is_misconfigured_everywhere(self, settings, make_credential, path):
        settings.CERTN_ENVIRONMENTS = {"local": {"base_url": "http://127.0.0.1:9"}}
        make_credential()
        if path in ("broken", "unhashable"):
            path = f"tests.tokens.test_tenants.{path}"
        settings.CERTN_TENANT = path
        for call in (get_token, auth_headers, async_to_sync(aget_token)):
            with pytest.raises(CertnConfigurationError, match="CERTN_TENANT"):
                call()
        outcome = verify("default")
        assert (outcome.status, outcome.error_code) == ("misconfigured", "CERTN_TENANT")
        assert CertnCredential.objects.get().name == "default"  # which can be read all the same


class TestASiteWithout:
    def test_nothing_is_asked(self, rowless, monkeypatch):
        monkeypatch.setattr(tenancy, "current", None)
        assert isinstance(get_token(), AccessToken)

    def test_what_has_to_be_asked_follows_the_settings(self, settings, transactional_db):
        assert not tenancy.exists()
        settings.DATABASE_ROUTERS = ["tests.tokens.test_tenants.Router"]
        assert tenancy.exists()
        settings.DATABASE_ROUTERS = []
        assert not tenancy.exists()
        settings.CERTN_TENANT = "tests.tokens.test_tenants.current"
        assert tenancy.exists()

    def test_a_caller_in_a_hurry_waits_no_longer_for_its_tenant(self, routed, owned):
        async def behind_a_long_query():
            async with busy_thread():
                with pytest.raises(CertnUnavailableError, match=r"within 0\.1 seconds"):
                    await aget_token(timeout=0.1)

        asyncio.run(behind_a_long_query())
