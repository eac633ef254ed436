"""Ten minutes of ordinary life and some that is not: `python -m bench.soak`, and a verdict at its end.

A hub in chat mode with its page; some hundred clients, half of them WebSockets, which come, talk, compare
what they hear and go, and some that stall, reset or send garbage (bench/soak_clients.py); a few open pages; a
prober. What has to hold is in bench/verdict.py. Exit code 0 when all of it does, 1 when not. Ctrl-C ends
the run early, with the verdict so far.
"""

import argparse
import asyncio
import json
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.crowd import allow
from bench.figures import quantile
from bench.soak_clients import People
from bench.verdict import MIB, Criterion, Record, judge
from bench.watch import Company, Hub, Sample, serve

PROBE_S, PROBE_MS = 10.0, 20.0
TELL_S = 10.0
LEAVE_S = 60.0
FLAGS = ("--mode", "chat", "--line-rate", "200/s:400", "--max-per-ip", "0")


class Soak:
    """A run: what goes on at the same time, and the record that all of it writes."""

    def __init__(self, hub: Hub, options: argparse.Namespace) -> None:
        self._hub = hub
        self._options = options
        self._people = People(hub.lines, hub.websockets, options.clients, options.lines, options.seed)
        self._over = self._people.over
        self.record = Record()

    def stop(self) -> None:
        """End early."""
        self._over.set()

    async def run(self) -> None:
        """From a quiet hub to a quiet hub."""
        record, started_s = self.record, time.monotonic()
        pages = await Company.start("bench.tabs", "--page", self._hub.page, "--tabs", str(self._options.tabs))
        try:
            record.quiet_before = await self._hub.settled(lambda sample: sample.here == 0)
            await self._busy(started_s)
            record.quiet_after = await self._hub.settled(self._is_quiet)
        finally:
            record.pages = await pages.stop()
            self._take_over_tally()

    async def _busy(self, started_s: float) -> None:
        """Run until the time is over or `stop` is called; then all clients leave."""
        people = asyncio.create_task(self._live())
        beside = [asyncio.create_task(task) for task in (self._watch(started_s), self._probe())]
        try:
            over = asyncio.create_task(self._over.wait())
            await asyncio.wait(
                (over, people, *beside),
                timeout=60 * self._options.minutes,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self.record.seconds = time.monotonic() - started_s
            self._over.set()
            await asyncio.gather(over, *beside)
            await asyncio.wait_for(people, LEAVE_S)
        finally:
            for task in (people, *beside):
                task.cancel()
            await asyncio.gather(people, *beside, return_exceptions=True)

    async def _live(self) -> None:
        """Fill the hub's close log of 10,000 entries first, whose growth is no leak."""
        await self._people.rush(self._options.rush)
        if not self._over.is_set():
            await self._people.run()

    async def _watch(self, started_s: float) -> None:
        """A sample a second, and a line for people every ten."""
        told_s, said = started_s, 0
        record, tally = self.record, self._people.tally
        while not await self._is_over_within(1.0):
            record.samples.append(await self._hub.sample())
            now = time.monotonic()
            if now - told_s >= TELL_S:
                rate = (tally.said - said) / (now - told_s)
                print(progress(now - started_s, rate, record), flush=True)
                told_s, said = now, tally.said

    async def _probe(self) -> None:
        """Run the prober again and again, and keep each time that it measured."""
        host, _, port = self._hub.lines.rpartition(":")
        command = ["bench.prober", "--host", host, "--port", port, "--raw", "--first", "/join probe"]
        while not self._over.is_set():
            began_s = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *command),
                *("--interval-ms", f"{PROBE_MS:g}", "--seconds", f"{PROBE_S:g}"),
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self.record.probes += 1
            said, _ = await process.communicate()
            if process.returncode:
                self._people.tally.complain(f"the prober ended with {process.returncode}")
            else:
                self.record.echoes.append((began_s, json.loads(said)))

    async def _is_over_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _is_quiet(self, sample: Sample) -> bool:
        """Whether all clients are gone, and the connection of the last look as well."""
        before = self.record.quiet_before
        gone = sample.here == 0 and sample.totals["lingering"] == 0
        return gone and before is not None and sample.descriptors <= before.descriptors

    def _take_over_tally(self) -> None:
        tally, record = self._people.tally, self.record
        record.connected, record.said, record.heard = tally.connected, tally.said, tally.heard
        record.wrongs, record.wrong = tally.wrongs, tally.wrong


def progress(passed_s: float, lines_per_s: float, record: Record) -> str:
    """A line of progress: minute, clients, lines a second, memory, the worst of the last while."""
    latest = record.samples[-round(TELL_S) :]
    worst_turn_ms = max(sample.turn_max_ms for sample in latest)
    echoes = record.echoes[-1][1] if record.echoes else []
    return (
        f"{passed_s / 60:5.1f} min  {latest[-1].here:4} clients  {lines_per_s:5.0f} lines/s"
        f"  {latest[-1].rss_bytes / MIB:6.1f} MiB  longest turn {worst_turn_ms:6.1f} ms"
        f"  echo p99 {1000 * quantile(sorted(echoes), 0.99):6.1f} ms"
    )


def report(record: Record, verdict: Sequence[Criterion], options: argparse.Namespace) -> dict[str, Any]:
    """The whole result, for a program to read."""
    after = record.quiet_after
    return {
        "seed": options.seed,
        "minutes": round(record.seconds / 60, 2),
        "passed": all(criterion.passed is not False for criterion in verdict),
        "criteria": [asdict(criterion) for criterion in verdict],
        "closed": after.totals["closed"] if after else {},
        "wrong": record.wrong,
        "faults": record.faults,
        "rss_mib": [round(sample.rss_bytes / MIB, 2) for sample in record.samples[:: round(TELL_S)]],
        "load_cpu_share": round(_cpu_s() / max(record.seconds, 1.0), 3),
    }


def _cpu_s() -> float:
    """Processor seconds of this process, which is all clients."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def soak(options: argparse.Namespace) -> Record:
    """Start a hub, run, end it."""
    hub = await serve([*FLAGS, *options.hub_flags])
    one = Soak(hub, options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, one.stop)
    try:
        await one.run()
    except (OSError, TimeoutError) as error:
        one.record.wrongs += 1
        one.record.wrong.append(f"the run broke off: {error!r}")
    finally:
        one.record.exit_code = await hub.stop()
        one.record.fault_count, one.record.faults = hub.fault_count, hub.faults
    return one.record


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=str(__doc__).split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=300, help="at a time")
    parser.add_argument("--lines", type=float, default=200.0, help="said in a second, all together")
    parser.add_argument("--rush", type=int, default=10_000, help="come and go before, to fill the close log")
    parser.add_argument("--tabs", type=int, default=5, help="open pages")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--json", action="store_true", help="a last line for a program to read")
    parser.add_argument("hub_flags", nargs="*", help="more flags for the hub, after --")
    options = parser.parse_args(arguments)
    allow(options.clients + 64)
    print(f"{options.minutes:g} minutes, {options.clients} clients, seed {options.seed}", flush=True)
    record = asyncio.run(soak(options))
    verdict = judge(record)
    told = report(record, verdict, options)
    print(*record.faults, *record.wrong, *verdict, sep="\n")
    print("ended as", ", ".join(f"{reason} {count}" for reason, count in told["closed"].items()))
    took = f"the clients took {told['load_cpu_share']:.0%} of a core"
    print(f"{told['minutes']} minutes, seed {options.seed}, {took}", flush=True)
    if options.json:
        print(json.dumps(told))
    return 0 if told["passed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
