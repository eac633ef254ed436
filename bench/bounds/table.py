"""The figures of all rounds as one table: medians and spread by contestant, beside what is allowed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

Figures = dict[str, float]

NOISE: Final = ("prober late ms", "hub waited ms", "herd busy")
"""Figures of the measurement and the machine, not of the hub: by them a run is believed or not."""


@dataclass(slots=True)
class Results:
    """What the rounds brought, by scenario and contestant."""

    rounds: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)
    spoiled: list[str] = field(default_factory=list)
    """Runs that brought no figures, in words."""

    def add(self, scenario: str, contestant: str, figures: Figures) -> None:
        """The figures of one run."""
        self.rounds.setdefault((scenario, contestant), []).append(figures)

    def values(self, scenario: str, contestant: str, figure: str) -> list[float]:
        """What one figure was in every round, in order."""
        return [told[figure] for told in self.rounds.get((scenario, contestant), []) if figure in told]

    def figures(self, scenario: str) -> list[str]:
        """The names of all figures of a scenario, those of the measurement last."""
        runs = [runs for (name, _), runs in self.rounds.items() if name == scenario]
        names = dict.fromkeys(name for told in runs for figures in told for name in figures)
        return sorted(names, key=lambda name: name in NOISE)


Allowed = Mapping[str, Mapping[str, str]]
"""For each scenario and figure of it, `<= 4` or `>= 0.97`."""


def holds(value: float, rule: str) -> bool:
    """Whether a figure keeps what is allowed; an empty rule allows everything."""
    sign, _, border = rule.partition(" ")
    return not rule or (value <= float(border) if sign == "<=" else value >= float(border))


def table(results: Results, scenarios: Sequence[str], contestants: Sequence[str], allowed: Allowed) -> str:
    """Rows of scenario, figure, what is allowed, and `median (least .. most)` for each contestant.

    A median that breaks what is allowed has an exclamation mark.
    """
    rows = [["scenario", "figure", "allowed", *contestants]]
    for scenario in scenarios:
        for figure in results.figures(scenario):
            rule = allowed.get(scenario, {}).get(figure, "")
            cells = [cell(results.values(scenario, name, figure), rule) for name in contestants]
            rows.append([scenario, figure, rule, *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def cell(values: Sequence[float], rule: str) -> str:
    """The median and the spread of the rounds; a dash for none."""
    if not values:
        return "-"
    middle = median(values)
    spread = f" ({show(min(values))} .. {show(max(values))})" if len(values) > 1 else ""
    return f"{show(middle)}{spread}{'' if holds(middle, rule) else ' !'}"


def show(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(results: Results, allowed: Allowed) -> str:
    """All rounds, a line for a program to read."""
    told = [
        {"scenario": scenario, "contestant": name, "rounds": runs, "allowed": dict(allowed.get(scenario, {}))}
        for (scenario, name), runs in results.rounds.items()
    ]
    return json.dumps({"results": told, "spoiled": results.spoiled})
