"""Sums up pytest's results, and fails when a test was skipped for a reason that is not expected."""

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

# A test of one kind of database, or of what only a later Django has. Nothing else may be skipped
# where everything is installed.
EXPECTED = re.compile(r"needs Django|needs (SQLite|PostgreSQL|MariaDB)|SQLite has one writer")
# README's command installs no driver that has to be compiled, and no package but the app's own.
EXPECTED_OF_README = re.compile(rf"{EXPECTED.pattern}|the Python package \w+ is not installed")


def main(paths: list[str]) -> int:
    total: Counter[str] = Counter()
    unexpected: set[str] = set()
    for path in paths:
        expected = EXPECTED_OF_README if Path(path).stem == "readme" else EXPECTED
        passed = total["passed"]
        for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest's own
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                total["failed"] += 1
            elif skipped is None:
                total["passed"] += 1
            else:
                total["skipped"] += 1
                reason = skipped.get("message", "")
                if not expected.search(reason):
                    unexpected.add(f"{case.get('classname')}::{case.get('name')}: {reason}")
        if total["passed"] == passed:
            unexpected.add(f"All of {Path(path).name}")
    for line in sorted(unexpected):
        print(f"Skipped, and should not be: {line}")
    print(
        f"All {len(paths)} runs: {total['passed']} passed, {total['failed']} failed, "
        f"{total['skipped']} skipped"
    )
    return 1 if unexpected or total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
