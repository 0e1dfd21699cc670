"""How the sandbox keeps secrets."""

from django.contrib.auth.hashers import BasePasswordHasher, PBKDF2PasswordHasher

from django_certn.sandbox import PREFIX

__all__ = ["AnySandboxSecretHasher", "OneRoundHasher"]


class OneRoundHasher(PBKDF2PasswordHasher):
    """PBKDF2 with one round instead of a million.

    A secret is hashed on every token request. The rounds slow down guessing, and nobody guesses 32
    random bytes; with them a token would take half a second.
    """

    iterations = 1


class AnySandboxSecretHasher(BasePasswordHasher):
    """Takes any secret that begins with ``sandbox-``: how the magic Client IDs are stored."""

    algorithm = "any-sandbox-secret"

    def encode(self, password: str, salt: str) -> str:
        """Return the one value that stands for all of them."""
        return f"{self.algorithm}$"

    def verify(self, password: str, encoded: str) -> bool:
        """Return whether ``password`` begins as the sandbox's secrets do."""
        return password.startswith(PREFIX)

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Do nothing: there is no secret whose length could be guessed by the clock."""
