"""What a contest measured, as it is kept in a file, and the figures that are made of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

IDLE = 0.05
"""A server that has nothing to do for longer waits for the load, so its throughput is that of the load."""
QUIET = 0.02
"""A larger share of the time that others had one of the two cores makes a run a disturbed one."""
FORMAT = 1

Measure = Literal["cpu", "rate", "best"]
"""Processor time per line, lines a second, or the better of the two where the load may be the limit."""


@dataclass(frozen=True, slots=True)
class Run:
    """A contestant in a round. `lines` are echoes or deliveries.

    `others` is the share of the time for which other programs, or other machines on this host, had a core
    that the server or the load wanted; `kept_waiting` is that of other programs and the server.
    """

    round: int
    contestant: str
    lines: int
    seconds: float
    server_cpu_s: float
    load_cpu_s: float
    others: float
    kept_waiting: float

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.lines / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's processor time per line."""
        return 1e6 * self.server_cpu_s / self.lines

    @property
    def busy(self) -> float:
        """The share of its core that the server used."""
        return self.server_cpu_s / self.seconds

    @property
    def idle(self) -> float:
        """The share of the time in which the server had nothing to do."""
        return max(0.0, 1.0 - self.busy - self.kept_waiting)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of all rounds, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """At least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """What all rounds of a contestant come to."""

    contestant: str
    rounds: int
    rate: Spread
    cpu_us: Spread
    busy: float
    idle: float
    disturbed: int

    @property
    def load_bound(self) -> bool:
        """Whether the throughput is no figure of the server."""
        return self.idle > IDLE


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is wanted of two contestants: at most `most` or at least `least` times `base`."""

    subject: str
    base: str
    measure: Measure
    most: float | None = None
    least: float | None = None

    def is_met_by(self, ratio: float) -> bool:
        """Whether the ratio is within the bounds."""
        return (self.most is None or ratio <= self.most) and (self.least is None or ratio >= self.least)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A contest: what it was, its runs, and what is wanted. `unit` is "line" or "delivery"."""

    name: str
    title: str
    unit: str
    base: str
    parameters: dict[str, int]
    runs: list[Run] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """A row for each contestant, in the order of the first round."""
        names = dict.fromkeys(run.contestant for run in self.runs)
        return [_row(name, [run for run in self.runs if run.contestant == name]) for name in names]

    def row(self, contestant: str) -> Row | None:
        """The row of one contestant, if it took part."""
        return next((row for row in self.rows() if row.contestant == contestant), None)

    def ratio(self, subject: str, base: str, measure: Measure) -> float | None:
        """The figures of a contestant divided by another's: the median of the rounds that have both.

        Each round has a ratio of its own, because a shared machine is faster in some minutes than in others.
        None where they have no round in common.
        """
        below = {run.round: run for run in self.runs if run.contestant == base}
        pairs = [
            (run, below[run.round]) for run in self.runs if run.contestant == subject and run.round in below
        ]
        if not pairs:
            return None
        rate = median(ours.rate / theirs.rate for ours, theirs in pairs)
        cpu = median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)
        return {"rate": rate, "cpu": cpu, "best": max(rate, 1 / cpu)}[measure]


@dataclass(frozen=True, slots=True)
class Calls:
    """How often a contestant made each system call, and for how many lines, under strace(1)."""

    contest: str
    contestant: str
    lines: int
    counts: dict[str, int]

    def per_line(self, name: str = "") -> float:
        """Calls of this name a line; of all names together without one."""
        calls = self.counts.get(name, 0) if name else sum(self.counts.values())
        return calls / self.lines


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run of the program leaves behind."""

    machine: dict[str, str]
    settings: dict[str, str]
    versions: dict[str, str]
    commands: dict[str, list[str]]
    """More than one where a contestant takes part in two modes."""
    outcomes: list[Outcome] = field(default_factory=list)
    calls: list[Calls] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """The other way round. Raises OSError, and ValueError for a file of another format."""
        kept = json.loads(path.read_text())
        if kept.pop("format", None) != FORMAT:
            raise ValueError(f"{path} is of another format")
        outcomes = [_outcome(outcome) for outcome in kept.pop("outcomes")]
        calls = [Calls(**each) for each in kept.pop("calls")]
        return cls(**kept, outcomes=outcomes, calls=calls)

    def names(self) -> set[str]:
        """Everybody who took part."""
        return {run.contestant for outcome in self.outcomes for run in outcome.runs}


def _row(name: str, runs: Sequence[Run]) -> Row:
    return Row(
        contestant=name,
        rounds=len(runs),
        rate=Spread.of([run.rate for run in runs]),
        cpu_us=Spread.of([run.cpu_us for run in runs]),
        busy=median(run.busy for run in runs),
        idle=median(run.idle for run in runs),
        disturbed=sum(run.others > QUIET for run in runs),
    )


def _outcome(kept: Mapping[str, Any]) -> Outcome:
    parts = {**kept, "runs": _all(Run, kept["runs"]), "goals": _all(Goal, kept["goals"])}
    return Outcome(**parts)


def _all(of: Any, kept: Iterable[Mapping[str, Any]]) -> list[Any]:
    return [of(**each) for each in kept]
