"""The rounds of a contest: A B C A B C ..., each contestant afresh, each run on the same two cores."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.contest.contestants import Contestant
from bench.contest.contests import Contest
from bench.contest.machine import stolen_s
from bench.contest.process import DidNotStart, Server, family, launch, running
from bench.contest.results import QUIET, Outcome, Run

ROOT = Path(__file__).resolve().parents[2]
OVERHEAD_S = 60.0
"""How long connecting, subscribing and leaving may take beside what is measured."""

SERVER_LOG = "server.log"
LOG_TAIL = 300
FAILURES = 3
"""So often a contestant may fail before it is left out: a busy machine makes a room look silent."""
DIGITS = 4

Tell = Callable[[str], None]


class Trouble(Exception):
    """Why a run has no figures, in one line."""


class Figures(NamedTuple):
    """What the load saw. `lines` are deliveries in a fan-out; `sent` are lines everywhere."""

    lines: int
    seconds: float
    server_cpu_s: float
    load_cpu_s: float
    load_waited_s: float
    sent: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Where all runs take place: two cores, a folder for logs, how long is measured."""

    server_cpu: int
    load_cpu: int
    folder: Path
    seconds: float
    warmup_s: float
    rounds: int | None = None
    """So many for all instead of what each contest wants."""
    first: bool = False
    """Whether contestant and load come before other programs of the machine."""

    def play(self, contest: Contest, outcomes: list[Outcome], tell: Tell) -> None:
        """All rounds of a contest, whose outcome is put on the list at once and grows.

        A contestant that fails FAILURES times is left out of the rounds to come.
        """
        failures = Counter[str]()
        parameters = dict(contest.parameters)
        outcome = Outcome(
            contest.name, contest.title, contest.unit, contest.base, parameters, goals=list(contest.goals)
        )
        outcomes.append(outcome)
        for number, contestant in self._order(contest):
            if contestant.name in outcome.left_out:
                continue
            if contestant.missing:
                outcome.left_out[contestant.name] = f"{contestant.missing} is not installed"
                tell(f"{contest.name}: {contestant.name}: {contestant.missing} is not installed")
                continue
            where = f"{contest.name} round {number + 1}: {contestant.name}"
            try:
                run = self._run(contest, contestant, number)
            except (Trouble, DidNotStart) as trouble:
                failures[contestant.name] += 1
                if failures[contestant.name] == FAILURES:
                    outcome.left_out[contestant.name] = str(trouble)
                tell(f"{where}: {trouble}{self.last_words()}")
                continue
            outcome.runs.append(run)
            tell(f"{where}: {told(run)}")

    def planned_s(self, contest: Contest) -> float:
        """About how long its rounds take."""
        runs = sum(1 for _ in self._order(contest))
        connecting_s = 1.2 + contest.parameters.get("readers", 0) / 800
        return runs * ((self.seconds + self.warmup_s) * contest.longer + connecting_s)

    def _order(self, contest: Contest) -> Iterator[tuple[int, Contestant]]:
        most = max(entry.rounds for entry in contest.entries)
        for number in range(self.rounds or most):
            for entry in contest.entries:
                if number < (self.rounds or entry.rounds):
                    yield number, entry.contestant

    def _run(self, contest: Contest, contestant: Contestant, number: int) -> Run:
        with self.server(contestant) as server:
            waited_s, before_s, began_s = server.waited_s(), stolen_s(), time.monotonic()
            seconds = self.seconds * contest.longer
            figures = self.load(contest, contestant.wire, server, seconds, self.warmup_s * contest.longer)
            passed_s = time.monotonic() - began_s
            waited_s = server.waited_s() - waited_s
            lost_s = waited_s + stolen_s() - before_s + figures.load_waited_s
        return Run(
            round=number,
            contestant=contestant.name,
            lines=figures.lines,
            seconds=round(figures.seconds, DIGITS),
            server_cpu_s=round(figures.server_cpu_s, DIGITS),
            load_cpu_s=round(figures.load_cpu_s, DIGITS),
            others=round(lost_s / passed_s, DIGITS),
            kept_waiting=round(waited_s / passed_s, DIGITS),
        )

    def server(self, contestant: Contestant) -> AbstractContextManager[Server]:
        """A contestant on its core, for the time of a with block. Raises DidNotStart."""
        log = self.folder / SERVER_LOG
        return running(contestant.command, self.server_cpu, log, contestant.extra, first=self.first)

    def last_words(self) -> str:
        """The end of what the last contestant printed, to stand behind a trouble."""
        log = self.folder / SERVER_LOG
        said = " ".join(log.read_text(errors="replace").split())[-LOG_TAIL:] if log.exists() else ""
        return f"; it printed: {said}" if said else ""

    def load(self, contest: Contest, wire: str, server: Server, seconds: float, warmup_s: float) -> Figures:
        """Load a server on the other core. Raises Trouble."""
        options = {
            **contest.parameters,
            "port": server.port,
            "pid": family(server.pid),
            "seconds": seconds,
            "warmup_s": warmup_s,
        }
        order = {"kind": contest.kind, "wire": wire, "options": options}
        said = self._worker(json.dumps(order), seconds + warmup_s + OVERHEAD_S)
        lines = said["lines"] if contest.kind == "echo" else said["deliveries"]
        # What is still under way at the end may count as missing: a slow broker has it for minutes.
        if not lines or said["lost_clients"]:
            raise Trouble(f"{lines} lines came, {said['lost_clients']} clients were lost")
        measured_s = said["seconds"]
        if not said["server_cpu_share"]:
            raise Trouble("the server used less than 10 ms of CPU time: measure for longer")
        server_cpu_s, own_cpu_s = said["server_cpu_share"] * measured_s, said["own_cpu_share"] * measured_s
        return Figures(lines, measured_s, server_cpu_s, own_cpu_s, said["waited_s"], said["lines"])

    def _worker(self, order: str, patience_s: float) -> Any:
        command = [sys.executable, "-m", "bench.contest.worker"]
        errors = self.folder / "load.log"
        pipe, extra = subprocess.PIPE, {"PYTHONPATH": str(ROOT)}
        with errors.open("wb") as stderr:
            process = launch(command, self.load_cpu, extra, pipe, stderr, pipe, first=self.first)
        try:
            output, _ = process.communicate(order.encode(), patience_s)
        except subprocess.TimeoutExpired:
            raise Trouble("the load did not end") from None
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise Trouble(errors.read_text(errors="replace").strip().split("\n")[-1])
        return json.loads(output)


def told(run: Run) -> str:
    """A run in a line of progress."""
    others = f", others took {run.others:.0%} of the time" if run.others > QUIET else ""
    return f"{run.rate:,.0f}/s, {run.cpu_us:.3f} us of CPU each, core {run.busy:.0%} used{others}"
