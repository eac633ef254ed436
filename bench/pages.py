"""The cost of open pages for all other clients: `python -m bench.pages`.

The set-up is a hub in echo mode with thousands of clients that say a line now and then, and a prober; the
hub runs on one core, everything else on another. In turns, pages are open for one run of the prober and
closed for the next, so that what the machine does besides falls on both alike. The difference of the two
is the answer.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from statistics import median

from bench.figures import Distribution

P999_MS, WORST_MS, UPDATE_BYTES = 2.0, 3.0, 25_000
"""What is allowed: the differences of p99.9 and of the median worst of a second, and the largest update."""

Pair = tuple[Distribution, Distribution]
"""The figures of a run without pages, and of a run with them."""


class Hub:
    """A hub as a process of its own, pinned to one core, on free ports."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.pid = process.pid
        self.lines = self.websockets = self.page = ""
        for line in process.stdout:
            if found := re.search(r" (lines|websockets) on (127\.0\.0\.1:\d+)$", line.rstrip()):
                setattr(self, found[1], found[2])
            if found := re.search(r"page on (\S+)", line):
                self.page = found[1]
            if "at most" in line:
                return
        raise SystemExit("the hub did not start")

    def take_the_core(self) -> None:
        """Before everything else on this core, the loop's thread before the others. Raises OSError: not root.

        For a machine that is busy besides. A thread of the loop that wakes takes the core from the page's
        at once, as it mostly does in an ordinary schedule; so this flatters a little.
        """
        for thread in map(int, os.listdir(f"/proc/{self.pid}/task")):
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(3 if thread == self.pid else 2))

    def cpu_s(self) -> float:
        """Processor seconds used so far, proc(5)."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: Sequence[str], cpu: int) -> Iterator[subprocess.Popen[str]]:
    """A Python module as a child on one core, from start to the end of its stdin."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=come_first,  # There are no threads here.
    )
    os.sched_setaffinity(0, before)
    with process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def company(command: Sequence[str], cpu: int, tell: Callable[[str], None]) -> Iterator[None]:
    """A child that says `ready N`, stays while the body runs, and reports at the end of its stdin."""
    with running(command, cpu) as process:
        assert process.stdin is not None and process.stdout is not None
        ready = process.stdout.readline().split()
        if ready[:1] != ["ready"]:
            raise SystemExit(f"{command[0]} did not start")
        yield
        process.stdin.close()
        tell(process.stdout.readline())
        process.wait()


def come_first() -> None:
    """Let no other program disturb the figures, where that is allowed: sched(7), the autogroup feature."""
    with suppress(OSError):
        os.nice(-20)
        with open("/proc/self/autogroup", "w") as file:
            file.write("-20")


def probe(hub: Hub, options: argparse.Namespace) -> Distribution:
    """Run the prober once; print and return its figures."""
    host, _, port = hub.lines.rpartition(":")
    command = ["bench.prober", "--host", host, "--port", port, "--seconds", str(options.seconds), "--json"]
    before = hub.cpu_s()
    with running(command, options.load_cpu) as process:
        assert process.stdout is not None
        answers, lateness = map(Distribution.from_json, process.stdout.read().splitlines())
    busy = (hub.cpu_s() - before) / options.seconds
    print(f"    answers {answers}\n    sending {lateness}\n    hub busy {busy:.1%}", flush=True)
    return answers


def measure(options: argparse.Namespace) -> tuple[list[Pair], int]:
    """All pairs, and the largest update in bytes."""
    pairs, largest = list[Pair](), 0

    def tell(report: str) -> None:
        nonlocal largest
        print(f"    pages {report.rstrip()}", flush=True)
        largest = max(largest, json.loads(report)["largest_bytes"])

    serve = ["hubbub", "serve", "--host", "127.0.0.1", "--port", "0", "--web-port", "0"]
    rules = ["--mode", "echo", "--idle-timeout", "0", *options.hub_flags]
    with running([*serve, *rules], options.hub_cpu) as process:
        hub = Hub(process)
        if options.realtime:
            hub.take_the_core()
        crowd = ["bench.crowd", "--lines", hub.lines, "--clients", str(options.clients)]
        talk = ["--talk-every", str(options.talk_every)]
        tabs = ["bench.tabs", "--page", hub.page, "--tabs", str(options.tabs)]
        with company([*crowd, *talk], options.load_cpu, lambda report: print(f"crowd {report}", end="")):
            for number in range(options.pairs):
                print(f"pair {number + 1}, no page open", flush=True)
                without = probe(hub, options)
                print(f"pair {number + 1}, {options.tabs} pages open", flush=True)
                with company(tabs, options.load_cpu, tell):
                    pairs.append((without, probe(hub, options)))
    return pairs, largest


def judge(pairs: Sequence[Pair], largest: int) -> bool:
    """Print the differences, the median of all pairs; whether they are within what is allowed."""
    p999 = median(after.p999_ms - before.p999_ms for before, after in pairs)
    worst = median(after.worst_of_second_ms - before.worst_of_second_ms for before, after in pairs)
    print(f"p99.9 with pages minus without: {p999:+.3f} ms (allowed {P999_MS:g})")
    print(f"worst of a second, median:      {worst:+.3f} ms (allowed {WORST_MS:g})")
    print(f"largest update:                 {largest} bytes (allowed {UPDATE_BYTES})")
    return p999 <= P999_MS and worst <= WORST_MS and 0 < largest < UPDATE_BYTES


def main(arguments: Sequence[str]) -> int:
    """The command line; exit code 0 when within what is allowed, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=str(__doc__).split("\n")[0])
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--talk-every", metavar="SECONDS", type=float, default=10.0, help="each, on average")
    parser.add_argument("--tabs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hub-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--realtime", action="store_true", help="real-time priority for the hub; needs root")
    parser.add_argument("hub_flags", nargs="*", default=["--no-ws"], help="more flags for the hub, after --")
    pairs, largest = measure(parser.parse_args(arguments))
    return 0 if judge(pairs, largest) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
