"""Lines come out the same however the bytes came in, and cost what they should."""

import re
import time
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.protocol.line_decoder import CrLineDecoder, LineDecoder
from tests.unit.protocol.support import however_cut
from tests.unit.support import held_bytes

Outcome = tuple[list[bytes], bytes | None, bool, bool]
streams = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"bc", b"\r\n", b"\xff"]), max_size=40).map(
    b"".join
)
places_of = st.lists(st.integers(0, 200), max_size=8)


def outcome(
    pieces: list[bytes],
    max_line_bytes: int = 0,
    decoder: type[LineDecoder] = LineDecoder,
    *,
    uncut: bool = False,
) -> Outcome:
    """All that a buffer tells about these pieces: lines, last line, too_long, crlf_seen. `uncut` takes those
    that are whole lines as they stand."""
    buffer = decoder(max_line_bytes)
    lines: list[bytes] = []
    for piece in pieces:
        whole = uncut and piece and buffer.whole_lines(piece)
        assert not whole or whole == piece.count(b"\n")
        lines += piece.split(b"\n")[:-1] if whole else buffer.feed(piece)
    last = buffer.finish()
    assert buffer.unfinished_bytes == 0
    assert buffer.finish() is None
    return lines, last, buffer.too_long, buffer.crlf_seen


LF_ENDS = re.compile(rb"(?:\r(?=\r[\n\0]))?(?P<end>\r[\n\0]|\n)|\r{1,2}\Z")
"""A line end, or at the end of the data what may have been the beginning of one."""
CR_ENDS = re.compile(rb"(?P<end>\r[\n\0]?|\n)")


def by_the_book(data: bytes, max_line_bytes: int, ends: re.Pattern[bytes] = LF_ENDS) -> Outcome:
    """The rules as one reads them, byte after byte, with the whole input in view."""
    lines: list[bytes] = []
    line, crlf_seen, at = b"", False, 0
    while at < len(data):
        found = ends.match(data, at)
        if found and found["end"]:
            claimed = ends is LF_ENDS and found["end"] == b"\r\n" and bool(lines) and not line
            crlf_seen |= found["end"] != b"\n" and not claimed  # The CR belongs to the line end before.
            lines.append(line)
            line = b""
        elif not found and (line or not lines or data[at : at + 1] != b"\r"):
            line += data[at : at + 1]
        at = found.end() if found else at + 1
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
        (b"a\r\0b\r\0\n", [b"a", b"b", b""], None),
        (b"\r\n\0", [b""], b"\0"),
        (b"\r\0\n", [b"", b""], None),
        (b"\r\r\n\0\n", [b"", b"\0"], None),
        (b"a\r", [], b"a"),
        (b"a\r\r", [], b"a"),
        (b"a\r\r\r", [], b"a\r"),
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


@pytest.mark.promise("lines-crs-at-ends")
@pytest.mark.parametrize(
    ("data", "lines", "last"),
    [
        (b"hi\n\r/quit\n\r", [b"hi", b"/quit"], None),
        (b"a\n\r\n\rb\n\r\r\n", [b"a", b"", b"b", b""], None),
        (b"a\n\r\r\r\rb\n", [b"a", b"b"], None),
        (b"a\r\n\rb\r\n", [b"a", b"b"], None),
        (b"a\r\0\rb\rc\n", [b"a", b"b\rc"], None),
        (b"a\n\r\0b\n", [b"a", b"", b"b"], None),
        (b"a\r\r\nb\r\r\n", [b"a", b"b"], None),
        (b"a\r\r\0b\n", [b"a", b"b"], None),
        (b"AT\r\r\nOK\r\n", [b"AT", b"OK"], None),
        (b"a\r\r\r\r\n", [b"a\r\r"], None),
        (b"\r50%\r60%\n", [b"\r50%\r60%"], None),
        (b"\r\r\r\r\n\rb", [b"\r\r"], b"b"),
        (b"\r\n\r\n", [b"", b""], None),
        (b"\r", [], None),
        (b"\n\r", [b""], None),
        (b"\r\r\r\r", [], b"\r\r"),
    ],
)
def test_crs_directly_at_a_line_end_are_no_content(
    data: bytes, lines: list[bytes], last: bytes | None
) -> None:
    """A CR before it, as a CRLF gets whose LF was made CRLF once more, and any behind it: LF CR.

    A CR behind a line end tells nothing of the next one, so an empty line of LF CR makes no CRLF.
    """
    told = however_cut(outcome, data)
    assert told == by_the_book(data, 0)
    assert told[:2] == (lines, last)
    assert told[3] == bool(re.search(rb"(?:[^\r\n]|\A)\r+\n|\r\0", data))


@pytest.mark.promise("lines-cr")
@pytest.mark.parametrize(
    ("data", "lines", "last"),
    [
        (b"$GPGGA*47\r$GPGSA*39\r$", [b"$GPGGA*47", b"$GPGSA*39"], b"$"),
        (b"a\r\nb\r\0c\nd\r", [b"a", b"b", b"c", b"d"], None),
        (b"\r\r\n\n\r\0\0", [b"", b"", b"", b""], b"\0"),
        (b"a\r\n\r\nb", [b"a", b""], b"b"),
    ],
)
def test_a_bare_cr_ends_a_line_where_that_is_asked_for(
    data: bytes, lines: list[bytes], last: bytes | None
) -> None:
    told = however_cut(partial(outcome, decoder=CrLineDecoder), data)
    assert told == by_the_book(data, 0, CR_ENDS)
    assert told == (lines, last, False, True)


@pytest.mark.promise("lines-cr")
def test_a_bare_cr_ends_its_line_before_the_next_byte() -> None:
    buffer = CrLineDecoder(4)
    assert buffer.feed(b"one\r") == [b"one"]
    assert buffer.unfinished_bytes == 0
    assert buffer.feed(b"") == []
    assert buffer.feed(b"\n") == []
    assert buffer.feed(b"\ntwo\rlong!") == [b"", b"two"]
    assert buffer.too_long


DECODERS = [(LineDecoder, LF_ENDS), (CrLineDecoder, CR_ENDS)]


@pytest.mark.parametrize(("decoder", "ends"), DECODERS, ids=["lf", "cr"])
@settings(max_examples=500)
@given(data=streams, places=places_of, limit=st.integers(0, 6))
@example(data=b"a\nbbbbbbb\r\n", places=[], limit=6)
@example(data=b"aa\r\r\r\n", places=[3], limit=2)
@example(data=b"\n\r\0bbb\r\n", places=[], limit=2)
def test_any_cut_under_any_limit_follows_the_rules(
    decoder: type[LineDecoder], ends: re.Pattern[bytes], data: bytes, places: list[int], limit: int
) -> None:
    told = however_cut(lambda pieces: outcome(pieces, limit, decoder), data, places)
    assert told == by_the_book(data, limit, ends)


@pytest.mark.promise("lines-verbatim")
@given(data=st.binary(max_size=200), places=places_of)
def test_any_cut_of_arbitrary_bytes_follows_the_rules(data: bytes, places: list[int]) -> None:
    assert however_cut(outcome, data, places) == by_the_book(data, 0)


@pytest.mark.parametrize(("decoder", "ends"), [(LineDecoder, LF_ENDS), (CrLineDecoder, CR_ENDS)])
@given(data=streams, places=places_of, limit=st.sampled_from([0, 1, 3, 8]))
def test_reads_left_uncut_change_no_line(
    decoder: type[LineDecoder], ends: re.Pattern[bytes], data: bytes, places: list[int], limit: int
) -> None:
    def told(pieces: list[bytes]) -> Outcome:
        return outcome(pieces, limit, decoder, uncut=True)

    assert however_cut(told, data, places) == by_the_book(data, limit, ends)


@pytest.mark.parametrize("data", [b"one", b"one\ntwo", b"one\r\n", b"a\rb\n", b"12345\n"])
def test_read_that_is_not_only_whole_lines_is_to_be_fed(data: bytes) -> None:
    decoder = LineDecoder(5)
    assert decoder.whole_lines(b"1\n\n3\n") == 3
    assert decoder.whole_lines(data) == 0
    decoder.feed(b"the")
    assert decoder.whole_lines(b"end\n") == 0


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
    assert buffer.feed(b"good\nxxxx\r\r") == [b"good"]
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
@pytest.mark.parametrize("piece", [b"y", b"y\r", b"\r"])
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
    sent = long + piece * (count + 1)
    assert len(line) == len(sent.removesuffix(b"\r").removesuffix(b"\r"))


@pytest.mark.promise("lines-trickle")
@pytest.mark.parametrize("decoder", [LineDecoder, CrLineDecoder])
@pytest.mark.parametrize("unit", [b"\r", b"a\n\r", b"a\r\r\n", b"a\r", b"\n\r\r\r"])
def test_streams_full_of_crs_cost_their_bytes(decoder: type[LineDecoder], unit: bytes) -> None:
    """Ten times as much takes about ten times as long; if each byte were looked at again, a hundred times."""
    seconds = []
    for count in (20_000, 200_000):
        buffer, start = decoder(0), time.thread_time()
        for data in (unit * count, *(unit * 50 for _ in range(count // 50))):
            buffer.feed(data)
        seconds.append(time.thread_time() - start)
    assert seconds[1] < 40 * seconds[0] + 0.05


@pytest.mark.promise("lines-trickle")
def test_a_line_takes_about_one_byte_of_memory_for_each_byte() -> None:
    count = 100_000
    buffer = LineDecoder(0)
    for _ in range(count):
        buffer.feed(b"x")
    assert count <= held_bytes(buffer) < 1.25 * count
    buffer.feed(b"\n")
    assert held_bytes(buffer) < 220
    assert not hasattr(buffer, "__dict__")
