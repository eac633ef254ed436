"""What is measured: each scenario starts a hub, brings it into a bad moment, and returns figures by name.

Hubs run with their default settings, idle expiry, page thread and log included, but for the flags that
lift what a single load would run into (FLAGS) and those that make the moment.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from bench.bounds.children import UNBUDGETED, Contestant, Herd, Hub, Probing, herding, probing, serving
from bench.bounds.table import Figures

FLAGS: Final = ("--max-clients", "0", "--max-per-ip", "0", "--line-rate", "0")
READERS, EXPIRING, BURST, FEW, MANY = 15_000, 15_000, 10_000, 1_000, 18_000
WRITERS, WINDOW, SHARE_STALLED = 10, 100, 0.1
SETTLE_S, SETTLED_BYTES, SETTLE_AT_MOST_S = 0.5, 16 * 1024, 10.0
LEAD_S = 0.5
"""So long the prober has been at it before the moment comes."""
MIB = 1 << 20

Run = Callable[["Setup"], Figures]


@dataclass(frozen=True, slots=True)
class Setup:
    """Where and how large a scenario runs."""

    contestant: Contestant
    hub_cpu: int = 0
    load_cpu: int = 1
    realtime: bool = False
    interval_ms: float = 1.0
    scale: float = 1.0
    lines: int = 10
    idle_s: float = 12.0
    stall_s: float = 30.0

    def count(self, full: int) -> int:
        """So many clients, scaled."""
        return max(20, round(full * self.scale))

    @contextmanager
    def hub(self, mode: str, *flags: str, unbudgeted: bool = False) -> Iterator[tuple[Hub, Herd]]:
        """A hub in this mode, and a herd that is not connected yet."""
        start = self.contestant.script(UNBUDGETED) if unbudgeted else self.contestant.command
        command = [*start, "--mode", mode, *FLAGS, *flags]
        with (
            serving(command, self.hub_cpu, realtime=self.realtime) as hub,
            herding(self.load_cpu) as herd,
        ):
            yield hub, herd

    def prober(self, stack: ExitStack, hub: Hub, seconds: float) -> Probing:
        """Start a prober, and go on once it has been at it for a moment."""
        prober = stack.enter_context(probing(hub.lines, seconds + LEAD_S, self.interval_ms, self.hub_cpu))
        time.sleep(LEAD_S)
        return prober


def readers(setup: Setup) -> Figures:
    """A line a second to all readers of a room, and a prober in another; once more without a budget."""
    budgeted, unbudgeted = _to_readers(setup, unbudgeted=False), _to_readers(setup, unbudgeted=True)
    told = {"unbudgeted served ms": unbudgeted["served ms"], "unbudgeted worst ms": unbudgeted["worst ms"]}
    return {**budgeted, **told, "served ratio": budgeted["served ms"] / unbudgeted["served ms"]}


def _to_readers(setup: Setup, *, unbudgeted: bool) -> Figures:
    with setup.hub("chat", unbudgeted=unbudgeted) as (hub, herd), ExitStack() as stack:
        count = setup.count(READERS)
        herd.do("connect", address=hub.lines, count=count, websocket=False, answered=True)
        prober = setup.prober(stack, hub, setup.lines)
        waited_s = hub.waited_s()
        told = herd.do("say", count=setup.lines, every_s=1.0)
        waited_s = hub.waited_s() - waited_s
        probed = prober.result()
    times = {f"{name} ms": 1000 * median(told[f"{name}_s"]) for name in ("served", "read")}
    return {**probed.figures(), **times, "hub waited ms": 1000 * waited_s}


def expiry(setup: Setup, mode: str) -> Figures:
    """All clients were active within one second, and so all expire within one."""
    idle = ("--idle-timeout", f"{setup.idle_s:g}s")
    with setup.hub(mode, *idle) as (hub, herd), ExitStack() as stack:
        count = setup.count(EXPIRING)
        herd.do("connect", address=hub.lines, count=count, websocket=False, answered=mode == "chat")
        touched = herd.do("touch", within_s=0.9)
        due_s = touched["began_s"] + setup.idle_s
        time.sleep(max(0.0, due_s - 2 * LEAD_S - time.monotonic()))
        prober = setup.prober(stack, hub, 5.0)
        waited_s = hub.waited_s()
        told = herd.do("wait_for_ends", within_s=30.0)
        waited_s = hub.waited_s() - waited_s
        probed = prober.result()
    if told["left"] or told["first_s"] < due_s:
        raise SystemExit(f"not all of {count} clients expired, or some did before their time: {told}")
    judged = probed.between(due_s, told["last_s"])
    took_s = told["last_s"] - told["first_s"]
    return {**judged.figures(), "ended in s": took_s, "hub waited ms": 1000 * waited_s}


def connects(setup: Setup) -> Figures:
    """A burst of connects: as many wait at the listener as its queue takes, until all are in."""
    with setup.hub("chat") as (hub, herd), ExitStack() as stack:
        count = setup.count(BURST)
        prober = setup.prober(stack, hub, 6.0)
        waited_s = hub.waited_s()
        told = herd.do("connect", address=hub.lines, count=count, websocket=False, answered=True)
        waited_s = hub.waited_s() - waited_s
        probed = prober.result()
    judged = probed.between(told["began_s"], told["answered_s"])
    rate = count / (told["accepted_s"] - told["began_s"])
    greeted_s = told["answered_s"] - told["began_s"]
    return {
        **judged.figures(),
        "accepts per s": rate,
        "all greeted in s": greeted_s,
        "hub waited ms": 1000 * waited_s,
    }


def memory(setup: Setup, mode: str, *, websocket: bool = False) -> Figures:
    """The slope of the resident memory between few and many clients that never say anything."""
    with setup.hub(mode) as (hub, herd):
        counts = [setup.count(FEW), setup.count(MANY)]
        address = hub.websockets if websocket else hub.lines
        sizes = []
        for before, count in pairwise([0, *counts]):
            more, answered = count - before, websocket or mode == "chat"
            herd.do("connect", address=address, count=more, websocket=websocket, answered=answered)
            sizes.append(_settled_rss(hub))
        if herd.do("state")["here"] != counts[1]:
            raise SystemExit("clients of the herd were closed while memory was measured")
    slope = (sizes[1] - sizes[0]) / (counts[1] - counts[0])
    return {"bytes a client": slope, "RSS at most MiB": sizes[1] / MIB}


def _settled_rss(hub: Hub) -> int:
    """The resident memory once two looks in a row agree, or after a while."""
    end_s, before = time.monotonic() + SETTLE_AT_MOST_S, 0
    while True:
        time.sleep(SETTLE_S)
        now = hub.rss_bytes()
        if abs(now - before) <= SETTLED_BYTES or time.monotonic() > end_s:
            return now
        before = now


def stalled(setup: Setup, mode: str) -> Figures:
    """A tenth of the readers stops reading; the rate of the others is compared with before and after, because
    a shared machine is faster in some minutes than in others, and the memory with before.

    For a machine that is busy besides there are two more comparisons: `net kept` leaves the time out in which
    the hub waited for its core, `cpu kept` compares lines for each processor second of the hub.
    """
    with setup.hub(mode, "--slow", "skip") as (hub, herd):
        count = setup.count(FEW)
        herd.do("connect", address=hub.lines, count=WRITERS + count, websocket=False, answered=mode == "chat")
        _pump(hub, herd, setup.stall_s / 10)  # So that what a hub makes when first used is there.
        before = _pump(hub, herd, setup.stall_s / 3)
        during = _pump(hub, herd, setup.stall_s, round(count * SHARE_STALLED))
        after = _pump(hub, herd, setup.stall_s / 3)
    kept = {
        "rate kept": "lines_per_s",
        "slowest kept": "slowest_per_s",
        "net kept": "net_per_s",
        "cpu kept": "lines_per_cpu_s",
    }
    return {
        **{name: 2 * during[figure] / (before[figure] + after[figure]) for name, figure in kept.items()},
        "RSS growth MiB": (during["rss_bytes"] - before["rss_bytes"]) / MIB,
        "longest pause s": during["pause_s"],
        "lines per s before": before["lines_per_s"],
        "lines per s after": after["lines_per_s"],
        "herd busy": during["herd_busy"],
        "hub waited ms": 1000 * during["waited_s"],
    }


def _pump(hub: Hub, herd: Herd, seconds: float, stalled: int = 0) -> Figures:
    """Pump for so long: what the herd tells, and the hub's processor time, waits and largest memory."""
    sizes = [hub.rss_bytes()]
    cpu_s, waited_s = hub.cpu_s(), hub.waited_s()
    told = herd.do(
        "pump", seconds=seconds, writers=WRITERS, window=WINDOW, stalled=stalled,
        meanwhile=lambda: sizes.append(hub.rss_bytes()),
    )  # fmt: skip
    cpu_s, waited_s, lines = hub.cpu_s() - cpu_s, hub.waited_s() - waited_s, told["lines_per_s"] * seconds
    rates = {"lines_per_cpu_s": lines / max(0.01, cpu_s), "net_per_s": lines / max(0.01, seconds - waited_s)}
    return {**told, **rates, "rss_bytes": max(sizes), "waited_s": waited_s}
