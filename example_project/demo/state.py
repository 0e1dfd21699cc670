"""What the demo makes for itself and keeps: keys and a password, in a folder that git ignores."""

import base64
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

FOLDER = Path(
    os.environ.get("CERTN_DEMO_DIR") or Path(__file__).resolve().parent.parent / ".demo"
).absolute()
ENVIRONMENT = FOLDER / "environment"


def make() -> None:
    """Make the folder, and once in its life the variables that the site's settings ask for."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    FOLDER.chmod(0o700)
    if ENVIRONMENT.exists():
        return
    variables = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        # What Fernet.generate_key() returns.
        "FIELD_ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "EXAMPLE_DEBUG": "1",
        "DEMO_PASSWORD": secrets.token_urlsafe(12),
    }
    # Complete, and readable by its owner alone, before it has its name. Of two demos that begin at
    # once, one gives it the name, and both go on with the same keys.
    descriptor, name = tempfile.mkstemp(dir=FOLDER)
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())
        give_name(made)
    finally:
        made.unlink(missing_ok=True)


def give_name(made: Path) -> None:
    try:
        ENVIRONMENT.hardlink_to(made)
    except FileExistsError:
        pass
    except OSError:
        # A file system that has no links, such as a memory stick's.
        with suppress(FileExistsError):  # as Windows says it
            made.rename(ENVIRONMENT)


def load() -> None:
    """Add what a demo has made to the environment. What is set there already has the last word."""
    with suppress(FileNotFoundError):
        for line in ENVIRONMENT.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            os.environ.setdefault(name, value)
