"""Which tenant is served now, where a site has several: read anew at each call, never remembered.

A tenant is whatever decides which row a name stands for: the database that a router names, the
schema that the connection is on (django-tenants), or what the function in ``CERTN_TENANT`` returns.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Self

from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model

from django_certn.conf import conf
from django_certn.exceptions import CertnConfigurationError, CredentialNotFoundError

__all__ = ["UNKNOWN", "OfTenant", "Tenant", "current", "database_of", "exists", "label"]

FOLLOWED_SETTINGS = {"DATABASES", "DATABASE_ROUTERS", "CERTN_TENANT"}


class Tenant(NamedTuple):
    """A tenant, by all that tells it from others.

    Attributes:
        using: the alias of the database that a router names, ``""`` without such a router.
        schema: the schema that the connection is on, ``""`` where connections have none.
        own: what the function in ``CERTN_TENANT`` returned, ``None`` without one.
    """

    using: str = ""
    schema: str = ""
    own: Hashable = None


# Of a row that was read where nobody could say which tenant is served: equal to no other.
UNKNOWN = Tenant(own=object())


class Sources(NamedTuple):
    """What has to be asked on this site; nothing at all on most."""

    routers: bool
    schemas: bool
    own: Callable[[], object] | None


_sources: Sources | None = None


def sources() -> Sources:
    """Return what has to be asked, which is found out once for the settings in force.

    Raises:
        CertnConfigurationError: ``CERTN_TENANT`` cannot be imported or called.
    """
    global _sources  # noqa: PLW0603 - the settings of a process are global too
    if _sources is None:
        _sources = Sources(
            any(hasattr(each, "db_for_write") for each in router.routers),
            any(hasattr(connections[alias], "schema_name") for alias in connections),
            conf.CERTN_TENANT,
        )
    return _sources


def forget_sources(*, setting: str, **kwargs: object) -> None:
    global _sources  # noqa: PLW0603
    if setting in FOLLOWED_SETTINGS:
        _sources = None


setting_changed.connect(forget_sources, dispatch_uid="django_certn.tenancy")


def exists() -> bool:
    """Return whether this site has tenants.

    Raises:
        CertnConfigurationError: ``CERTN_TENANT`` cannot be imported or called.
    """
    found = _sources or sources()
    return found.routers or found.schemas or found.own is not None


def current(model: type[Any], alias: str | None = None) -> Tenant | None:
    """Return the tenant that this thread and this context serve now, ``None`` on a site without.

    Args:
        model: whose rows are asked for.
        alias: the database that a row was read from; ``None`` for the one to read from.

    Raises:
        CertnConfigurationError: ``CERTN_TENANT`` cannot be used, or its function failed.
    """
    routers, schemas, own = _sources or sources()
    if not (routers or schemas or own):
        return None
    using = router.db_for_write(model) if routers else ""
    schema = ""
    if schemas:
        connection = connections[alias or using or DEFAULT_DB_ALIAS]
        schema = getattr(connection, "schema_name", None) or ""
    return Tenant(using, schema, None if own is None else ask(own))


class OfTenant:
    """What a model takes on whose rows note the tenant that was served when they were read.

    In two schemas two rows have the same alias and primary key, so a row that was read under one
    tenant must not stand for anything under another.
    """

    _tenant: Tenant | None = None

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        row: Self = super().from_db(*args, **kwargs)  # type: ignore[misc]
        row.note_tenant()
        return row

    def refresh_from_db(self, using: Any = None, fields: Any = None, *args: Any, **kw: Any) -> None:
        super().refresh_from_db(using, fields, *args, **kw)  # type: ignore[misc]
        if fields is None:
            self.note_tenant()

    def note_tenant(self) -> None:
        """Note which tenant is served while the row is read or stored."""
        row: Any = self
        try:
            self._tenant = current(type(row), row._state.db)
        except Exception:  # noqa: BLE001 - a router, or CERTN_TENANT; using the row raises it
            self._tenant = UNKNOWN

    def check_tenant(self) -> Tenant | None:
        """Return the tenant that the row was read under, which is served now as well.

        Raises:
            CredentialNotFoundError: another tenant is served now.
            CertnConfigurationError: ``CERTN_TENANT`` cannot be used.
        """
        row: Any = self
        now = current(type(row), row._state.db)
        if now != self._tenant:
            raise CredentialNotFoundError(
                f"The Certn credential {row.name!r} was read under another tenant: read it again "
                "under the one that is served now."
            )
        return now


def database_of(row: Model) -> str:
    """Return the database in which a row stands for itself.

    It is the one that the row was read from, though a router would name another, for there the same
    primary key may be somebody else's. Of a replica, which may be behind, it is the one that the
    router writes to.
    """
    came_from, model = row._state.db or DEFAULT_DB_ALIAS, type(row)
    written: str = router.db_for_write(model, instance=row)
    read = router.db_for_read(model)
    if came_from in (written, read):
        return written
    if read == router.db_for_write(model):
        return came_from
    # Of several replicas. Whether two databases hold the same rows is what this says.
    there = model()
    there._state.db = written
    return written if router.allow_relation(row, there) else came_from


def ask(own: Callable[[], object]) -> Hashable:
    problem = ""
    try:
        tenant = own()
        hash(tenant)
    except Exception as error:  # noqa: BLE001 - the site's own code
        problem = type(error).__name__
    if problem:
        raise CertnConfigurationError(
            f"The function that CERTN_TENANT names failed ({problem}): it takes no arguments and "
            "returns something hashable."
        )
    return tenant


def label(name: str, tenant: Tenant | None) -> str:
    """Return a name for the log and for `stats`: ``tenant:name`` where there are tenants."""
    if tenant is None or tenant is UNKNOWN:
        return name
    parts = [str(part) for part in tenant if part not in ("", None)]
    return f"{'/'.join(parts)}:{name}"
