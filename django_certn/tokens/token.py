"""The token, as a caller gets it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from django_certn.secret import MaskedStr
from django_certn.tokens.timing import wall_clock

__all__ = ["AccessToken"]


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A token that Certn issued. It shows its value to nobody who does not ask for it.

    Attributes:
        value: the token, a `str` whose ``repr()`` is masked.
        authorization: what goes into the ``Authorization`` header, ``"Bearer ..."``:
            https://docs.certn.co/api/guides/use-the-api/authorization-header
        base_url: where it may be sent, and nowhere else: scheme, host and path, without a trailing
            slash.
        expires_at: when it ends, an aware `datetime`.
    """

    value: MaskedStr
    base_url: str
    expires_at: datetime
    clock: Callable[[], float] = field(default=wall_clock, compare=False, kw_only=True)
    authorization: MaskedStr = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorization", MaskedStr(f"Bearer {self.value}"))

    @property
    def expires_in(self) -> float:
        """Seconds left; negative when it has ended."""
        return self.expires_at.timestamp() - self.clock()

    def __repr__(self) -> str:
        return f"<AccessToken: ********, expires at {self.expires_at:%Y-%m-%d %H:%M:%S%z}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("An AccessToken cannot be pickled: call get_token() where it is needed.")
