"""The verdict of a soak: a line for each thing that has to hold, with the figure and pass or FAIL."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.figures import quantile
from bench.watch import Sample

MIB = 1 << 20
WARM_UP = 0.25
"""The share of a run in which memory may still grow and threads may still start."""
SLOPE_FROM_S = 30 * 60.0
"""A shorter run says nothing of a slope in an hour."""
SLOPE_POINTS = 200
SLOPE_MIB_PER_H, ECHO_P99_MS, LAG_P999_MS = 1.0, 50.0, 250.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """A line of the verdict; `passed` is None where it was not judged."""

    name: str
    figure: str
    passed: bool | None

    def __str__(self) -> str:
        mark = {True: "pass", False: "FAIL", None: "----"}[self.passed]
        return f"{mark}  {self.name}: {self.figure}"


@dataclass(slots=True)
class Record:
    """All that was seen. Times of echoes are in seconds, each with the moment at which its probe began."""

    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    echoes: list[tuple[float, list[float]]] = field(default_factory=list)
    quiet_before: Sample | None = None
    """A look with the pages open and no client connected."""
    quiet_after: Sample | None = None
    probes: int = 0
    connected: int = 0
    """Connections that the clients made and the probes."""
    said: int = 0
    heard: int = 0
    wrongs: int = 0
    wrong: list[str] = field(default_factory=list)
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)
    pages: dict[str, Any] = field(default_factory=dict)
    exit_code: int = -1

    def warm(self) -> list[Sample]:
        """The samples behind the warm-up."""
        if not self.samples:
            return []
        begin_s = self.samples[0].at_s + WARM_UP * (self.samples[-1].at_s - self.samples[0].at_s)
        return [sample for sample in self.samples if sample.at_s >= begin_s]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The rise of y for one of x: the median over all pairs of points (Theil 1950, Sen 1968). NaN of none.

    Not least squares, for which one step is a slope: a burst higher than all before, whose pages the
    allocator keeps, is no leak. In half an hour a step of 0.75 MiB came out as 1.8 MiB an hour.
    """
    steep = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in itertools.combinations(points, 2)
        if later[0] != earlier[0]
    ]
    return median(steep) if steep else math.nan


def thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Some hundred of them, as far from one another as they can be: pairs are many."""
    return samples[:: max(1, len(samples) // SLOPE_POINTS)]


def judge(record: Record) -> list[Criterion]:
    """Every criterion, in the order in which people read them."""
    return [
        _memory(record),
        _descriptors(record),
        _threads(record),
        _echo(record),
        _lag(record),
        _exceptions(record),
        _books(record),
        _counts(record),
        _hearing(record),
        _pages(record),
        Criterion("the hub ended in order", f"exit code {record.exit_code}", record.exit_code == 0),
    ]


def _memory(record: Record) -> Criterion:
    warm = thinned(record.warm())
    rise = slope([(sample.at_s / 3600, sample.rss_bytes / MIB) for sample in warm])
    figure = f"{rise:+.2f} MiB/h after the warm-up (allowed {SLOPE_MIB_PER_H:g})"
    if record.seconds < SLOPE_FROM_S:
        return Criterion("memory", f"{figure}, not judged below {SLOPE_FROM_S / 60:g} minutes", None)
    return Criterion("memory", figure, rise <= SLOPE_MIB_PER_H)


def _descriptors(record: Record) -> Criterion:
    before, after = record.quiet_before, record.quiet_after
    if before is None or after is None:
        return Criterion("descriptors", "not counted", False)
    own = [sample.own_descriptors for sample in record.warm()]
    between = f", {min(own)} to {max(own)} beside the clients' between" if own else ""
    figure = f"{before.descriptors} before and {after.descriptors} after{between}"
    return Criterion("descriptors", figure, before.descriptors == after.descriptors)


def _threads(record: Record) -> Criterion:
    counts = sorted({sample.threads for sample in record.warm()})
    return Criterion("threads", " ".join(map(str, counts)) or "not counted", len(counts) == 1)


def _echo(record: Record) -> Criterion:
    begin_s = record.warm()[0].at_s if record.samples else math.inf
    times = sorted(time_s for at_s, times in record.echoes if at_s >= begin_s for time_s in times)
    p50, p99, p999 = (1000 * quantile(times, share) for share in (0.5, 0.99, 0.999))
    figure = (
        f"p50 {p50:.2f}, p99 {p99:.2f}, p99.9 {p999:.2f} ms of {len(times)} (p99 allowed {ECHO_P99_MS:g})"
    )
    return Criterion("echo", figure, p99 <= ECHO_P99_MS)


def _lag(record: Record) -> Criterion:
    turns = sorted(sample.turn_max_ms for sample in record.warm())
    p999 = quantile(turns, 0.999)
    figure = f"p99.9 of the longest turn of each second {p999:.1f} ms (allowed {LAG_P999_MS:g})"
    return Criterion("loop lag", figure, p999 <= LAG_P999_MS)


def _exceptions(record: Record) -> Criterion:
    internal = sum(_closed(record, reason) for reason in ("internal_error", "io_error"))
    figure = f"{record.fault_count} in the log, {internal} clients ended by one"
    return Criterion("unexpected exceptions", figure, not record.fault_count and not internal)


def _books(record: Record) -> Criterion:
    samples = [*record.samples, *filter(None, (record.quiet_after,))]
    wrong = [sample for sample in samples if sample.accepted != sample.here + sample.closed]
    figure = f"accepted = open + closed in {len(samples) - len(wrong)} of {len(samples)} looks"
    return Criterion("the books", figure, bool(samples) and not wrong)


def _counts(record: Record) -> Criterion:
    after, made = record.quiet_after, record.connected + record.probes
    if after is None:
        return Criterion("to the unit", "not counted", False)
    figure = f"{made} connections made, {after.accepted} accepted, {after.closed} closed, {after.here} open"
    return Criterion("to the unit", figure, made == after.accepted == after.closed and after.here == 0)


def _hearing(record: Record) -> Criterion:
    figure = f"{record.wrongs} wrong among {record.heard} lines heard of {record.said} said"
    return Criterion("order, gaps, doubles", figure, record.wrongs == 0 and record.heard > record.said > 0)


def _pages(record: Record) -> Criterion:
    pages = record.pages
    figure = ", ".join(f"{pages.get(name)} {name}" for name in ("updates", "errors", "ended"))
    return Criterion(
        "open pages", figure, bool(pages.get("updates")) and not pages["errors"] + pages["ended"]
    )


def _closed(record: Record, reason: str) -> int:
    after = record.quiet_after or (record.samples[-1] if record.samples else None)
    return int(after.totals["closed"].get(reason, 0)) if after else 0
