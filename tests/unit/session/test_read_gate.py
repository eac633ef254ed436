"""The read gate: reading is wanted if and only if there is no pause reason."""

from __future__ import annotations

from itertools import combinations

import pytest

from hub.session.read_gate import ENDED, OUTBOX, RATE, ROOM, ReadGate

HOLDS = (OUTBOX, ROOM, RATE)
ALL = (*HOLDS, ENDED)
SETS = [set(chosen) for size in range(5) for chosen in combinations(ALL, size)]


def gate_of(reasons: set[int]) -> ReadGate:
    gate = ReadGate()
    for reason in reasons:
        gate.add(reason)
        gate.add(reason)
    return gate


@pytest.mark.parametrize("reasons", SETS)
def test_gate_is_open_without_reasons_and_held_without_the_end(reasons: set[int]) -> None:
    gate = gate_of(reasons)
    assert gate.is_open is (not reasons)
    assert gate.is_held is bool(reasons - {ENDED})
    assert {reason for reason in ALL if gate.has(reason)} == reasons


@pytest.mark.parametrize("reasons", SETS)
@pytest.mark.parametrize("reason", ALL)
def test_lines_may_be_taken_again_when_the_last_hold_goes(reasons: set[int], reason: int) -> None:
    gate = gate_of(reasons)
    assert gate.remove(reason) is (reasons - {ENDED} == {reason})
    assert {left for left in ALL if gate.has(left)} == reasons - {reason}
    assert not gate.remove(reason)


def test_names_are_those_of_the_holds() -> None:
    assert gate_of(set(ALL)).names() == ["outbox", "room", "rate"]
    assert gate_of({ENDED}).names() == []
