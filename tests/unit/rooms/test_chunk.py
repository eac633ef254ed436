"""A chunk: each of its encodings is made once and shared."""

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
