"""What the app tells a site."""

from django.dispatch import Signal

__all__ = ["credential_status_changed", "credential_verified"]

# Sent when a verification is over and, if the row still held the key, recorded; a receiver that
# raises is logged by Django and changes nothing. Receivers get:
#   sender        the class CertnCredential
#   verification  the Verification, a failed one too
#   using         str, the alias of the database that the credential is stored in
credential_verified: Signal = Signal()

# Sent after that when the outcome that was recorded differs from the one before it, which is what
# an alarm needs to know. Of several processes that verify at once, one sends it. Receivers get:
#   sender           the class CertnCredential
#   verification     the Verification
#   previous_status  str, one of `django_certn.exceptions.Status`; "" when the key, or the one that
#                    is stored since, was never verified
#   using            str, the alias of the database that the credential is stored in
credential_status_changed: Signal = Signal()
