"""The package's own field, so that a test can show what our field is for."""

from django.db import models
from encrypted_model_fields.fields import EncryptedCharField


class BareCredential(models.Model):
    name = models.CharField(max_length=100, unique=True, default="default")
    client_secret = EncryptedCharField(max_length=1024)

    class Meta:
        app_label = "bare"

    def __str__(self) -> str:
        return self.name
