"""The token, as a caller gets it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from django.utils import timezone

from django_certn.secret import MaskedStr

__all__ = ["AccessToken"]


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A token that Certn issued. It shows its value to nobody who does not ask for it.

    Attributes:
        value: the token, a `str` whose ``repr()`` is masked.
        authorization: what goes into the ``Authorization`` header, ``"Bearer ..."``:
            https://docs.certn.co/api/guides/use-the-api/authorization-header
        expires_at: when it ends, an aware `datetime`.
    """

    value: MaskedStr
    expires_at: datetime
    authorization: MaskedStr = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorization", MaskedStr(f"Bearer {self.value}"))

    @property
    def expires_in(self) -> float:
        """Seconds left; negative when it has ended."""
        return (self.expires_at - timezone.now()).total_seconds()

    def __repr__(self) -> str:
        return f"<AccessToken: ********, expires at {self.expires_at:%Y-%m-%d %H:%M:%S%z}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("An AccessToken cannot be pickled: call get_token() where it is needed.")
