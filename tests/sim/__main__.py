"""Run the simulation by hand: one seed, many seeds, or a run that was kept.

python -m tests.sim --seed 17 --turns 60 [--mode chat] [--trigger edge --read drain] [--slow skip]
python -m tests.sim --seeds 0-100000
python -m tests.sim --kept tests/sim/kept/some.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tests.sim.plan import Plan, load, make_plan
from tests.sim.shrink import shrink
from tests.sim.world import World

KEPT = Path(__file__).parent / "kept"


def failure_of(plan: Plan) -> Exception | None:
    """What goes wrong in this run, None when nothing does."""
    try:
        World(plan).run()
    except Exception as failure:
        return failure
    return None


def main() -> int:
    """Exit code 1 when something went wrong."""
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
        progress.one_more(seed)
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


class Progress:
    """How many seeds were run, and how many a second; a line every ten seconds."""

    def __init__(self, every_s: float = 10.0) -> None:
        self.count = 0
        self._every_s, self._began = every_s, time.monotonic()
        self._told = self._began

    def one_more(self, seed: int) -> None:
        """This seed has been run."""
        self.count += 1
        if time.monotonic() - self._told >= self._every_s:
            self._told = time.monotonic()
            print(f"up to seed {seed}: {self}", flush=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def per_s(self) -> float:
        """Seeds a second."""
        return self.count / max(self.seconds, 1e-6)

    def __str__(self) -> str:
        return f"{self.count} seeds in {self.seconds:.1f} s, {self.per_s:.1f} a second"


if __name__ == "__main__":
    sys.exit(main())
