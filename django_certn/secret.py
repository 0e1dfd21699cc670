"""What a secret is in memory. Nothing here encrypts or stores."""

from collections.abc import Callable
from contextlib import suppress
from secrets import compare_digest
from typing import Any, Self

from django.core.exceptions import ValidationError

from django_certn.exceptions import CredentialUndecryptableError
from django_certn.masked import MASK, MaskedStr
from django_certn.pasted import CIPHERTEXT_START, clean_text, looks_encrypted

__all__ = ["MASK", "PLAINTEXT", "MaskedStr", "Secret", "UndecryptableSecret"]

PLAINTEXT = "plaintext"  # the error code of a secret that is stored as plain text


class Secret:
    """What a credential's secret reads as: no `str`, so that it shows in nothing that takes text.

    ``str()``, ``format()`` and ``repr()`` give asterisks; JSON, ``len()``, ``+`` and headers raise
    `TypeError`. It is equal to its text (in constant time) and to nothing of another type, hashes
    as its text, and is false when it is empty. `reveal` gives the text.

    It pickles as ciphertext, by what `django_certn.fields` registers; without that, not at all.
    """

    # No attribute holds the text, nor a property: many tools walk through those of any object.
    __slots__ = ("__weakref__", "_held")

    def __init__(
        self, text: str = "", column: str | None = None, *, is_new: bool | None = None
    ) -> None:
        """Hold a text.

        Args:
            text: the secret.
            column: the text of the column that it was read from.
            is_new: whether somebody gave it. Unless this says otherwise: where there is no column.
        """
        self._held = hold(text, column, column is None if is_new is None else is_new)

    def reveal(self) -> MaskedStr:
        """Return the text, a `str`, ``""`` of an empty secret.

        Raises:
            CredentialUndecryptableError: no key of ``FIELD_ENCRYPTION_KEY`` opens what is stored,
                or it is stored as plain text.
        """
        return self._held()[0]

    def column(self) -> MaskedStr | None:
        """Return the text of the column that it was read from, ``None`` when it was not read."""
        return self._held()[1]

    @property
    def is_new(self) -> bool:
        """Whether somebody gave it, and it was not stored since."""
        return self._held()[2]

    def as_stored(self) -> "Secret":
        """Return it as it is after it was saved."""
        return Secret(self.reveal(), is_new=False) if self.is_new else self

    def _parts(self) -> tuple[bool, MaskedStr]:
        return True, self.reveal()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            theirs: tuple[bool, str] = True, other
        elif isinstance(other, Secret):
            theirs = other._parts()
        else:
            return NotImplemented
        mine = self._parts()
        return mine[0] == theirs[0] and compare_digest(to_bytes(mine[1]), to_bytes(theirs[1]))

    def __hash__(self) -> int:
        return hash(self._parts()[1])

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {MASK}>"

    __sentry_repr__ = __repr__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(
            f"A {type(self).__name__} cannot be pickled: a pickle would hold it as plain text."
        )


class UndecryptableSecret(Secret):
    """What is in the column when it is not the ciphertext of a secret: never taken for the secret.

    It is false, and equal to no text; saving leaves what is stored unchanged. The column may hold
    plain text, put there before it was encrypted or by a hand-written statement, so that is never
    shown either.
    """

    __slots__ = ()

    def __init__(self, column: str) -> None:
        """Hold the text of the column."""
        super().__init__("", column)

    def reveal(self) -> MaskedStr:
        """Raise `CredentialUndecryptableError`, which says what to do."""
        raise self.error()

    def error(self, name: str = "") -> CredentialUndecryptableError:
        """Return the error of whoever needs the text of it; ``name`` is the credential's."""
        of = f" of {name!r}" if name else ""
        if self.plain_text() is None:
            return CredentialUndecryptableError(
                f"The secret{of} cannot be read with FIELD_ENCRYPTION_KEY: put the "
                "earlier encryption key back, behind the one in force. Only if that is lost: enter "
                "the pair or the API key again or, if nobody has it, a new pair or API key from "
                "Certn."
            )
        return CredentialUndecryptableError(
            f"The secret{of} is stored as plain text, and not used: run manage.py "
            "certn_reencrypt --encrypt-plaintext. Whoever could read the database may know it: "
            "plan to replace it."
        )

    @property
    def error_code(self) -> str:
        """``"plaintext"`` where the column holds a secret as plain text, else ``""``."""
        return "" if self.plain_text() is None else PLAINTEXT

    def for_another_row(self) -> Secret:
        """Return what another row may be given: its plain text as a secret to be encrypted."""
        return self if looks_encrypted(self.column()) else Secret(self.column(), self.column())

    def column(self) -> MaskedStr:
        """Return the text of the column."""
        return self._held()[1] or MaskedStr()

    def plain_text(self) -> MaskedStr | None:
        """Return the secret that the column holds as plain text, or ``None`` when it holds none.

        What cannot be a secret is none; neither is ciphertext with something around it, such as
        the quotes that a hand-written statement left there.
        """
        if CIPHERTEXT_START in self.column():
            return None
        with suppress(ValidationError):
            return clean_text(self.column())
        return None

    def _parts(self) -> tuple[bool, MaskedStr]:
        return False, self.column()

    def __bool__(self) -> bool:
        return False


Held = tuple[MaskedStr, MaskedStr | None, bool]


def hold(text: str, column: str | None, is_new: bool) -> Callable[[], Held]:
    held = MaskedStr(text), None if column is None else MaskedStr(column), is_new
    return lambda: held


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
