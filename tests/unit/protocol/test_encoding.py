"""Encodings: the same lines on four kinds of wire, and how much of a line a cut wire still stands for."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.encoding import Encoding, canonical_left, cut, encode

CONTENT = st.lists(st.sampled_from([b"a", b"\r", b"\xff", b"\xff\xff", b"\0", b"\xc3\xa9"]), max_size=6).map(
    b"".join
)
LINES = st.lists(CONTENT, min_size=1, max_size=5).map(lambda lines: b"\n".join(lines) + b"\n")
ENCODINGS = st.sampled_from(get_args(Encoding))


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("lf", b"a\n\n\r\n\xff\n"),
        ("crlf", b"a\r\n\r\n\r\r\n\xff\r\n"),
        ("telnet", b"a\r\n\r\n\r\r\n\xff\xff\r\n"),
        ("frames", b"\x81\x01a\x81\x00\x81\x01\r\x82\x01\xff"),
    ],
)
def test_encoding_changes_line_ends_and_doubles_255_for_telnet(encoding: Encoding, wire: bytes) -> None:
    assert encode(b"a\n\n\r\n\xff\n", encoding) == wire


def test_lines_for_an_lf_client_are_the_same_object() -> None:
    lines = bytes(bytearray(b"abc\n"))
    assert encode(lines, "lf") is lines


@given(LINES, ENCODINGS)
def test_a_cut_counts_all_lines_up_to_the_end_of_its_line(lines: bytes, encoding: Encoding) -> None:
    wire, whole = b"", encode(lines, encoding)
    borders = [(0, 0, 0)]
    for count, content in enumerate(lines.split(b"\n")[:-1], start=1):  # A CR is content.
        line = content + b"\n"
        wire += encode(line, encoding)
        borders.append((len(wire), count, borders[-1][2] + len(line)))
    assert wire == whole
    for taken in range(1, len(wire) + 1):
        place = cut(whole, taken, encoding)
        assert place[:3] == min(border for border in borders if border[0] >= taken)


@given(CONTENT, ENCODINGS)
def test_the_rest_of_a_line_counts_down_to_one_at_any_cut(content: bytes, encoding: Encoding) -> None:
    wire, size = encode(content + b"\n", encoding), len(content) + 1
    left = [size, *(cut(wire, taken, encoding).left for taken in range(1, len(wire) + 1))]
    assert left[-2:] == [1, 0] or len(wire) == 1
    assert all(0 <= before - after <= 1 for before, after in pairwise(left))
    # What was cut before counts on.
    assert left[1:-1] == [canonical_left(wire[taken:], encoding, size) for taken in range(1, len(wire))]


@pytest.mark.parametrize(
    ("rest", "encoding", "left"),
    [
        (b"b\n", "lf", 2),
        (b"b\r\n", "crlf", 2),
        (b"\r\n", "crlf", 1),
        (b"\n", "crlf", 1),
        (b"\xff\xff\r\n", "telnet", 2),
        (b"\xff\r\n", "telnet", 2),
    ],
)
def test_rest_of_a_line_counts_without_cr_and_escapes(rest: bytes, encoding: Encoding, left: int) -> None:
    assert canonical_left(rest, encoding, most=9) == left
