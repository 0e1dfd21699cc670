"""A `str` for what has to be one and must not be shown."""

from collections.abc import Callable, Iterator
from typing import Any, Self

__all__ = ["MASK", "MaskedStr"]

MASK = "********"


class MaskedStr(str):
    """A `str` equal to its text, whose ``repr()`` is masked; so is that of each part of it.

    For what has to be a `str`: tokens, since HTTP clients insist, and what a form was sent. Many
    tools shorten a value before they show it, and a slice of a plain subclass of `str` is a `str`.
    What is made of it by an f-string among other text, or by ``encode()``, is masked no more. Its
    lines, by ``splitlines()``, are asterisks.

    It pickles as ciphertext, by what `django_certn.fields` registers; without that, not at all.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {MASK}>"

    # Where sentry-sdk shows a string as it is: in breadcrumbs and in the extra data of a log line.
    __sentry_repr__ = __repr__

    def __str__(self) -> Self:
        return self

    def __iter__(self) -> Iterator[str]:
        return map(MaskedStr, super().__iter__())

    def splitlines(self, keepends: bool = False) -> list[str]:
        """Return asterisks for each line: pytest and difflib put the lines into what they show."""
        return [MASK + "\n" * keepends for _ in super().splitlines()]

    def __radd__(self, other: object) -> "MaskedStr":
        return MaskedStr(str.__add__(other, self)) if isinstance(other, str) else NotImplemented

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(
            f"A {type(self).__name__} cannot be pickled: a pickle would hold it as plain text."
        )


def masked(value: Any) -> Any:
    if isinstance(value, str):
        return MaskedStr(value)
    if isinstance(value, list | tuple):
        return type(value)(map(masked, value))
    return value  # NotImplemented


def masking(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def of_masked(self: MaskedStr, *args: Any, **kwargs: Any) -> Any:
        return masked(method(self, *args, **kwargs))

    of_masked.__name__, of_masked.__doc__ = name, method.__doc__
    return of_masked


# Whatever makes text of a str.
for name in (
    *("__add__", "__format__", "__getitem__", "__mod__", "__mul__", "__rmod__", "__rmul__"),
    *("capitalize", "casefold", "center", "expandtabs", "format", "format_map", "join", "ljust"),
    *("lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rjust"),
    *("rpartition", "rsplit", "rstrip", "split", "strip", "swapcase", "title"),
    *("translate", "upper", "zfill"),
):
    setattr(MaskedStr, name, masking(name))
