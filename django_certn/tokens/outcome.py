"""What is asked of a renewal, and what it brought."""

from dataclasses import dataclass

from django_certn.keys import Key
from django_certn.tokens.held import HeldToken
from django_certn.tokens.known import Failure

__all__ = ["Outcome", "Request"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt to get a token brought: the token, or why there is none.

    Attributes:
        is_final: no token that lives longer is to be had now.
        was_cut: it ran out of the time that the caller who began it had left, which says nothing
            to the others.
    """

    token: HeldToken | None = None
    failure: Failure | None = None
    is_final: bool = False
    was_cut: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        key: whose token.
        slot: of that key.
        min_validity: seconds that the token has to live.
        deadline: when to give up, on the monotonic clock.
        is_background: nobody waits; renew a token that is due. Who waits for a token takes one
            that is due and leaves its renewal to the next look.
    """

    key: Key
    slot: str
    min_validity: float
    deadline: float
    is_background: bool = False
