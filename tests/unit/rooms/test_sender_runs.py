"""Sender runs: whose the stretches of a chunk are."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.sender_runs import SenderRuns, note, spans


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=30), st.data())
def test_spans_cover_a_stretch_once_and_tell_whose_it_is(
    said: list[tuple[int, int]], data: st.DataObject
) -> None:
    runs: SenderRuns = {}
    whose: list[int] = []
    for sender, size in said:
        note(runs, sender, len(whose), len(whose) + size, lines=1)
        whose += [sender] * size
    for mine in runs.values():
        assert all(run[1] < later[0] for run, later in pairwise(mine)), "those that meet are one"
    for sender, mine in runs.items():
        assert sum(run[2] for run in mine) == sum(who == sender for who, _ in said)
    start = data.draw(st.integers(0, len(whose)))
    stop = data.draw(st.integers(start, len(whose)))
    for client in (1, 2, 3, 4):
        at = start
        for first, end, own in spans(runs, client, start, stop):
            assert first == at < end
            assert {sender == client for sender in whose[first:end]} == {own}
            at = end
        assert at == stop
