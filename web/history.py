"""The history of the last minutes: rates and series, from consecutive publications of the hub.

The hub's counters only rise, so a rate is a difference by a time, and the time is the hub's own: how late
this thread came to look changes nothing. The ring has a fixed length and costs 0.02 ms a second, so it runs
always, and a page that is opened sees the past.
"""

from collections import deque
from collections.abc import Mapping

from hub.close_reasons import CloseReason
from hub.control.snapshots import EventCounts, Record, Summary

INTERVAL_S = 1.0
POINTS_MAX = 300
SHORTEST_S = 0.5
"""Publications that come out of turn, at a drain, are no interval of their own."""

NOT_EVICTED = frozenset(
    str(reason)
    for reason in CloseReason
    if reason.by_peer or reason.refuses or reason in (CloseReason.QUIT, CloseReason.SERVER_SHUTDOWN)
)
"""All other close reasons are evictions: the hub chose to end a client that was in."""

RATES = ("lines_in", "lines_out", "bytes_in", "bytes_out", "turns", "busy")
COLUMNS = (*RATES, "open", "turn_p99_ms", "evicted")
Point = Mapping[str, float]
"""A step of the series: a number for each of COLUMNS."""


class Rates(Record, frozen=True, kw_only=True):
    """What happened in a second, over the last interval between two publications."""

    lines_in: int = 0
    lines_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    turns: int = 0
    busy: float = 0.0
    """The part of the time that the loop did not wait, 0 to 1."""
    evicted: float = 0.0
    events: EventCounts = EventCounts(in_=0, out=0, rdhup=0, hup=0, err=0, accept=0)


class History:
    """A ring of points; `rates` is the newest."""

    def __init__(self) -> None:
        self.rates = Rates()
        self._newest: Summary | None = None
        self._points: deque[Point] = deque(maxlen=POINTS_MAX)

    def add(self, summary: Summary) -> None:
        """Add a publication; they come in the order in which the hub made them."""
        before = self._newest
        if before is None:
            self._newest = summary
            return
        passed_s = summary.taken_s - before.taken_s
        if passed_s < SHORTEST_S:
            return
        self._newest = summary
        self.rates = rates_between(before, summary)
        # After a pause of the hub one difference stands for several steps, so that the steps stay even.
        steps = min(max(1, round(passed_s / INTERVAL_S)), POINTS_MAX)
        self._points.extend([point_of(self.rates, summary)] * steps)

    def series(self) -> dict[str, object]:
        """The last minutes, oldest first, in steps of `interval_s`; all lists have the same length.

        They go up to the publication of `taken_s`, by the hub's clock (0: none yet), so that a page adds no
        publication twice.
        """
        taken_s = self._newest.taken_s if self._newest else 0.0
        columns = {name: [point[name] for point in self._points] for name in COLUMNS}
        return {"taken_s": taken_s, "interval_s": INTERVAL_S, **columns}


def point_of(rates: Rates, summary: Summary) -> Point:
    """The step that ends with this publication."""
    return {
        **{name: getattr(rates, name) for name in RATES},
        "open": summary.clients.open,
        "turn_p99_ms": round(summary.loop.turn_p99_ms, 2),
        "evicted": round(rates.evicted),
    }


def rates_between(before: Summary, after: Summary) -> Rates:
    """What happened in a second, on average, from one publication to a later one."""
    passed_s = after.taken_s - before.taken_s

    def rate(first: int, last: int) -> int:
        return round((last - first) / passed_s)

    return Rates(
        lines_in=rate(before.lines.in_, after.lines.in_),
        lines_out=rate(before.lines.out, after.lines.out),
        bytes_in=rate(before.bytes.in_, after.bytes.in_),
        bytes_out=rate(before.bytes.out, after.bytes.out),
        turns=rate(before.turns, after.turns),
        busy=round(min(1.0, (after.loop.busy_s - before.loop.busy_s) / passed_s), 3),
        evicted=round((evictions(after.closed) - evictions(before.closed)) / passed_s, 1),
        events=EventCounts(
            **{
                kind: rate(getattr(before.events, kind), getattr(after.events, kind))
                for kind in EventCounts.__struct_fields__
            }
        ),
    )


def evictions(closed: Mapping[str, int]) -> int:
    """How many of these closes were evictions."""
    return sum(count for reason, count in closed.items() if reason not in NOT_EVICTED)
