"""The hub on a simulated network: some hundred runs of a minute each, and what was found is kept.

A run that fails prints its seed; `python -m tests.sim --seeds A-B` finds the next one and makes it short.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sim.__main__ import Progress, failure_of, keep
from tests.sim.kernel import Violation
from tests.sim.plan import MIXES, Plan, load, make_plan
from tests.sim.world import World
from tests.support import PAIRS

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))
ROOT = Path(__file__).parents[2]
SEEDS_EACH = 2
"""With one, a planted fault is missed that two find; the long runs have thousands."""
LONG_SEEDS = 100_000
LONG_S = float(os.environ.get("SIM_SECONDS", "75"))
"""How long a slice may take; SIM_SECONDS=7200 is enough for each of the four to get through its share."""
SLICES = 4
RUNS_AS_TEXT = """
from tests.sim.plan import make_plan
from tests.sim.world import World
from tests.support import PAIRS
print(*(World(make_plan(seed)).run() for seed in range(20, 26)))
"""


def run(seed: int, plan: Plan) -> str:
    try:
        return World(plan).run()
    except Violation as found:
        names = ("mode", "trigger", "read", "slow", "mix")
        fixed = " ".join(f"--{name} {getattr(plan, name)}" for name in names)
        raise AssertionError(f"python -m tests.sim --seed {seed} {fixed}: {found}") from found


@pytest.mark.promise("simulation-promises")
@pytest.mark.parametrize("slow", ["disconnect", "skip"])
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_nothing_goes_wrong_on_a_simulated_network(trigger: str, read: str, mode: str, slow: str) -> None:
    where = 1000 * (PAIRS.index((trigger, read)) * 6 + ["chat", "broadcast", "echo"].index(mode) * 2)
    for seed in range(where, where + SEEDS_EACH * len(MIXES)):
        mix = MIXES[seed % len(MIXES)]
        run(seed, make_plan(seed, mode=mode, trigger=trigger, read=read, slow=slow, mix=mix))


@pytest.mark.promise("simulation-promises")
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_went_wrong_once_does_not_any_more(path: Path) -> None:
    World(load(path)).run()


@pytest.mark.promise("simulation-repeats")
def test_seed_in_another_process_is_the_same_run() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", RUNS_AS_TEXT]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    told = done.stdout.split()
    assert told == [run(seed, make_plan(seed)) for seed in range(20, 26)]
    assert len(set(told)) == 6


@pytest.mark.promise("simulation-promises")
@pytest.mark.long
@pytest.mark.timeout(LONG_S + 120)
@pytest.mark.parametrize("slice_", range(SLICES))
def test_nothing_goes_wrong_in_a_hundred_thousand_runs(
    slice_: int, record_property: Callable[[str, object], None]
) -> None:
    """In slices, each with a bound of its own (SIM_SECONDS); how far it got is printed and recorded.

    SIM_FROM begins at another seed. What fails is made short and kept; the other seeds are still run.
    """
    progress, found = Progress(), []
    first = int(os.environ.get("SIM_FROM", "0"))
    for seed in range(first + slice_, first + LONG_SEEDS, SLICES):
        plan = make_plan(seed)
        failure = failure_of(plan)
        progress.count += 1
        if failure is not None:
            found.append(
                f"python -m tests.sim --seed {seed}: {failure!r}; {keep(plan, failure, f'seed-{seed}')}"
            )
        if progress.seconds > LONG_S or len(found) == 3:
            break
    print(f"slice {slice_}: up to seed {seed}, {progress}, {len(found)} failed")
    record_property("a slice ran", f"{progress.count:,} seeds")
    record_property("of them wrong", f"{len(found)} seeds")
    record_property("a second", f"{progress.per_s:.1f} seeds")
    assert not found, "\n".join(found)
