"""The read gate: a set of reasons not to read, of which the end of input holds no parsed lines back."""

from itertools import combinations

import pytest

from hub.session.read_gate import ENDED, OUTBOX, RATE, ROOM, ReadGate

ALL = (OUTBOX, ROOM, RATE, ENDED)
SETS = [set(chosen) for size in range(5) for chosen in combinations(ALL, size)]


@pytest.mark.parametrize("reasons", SETS)
def test_gate_keeps_a_set_of_reasons_and_names_the_holds(reasons: set[int]) -> None:
    gate = ReadGate()
    for reason in (*reasons, *reasons):
        gate.add(reason)
    assert {reason for reason in ALL if gate.has(reason)} == reasons
    assert gate.is_held is bool(reasons - {ENDED})
    names = {OUTBOX: "outbox", ROOM: "room", RATE: "rate"}
    assert gate.names() == [name for reason, name in names.items() if reason in reasons]
    for reason in ALL:
        gate.remove(reason)
        reasons = reasons - {reason}
        assert {left for left in ALL if gate.has(left)} == reasons
