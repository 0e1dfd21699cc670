"""How ``certn_set_key`` is called, and where it takes a secret from.

Never from an argument: the list of processes and the shell's history show those. No error that is
raised here passes a frame that holds the secret, nor names what was read.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError

from django_certn.conf import Scheme, environment_choices, scheme_of
from django_certn.keys import validate_client_id
from django_certn.management.base import WRONG_CALL, Problem
from django_certn.models import CertnCredential
from django_certn.pasted import clean_pasted, clean_secret
from django_certn.secret import MaskedStr, Secret

__all__ = ["ParsedLine", "fault_of", "lines_of", "read_secret", "refuse_wrong_call"]

MOST = 64 * 1024  # bytes; far more than a secret has, and no file of gigabytes is read
OF_ONE = ("environment", "client_id", "secret_file", "secret_env", "expires_on")
MEMBERS = {"name", "environment", "client_id", "client_secret", "expires_on"}


class ParsedLine(NamedTuple):
    """A line of JSON: its number, and the credential that it describes, or why it does not."""

    number: int
    row: CertnCredential | None
    fault: str = ""


def fault_of(row: CertnCredential) -> str:
    """Return why a credential cannot be stored, ``""`` if it can; it is cleaned on the way."""
    if row.environment not in dict(environment_choices()):
        # What stands there may be the secret, of somebody who took one column for another.
        return f"environment: it is one of {', '.join(dict(environment_choices()))}."
    if row.expires_on and scheme_of(row.environment) == Scheme.OAUTH:
        return "expires_on: a Client Secret does not end, only an API key does."
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        return " ".join(
            f"{'client_id' if field == '__all__' else field}: {' '.join(messages)}"
            for field, messages in error.message_dict.items()
        )
    return ""


def refuse_wrong_call(options: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        Problem: with what is wrong.
    """
    fault = ""
    if options["from_jsonl"] is not None:
        given = [option(name) for name in OF_ONE if options[name] is not None]
        if options["name"] is not None or given:
            given = given if options["name"] is None else ["NAME", *given]
            fault = f"With --from-jsonl, leave out {' and '.join(given)}: the lines say that."
    elif options["name"] is None:
        fault = "Name the credential, or a file of JSON lines by --from-jsonl."
    elif options["environment"] is None:
        fault = "Say by --environment where the key was made."
    else:
        fault = fault_of_one(options)
    if fault:
        raise Problem("wrong_call", fault, WRONG_CALL)


def fault_of_one(options: dict[str, Any]) -> str:
    environment, scheme = options["environment"], scheme_of(options["environment"])
    if scheme is None:
        return f"The environment is one of {', '.join(dict(environment_choices()))}."
    if options["secret_file"] is not None and options["secret_env"] is not None:
        return "There is one secret: give --secret-file or --secret-env."
    if options["expires_on"] and scheme == Scheme.OAUTH:
        return f"A key of {environment} does not end: leave --expires-on out."
    try:
        validate_client_id(clean_pasted(options["client_id"] or ""), scheme)
    except ValidationError as error:
        return f"--client-id: {' '.join(error.messages)}"
    return ""


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_terminal() -> bool:
    """Return whether a person types at standard input."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def read_secret(label: str, *, path: str | None, variable: str | None) -> Secret:
    """Read a secret: from a file, a variable of the environment, a prompt, or standard input.

    Args:
        label: what the prompt asks for.
        path: of the file.
        variable: the name of the variable.

    Raises:
        Problem: there is none, or what is there cannot be one.
    """
    if path is not None:
        where = "in the file that --secret-file names"
        found = read_file(path)
    elif variable is not None:
        where = "in the variable that --secret-env names"
        found = MaskedStr(os.environ.get(variable, ""))
    elif is_terminal():
        where = "typed"
        found = ask(label)
    else:
        where = "on standard input"
        found = read_stdin()
    fault = ""
    if not clean_pasted(found):
        raise Problem("wrong_call", f"There is no secret {where}.", WRONG_CALL)
    try:
        return Secret(clean_secret(found))
    except ValidationError as error:
        fault = " ".join(error.messages)
    del found  # a tracker reads the variables of each frame that an error passes
    raise Problem("wrong_call", f"The secret {where}: {fault}", WRONG_CALL)


def ask(label: str) -> MaskedStr:
    message = "What is typed at this terminal cannot be hidden: pipe the secret, or use a file."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)
            return MaskedStr(getpass(f"{label}: "))
    except EOFError:
        return MaskedStr()
    except UnicodeDecodeError:  # which holds what was typed
        message = "The secret typed is not text: only printable ASCII can be part of one."
    except GetPassWarning:
        pass  # here, nothing was typed yet
    raise Problem("wrong_call", message, WRONG_CALL)


def read_file(path: str) -> MaskedStr:
    reason = "Is it a text file in UTF-8?"
    try:
        with Path(path).open("rb") as file:
            content = decoded(file.read(MOST))
    except (OSError, ValueError) as error:
        content = None
        reason = f"{getattr(error, 'strerror', None) or 'There is no such file'}."
    if content is None:
        # Not the path: it is the secret, of somebody who took this option for another.
        message = f"The file that --secret-file names cannot be read. {reason}"
        raise Problem("wrong_call", message, WRONG_CALL)
    return content


def read_stdin() -> MaskedStr:
    content: MaskedStr | None = MaskedStr()
    if sys.stdin is not None and not sys.stdin.closed:
        buffer = getattr(sys.stdin, "buffer", None)
        with suppress(OSError):  # it can only be written, as nohup has it
            read = buffer.read(MOST) if buffer else sys.stdin.read(MOST)
            content = decoded(read) if isinstance(read, bytes) else MaskedStr(read)
            del read
    if content is None:
        message = "What came on standard input is not text in UTF-8."
        raise Problem("wrong_call", message, WRONG_CALL)
    return content


def decoded(content: bytes) -> MaskedStr | None:
    try:
        return MaskedStr(content.decode("utf-8-sig"))
    except UnicodeDecodeError:  # which holds the content
        return None


def lines_of(path: str) -> list[ParsedLine]:
    """Read the credentials of a file of JSON lines, ``-`` for standard input.

    Raises:
        Problem: it cannot be read, or there is no line in it.
    """
    reason = ""
    try:
        if path != "-":
            content = Path(path).read_bytes()
        elif sys.stdin is None:
            reason = "There is no standard input: pipe the lines, or name a file."
        elif is_terminal():
            reason = "Standard input is a terminal: pipe the lines, or name a file."
        else:
            buffer = getattr(sys.stdin, "buffer", None)
            content = buffer.read() if buffer else sys.stdin.read().encode()
    except (OSError, ValueError) as error:
        reason = f"What --from-jsonl names cannot be read: {getattr(error, 'strerror', error)}."
    if reason:
        raise Problem("wrong_call", reason, WRONG_CALL)
    found = list(parse(content))
    del content
    if not found:
        raise Problem("wrong_call", "What --from-jsonl names has no line.", WRONG_CALL)
    return found


def parse(content: bytes) -> Iterator[ParsedLine]:
    """Yield the lines, bad ones too; of two with one name, the second is bad."""
    numbers: dict[str, int] = {}
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        row, fault = parse_line(raw)
        if row is not None and (first := numbers.setdefault(row.name, number)) != number:
            row, fault = None, f"line {first} is of the same name."
        yield ParsedLine(number, row, fault)


def parse_line(raw: bytes) -> tuple[CertnCredential | None, str]:
    text = decoded(raw)
    if text is None:
        return None, "not text in UTF-8."
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # whose `doc` is the line
        return None, "not JSON."
    if not isinstance(found, dict):
        return None, "not a JSON object."
    members = {name: MaskedStr(v) if isinstance(v, str) else v for name, v in found.items()}
    del found
    if members.keys() - MEMBERS:
        return None, f"it has other members than {', '.join(sorted(MEMBERS))}."
    return row_of_members(members)


def row_of_members(members: dict[str, Any]) -> tuple[CertnCredential | None, str]:
    for name, value in members.items():
        if not isinstance(value, str) and not (value is None and name in OPTIONAL):
            return None, f"{name}: not a string."
    for name in sorted(MEMBERS - OPTIONAL):
        if not members.get(name):
            return None, f"{name}: missing."
    end = None
    if members.get("expires_on"):
        try:
            end = date.fromisoformat(members["expires_on"])
        except ValueError:
            return None, "expires_on: not a date such as 2027-01-31."
    fields = {name: str.__str__(members.get(name) or "") for name in NAMES}
    try:
        secret = clean_secret(members["client_secret"])
    except ValidationError as error:
        return None, f"client_secret: {' '.join(error.messages)}"
    row = CertnCredential(client_secret=secret, expires_on=end, **fields)
    fault = fault_of(row)
    return (None, fault) if fault else (row, "")


NAMES = ("name", "environment", "client_id")
OPTIONAL = {"client_id", "expires_on"}
