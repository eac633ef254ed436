"""docs/benchmarks.md and its plots, written from results that were kept.

The page is people's; only what stands between `<!-- contest: NAME -->` and `<!-- end -->` is written here.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.contest import tables
from bench.contest.plots import Bar, Line, bars, lines
from bench.contest.results import Outcome, Results, Row, Spread
from bench.contest.tables import magnitude, parameters, plural

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "docs" / "benchmarks.json"
PLOTS = ROOT / "docs" / "plots"
PART = re.compile(r"(<!-- contest: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SCALING = "fanout-readers"


def write(results: Results) -> list[Path]:
    """Keep the results, write the page's parts and all plots; the files that were written."""
    results.save(KEPT)
    PAGE.write_text(written(PAGE.read_text(), results))
    PLOTS.mkdir(exist_ok=True)
    made = {PLOTS / name: text for name, text in plots(results).items()}
    for path, text in made.items():
        path.write_text(text)
    return [KEPT, PAGE, *made]


def written(page: str, results: Results) -> str:
    """The page with the parts that these results have; a part of another name stays as it is."""
    made = parts(results)
    return PART.sub(
        lambda part: f"{part[1]}\n{made[part[2]]}\n{part[3]}" if part[2] in made else part[0], page
    )


def parts(results: Results) -> dict[str, str]:
    """Every part by its name: the machine, the goals, the system calls, and each contest."""
    made = {
        "machine": tables.machine_table(results),
        "goals": tables.goal_table(results.outcomes),
        "calls": tables.calls_table(results.calls) if results.calls else "",
    }
    for outcome in results.outcomes:
        text = f"{parameters(outcome).capitalize()}.\n\n"
        if outcome.runs:
            text += f"![{outcome.title}](plots/{outcome.name}.svg)\n\n"
        made[outcome.name] = text + tables.outcome_table(outcome)
    return {name: text for name, text in made.items() if text}


def plots(results: Results) -> dict[str, str]:
    """Every plot by the name of its file."""
    made = {f"{outcome.name}.svg": bar_plot(outcome) for outcome in results.outcomes if outcome.runs}
    readers = list(scaling(results.outcomes))
    if len({x for line in readers for x, _ in line.points}) > 1:
        title = "Fan-out: work done in one second of the server's CPU time"
        made[f"{SCALING}.svg"] = lines(
            title, "Million deliveries, by the number of readers", readers, "readers"
        )
    return made


def bar_plot(outcome: Outcome) -> str:
    """Work in a second of processor time, the most first, because throughput may be that of the load."""
    rows = sorted(outcome.rows(), key=lambda row: row.cpu_us.median)
    what = plural(outcome.unit).capitalize()
    subtitle = f"{what} in one second of the server's CPU time: the median, the least and the most"
    return bars(outcome.title, subtitle, [_bar(row) for row in rows])


def scaling(outcomes: list[Outcome]) -> Iterator[Line]:
    """Deliveries in a second of CPU time against readers, for everybody who was in two of the fan-outs."""
    points: dict[str, list[tuple[float, float]]] = {}
    for outcome in _by_readers(outcomes).values():
        for row in outcome.rows():
            at = (outcome.parameters["readers"], 1e6 / row.cpu_us.median)
            points.setdefault(row.contestant, []).append(at)
    for name, found in points.items():
        if len(found) > 1:
            yield Line(name, tuple(sorted(found)))


def _by_readers(outcomes: list[Outcome]) -> Mapping[int, Outcome]:
    found = (outcome for outcome in outcomes if re.fullmatch(r"fanout-\d+", outcome.name))
    return {outcome.parameters["readers"]: outcome for outcome in found}


def _bar(row: Row) -> Bar:
    rate = Spread(1e6 / row.cpu_us.median, 1e6 / row.cpu_us.most, 1e6 / row.cpu_us.least)
    return Bar(row.contestant, rate, magnitude(rate.median))
