"""What may be assigned to a field of a row, and what a row has there.

For type checkers alone: mypy learns it from a plugin, others do not.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from django.db import models
    from django.db.models.expressions import Combinable

    from django_certn.secret import Secret

    Day = models.DateField[date | str | Combinable | None, date | None]
    HttpStatus = models.PositiveSmallIntegerField[int | Combinable | None, int | None]
    MaybeTime = models.DateTimeField[datetime | Combinable | None, datetime | None]
    SecretField = models.Field[Secret | str, Secret]
    Switch = models.BooleanField[bool | Combinable, bool]
    Text = models.CharField[str | Combinable, str]
    Time = models.DateTimeField[datetime | Combinable, datetime]
