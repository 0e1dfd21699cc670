"""The tables, in Markdown."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def version_of(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine(peers):
    """Return what was measured, on what, and when."""
    packages = ["Django", "redis", "pymemcache", *dict.fromkeys(peer.package for peer in peers)]
    versions = [f"{name} {number}" for name in packages if (number := version_of(name))]
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on "
        f"{platform.system()}, {os.cpu_count()} cores of {processor()}, load "
        f"{os.getloadavg()[0]:.1f} before the run; {', '.join(versions)}.\n"
    )


def processor():
    found = re.search(r"^model name\s*: (.+)$", read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def read(path):
    path = Path(path)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def hot(rows):
    return table(
        ["a good token in hand", "call", "µs, least", "µs, median", "times the floor"],
        [
            [
                row.label,
                f"`{row.statement}`",
                microseconds(row.least),
                microseconds(row.median),
                f"{row.times_floor:.1f}" if row.times_floor < 10 else f"{row.times_floor:.0f}",
            ]
            for row in rows
        ],
    )


def cold(rows):
    title = f"cold start, {rows[0].processes} processes of {rows[0].threads} threads"
    return table(
        [title, "exchanges", "failed", "slowest caller"],
        [[row.label, row.exchanges, row.failed, f"{row.slowest:.2f} s"] for row in rows],
    )


def renewal(rows):
    first = rows[0]
    return table(
        [
            f"renewal is due, {first.callers} callers",
            "token good for",
            "waited for it",
            "slowest caller",
            "exchanges",
            f"503: failed of {first.calls_at_503}",
            "503: exchanges",
        ],
        [
            [
                row.label,
                f"{row.left} s",
                row.waited,
                f"{row.slowest:.2f} s",
                row.exchanges,
                row.failed_at_503,
                row.exchanges_at_503,
            ]
            for row in rows
        ],
    )


def memory(sizes, count):
    return table(
        [f"{count} good tokens in hand", "KiB per credential"],
        [[label, f"{size / 1024:.1f}"] for label, size in sizes.items()],
    )


def microseconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def table(head, rows):
    """Return a Markdown table, its numbers to the right."""
    numeric = [str(cell)[0].isdigit() for cell in rows[0]]
    rule = ["--:" if is_number else "---" for is_number in numeric]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, rule, *rows]) + "\n"
