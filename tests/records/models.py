"""What another app of a site may encrypt with the same keys, and how its tables may look."""

import uuid

from django.db import models
from encrypted_model_fields.fields import (
    EncryptedBooleanField,
    EncryptedCharField,
    EncryptedDateField,
    EncryptedIntegerField,
    EncryptedTextField,
)


class Kept(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(is_gone=False)


class Person(models.Model):
    """A manager that hides rows, a column of another name, and values that are no text."""

    phone = EncryptedCharField(max_length=50)
    note = EncryptedTextField(null=True, db_column="remarks on them")
    born = EncryptedDateField(null=True)
    visits = EncryptedIntegerField(null=True)  # the package cannot save it on PostgreSQL
    is_vip = EncryptedBooleanField(null=True)
    is_gone = models.BooleanField(default=False)

    objects = Kept()

    class Meta:
        app_label = "records"
        base_manager_name = default_manager_name = "objects"

    def __str__(self) -> str:
        return f"person {self.pk}"


class Employee(Person):
    """A table of its own beside that of the parent."""

    salary = EncryptedCharField(max_length=20)

    class Meta:
        app_label = "records"


class Visitor(Person):
    """The same table by another name."""

    class Meta:
        app_label = "records"
        proxy = True


class Line(models.Model):
    pk = models.CompositePrimaryKey("order", "number")
    order = models.UUIDField(default=uuid.uuid4)
    number = models.IntegerField()
    text = EncryptedTextField()

    class Meta:
        app_label = "records"

    def __str__(self) -> str:
        return f"line {self.number}"


class Ticket(models.Model):
    code = models.UUIDField(primary_key=True, default=uuid.uuid4)
    holder = EncryptedCharField(max_length=50)

    class Meta:
        app_label = "records"

    def __str__(self) -> str:
        return str(self.code)


class Opening(models.Model):
    """A moment as primary key: databases differ most in how they give those back."""

    at = models.DateTimeField(primary_key=True)
    code = EncryptedCharField(max_length=50)

    class Meta:
        app_label = "records"

    def __str__(self) -> str:
        return str(self.at)


class Mirror(models.Model):
    """The table of `Ticket` once more, as another app may see it."""

    code = models.UUIDField(primary_key=True)
    holder = EncryptedCharField(max_length=50)

    class Meta:
        app_label = "records"
        managed = False
        db_table = "records_ticket"

    def __str__(self) -> str:
        return str(self.code)


class Elsewhere(models.Model):
    """No migration makes its table."""

    text = EncryptedTextField()

    class Meta:
        app_label = "records"
        managed = False
        db_table = "records_elsewhere"

    def __str__(self) -> str:
        return str(self.pk)
