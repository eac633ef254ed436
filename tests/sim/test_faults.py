"""A simulator that never goes red proves nothing: here the hub is broken on purpose, one fault at a time.

Each fault is put in place of a step of the real hub, and the runs of a few hundred seeds have to find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.edit import put_in_place
from tests.sim.plan import VISITS_EACH, make_plan
from tests.sim.world import World

Patch = pytest.MonkeyPatch
SEEDS = range(150)
"""So many runs may miss a fault before it counts as not found."""
_MISTAKES = re.compile("NameError|TypeError|AttributeError")
LINES, CLOCKS = ("line-lost", "line-lost-but-counted"), ("decided-late", "decided-early")
CLOSES, ENTRIES, NOTHING = "close-miscounted", "timer-entries-kept", "turn-for-nothing"
OTHERS = FAULTS.keys() - {*LINES, *CLOCKS, CLOSES, ENTRIES, NOTHING}
"""Those that no test below has to itself."""


def find(name: str, patch: Patch, seeds: Iterable[int] = SEEDS) -> None:
    """Fails unless a run finds the fault, says what is expected, and finds nothing without the fault."""
    fault = FAULTS[name]
    assert fault.violation is not None
    put_in_place(fault, patch)
    for seed in seeds:
        try:
            World(make_plan(seed)).run()
        except Exception as found:
            said = f"{name}: seed {seed}: {type(found).__name__}: {found}"
            print(said[:200])
            patch.undo()
            World(make_plan(seed)).run()
            if _MISTAKES.search(said) or not re.search(fault.violation, str(found)):
                pytest.fail(f"not what the fault is expected to do: {said}")
            return
    pytest.fail("no run was wrong")


@pytest.mark.promise("simulation-checks")
@pytest.mark.parametrize("name", sorted(name for name in OTHERS if FAULTS[name].violation is not None))
def test_simulator_with_a_fault_planted_finds_it(name: str, monkeypatch: Patch) -> None:
    find(name, monkeypatch)


@pytest.mark.promise("order-balance")
@pytest.mark.parametrize("name", LINES)
def test_account_of_lines_with_one_lost_goes_red(name: str, monkeypatch: Patch) -> None:
    find(name, monkeypatch)


@pytest.mark.promise("close-one-reason")
def test_account_of_closes_with_one_miscounted_goes_red(monkeypatch: Patch) -> None:
    find(CLOSES, monkeypatch)


@pytest.mark.promise("turn-timers")
def test_size_of_timers_that_keep_the_gone_goes_red(monkeypatch: Patch) -> None:
    find(ENTRIES, monkeypatch, range(VISITS_EACH - 1, 10 * VISITS_EACH, VISITS_EACH))


@pytest.mark.promise("turn-time-limits")
@pytest.mark.parametrize("name", CLOCKS)
def test_lateness_of_a_wrong_decision_time_goes_red(name: str, monkeypatch: Patch) -> None:
    find(name, monkeypatch)


@pytest.mark.promise("turn-progress")
def test_progress_of_a_turn_for_nothing_goes_red(monkeypatch: Patch) -> None:
    find(NOTHING, monkeypatch)
