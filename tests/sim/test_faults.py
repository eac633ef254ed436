"""A simulator that never goes red proves nothing: here the hub is broken on purpose, one fault at a time.

Each fault is put in place of a step of the real hub, and runs of a few hundred plans have to find it.
"""

import re

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.edit import put_in_place
from tests.sim.__main__ import failure_of
from tests.sim.plan import VISITS_EACH, make_plan
from tests.sim.world import World
from tests.support import interpreted_only

SHORT, USUAL = 15, 60
PLANS = [
    *((seed, SHORT) for seed in (*range(20), 24, 34, 47, 57, 68, 88)),
    (34, USUAL),
    *((seed, SHORT) for seed in range(2 * VISITS_EACH - 1, 10 * VISITS_EACH, VISITS_EACH)),
    *((seed, SHORT) for seed in range(20, 150)),
    *((seed, USUAL) for seed in range(300)),
]
"""Seeds and turns. The first find every fault soon; the others are for a time when these do not any more."""
MISTAKES = re.compile("NameError|TypeError|AttributeError")
PROMISES = {
    "line-lost": pytest.mark.promise("order-balance"),
    "line-lost-but-counted": pytest.mark.promise("order-balance"),
    "close-miscounted": pytest.mark.promise("close-one-reason"),
    "timer-entries-kept": pytest.mark.promise("turn-timers"),
    "decided-late": pytest.mark.promise("turn-time-limits"),
    "decided-early": pytest.mark.promise("turn-time-limits"),
    "turn-for-nothing": pytest.mark.promise("turn-progress"),
}
"""What is promised of an account or a clock, which goes red with this fault."""


@interpreted_only("functions of compiled modules cannot be edited")
@pytest.mark.promise("simulation-checks")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=PROMISES.get(name, ()))
        for name, fault in sorted(FAULTS.items())
        if fault.violation is not None
    ],
)
def test_simulator_with_a_fault_planted_finds_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run finds it, says what is expected, and finds nothing without the fault."""
    put_in_place(FAULTS[name], monkeypatch)
    for seed, turns in PLANS:
        if found := failure_of(plan := make_plan(seed, turns)):
            break
    else:
        pytest.fail("no run was wrong")
    said = f"seed {seed}, {turns} turns: {type(found).__name__}: {found}"
    print(said[:200])
    assert re.search(str(FAULTS[name].violation), str(found)) and not MISTAKES.search(said), said
    monkeypatch.undo()
    World(plan).run()
