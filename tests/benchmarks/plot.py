"""The plot: an SVG of two panels, for light and for dark."""

import math
import re
from dataclasses import dataclass

from tests.benchmarks.hot import FLOOR_LABEL
from tests.benchmarks.report import microseconds
from tests.benchmarks.trials import EXCHANGE

WIDTH, LEFT, RIGHT, ROW = 860, 335, 745, 22
MARKUP = re.compile("[*`]")

STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --peer: #8c959f;
      --ours: #0a7d5a }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d; --peer: #818b98;
        --ours: #3fb98b }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink);
       paint-order: stroke; stroke: var(--paper); stroke-width: 3px }
.title { font-weight: 600; font-size: 15px }
.note { font-weight: 400; font-size: 12px; fill: var(--faint) }
.label { text-anchor: end }
.tick { text-anchor: middle }
.card { fill: var(--paper); stroke: var(--line) }
line { stroke: var(--line) }
rect.peer { fill: var(--peer) }
rect.floor { fill: var(--line) }
.ours { fill: var(--ours); font-weight: 600 }
"""


@dataclass
class Bar:
    label: str
    value: str
    share: float  # of the panel's width
    kind: str


def draw(hot_rows, cold_rows):
    """Return the text of the SVG."""
    callers = cold_rows[0].processes * cold_rows[0].threads
    ticks, bars = logarithmic(hot_rows)
    upper, middle = panel(
        30, "With a good token in hand: µs per call", "median, on a logarithmic scale", bars, ticks
    )
    lower, bottom = panel(
        middle + 34,
        f"Cold start, {callers} callers at once: exchanges",
        f"and how long the slowest caller took, when an exchange takes {EXCHANGE} s",
        linear(cold_rows),
    )
    elements = "\n".join([*upper, *lower])
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" role="img">
<title>django-certn beside its peers: the figures are in the README's tables</title>
<style>{STYLE}</style>
<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + 11}" rx="6"/>
{elements}
</svg>
"""


def logarithmic(rows):
    first = -2
    decades = math.ceil(math.log10(max(row.median for row in rows))) - first
    ticks = [(f"{10.0 ** (first + step):g}", step / decades) for step in range(decades + 1)]
    bars = [
        Bar(
            row.label,
            microseconds(row.median),
            (math.log10(row.median) - first) / decades,
            "floor" if row.label == FLOOR_LABEL else kind(row),
        )
        for row in rows
    ]
    return ticks, bars


def linear(rows):
    most = max(row.exchanges for row in rows)
    return [
        Bar(row.label, f"{row.exchanges}, {row.slowest:.2f} s", row.exchanges / most, kind(row))
        for row in rows
    ]


def kind(row):
    return "ours" if row.label.startswith("**") else "peer"


def panel(top, title, note, bars, ticks=()):
    """Return the elements of a panel, and where it ends."""
    width, bottom = RIGHT - LEFT, top + 20 + ROW * len(bars)
    elements = [text(20, top, f'{title}<tspan class="note" dx="10">{note}</tspan>', "title")]
    for label, share in ticks:
        x = LEFT + share * width
        elements.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 16}" y2="{bottom}"/>')
        elements.append(text(x, bottom + 16, label, "note tick"))
    for number, bar in enumerate(bars):
        y, length = top + 20 + ROW * number, bar.share * width
        size = f'width="{length:.1f}" height="{ROW - 8}"'
        elements += [
            text(LEFT - 10, y + 14, MARKUP.sub("", bar.label), f"label {bar.kind}"),
            f'<rect class="{bar.kind}" x="{LEFT}" y="{y + 3}" {size} rx="2"/>',
            text(LEFT + length + 8, y + 14, bar.value, bar.kind),
        ]
    return elements, bottom + (20 if ticks else 0)


def text(x, y, content, css):
    return f'<text class="{css}" x="{x:.1f}" y="{y}">{content}</text>'
