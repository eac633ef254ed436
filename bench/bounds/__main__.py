"""The bounds of a hub under load, on a real one, from outside: `python -m bench.bounds`.

The hub of each run is a fresh one on one core; the herd that loads it has another. The prober, which is awake
for a fiftieth of the time, is on the core of the hub, because on the other it waits for the herd. Builds
given with several --hub take turns within each round, so that what the machine does besides falls on all
alike. Every bound is judged by the median of the rounds. Beside them stand how late the prober itself was and
how long the hub had to wait for its core: a run in which these are large says little.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from types import MappingProxyType
from typing import Final

from bench.bounds.children import Contestant
from bench.bounds.scenarios import Run, Setup, connects, expiry, memory, readers, stalled
from bench.bounds.table import Results, as_json, holds, table
from bench.bounds.timers import timers

HUB = ".venv/bin/python -m hubbub serve"
REALTIME = (
    "real-time priority for the hub, for a machine that is busy besides; needs root. The kernel stops a hub "
    "that is busy for a whole second for 50 ms of it, sched(7), which an expiry then shows"
)

RUNS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "readers": readers,
        "expiry-chat": partial(expiry, mode="chat"),
        "expiry-echo": partial(expiry, mode="echo"),
        "connects": connects,
        "memory-echo": partial(memory, mode="echo"),
        "memory-chat": partial(memory, mode="chat"),
        "memory-websocket": partial(memory, mode="chat", websocket=True),
        "stalled-broadcast": partial(stalled, mode="broadcast"),
        "stalled-chat": partial(stalled, mode="chat"),
        "timers": timers,
    }
)

EXPIRY: Final = MappingProxyType({"p99 ms": "<= 3", "worst ms": "<= 8"})
STALLED: Final = MappingProxyType({"rate kept": ">= 0.97", "RSS growth MiB": "<= 1.25"})
"""Under --slow skip the room log holds --max-lag at most (1 MiB). What is kept of a hundred that are behind,
and what the allocator does not use between chunks, take a quarter of that."""
TIMERS: Final = MappingProxyType(
    {
        f"{strategy} {figure}": rule
        for strategy in ("deadline", "sweep")
        for figure, rule in (
            ("turn ms", "<= 1"),
            ("touch ms", "<= 1"),
            ("forget ms", "<= 1"),
            ("bytes", "<= 80"),
        )
    }
)
ALLOWED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "readers": {"worst ms": "<= 4", "served ratio": "<= 1.2"},
        "expiry-chat": EXPIRY,
        "expiry-echo": EXPIRY,
        "connects": {"worst ms": "<= 8"},
        "memory-echo": {"bytes a client": "<= 850"},
        "memory-chat": {"bytes a client": "<= 1200"},
        "memory-websocket": {"bytes a client": "<= 3072"},
        "stalled-broadcast": STALLED,
        "stalled-chat": STALLED,
        "timers": TIMERS,
    }
)


def rounds(options: argparse.Namespace) -> Iterator[tuple[int, str, Contestant]]:
    """Every run, in order: the contestants take turns, and who begins changes from round to round."""
    for number in range(options.rounds):
        for scenario in options.only or RUNS:
            first = number % len(options.hub)
            for contestant in (*options.hub[first:], *options.hub[:first]):
                yield number + 1, scenario, contestant


def measure(options: argparse.Namespace, results: Results) -> None:
    """All rounds. A run that fails is told, and the others go on."""
    for number, scenario, contestant in rounds(options):
        setup = Setup(
            contestant, hub_cpu=options.hub_cpu, load_cpu=options.load_cpu, realtime=options.realtime,
            interval_ms=options.interval_ms, scale=options.scale, lines=options.lines,
            idle_s=options.idle_s, stall_s=options.stall_s,
        )  # fmt: skip
        began_s, where = time.monotonic(), f"round {number}, {scenario}, {contestant.name}"
        try:
            figures = RUNS[scenario](setup)
        except (SystemExit, OSError) as error:
            results.spoiled.append(f"{where}: {error}")
            print(f"{where}: no figures: {error}", flush=True)
            continue
        results.add(scenario, contestant.name, figures)
        said = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{where} ({time.monotonic() - began_s:.0f} s): {said}", flush=True)


def passed(results: Results) -> bool:
    """Whether there is a figure for every bound that was measured, and every median keeps it."""
    return not results.spoiled and all(
        holds(median(values), rule)
        for scenario, contestant in results.rounds
        for figure, rule in ALLOWED.get(scenario, {}).items()
        if (values := results.values(scenario, contestant, figure))
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(prog="python -m bench.bounds", description=str(__doc__).split("\n")[0])
    flags.add_argument(
        "--hub", action="append", type=Contestant.parse, metavar="[NAME=]COMMAND", help=f"default: {HUB}"
    )
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--only", action="append", choices=RUNS, help="this scenario; may be repeated")
    flags.add_argument("--hub-cpu", type=int, default=0)
    flags.add_argument("--load-cpu", type=int, default=1)
    flags.add_argument("--realtime", action="store_true", help=REALTIME)
    flags.add_argument("--interval-ms", type=float, default=1.0, help="between two lines of the prober")
    flags.add_argument("--scale", type=float, default=1.0, help="of the numbers of clients")
    flags.add_argument("--lines", type=int, default=10, help="said to the readers, one a second")
    flags.add_argument("--idle-s", type=float, default=12.0, help="the idle timeout of the expiry")
    flags.add_argument("--stall-s", type=float, default=30.0, help="how long the stalled do not read")
    flags.add_argument("--json", action="store_true", help="a last line for a program to read")
    return flags


def main(arguments: Sequence[str]) -> int:
    """Measure and tell; exit code 0 when all bounds are kept, 1 when not. Ctrl-C ends a run early."""
    flags = parser()
    options = flags.parse_args(arguments)
    options.hub = options.hub or [Contestant.parse(HUB)]
    names = [contestant.name for contestant in options.hub]
    if len({*names}) < len(names):
        flags.error("several --hub need names of their own: --hub NAME=COMMAND")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results()
    try:
        measure(options, results)
    except KeyboardInterrupt:
        results.spoiled.append("ended early")
    print(table(results, [*(options.only or RUNS)], names, ALLOWED))
    if results.spoiled:
        print(*results.spoiled, sep="\n")
    if options.json:
        print(as_json(results, ALLOWED))
    return 0 if passed(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
