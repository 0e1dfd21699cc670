#!/usr/bin/env python3
"""Django's command line for this site, and `manage.py demo`, which needs nothing set up."""

import os
import sys


def main() -> int:
    # Not setdefault(): a shell that works on another site has this variable set for that one.
    os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"

    if sys.argv[1:2] == ["demo"]:
        from demo.command import main as demo

        return demo(sys.argv[2:])

    from demo import state
    from django.core.management import execute_from_command_line

    # After a demo, the other commands work on its database.
    state.load()
    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
