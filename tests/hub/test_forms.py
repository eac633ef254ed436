"""Forms: the same lines on four kinds of wire, and how much of a line a cut wire still stands for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.encoding import Form, canonical_left, cut, encode

CONTENT = st.lists(st.sampled_from([b"a", b"\r", b"\xff", b"\xff\xff", b"\0", b"\xc3\xa9"]), max_size=6).map(
    b"".join
)
LINES = st.lists(CONTENT, min_size=1, max_size=5).map(lambda lines: b"\n".join(lines) + b"\n")
FORMS = st.sampled_from(Form)


@pytest.mark.parametrize(
    ("form", "wire"),
    [
        (Form.LF, b"a\n\n\r\n\xff\n"),
        (Form.CRLF, b"a\r\n\r\n\r\r\n\xff\r\n"),
        (Form.TELNET, b"a\r\n\r\n\r\r\n\xff\xff\r\n"),
        (Form.FRAMES, b"\x81\x01a\x81\x00\x81\x01\r\x82\x01\xff"),
    ],
)
def test_a_form_changes_line_ends_doubles_255_for_telnet_or_frames_lines(form: Form, wire: bytes) -> None:
    assert encode(b"a\n\n\r\n\xff\n", form) == wire


def test_lines_for_an_lf_client_are_the_same_object() -> None:
    lines = bytes(bytearray(b"abc\n"))
    assert encode(lines, Form.LF) is lines


@given(LINES, FORMS)
def test_a_cut_stands_in_one_line_and_counts_all_lines_up_to_its_end(lines: bytes, form: Form) -> None:
    wire, whole = b"", encode(lines, form)
    borders = [(0, 0, 0)]
    for count, line in enumerate(_split(lines), start=1):
        wire += encode(line, form)
        borders.append((len(wire), count, borders[-1][2] + len(line)))
    assert wire == whole
    for taken in range(1, len(wire) + 1):
        place = cut(whole, taken, form)
        assert place[:3] == min(border for border in borders if border[0] >= taken)


@given(CONTENT, FORMS)
def test_what_is_left_of_a_line_counts_down_to_one_whatever_the_cut(content: bytes, form: Form) -> None:
    wire, size = encode(content + b"\n", form), len(content) + 1
    left = [size, *(cut(wire, taken, form).left for taken in range(1, len(wire) + 1))]
    assert left[-2:] == [1, 0] or len(wire) == 1
    assert all(0 <= before - after <= 1 for before, after in pairwise(left))


@given(CONTENT, FORMS)
def test_the_rest_of_a_line_that_is_cut_again_counts_on_from_where_it_was(content: bytes, form: Form) -> None:
    wire, size = encode(content + b"\n", form), len(content) + 1
    for taken in range(1, len(wire)):
        assert canonical_left(wire[taken:], form, size) == cut(wire, taken, form).left


def _split(lines: bytes) -> list[bytes]:
    """Lines with their LF; a CR is content."""
    return [line + b"\n" for line in lines.split(b"\n")[:-1]]
