"""Forms: the same lines on three kinds of wire, and how much of a line a cut wire still stands for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.forms import Form, border_after, canonical_left, canonical_size, encode

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
    ],
)
def test_a_form_changes_line_ends_and_for_telnet_the_byte_255(form: Form, wire: bytes) -> None:
    assert encode(b"a\n\n\r\n\xff\n", form) == wire


def test_lines_for_an_lf_client_are_the_same_object() -> None:
    lines = bytes(bytearray(b"abc\n"))
    assert encode(lines, Form.LF) is lines


@given(LINES, FORMS)
def test_the_size_at_every_border_is_that_of_the_lines_before_it(lines: bytes, form: Form) -> None:
    wire, before = b"", 0
    whole = encode(lines, form)
    assert canonical_size(whole, 0, form) == 0
    for line in _split(lines):
        wire += encode(line, form)
        before += len(line)
        assert canonical_size(whole, len(wire), form) == before
    assert wire == whole


@given(CONTENT, FORMS)
def test_the_rest_of_a_line_counts_down_to_one_whatever_the_cut(content: bytes, form: Form) -> None:
    wire = encode(content + b"\n", form)
    left = [canonical_left(wire[cut:], form) for cut in range(len(wire))]
    assert left[0] == len(content) + 1
    assert left[-1] == 1
    assert all(0 <= before - after <= 1 for before, after in pairwise(left))


@given(LINES, FORMS)
def test_the_border_after_a_cut_is_the_end_of_the_line_that_was_cut(lines: bytes, form: Form) -> None:
    wire = encode(lines, form)
    borders = [at + 1 for at, byte in enumerate(wire) if byte == 0x0A]
    for cut in range(1, len(wire) + 1):
        assert border_after(wire, cut) == min(border for border in borders if border >= cut)


def _split(lines: bytes) -> list[bytes]:
    """Lines with their LF; a CR is content."""
    return [line + b"\n" for line in lines.split(b"\n")[:-1]]
