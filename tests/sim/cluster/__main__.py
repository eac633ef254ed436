"""Run the simulation of a cluster by hand: one seed, or many.

python -m tests.sim.cluster --seed 17
python -m tests.sim.cluster --seeds 0-5000 --keep-going
"""

import argparse
import sys
import traceback
from collections.abc import Collection
from functools import partial
from pathlib import Path

from tests.sim.__main__ import Progress, shrink
from tests.sim.cluster.judge import CHECKS
from tests.sim.cluster.plan import STEPS, ClusterPlan, make_plan
from tests.sim.cluster.scene import Cluster


def failure_of(plan: ClusterPlan, but: Collection[str] = ()) -> Exception | None:
    """What goes wrong in this run, None when nothing does."""
    try:
        Cluster(plan, but).run()
    except Exception as failure:
        return failure
    return None


def where(failure: Exception) -> str:
    """The last two places that a failure came by."""
    frames = traceback.extract_tb(failure.__traceback__)[-3:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


def one(plan: ClusterPlan, but: Collection[str]) -> int:
    """Show a run; one that fails is shown with as few steps as are found to fail in the same way."""
    failure = failure_of(plan, but)
    if failure is not None:
        plan = shrink(plan, failure, partial(failure_of, but=but))
    for hub in plan.hubs:
        print(hub)
    print(plan.limits, *plan.steps, sep="\n")
    Cluster(plan, but).run()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.cluster", description=__doc__)
    parser.add_argument("--seed", type=int, help="run one and show how it fails")
    parser.add_argument("--seeds", default="0-300", help="the first, and behind a hyphen the end")
    parser.add_argument("--steps", type=int, default=STEPS, help="how much happens in a run")
    parser.add_argument("--keep-going", action="store_true", help="show every seed that fails")
    parser.add_argument("--but", default="", help=f"leave out checks, of {', '.join(CHECKS)}")
    given = parser.parse_args()
    but = given.but.split(",")
    if given.seed is not None:
        return one(make_plan(given.seed, given.steps), but)
    first, _, end = given.seeds.partition("-")
    progress, failed = Progress(), 0
    for seed in range(int(first), int(end)):
        failure = failure_of(make_plan(seed, given.steps), but)
        progress.count += 1
        if failure is not None:
            failed += 1
            print(
                f"seed {seed}: {type(failure).__name__}: {str(failure)[:300]} ({where(failure)})", flush=True
            )
            if not given.keep_going:
                break
    print(f"{progress}, {failed} failed; python -m tests.sim.cluster --seed N shows one", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
