"""The log of a room: one chunk a turn, history by lines and bytes, and trimming."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.log import PIECE_BYTES, Log
from tests.unit.support import MUCH, SPEAKER

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
    log.extend(contents, sum(len(content) + 1 for content in contents), sender)


def numbered(start: int, stop: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(start, stop)]


def held(log: Log) -> list[bytes]:
    """The lines that the log holds."""
    return b"".join(chunk.lf for chunk in log.chunks).splitlines(keepends=True)


# Appending.


def test_lines_of_a_turn_are_one_chunk() -> None:
    log = a_log(3, 2)
    assert [chunk.lf for chunk in log.chunks] == [b"line 0\nline 1\nline 2\n", b"line 3\nline 4\n"]
    assert [(chunk.first_line, chunk.count) for chunk in log.chunks] == [(0, 3), (3, 2)]
    assert [(chunk.start, chunk.end) for chunk in log.chunks] == [(0, 21), (21, 35)]
    assert (log.next_line, log.head) == (5, 35)


def test_turn_without_lines_makes_no_chunk() -> None:
    log = a_log()
    log.seal()
    assert log.chunks == []


def test_empty_lines_are_lines() -> None:
    log = a_log()
    add(log, b"", b"")
    log.seal()
    assert [(chunk.lf, chunk.count) for chunk in log.chunks] == [(b"\n\n", 2)]


def test_intake_is_what_came_since_it_was_set_back() -> None:
    log = a_log(1)
    log.intake = 0
    add(log, b"abc")
    add(log, b"d", b"e")
    assert log.intake == 8


def test_chunk_with_one_line_of_a_client_is_talk() -> None:
    log = a_log()
    for senders in ((0,), (0, SPEAKER, 0), (0,)):
        for sender in senders:
            add(log, b"a line", sender=sender)
        log.seal()
    assert [chunk.talk for chunk in log.chunks] == [False, True, False]


def test_chunk_has_the_sender_runs_of_its_own_turn_only() -> None:
    log = Log(1, self_echo=False)
    for sender in (1, 2, 0):
        add(log, b"abc", sender=sender)
        if sender:
            log.note_sender(sender, 4)
        log.seal()
    assert [chunk.runs for chunk in log.chunks] == [{1: [(0, 4)]}, {2: [(4, 8)]}, None]


# Finding a place.


@given(TURNS, st.data())
def test_lines_between_two_borders_are_whole(turns: list[int], data: st.DataObject) -> None:
    log = a_log(*turns)
    start = data.draw(st.integers(0, log.next_line - 1))
    stop = data.draw(st.integers(start + 1, log.next_line))
    borders = [sum(map(len, numbered(0, number))) for number in (start, stop)]
    pieces = list(log.lines_between(*borders))
    assert b"".join(pieces) == b"".join(numbered(start, stop))
    assert all(pieces)


def test_lines_of_many_turns_come_in_pieces_of_64_kib() -> None:
    log = a_log(*[1] * 20_000)
    *sizes, last = [len(piece) for piece in log.lines_between(0, log.head)]
    assert sum(sizes) + last == log.head > 3 * PIECE_BYTES
    assert all(PIECE_BYTES <= size < PIECE_BYTES + 20 for size in sizes)
    assert last < PIECE_BYTES


def test_index_of_an_offset_is_its_chunk_and_of_the_head_the_end() -> None:
    log = a_log(2, 1, 3)
    assert [log.index(offset) for offset in (0, 7, 14, 21, 28, log.head)] == [0, 0, 1, 2, 2, 3]


@given(TURNS, st.integers(0, 12), st.integers(0, 200))
def test_tail_is_the_last_whole_lines_that_fit(turns: list[int], lines: int, most_bytes: int) -> None:
    log = a_log(*turns)
    expected = numbered(max(0, log.next_line - lines), log.next_line)
    while sum(map(len, expected)) > most_bytes:
        del expected[0]
    assert log.tail(lines, most_bytes) == b"".join(expected)


def test_tail_has_the_lines_of_this_turn_too() -> None:
    log = a_log(1)
    add(log, b"line 1")
    assert log.tail(5, MUCH) == b"line 0\nline 1\n"


# Trimming.


def test_chunks_behind_all_subscribers_and_history_go() -> None:
    log = a_log(2, 2, 2)
    log.trim(log.chunks[1].start, 0, MUCH)
    assert held(log) == numbered(2, 6)
    log.trim(log.head, 0, MUCH)
    assert log.chunks == []


def test_chunk_in_which_a_subscriber_stands_stays_whole() -> None:
    log = a_log(2, 2, 2)
    log.trim(log.chunks[1].start + len(b"line 2\n"), 0, MUCH)
    assert held(log) == numbered(2, 6)


def test_history_counts_in_lines_and_keeps_whole_chunks() -> None:
    log = a_log(3, 3, 3)
    log.trim(log.head, 4, MUCH)
    assert held(log) == numbered(3, 9)
    log.trim(log.head, 3, MUCH)
    assert held(log) == numbered(6, 9)


def test_history_gives_way_to_the_limit_in_bytes() -> None:
    log = a_log(*[1] * 5)
    log.trim(log.head, 100, 2 * len(b"line 0\n"))
    assert held(log) == numbered(3, 5)


@given(TURNS, st.integers(0, 20), st.integers(0, 10), st.integers(0, 200))
def test_trim_drops_what_nobody_needs_and_nothing_else(
    turns: list[int], needed_line: int, history: int, most_bytes: int
) -> None:
    log = a_log(*turns)
    needed = sum(map(len, numbered(0, min(needed_line, log.next_line))))
    before, first_remembered = list(log.chunks), log.next_line - history
    log.trim(needed, history, most_bytes)
    dropped = before[: len(before) - len(log.chunks)]
    assert before[len(dropped) :] == log.chunks

    def is_needed(first_line: int, count: int, end: int) -> bool:
        return end > needed or (first_line + count > first_remembered and log.head - end < most_bytes)

    assert not any(is_needed(chunk.first_line, chunk.count, chunk.end) for chunk in dropped)
    assert all(is_needed(chunk.first_line, chunk.count, chunk.end) for chunk in log.chunks[:1])
