"""Lines come out the same however the bytes came in, and cost what they should."""

import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.protocol.line_decoder import LineDecoder
from tests.unit.protocol.support import however_cut

Outcome = tuple[list[bytes], bytes | None, bool, bool]
streams = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"bc", b"\r\n", b"\xff"]), max_size=40).map(
    b"".join
)
places_of = st.lists(st.integers(0, 200), max_size=8)


def outcome(pieces: list[bytes], max_line_bytes: int = 0) -> Outcome:
    """All that a buffer tells about these pieces: lines, last line, too_long, crlf_seen."""
    buffer = LineDecoder(max_line_bytes)
    lines = [line for piece in pieces for line in buffer.feed(piece)]
    last = buffer.finish()
    assert buffer.unfinished_bytes == 0
    assert buffer.finish() is None
    return lines, last, buffer.too_long, buffer.crlf_seen


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
@pytest.mark.promise("lines-unfinished-last")
@pytest.mark.parametrize(
    ("data", "lines", "last"),
    [
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
    ],
)
def test_lines_are_cut_at_lf_crlf_and_cr_nul_and_stay_verbatim(
    data: bytes, lines: list[bytes], last: bytes | None
) -> None:
    told = however_cut(outcome, data)
    assert told == by_the_book(data, 0)
    assert told[:2] == (lines, last)


@settings(max_examples=500)
@given(data=streams, places=places_of, limit=st.integers(0, 6))
@example(data=b"a\nbbbbbbb\r\n", places=[], limit=6)
@example(data=b"aa\r\r\n", places=[3], limit=2)
def test_any_cut_under_any_limit_follows_the_rules(data: bytes, places: list[int], limit: int) -> None:
    told = however_cut(lambda pieces: outcome(pieces, limit), data, places)
    assert told == by_the_book(data, limit)


@pytest.mark.promise("lines-verbatim")
@given(data=st.binary(max_size=200), places=places_of)
def test_any_cut_of_arbitrary_bytes_follows_the_rules(data: bytes, places: list[int]) -> None:
    assert however_cut(outcome, data, places) == by_the_book(data, 0)


def test_what_waits_for_its_line_end_is_counted() -> None:
    buffer = LineDecoder(0)
    for data, lines, waiting in (
        (b"a\nbc", [b"a"], 2),
        (b"\r", [], 3),
        (b"", [], 3),
        (b"\n", [b"bc"], 0),
        (b"", [], 0),
    ):
        assert buffer.feed(data) == lines
        assert buffer.unfinished_bytes == waiting


@pytest.mark.promise("lines-too-long")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0"])
def test_a_line_of_the_limit_passes_and_one_byte_more_does_not(end: bytes) -> None:
    assert outcome([b"x" * 8 + end], 8) == ([b"x" * 8], None, False, end != b"\n")
    assert outcome([b"x" * 9 + end], 8) == ([], None, True, False)


@pytest.mark.promise("lines-too-long")
def test_an_over_long_line_is_noticed_early_and_drops_all_behind() -> None:
    """A CR counts once it is content."""
    buffer = LineDecoder(4)
    assert buffer.feed(b"good\nxxxx\r") == [b"good"]
    assert not buffer.too_long
    assert buffer.feed(b"\r") == []
    assert buffer.too_long
    assert buffer.unfinished_bytes == 0
    assert buffer.feed(b"two\r\nthree\r\n") == []
    assert buffer.finish() is None
    assert not buffer.crlf_seen


def test_no_limit_means_no_limit() -> None:
    line = b"x" * 3_000_000
    assert outcome([line, line, b"\n"]) == ([line + line], None, False, False)


@pytest.mark.promise("lines-trickle")
@pytest.mark.parametrize("piece", [b"y", b"y\r"])
def test_an_unfinished_line_is_never_looked_at_again(piece: bytes) -> None:
    """A copy or a search of so long a line takes milliseconds."""
    count, long = 500, b"x" * 20_000_000
    buffer = LineDecoder(0)
    buffer.feed(long)
    buffer.feed(piece)  # The memory for more is there after the first.
    start = time.thread_time()
    for _ in range(count):
        assert buffer.feed(piece) == []
    assert time.thread_time() - start < 0.1
    (line,) = buffer.feed(b"\n")
    assert len(line) == len((long + piece * (count + 1)).removesuffix(b"\r"))


@pytest.mark.promise("lines-trickle")
def test_a_line_takes_about_one_byte_of_memory_for_each_byte() -> None:
    count = 100_000
    buffer = LineDecoder(0)
    for _ in range(count):
        buffer.feed(b"x")
    assert count <= held_bytes(buffer) < 1.25 * count
    buffer.feed(b"\n")
    assert held_bytes(buffer) < 200
    assert not hasattr(buffer, "__dict__")


def held_bytes(buffer: LineDecoder) -> int:
    return sum(sys.getsizeof(getattr(buffer, slot)) for slot in LineDecoder.__slots__)
