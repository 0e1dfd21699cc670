"""What a verification takes, beside an exchange; the service of a test has a backend of its own."""

from django_certn.keys import Key
from django_certn.models import CertnCredential
from django_certn.tokens.exchange import check_api_key
from django_certn.tokens.tenant import Name

__all__ = ["VerificationBackend"]


class VerificationBackend:
    """Finds the row, reads its key, and asks Certn about an API key."""

    def stored(self, name: Name, using: str | None = None) -> CertnCredential:
        return CertnCredential.objects.db_manager(using).stored(name)

    def key_of(self, row: CertnCredential) -> Key:
        return row.key()

    def check_api_key(self, key: Key, timeout: float) -> int:
        return check_api_key(key, timeout=timeout)
