"""Overload: what a turn costs in a large room whose readers take nothing, or next to nothing.

A pass takes many turns there, each of which brings a chunk. So whoever is behind is owed many chunks, and a
look at each of them for each client would be clients x chunks. Source lines are counted, not seconds.
"""

from collections.abc import Sequence

import pytest

from hub.loop.limits import Budgets
from tests.sim.counting import counted_lines
from tests.sim.stage import MUCH, Actor, Stage

SENDS = 50
"""So many sends are a turn here."""
PASS = 16
"""So many turns are a pass."""
LINE_BYTES = 64


class Overload:
    """A room in which some talk in every turn, and how many source lines of the rooms a send takes."""

    def __init__(self, *, out: int = MUCH, self_echo: bool = True) -> None:
        self.stage = Stage(budgets=Budgets(rounds=1, sends=SENDS), self_echo=self_echo)
        self.talkers: Sequence[Actor] = self.stage.join(5)
        self.readers = self.stage.join(PASS * SENDS - 5, out=out)
        self.said = 0

    def passes(self, count: int) -> float:
        """Talk through so many passes; the source lines for each send, in the worst turn."""
        worst = 0
        for _ in range(count * PASS):
            for talker in self.talkers:
                self.said += 1
                talker.send(b"%d" % (self.said % 10) * (LINE_BYTES - 1) + b"\n")
            with counted_lines("/hub/rooms/") as ran:
                self.stage.turn()
            worst = max(worst, ran["lines"])
        return worst / SENDS

    def ends_well(self) -> bool:
        """All read on, and all is accounted for."""
        for reader in self.readers:
            reader.tcp.widen()
        self.stage.rest()
        return self.stage.balances()


@pytest.mark.promise("turn-work")
@pytest.mark.parametrize("self_echo", [True, False])
def test_kernels_that_all_refuse_cost_no_look_at_each_chunk(self_echo: bool) -> None:
    """All are in step, and each kernel takes what one pass brings and no more."""
    overload = Overload(out=PASS * LINE_BYTES * 3 // 2, self_echo=self_echo)
    overload.talkers = overload.talkers[:1]
    overload.passes(2)
    for reader in overload.readers:
        reader.reads = False
    assert overload.passes(2) < 120
    assert overload.ends_well()


@pytest.mark.promise("turn-work")
def test_talkers_without_self_echo_get_all_but_their_lines() -> None:
    """Many talk in each turn, and get the chunks since their last turn without what they said themselves."""
    overload = Overload(self_echo=False)
    overload.talkers = overload.readers[::7]
    assert overload.passes(3) < 250
    assert overload.ends_well()
