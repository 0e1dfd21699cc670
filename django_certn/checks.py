"""System checks: what a site gets wrong and does not notice until a secret is lost or shown.

Their ids are in the README, and none is ever used again for something else. No message holds an
encryption key, a secret, or what a column holds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.cache import caches
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.db import Error as DatabaseFailure
from django.db import connections, router

from django_certn.conf import conf, parse_environment
from django_certn.encryption_key import mistakes, places_to_respell
from django_certn.exceptions import CertnConfigurationError
from django_certn.expiry import ends_soon
from django_certn.models import CertnCredential
from django_certn.secret import UndecryptableSecret

__all__ = [
    "TAG",
    "check_cache_in_requests",
    "check_cache_is_shared",
    "check_encryption_key",
    "check_ends",
    "check_environments",
    "check_settings",
    "check_stored_secrets",
]

TAG = "django_certn"  # manage.py check --tag django_certn
NAMED = 20  # how many credentials one message names


def check_encryption_key(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find what is wrong with the encryption key, in the words that keep a site from starting."""
    errors = [
        Error(
            mistake.problem,
            hint=mistake.remedy,
            id="django_certn.E002" if mistake.is_unsplit else "django_certn.E001",
        )
        for mistake in mistakes()
    ]
    warnings = [
        Warning(
            f"{place} holds a character that is none of URL-safe base64, and that newer Pythons "
            "will not read.",
            hint="Write each + in it as - and each / as _. It stays the same encryption key, and "
            "all that is stored stays readable.",
            id="django_certn.W007",
        )
        for place in places_to_respell()
    ]
    return [*errors, *warnings]


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find settings of a wrong type, and environments that cannot be used."""
    return [
        # The error says what to do.
        Error(str(error), id=check_id)
        for check_id, error in settings_errors()
    ]


def settings_errors() -> Iterator[tuple[str, CertnConfigurationError]]:
    try:
        environments = conf.CERTN_ENVIRONMENTS
    except CertnConfigurationError as error:
        environments = {}
        yield "django_certn.E003", error
    for slug, entry in environments.items():
        try:
            parse_environment(slug, entry)
        except CertnConfigurationError as error:
            yield "django_certn.E004", error
    try:
        _ = conf.CERTN_CACHE_ALIAS
    except CertnConfigurationError as error:
        yield "django_certn.E005", error
    try:
        _ = conf.CERTN_REQUEST_TIMEOUT
    except CertnConfigurationError as error:
        yield "django_certn.E006", error
    try:
        _ = conf.CERTN_TENANT
    except CertnConfigurationError as error:
        yield "django_certn.E007", error


def check_stored_secrets(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Find rows whose secret cannot be read; only in the databases that the caller names."""
    return [message for alias in databases or () for message in judge_rows(alias)]


def judge_rows(alias: str) -> Iterator[CheckMessage]:
    undecryptable: list[str] = []
    plain: list[str] = []
    try:
        for name, secret in read_rows(alias):
            if isinstance(secret, UndecryptableSecret):
                (undecryptable if secret.plain_text() is None else plain).append(name)
    except DatabaseFailure:
        return  # the database raises it for whoever needs it
    if undecryptable:
        yield Warning(
            "No encryption key in FIELD_ENCRYPTION_KEY opens the secrets of these Certn "
            f"credentials in the database {alias!r}: {listed(undecryptable)}.",
            hint="Put the earlier encryption key back, behind the one in force; what is stored is "
            "untouched. Only if that is lost: enter the pair or the API key again or, if nobody "
            "has it, a new pair or API key from Certn.",
            id="django_certn.W001",
        )
    if plain:
        yield Warning(
            f"The secrets of these Certn credentials are in the database {alias!r} as plain text, "
            f"and are not used: {listed(plain)}.",
            hint=f"Run manage.py certn_reencrypt --encrypt-plaintext --database {alias}. "
            "Whoever could read the database, or a backup of it, may know them: plan to replace "
            "them. At Certn, refresh keys ends the pair for every system that uses it; a new API "
            "key ends none.",
            id="django_certn.W002",
        )


def check_environments(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Find rows whose environment left the settings; only in the databases that are named."""
    try:
        known = set(conf.CERTN_ENVIRONMENTS)
    except CertnConfigurationError:
        return []  # django_certn.E003
    return [message for alias in databases or () for message in judge_environments(alias, known)]


def judge_environments(alias: str, known: set[str]) -> Iterator[CheckMessage]:
    connection, table = connections[alias], CertnCredential._meta.db_table
    rows = CertnCredential._base_manager.using(alias).exclude(environment__in=known)
    try:
        if not has_column(connection, table, "environment"):
            return
        found = list(rows.order_by("environment", "name").values_list("environment", "name"))
    except DatabaseFailure:
        return  # the database raises it for whoever needs it
    if found:
        slugs = listed(sorted({slug for slug, _name in found}))
        yield Warning(
            f"These Certn credentials in the database {alias!r} are of environments that are not "
            f"in the settings ({slugs}), so none of them can be used: "
            f"{listed([name for _slug, name in found])}.",
            hint="Put each environment back into CERTN_ENVIRONMENTS; or choose another one in the "
            "admin, and enter the key that was made there; or, if nobody needs its key any more, "
            "delete the credential.",
            id="django_certn.W005",
        )


def check_ends(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Find API keys that end within 30 days; only in the databases that the caller names."""
    return [message for alias in databases or () for message in judge_ends(alias)]


def judge_ends(alias: str) -> Iterator[CheckMessage]:
    connection, table = connections[alias], CertnCredential._meta.db_table
    rows = CertnCredential._base_manager.using(alias).filter(is_active=True).order_by("name")
    try:
        # Before the migrations of this version, which run this check themselves, there is no such
        # column. Asking for it first keeps a transaction that is open usable.
        if not has_column(connection, table, "expires_on"):
            return
        ends = {
            name: day
            for name, day in rows.values_list("name", "expires_on")
            if day is not None and ends_soon(day)
        }
    except DatabaseFailure:
        return  # the database raises it for whoever needs it
    if ends:
        named, first = listed(list(ends)), min(ends.values())
        yield Warning(
            f"The API keys of these Certn credentials in the database {alias!r} end within 30 "
            f"days or have ended: {named}; the first on {first} (UTC).",
            hint="Make a new API key in Certn's Client Portal, enter it wherever the old one is "
            "used, and revoke the old one only then: several may be active at once.",
            id="django_certn.W006",
        )


def has_column(connection: Any, table: str, column: str) -> bool:
    if table not in connection.introspection.table_names():
        return False
    with connection.cursor() as cursor:
        there = connection.introspection.get_table_description(cursor, table)
    return column in {description.name for description in there}


def read_rows(alias: str) -> Iterator[tuple[str, Any]]:
    # Before the first `migrate`, which runs this check itself, there is no table. Asking for it
    # first keeps a transaction that is open usable.
    connection, model = connections[alias], CertnCredential
    if model._meta.db_table in connection.introspection.table_names():
        rows = model._base_manager.using(alias).order_by("name")
        yield from rows.values_list("name", "client_secret").iterator()


def listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def check_cache_is_shared(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find a token cache that each process has for itself."""
    cache = token_cache()
    if not isinstance(cache, LocMemCache | DummyCache):
        return []
    return [
        Warning(
            f"{type(cache).__name__} holds the tokens of Certn: processes do not share it, "
            "so each of them fetches tokens of its own.",
            hint="Let CERTN_CACHE_ALIAS name a cache that they share, such as Redis or Memcached.",
            id="django_certn.W003",
        )
    ]


def check_cache_in_requests(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find a token cache in a database that requests keep from answering it."""
    cache = token_cache()
    if not isinstance(cache, BaseDatabaseCache):
        return []
    alias = router.db_for_write(cache.cache_model_class)
    settings_dict = connections[alias].settings_dict
    problem = ""
    if settings_dict["ATOMIC_REQUESTS"]:
        problem = (
            "ATOMIC_REQUESTS. They are read and written on a second connection, outside of the "
            "request's transaction, so nothing is lost when that is rolled back. But they wait for "
            "what the request has locked, while the request waits for them: on SQLite the whole "
            "database, elsewhere the rows of a cache that it has cleared."
        )
    elif settings_dict.get("OPTIONS", {}).get("pool"):
        problem = (
            "a connection pool. They are read and written on a connection of their own, and wait "
            "for one while requests that wait for a token hold all that the pool has."
        )
    if not problem:
        return []
    return [
        Warning(
            f"The tokens of Certn are in a cache in the database {alias!r}, which has {problem} "
            "After some seconds the cache is left alone for a while, and each process fetches "
            "tokens of its own.",
            hint="Let CERTN_CACHE_ALIAS name another cache, such as Redis, Memcached or files.",
            id="django_certn.W004",
        )
    ]


def token_cache() -> object:
    try:
        return caches[conf.CERTN_CACHE_ALIAS]
    except CertnConfigurationError:
        return None  # django_certn.E005
