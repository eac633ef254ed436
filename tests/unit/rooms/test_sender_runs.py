"""Sender runs: whose the stretches of a chunk are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.sender_runs import SenderRuns, note, spans


def test_runs_that_follow_one_another_become_one() -> None:
    runs: SenderRuns = {}
    for sender, start, end in ((1, 0, 5), (1, 5, 9), (2, 9, 12), (1, 12, 20)):
        note(runs, sender, start, end)
    assert runs == {1: [(0, 9), (12, 20)], 2: [(9, 12)]}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=30), st.data())
def test_spans_cover_a_stretch_once_and_tell_whose_it_is(
    said: list[tuple[int, int]], data: st.DataObject
) -> None:
    runs: SenderRuns = {}
    whose: list[int] = []
    for sender, size in said:
        note(runs, sender, len(whose), len(whose) + size)
        whose += [sender] * size
    start = data.draw(st.integers(0, len(whose)))
    stop = data.draw(st.integers(start, len(whose)))
    for client in (1, 2, 3, 4):
        at = start
        for first, end, own in spans(runs, client, start, stop):
            assert first == at < end
            assert {sender == client for sender in whose[first:end]} == {own}
            at = end
        assert at == stop
