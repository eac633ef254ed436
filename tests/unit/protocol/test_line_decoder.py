"""Lines come out the same however the bytes came in, and cost what they should."""

import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.protocol.line_decoder import LineDecoder

Outcome = tuple[list[bytes], bytes | None, bool, bool]

TRANSCRIPTS: list[tuple[bytes, list[bytes], bytes | None]] = [
    (b"", [], None),
    (b"a\n", [b"a"], None),
    (b"a\r\n", [b"a"], None),
    (b"a\r\0", [b"a"], None),
    (b"a\nb\r\nc\r\0d", [b"a", b"b", b"c"], b"d"),
    (b"\n\r\n\r\0", [b"", b"", b""], None),
    (b"\n\n\n", [b"", b"", b""], None),
    (b"a\rb\n", [b"a\rb"], None),
    (b"a\r\r\n", [b"a\r"], None),
    (b"\r\r\n", [b"\r"], None),
    (b"\r\r\r\r\n", [b"\r\r\r"], None),
    (b"\r\r\0\n", [b"\r", b""], None),
    (b"\r\r\0", [b"\r"], None),
    (b"\r\n\0", [b""], b"\0"),
    (b"\r\0\n", [b"", b""], None),
    (b"\r\r\n\0\n", [b"\r", b"\0"], None),
    (b"\n\r", [b""], b""),
    (b"\r", [], b""),
    (b"a\r", [], b"a"),
    (b"a\r\r", [], b"a\r"),
    (b"\0\n\0", [b"\0"], b"\0"),
    ("žluťoučký \U0001f40e\n".encode(), ["žluťoučký \U0001f40e".encode()], None),
    (b"\xff\xfe\x80\n", [b"\xff\xfe\x80"], None),
    (b"  a b \t\n", [b"  a b \t"], None),
]

streams = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"bc", b"\r\n", b"\xff"]), max_size=40).map(
    b"".join
)


def outcome(pieces: list[bytes], max_line_bytes: int = 0) -> Outcome:
    """All that a buffer tells about these pieces: lines, last line, too_long, crlf_seen."""
    buffer = LineDecoder(max_line_bytes)
    lines = [line for piece in pieces for line in buffer.feed(piece)]
    return lines, buffer.finish(), buffer.too_long, buffer.crlf_seen


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces of `data` between these places (taken modulo its length); some may be empty."""
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def by_the_book(data: bytes, max_line_bytes: int) -> Outcome:
    """The rules as one reads them, byte after byte, with the whole input in view."""
    lines: list[bytes] = []
    line, crlf_seen, at = b"", False, 0
    while at < len(data):
        two = data[at : at + 2]
        if two == b"\r":  # The very last byte.
            return lines, line, False, crlf_seen
        if two in (b"\r\n", b"\r\0") or two.startswith(b"\n"):
            lines.append(line)
            line, crlf_seen = b"", crlf_seen or two.startswith(b"\r")
            at += 2 if two.startswith(b"\r") else 1
        else:
            line += two[:1]
            at += 1
        if max_line_bytes and len(line) > max_line_bytes:
            return lines, None, True, crlf_seen
    return lines, line or None, False, crlf_seen


@pytest.mark.promise("lines-verbatim")
@pytest.mark.parametrize(("data", "lines", "last"), TRANSCRIPTS)
def test_lines_are_cut_at_lf_crlf_and_cr_nul_and_stay_verbatim(
    data: bytes, lines: list[bytes], last: bytes | None
) -> None:
    assert outcome([data])[:2] == (lines, last)


@pytest.mark.promise("lines-verbatim")
@pytest.mark.parametrize(("data", "lines", "last"), TRANSCRIPTS)
def test_every_cut_in_two_and_byte_by_byte_give_the_same_lines(
    data: bytes, lines: list[bytes], last: bytes | None
) -> None:
    whole = outcome([data])
    assert outcome(one_by_one(data)) == whole
    for place in range(len(data) + 1):
        assert outcome([data[:place], data[place:]]) == whole
    assert whole[:2] == (lines, last)


@settings(deadline=None, max_examples=500)
@given(data=streams, places=st.lists(st.integers(0, 200), max_size=8), limit=st.integers(0, 6))
@example(data=b"a\nbbbbbbb\r\n", places=[], limit=6)
@example(data=b"aa\r\r\n", places=[3], limit=2)
def test_any_cut_under_any_limit_follows_the_rules(data: bytes, places: list[int], limit: int) -> None:
    expected = by_the_book(data, limit)
    assert outcome([data], limit) == expected
    assert outcome(one_by_one(data), limit) == expected
    assert outcome(cut(data, places), limit) == expected


@pytest.mark.promise("lines-verbatim")
@settings(deadline=None)
@given(data=st.binary(max_size=200), places=st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_of_arbitrary_bytes_follows_the_rules(data: bytes, places: list[int]) -> None:
    assert outcome([data]) == outcome(cut(data, places)) == by_the_book(data, 0)


def test_what_waits_for_its_line_end_is_counted() -> None:
    buffer = LineDecoder(0)
    assert buffer.unfinished_bytes == 0
    buffer.feed(b"a\nbc")
    assert buffer.unfinished_bytes == 2
    buffer.feed(b"\r")
    assert buffer.unfinished_bytes == 3
    assert buffer.feed(b"\n") == [b"bc"]
    assert buffer.unfinished_bytes == 0


@pytest.mark.promise("lines-unfinished-last")
def test_an_unfinished_last_line_is_given_once() -> None:
    buffer = LineDecoder(0)
    assert buffer.feed(b"no end") == []
    assert buffer.finish() == b"no end"
    assert buffer.finish() is None


def test_nothing_fed_decides_nothing() -> None:
    buffer = LineDecoder(0)
    buffer.feed(b"a\r")
    assert buffer.feed(b"") == []
    assert buffer.feed(b"\n") == [b"a"]
    assert buffer.feed(b"") == []
    assert buffer.finish() is None


@pytest.mark.promise("lines-too-long")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0"])
def test_a_line_of_the_limit_passes_and_one_byte_more_does_not(end: bytes) -> None:
    assert outcome([b"x" * 8 + end], 8) == ([b"x" * 8], None, False, end != b"\n")
    assert outcome([b"x" * 9 + end], 8) == ([], None, True, False)


def test_a_cr_counts_for_the_limit_only_once_it_is_content() -> None:
    buffer = LineDecoder(4)
    buffer.feed(b"xxxx\r")
    assert not buffer.too_long
    buffer.feed(b"\r")
    assert buffer.too_long


@pytest.mark.promise("lines-too-long")
def test_an_over_long_line_is_noticed_before_it_ends() -> None:
    buffer = LineDecoder(4)
    assert buffer.feed(b"good\nxxxxx") == [b"good"]
    assert buffer.too_long
    assert buffer.unfinished_bytes == 0


@pytest.mark.promise("lines-too-long")
def test_everything_after_an_over_long_line_is_dropped() -> None:
    buffer = LineDecoder(4)
    assert buffer.feed(b"one\nmuch too long\ntwo\r\n") == [b"one"]
    assert buffer.feed(b"three\r\n") == []
    assert buffer.finish() is None
    assert buffer.unfinished_bytes == 0
    assert not buffer.crlf_seen


def test_no_limit_means_no_limit() -> None:
    line = b"x" * 3_000_000
    assert outcome([line, line, b"\n"]) == ([line + line], None, False, False)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"a\n", False),
        (b"a\r", False),
        (b"a\rb\n", False),
        (b"a\r\n", True),
        (b"a\r\0", True),
        (b"a\nb\r\nc\n", True),
    ],
)
def test_a_crlf_is_remembered(data: bytes, seen: bool) -> None:
    assert outcome([data])[3] is seen
    assert outcome(one_by_one(data))[3] is seen


class WatchedTail(bytearray):
    """A tail that counts its whole length whenever somebody looks into it; appending is no look."""

    looked_at_bytes = 0

    def __contains__(self, what: Any) -> bool:
        self.looked_at_bytes += len(self)
        return super().__contains__(what)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name not in ("looked_at_bytes", "append", "extend"):
            self.looked_at_bytes += len(self)  # find, split, endswith and the like
        return super().__getattribute__(name)


def test_the_watched_tail_notices_a_search() -> None:
    tail = WatchedTail(b"12345")
    tail += b"678"
    assert tail.looked_at_bytes == 0
    assert tail.find(b"9") == -1
    assert ord("9") not in tail
    assert tail.looked_at_bytes == 8 + 8


@pytest.mark.promise("lines-trickle")
@pytest.mark.parametrize("piece", [b"y", b"y\r"])
def test_an_unfinished_line_is_never_looked_at_again(piece: bytes) -> None:
    count = 20_000
    buffer = LineDecoder(0)
    buffer.feed(b"x")
    tail = buffer._tail = WatchedTail(b"x")
    for _ in range(count):
        assert buffer.feed(piece) == []
    assert buffer._tail is tail  # Not copied into another one either.
    assert tail.looked_at_bytes == 0
    assert buffer.feed(b"\n") == [(b"x" + piece * count).removesuffix(b"\r")]


@pytest.mark.promise("lines-trickle")
def test_one_byte_feeds_take_about_one_byte_of_memory_each() -> None:
    count = 100_000
    buffer = LineDecoder(0)
    for _ in range(count):
        buffer.feed(b"x")
    held_bytes = sum(sys.getsizeof(getattr(buffer, slot)) for slot in LineDecoder.__slots__)
    assert count <= held_bytes < 1.25 * count
    assert not hasattr(buffer, "__dict__")


def test_a_finished_line_leaves_no_memory_behind() -> None:
    buffer = LineDecoder(0)
    for _ in range(1000):
        buffer.feed(b"x" * 100)
    buffer.feed(b"\n")
    held_bytes = sum(sys.getsizeof(getattr(buffer, slot)) for slot in LineDecoder.__slots__)
    assert held_bytes < 200
