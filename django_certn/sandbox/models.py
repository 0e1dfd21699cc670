"""What the sandbox keeps beside the tables of django-oauth-toolkit."""

from datetime import date, timedelta
from typing import ClassVar

from django.db import models

__all__ = ["LIFETIME", "ApiKey"]

# Of an API key (centric-api-docs.certn.co/reference/authentication.md).
LIFETIME = timedelta(days=365)


class ApiKey(models.Model):
    """An API key of CertnCentric: what can be shown of it, and its hash."""

    prefix = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    objects: ClassVar[models.Manager["ApiKey"]] = models.Manager()

    class Meta:
        ordering = ("-created_at", "prefix")

    def __str__(self) -> str:
        return self.prefix

    @property
    def expires_on(self) -> date:
        """The day in UTC on which it ends."""
        return (self.created_at + LIFETIME).date()
