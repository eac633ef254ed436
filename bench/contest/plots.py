"""Plots as SVG: bars with the spread of the rounds, and lines over the number of readers.

Each plot has a white ground of its own, so that a dark page does not swallow its text.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.contest.results import Spread

WIDTH = 760
MARGIN = 16
HEAD = 56
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
INK, FAINT, GRID = "#1f2328", "#57606a", "#d8dee4"
OURS = ("#c2410c", "#f59e0b", "#be185d", "#84cc16")
"""Colours of hubbub's builds and modes, warm ones."""
OTHERS = {
    "C": "#334155", "Redis": "#2563eb", "NATS": "#0e7490", "mosquitto": "#7c3aed", "ncat": "#64748b",
    "uvloop": "#1d4ed8", "asyncio": "#60a5fa",
}  # fmt: skip
"""Those of the others by the first word of the name, cool ones."""

Number = int | float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its label, its value with the spread, and the text behind it."""

    label: str
    value: Spread
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: points (x, y), x growing."""

    label: str
    points: tuple[tuple[float, float], ...]


def bars(title: str, subtitle: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars from zero, in the order given, each with a whisker from the least to the most."""
    left, right, pitch, thick = 200, 96, 28, 18
    scale = (WIDTH - left - right) / max(row.value.most for row in rows)
    height = HEAD + pitch * len(rows) + MARGIN
    paint = colours(row.label for row in rows)
    parts = []
    for number, row in enumerate(rows):
        top = HEAD + pitch * number
        middle = top + thick / 2
        low, high = left + scale * row.value.least, left + scale * row.value.most
        parts += [
            words(left - 8, middle + 4, row.label, anchor="end", bold=row.label.startswith("hubbub")),
            box(left, top, scale * row.value.median, thick, paint[row.label]),
            stroke([(low, middle), (high, middle)], INK),
            stroke([(low, middle - 4), (low, middle + 4)], INK),
            stroke([(high, middle - 4), (high, middle + 4)], INK),
            words(high + 8, middle + 4, row.text, FAINT),
        ]
    return sheet(height, title, subtitle, parts)


def lines(title: str, subtitle: str, rows: Sequence[Line], unit: str) -> str:
    """Lines over a logarithmic x and a y from zero, each named at its last point."""
    left, right, top, bottom = 64, 170, HEAD + 8, 330
    places = sorted({x for row in rows for x, _ in row.points})
    highest = max(y for row in rows for _, y in row.points)
    step = nice_step(highest)
    ceiling = step * math.ceil(highest / step)
    span = math.log(places[-1] / places[0]) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / places[0]) / span
        return left + across * (WIDTH - left - right), bottom - (bottom - top) * y / ceiling

    parts = []
    for tick in range(round(ceiling / step) + 1):
        _, y = at(places[0], tick * step)
        parts.append(stroke([(left, y), (WIDTH - right, y)], GRID))
        parts.append(words(left - 8, y + 4, f"{tick * step / 1e6:g}", FAINT, anchor="end"))
    for place in places:
        parts.append(words(at(place, 0)[0], bottom + 20, f"{place:,.0f}", FAINT, anchor="middle"))
    parts.append(words((left + WIDTH - right) / 2, bottom + 40, unit, FAINT, anchor="middle"))
    paint = colours(row.label for row in rows)
    for row in rows:
        points = [at(x, y) for x, y in row.points]
        parts.append(stroke(points, paint[row.label], 2.5))
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{paint[row.label]}'/>" for x, y in points]
    ends = {row.label: at(*row.points[-1]) for row in rows}
    for label, y in apart({label: y for label, (_, y) in ends.items()}, 17).items():
        parts.append(words(ends[label][0] + 10, y + 4, label, paint[label], bold=label.startswith("hubbub")))
    return sheet(bottom + 40 + MARGIN, title, subtitle, parts)


def colours(labels: Iterable[str]) -> Mapping[str, str]:
    """A colour for each label. That of a server other than hubbub is the same in every plot."""
    ours = iter(OURS * 9)
    return {
        label: next(ours) if label.startswith("hubbub") else OTHERS.get(label.split()[0], FAINT)
        for label in dict.fromkeys(labels)
    }


def apart(wanted: Mapping[str, float], least: float) -> dict[str, float]:
    """Heights of labels, moved up where two would stand on each other."""
    placed: dict[str, float] = {}
    above = math.inf
    for label, y in sorted(wanted.items(), key=lambda item: -item[1]):
        above = placed[label] = min(y, above - least)
    return placed


def nice_step(highest: float) -> float:
    """The distance of grid lines, 1, 2 or 5 times a power of ten, of which about five fit below `highest`."""
    power: float = 10 ** math.floor(math.log10(highest / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if highest / (power * factor) <= 6)


def sheet(height: Number, title: str, subtitle: str, parts: Iterable[str]) -> str:
    """The whole file around what was drawn."""
    return "\n".join(_sheet(height, title, subtitle, parts)) + "\n"


def _sheet(height: Number, title: str, subtitle: str, parts: Iterable[str]) -> Iterator[str]:
    size = f"width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'"
    yield f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' {FONT} font-size='13'>"
    yield f"<title>{escape(title)}: {escape(subtitle)}</title>"
    yield f"<rect width='{WIDTH}' height='{height}' rx='8' fill='#ffffff'/>"
    yield words(MARGIN, 24, title, bold=True, size=15)
    yield words(MARGIN, 42, subtitle, FAINT)
    yield from parts
    yield "</svg>"


def words(
    x: Number,
    y: Number,
    text: str,
    ink: str = INK,
    *,
    anchor: str = "start",
    bold: bool = False,
    size: int = 0,
) -> str:
    """A line of text at its baseline."""
    style = f" text-anchor='{anchor}'" * (anchor != "start") + " font-weight='600'" * bold
    style += f" font-size='{size}'" * bool(size)
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{ink}'{style}>{escape(text)}</text>"


def box(x: Number, y: Number, width: Number, height: Number, ink: str) -> str:
    """A filled rectangle."""
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='2' fill='{ink}'/>"


def stroke(points: Sequence[tuple[float, float]], ink: str, thick: Number = 1) -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{ink}' stroke-width='{thick}'/>"
