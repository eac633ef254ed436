"""The log of a room: one chunk a turn, its lines between two offsets, and trimming."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.log import PIECE_BYTES, SMALL_BYTES, Log, pieces
from tests.unit.support import SPEAKER

TURNS = st.lists(st.integers(1, 4), min_size=1, max_size=8)


def a_log(*turns: int) -> Log:
    """A log that got so many lines in each turn; every line says its number."""
    log = Log(1, self_echo=True)
    for count in turns:
        for _ in range(count):
            add(log, b"line %d" % log.next_line)
        log.seal()
    return log


def add(log: Log, *contents: bytes, sender: int = SPEAKER) -> None:
    log.extend(b"".join(content + b"\n" for content in contents), len(contents), sender)


def numbered(start: int, stop: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(start, stop)]


def test_lines_of_a_turn_are_one_chunk() -> None:
    log = a_log(3, 2)
    assert [chunk.lf for chunk in log.chunks] == [b"line 0\nline 1\nline 2\n", b"line 3\nline 4\n"]
    assert [(chunk.first_line, chunk.count) for chunk in log.chunks] == [(0, 3), (3, 2)]
    assert [(chunk.start, chunk.end) for chunk in log.chunks] == [(0, 21), (21, 35)]
    log.seal()
    add(log, b"", b"")
    log.seal()
    assert [(chunk.lf, chunk.count) for chunk in log.chunks[2:]] == [(b"\n\n", 2)]
    assert (log.next_line, log.head) == (7, 37)


def test_chunk_with_one_line_of_a_client_is_talk() -> None:
    log = a_log()
    for senders in ((0,), (0, SPEAKER, 0), (0,)):
        for sender in senders:
            add(log, b"a line", sender=sender)
        log.seal()
    assert [chunk.talk for chunk in log.chunks] == [False, True, False]


def test_chunks_from_an_offset_are_whole_and_fill_a_size() -> None:
    log = a_log(*[1] * 8)  # 7 bytes each.
    numbers = {size: [chunk.first_line for chunk in log.chunks_from(14, size)] for size in (0, 7, 20, 21, 99)}
    assert numbers == {0: [2], 7: [2], 20: [2, 3], 21: [2, 3, 4], 99: [2, 3, 4, 5, 6, 7]}
    assert log.chunks_from(15, 99) == [], "from inside a chunk"
    assert log.chunks_from(log.head, 99) == []


@given(TURNS, st.data())
def test_lines_between_two_borders_are_whole(turns: list[int], data: st.DataObject) -> None:
    log = a_log(*turns)
    start = data.draw(st.integers(0, log.next_line - 1))
    stop = data.draw(st.integers(start + 1, log.next_line))
    borders = [sum(map(len, numbered(0, number))) for number in (start, stop)]
    parts = list(log.lines_between(*borders))
    assert b"".join(parts) == b"".join(numbered(start, stop))
    assert all(parts)


def test_lines_of_many_turns_come_in_pieces_of_64_kib() -> None:
    log = a_log(*[1] * 20_000)
    *sizes, last = [len(piece) for piece in pieces(log.lines_between(0, log.head))]
    assert sum(sizes) + last == log.head > 3 * PIECE_BYTES
    assert all(PIECE_BYTES <= size < PIECE_BYTES + 20 for size in sizes)
    assert last < PIECE_BYTES


@given(TURNS, st.integers(0, 20))
def test_trim_drops_what_nobody_needs_and_nothing_else(turns: list[int], needed_line: int) -> None:
    log = a_log(*turns)
    needed = sum(map(len, numbered(0, min(needed_line, log.next_line))))
    before = list(log.chunks)
    log.trim(needed)
    assert log.chunks == [chunk for chunk in before if chunk.end > needed]


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 3)), max_size=60), st.data())
def test_compact_changes_no_line_and_no_border_behind_it(
    turns: list[tuple[int, int]], data: st.DataObject
) -> None:
    log = Log(1, self_echo=False)
    for size, sender in turns:
        add(log, b"x" * size, sender=sender)
        log.seal()
    stop = data.draw(st.integers(0, log.head))
    before = list(log.chunks)
    log.compact(stop)
    assert b"".join(chunk.lf for chunk in log.chunks) == b"".join(chunk.lf for chunk in before)
    assert sum(chunk.count for chunk in log.chunks) == len(turns)
    kept = [chunk for chunk in before if chunk.end > stop]
    assert log.chunks[len(log.chunks) - len(kept) :] == kept
    lines = 0
    for chunk in log.chunks:
        assert (chunk.first_line, chunk.end - chunk.start) == (lines, len(chunk.lf))
        lines += chunk.count


@pytest.mark.parametrize("sizes", [[50], [100, 10], [3, 2], [90, 45, 9], [100, 100, 100, 10], [9000, 20]])
def test_compact_at_each_pass_keeps_few_chunks_and_copies_little(sizes: list[int]) -> None:
    """A pass has several turns, and what they bring may become ever less."""
    log, copied = Log(1, self_echo=True), 0
    for _ in range(5000):
        for size in sizes:
            add(log, b"x" * (size - 1))
            log.seal()
        before = set(map(id, log.chunks))
        log.compact(log.head)
        copied += sum(len(chunk.lf) for chunk in log.chunks if id(chunk) not in before)
    assert log.head == 5000 * sum(sizes)
    assert len(log.chunks) < 15 + 2 * log.head / SMALL_BYTES + (5000 if max(sizes) > 8192 else 0)
    assert copied < 12 * log.head
