"""System calls per line, counted by strace(1) in runs of their own, because it slows a server down."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.contest.contestants import Contestant
from bench.contest.contests import Contest
from bench.contest.process import DidNotStart, Server
from bench.contest.results import Calls
from bench.contest.rounds import Stage, Tell, Trouble

SHORT_S, LONG_S = 0.5, 3.0
ATTACH_S = 10.0
LOOK_S = 0.02
ROW = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(?P<calls>\d+) +(?:\d+ +)?(?P<name>\w+)$", re.MULTILINE)
"""A row of `strace -c`: share, seconds, microseconds a call, calls, errors if any, name."""


def count(stage: Stage, contest: Contest, contestants: Sequence[Contestant], tell: Tell) -> list[Calls]:
    """The system calls of these in one contest; none where strace is not installed."""
    if not shutil.which("strace"):
        tell("system calls: strace is not installed")
        return []
    counted = []
    for contestant in contestants:
        try:
            counted += [] if contestant.missing else [_count(stage, contest, contestant, tell)]
        except (Trouble, DidNotStart) as trouble:
            tell(f"system calls, {contest.name}: {contestant.name}: {trouble}{stage.last_words()}")
    return counted


def _count(stage: Stage, contest: Contest, contestant: Contestant, tell: Tell) -> Calls:
    """A long run minus a short one, so that the accept of each client is not in the figures.

    What the side threads do in the seconds between is in them, a few calls a second.
    """
    few, fewer_lines = _trace(stage, contest, contestant, SHORT_S)
    many, lines = _trace(stage, contest, contestant, LONG_S)
    if lines <= fewer_lines:
        raise Trouble(f"{fewer_lines} lines in {SHORT_S:g} s and no more in {LONG_S:g} s")
    counts = {name: count - few.get(name, 0) for name, count in many.items() if count > few.get(name, 0)}
    calls = Calls(contest.name, contestant.name, lines - fewer_lines, counts)
    tell(f"system calls, {contest.name}: {contestant.name}: {calls.per_line():.3f} a line")
    return calls


def _trace(
    stage: Stage, contest: Contest, contestant: Contestant, seconds: float
) -> tuple[dict[str, int], int]:
    """The calls of a run, and its lines. There is no warm-up, whose lines would not be counted."""
    summary = stage.folder / "strace.txt"
    with stage.server(contestant) as server:
        tracer = _attach(server, summary, stage.load_cpu)
        try:
            figures = stage.load(contest, contestant.wire, server, seconds, 0.0)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
    return read(summary.read_text()), figures.sent


def _attach(server: Server, summary: Path, cpu: int) -> "subprocess.Popen[bytes]":
    """An strace that follows all threads of the server."""
    command = ["taskset", "-c", str(cpu), "strace", "-c", "-f", "-o", str(summary), "-p", str(server.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    end_s = time.monotonic() + ATTACH_S
    while not _is_traced(server.pid) and tracer.poll() is None and time.monotonic() < end_s:
        time.sleep(LOOK_S)
    return tracer


def _is_traced(pid: int) -> bool:
    """Whether every thread has a tracer, proc_pid_status(5)."""
    with suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        texts = [Path(f"/proc/{pid}/task/{thread}/status").read_text() for thread in threads]
        return not any("\nTracerPid:\t0\n" in text for text in texts)
    return False


def read(summary: str) -> dict[str, int]:
    """The counts that a summary of strace has."""
    return {row["name"]: int(row["calls"]) for row in ROW.finditer(summary) if row["name"] != "total"}
