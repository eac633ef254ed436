"""The history of a room: the last lines that were said, by count and by size, whatever else is kept."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.history import History, Said, wire


@given(st.lists(st.integers(0, 90), max_size=300), st.integers(0, 12), st.integers(0, 600))
def test_last_are_whole_lines_that_fit_however_many_went(sizes: list[int], lines: int, size: int) -> None:
    history, expected, offset = History(), list[Said](), 0
    for number, length in enumerate(sizes):
        expected.append((b"x" * length, 1, offset, float(number)))
        history.add([b"x" * length], 1, offset, float(number), lines, size)
        offset += length + 1
    expected = expected[len(expected) - min(len(expected), lines) :]
    while len(b"".join(wire(expected))) > size:
        del expected[0]
    assert history.last(lines, size) == expected


def test_history_keeps_little_more_than_may_be_shown() -> None:
    history = History()
    tracemalloc.start()
    for number in range(2000):
        history.add([bytes(10_000)], 1, number * 10_001, 0.0, 10_000, 100_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 90_000 < kept < 250_000
