"""The results as Markdown, for the terminal and for docs/benchmarks.md."""

from collections.abc import Iterable, Iterator, Sequence

from bench.contest.results import Calls, Goal, Outcome, Results, Row, Spread

LOAD_BOUND = "†"
DISTURBED = "‡"
EXPLAINED = {
    LOAD_BOUND: f"{LOAD_BOUND} The server had time left, so the throughput is that of the load.",
    DISTURBED: f"{DISTURBED} Others had one of the two cores for over 2 % of the time in half of the rounds.",
}
FEW = 0.005
"""A system call that is made less often than this per line is left out."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; all columns but the first are figures."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def outcome_table(outcome: Outcome) -> str:
    """The contestants of one contest, and what the marks mean."""
    unit = outcome.unit
    header = ["", f"us of CPU a {unit}", "ratio", f"{plural(unit)}/s", "ratio", "core used", "rounds"]
    rows = [row_cells(row, outcome) for row in outcome.rows()]
    used = "".join(
        f"\n{text}\n" for mark, text in EXPLAINED.items() if any(mark in "".join(row) for row in rows)
    )
    absent = "".join(f"\n{name} is left out: {why}.\n" for name, why in outcome.left_out.items())
    return table(header, rows) + used + absent


def row_cells(row: Row, outcome: Outcome) -> list[str]:
    """A contestant: medians with the least and the most, and ratios to the base."""
    marks = (LOAD_BOUND if row.load_bound else "") + (DISTURBED if 2 * row.disturbed >= row.rounds else "")
    cpu, rate = (outcome.ratio(row.contestant, outcome.base, measure) for measure in ("cpu", "rate"))
    return [
        f"{row.contestant}{' ' * bool(marks)}{marks}",
        spread(row.cpu_us),
        "-" if cpu is None else three(cpu),
        spread(row.rate),
        "-" if rate is None else three(rate),
        f"{row.busy:.0%}",
        str(row.rounds),
    ]


def spread(of: Spread) -> str:
    """A median with the least and the most behind it, in one unit."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if of.median >= scale:
            return f"{three(of.median / scale)} {unit} ({three(of.least / scale)}-{three(of.most / scale)})"
    return f"{three(of.median)} ({three(of.least)}-{three(of.most)})"


def magnitude(value: float) -> str:
    """A single figure with its unit."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{three(value / scale)} {unit}"
    return three(value)


def three(value: float) -> str:
    """Three digits that count."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def goal_table(outcomes: Iterable[Outcome]) -> str:
    """What is wanted, what it came to, and whether that is enough; empty when nothing can be compared."""
    rows = [cells for outcome in outcomes for goal in outcome.goals if (cells := goal_cells(outcome, goal))]
    header = ["contest", "measure", "wanted", "measured", "met"]
    return table(header, rows) if rows else ""


def goal_cells(outcome: Outcome, goal: Goal) -> list[str] | None:
    """A wanted ratio; None where one of the two did not take part."""
    ratio = outcome.ratio(goal.subject, goal.base, goal.measure)
    if ratio is None:
        return None
    what = {"cpu": "CPU", "rate": plural(outcome.unit) + "/s", "best": f"{plural(outcome.unit)}/s or CPU"}
    wanted = [f"at least {goal.least:g}"] if goal.least is not None else []
    wanted += [f"at most {goal.most:g}"] if goal.most is not None else []
    return [
        outcome.title,
        f"{what[goal.measure]}, {goal.subject} / {goal.base}",
        ", ".join(wanted),
        f"{ratio:.2f}",
        "yes" if goal.is_met_by(ratio) else "**no**",
    ]


def calls_table(calls: Sequence[Calls]) -> str:
    """System calls per line, one column for each contestant; the rare ones are left out."""
    names = {name for each in calls for name in each.counts}
    most = {name: max(each.per_line(name) for each in calls) for name in names}
    kept = sorted((name for name in names if most[name] >= FEW), key=lambda name: (-most[name], name))
    header = ["", *(f"{each.contestant}, {each.contest}" for each in calls)]
    rows = [[f"`{name}`", *(f"{each.per_line(name):.3f}" for each in calls)] for name in kept]
    return table(header, [*rows, ["all", *(f"{each.per_line():.3f}" for each in calls)]])


def machine_table(results: Results) -> str:
    """The machine, the versions and the commands."""
    about = [*results.machine.items(), *results.settings.items()]
    machine = table(["", ""], ([name, value] for name, value in about)).replace("--:", "---")
    header = ["contestant", "version", "command"]
    rows = [
        [name, results.versions.get(name, ""), "<br>".join(f"`{command}`" for command in commands)]
        for name, commands in results.commands.items()
    ]
    return machine + "\n" + table(header, rows).replace("--:", "---")


def report(results: Results) -> Iterator[str]:
    """Everything, for a terminal."""
    for outcome in results.outcomes:
        yield f"\n{outcome.title}, {parameters(outcome)}\n\n{outcome_table(outcome)}"
    if results.calls:
        yield f"\nSystem calls\n\n{calls_table(results.calls)}"
    if goals := goal_table(results.outcomes):
        yield f"\nGoals\n\n{goals}"


def parameters(outcome: Outcome) -> str:
    """The numbers of a contest in words."""
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in outcome.parameters.items())


def plural(unit: str) -> str:
    """Lines, deliveries."""
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
