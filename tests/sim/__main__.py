"""Run the simulation by hand: one seed, many seeds, or a run that was kept.

python -m tests.sim --seed 17 --turns 60 [--mode chat] [--trigger edge --read drain] [--slow skip]
python -m tests.sim --seeds 0-100000
python -m tests.sim --kept tests/sim/kept/some.json
"""

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from tests.sim.plan import Plan, Step, load, make_plan
from tests.sim.world import World

KEPT = Path(__file__).parent / "kept"
MOST_RUNS = 1500
"""So many runs may make a failing one shorter."""


class Steps(Protocol):
    """A run as data."""

    @property
    def steps(self) -> list[Step]: ...

    def without(self, steps: list[Step]) -> Self: ...


AnyPlan = TypeVar("AnyPlan", bound=Steps)


def failure_of(plan: Plan) -> Exception | None:
    """What goes wrong in this run, None when nothing does."""
    try:
        World(plan).run()
    except Exception as failure:
        return failure
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds")
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--keep-going", action="store_true", help="show every seed that fails, shrink none")
    for name in ("mode", "trigger", "read", "slow", "mix"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    fixed = {name: getattr(given, name) for name in ("mode", "trigger", "read", "slow", "mix")}
    if given.kept:
        print(World(load(given.kept)).run())
        return 0
    if given.seed is not None:
        plan = make_plan(given.seed, given.turns, **fixed)
        print(plan.mode, plan.trigger, plan.read, plan.slow, plan.mix, plan.settings, plan.budgets)
        print(World(plan).run())
        return 0
    first, _, last = (given.seeds or "0-300").partition("-")
    return _many(range(int(first), int(last)), given.turns, fixed, given.keep_going)


def _many(seeds: range, turns: int, fixed: dict[str, Any], keep_going: bool) -> int:
    progress, failed = Progress(), 0
    for seed in seeds:
        plan = make_plan(seed, turns, **fixed)
        failure = failure_of(plan)
        progress.count += 1
        if progress.count % 100 == 0:
            print(f"up to seed {seed}: {progress}", flush=True)
        if failure is None:
            continue
        failed += 1
        print(f"seed {seed}: {type(failure).__name__}: {str(failure)[:400]}", flush=True)
        if not keep_going:
            print(keep(plan, failure, f"seed-{seed}"))
            break
    print(f"{progress}, {failed} failed", flush=True)
    return bool(failed)


def keep(plan: Plan, failure: Exception, name: str) -> str:
    """Make a run that fails short, and write it down where the quick tests find it; says where."""
    small = shrink(plan, failure, failure_of)
    path = KEPT / f"{name}.json"
    small.save(path)
    return f"{len(plan.steps)} steps became {len(small.steps)}: {path}"


def shrink(plan: AnyPlan, failure: Exception, run: Callable[[AnyPlan], Exception | None]) -> AnyPlan:
    """The shortest list of steps that is found by leaving out ever smaller parts (delta debugging)."""
    wanted, runs = _kind(failure), MOST_RUNS
    steps, size = plan.steps, max(1, len(plan.steps) // 2)

    def fails(fewer: list[Step]) -> bool:
        found = run(plan.without(fewer))
        return found is not None and _kind(found) == wanted

    while runs > 0:
        at, before = 0, len(steps)
        while at < len(steps) and runs > 0:
            fewer = steps[:at] + steps[at + size :]
            runs -= 1
            if fails(fewer):
                steps = fewer
            else:
                at += size
        if size == 1 and len(steps) == before:
            break
        size = max(1, size // 2)
    return plan.without(steps)


def _kind(failure: Exception) -> tuple[str, str]:
    """What is alike in two failures of one cause: the words, and not the numbers."""
    return type(failure).__name__, re.sub(r"[^a-z ]+", "", str(failure).lower())[:40]


class Progress:
    """How many seeds were run, and how many a second."""

    def __init__(self) -> None:
        self.count, self._began = 0, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def per_s(self) -> float:
        return self.count / max(self.seconds, 1e-6)

    def __str__(self) -> str:
        return f"{self.count} seeds in {self.seconds:.1f} s, {self.per_s:.1f} a second"


if __name__ == "__main__":
    sys.exit(main())
