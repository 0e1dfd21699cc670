"""The sandbox as the demo's companion: it ends when the demo does, even when that is killed.

The demo holds the other end of this process's standard input and never writes to it. However the
demo ends, the system closes that end, and the read below returns.
"""

import os
import signal
import sys
import threading

from django_certn.sandbox.command import main


def end_with_the_demo() -> None:
    # os.read() and not sys.stdin: a buffered read that is waiting keeps Python from ending.
    os.read(0, 1)
    # Not os.kill(), which ends a process on Windows before it has cleaned up.
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_demo, daemon=True).start()
    sys.exit(main())
