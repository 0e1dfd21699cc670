"""A check for django-health-check: did each key work when somebody last asked?

It needs that package, which the app does not.
"""

from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseFailure
from django.db import connections, router
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from django_certn.exceptions import TRY_AGAIN, Status
from django_certn.management.report import tally
from django_certn.models import CertnCredential
from django_certn.tokens.lookup import is_missing_table

__all__ = ["CertnCredentials"]


@dataclass
class CertnCredentials(HealthCheck):
    """Fails while an active credential's recorded outcome is another than ``ok``.

    It makes one query and no request to Certn: `certn_check`, run from time to time, finds out and
    records. A credential that was never verified is no failure.

    Args:
        database: the alias of the database that the credentials are stored in; ``None`` for where
            the site writes them, as its router says for the request.
        show_names: whether the message names credentials, twenty at most of each outcome. Whoever
            may open the page reads it.

    Raises:
        ServiceWarning: by `run`: Certn gave no verdict, and another try may end otherwise.
        ServiceUnavailable: by `run`: a key has to be mended, or the database does not answer.
    """

    database: str | None = None
    show_names: bool = field(default=True, repr=False)

    async def run(self) -> None:
        """Read what was recorded, on the thread that Django has for the request."""
        # Its connection is on the schema of the request, and its thread is what routers look at.
        failed = await sync_to_async(self.read)()
        if not failed:
            return
        groups: dict[str, list[str]] = {status: [] for status in Status.values}
        for name, status in failed:
            groups.setdefault(status, []).append(name)
        if self.show_names:
            message = tally(groups)
        else:
            found = (f"{len(names)} {status}" for status, names in groups.items() if names)
            message = f"{', '.join(found)}."
        is_open = all(status in TRY_AGAIN for _name, status in failed)
        raise (ServiceWarning if is_open else ServiceUnavailable)(message)

    def read(self) -> list[tuple[str, str]]:
        """Return the name and the status of each that is not as it should be.

        Raises:
            ServiceUnavailable: they cannot be read. The message holds nothing that a driver says.
        """
        using = self.database or router.db_for_write(CertnCredential)
        if using not in connections:
            raise ServiceUnavailable("There is no such database.")
        rows = CertnCredential._base_manager.using(using).filter(is_active=True)
        rows = rows.exclude(verified_status__in=["", Status.OK]).order_by("name")
        try:
            return list(rows.values_list("name", "verified_status"))
        except DatabaseFailure as error:
            if is_missing_table(error, using):
                message = "The table of django_certn is missing: run migrate."
            else:
                message = f"The database does not give the credentials: {type(error).__name__}."
            raise ServiceUnavailable(message) from error
