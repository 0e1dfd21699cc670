"""What the app tells a site."""

from django.dispatch import Signal

__all__ = ["credential_verified"]

# Sent when a verification is over and, if the row still held the key, recorded; a receiver that
# raises is logged by Django and changes nothing. Receivers get:
#   sender        the class CertnCredential
#   verification  the Verification, a failed one too
#   using         str, the alias of the database that the credential is stored in
credential_verified = Signal()
