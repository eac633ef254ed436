"""A chunk: each of its encodings is made once and shared."""

from __future__ import annotations

import pytest

from hub.protocol.encoding import Encoding, encode
from hub.rooms.chunk import Chunk


@pytest.mark.parametrize("encoding", Encoding)
def test_encoding_of_a_chunk_is_made_once(encoding: Encoding) -> None:
    lf = b"abc\n\xff\n"
    chunk = Chunk(lf, 0, 0, 2, True)
    assert chunk.encoded(encoding) == encode(lf, encoding)
    assert chunk.encoded(encoding) is chunk.encoded(encoding)


@pytest.mark.promise("telnet-byte-255")
def test_telnet_encoding_without_byte_255_is_the_crlf_encoding() -> None:
    chunk = Chunk(b"abc\n", 0, 0, 1, True)
    assert chunk.encoded(Encoding.TELNET) is chunk.encoded(Encoding.CRLF)


def test_lines_between_two_offsets_are_counted() -> None:
    chunk = Chunk(b"a\nbb\nccc\n", 5, 100, 3, True)
    assert (chunk.lines(100, 109), chunk.lines(102, 109), chunk.lines(102, 105)) == (3, 2, 1)
