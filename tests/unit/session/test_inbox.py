"""The inbox: parsed lines wait in order until a turn takes them, and are taken once."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from hub.session.inbox import FIRST_FRAMES_BYTES, FIRST_LINES_BYTES, MOST_READ_BYTES, Inbox
from tests.unit.protocol.support import websocket
from tests.unit.support import a_client


@given(st.lists(st.one_of(st.lists(st.binary(max_size=3), max_size=5), st.integers(0, 6)), max_size=12))
def test_lines_are_taken_once_and_in_order(steps: list[list[bytes] | int]) -> None:
    """A list of lines is added; a number is how many are taken at most."""
    inbox, expected, added = a_client().inbox, deque[bytes](), 0
    for step in steps:
        if isinstance(step, int):
            assert inbox.take(step) == [expected.popleft() for _ in range(min(step, len(expected)))]
        else:
            inbox.receive(list(step))
            expected.extend(step)
            added += len(step)
        assert inbox.waiting == len(expected)
        assert inbox.has_lines == bool(expected)
        assert inbox.lines_in == added
    assert inbox.take(added) == list(expected)


def test_reads_are_small_until_they_are_full() -> None:
    inbox = a_client().inbox
    assert Inbox(websocket(), now=0.0).read_bytes == FIRST_FRAMES_BYTES
    assert inbox.read_bytes == FIRST_LINES_BYTES
    inbox.was_filled()
    assert inbox.read_bytes == 4 * FIRST_LINES_BYTES
    for _ in range(9):
        inbox.was_filled()
    assert inbox.read_bytes == MOST_READ_BYTES
