"""``python -m django_certn.sandbox``."""

from django_certn.sandbox.command import main

if __name__ == "__main__":
    raise SystemExit(main())
