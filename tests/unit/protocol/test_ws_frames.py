"""Frames: made here, read back by the `websockets` library; and the borders of a chunk's lines in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from hub.protocol.ws_frames import BINARY, Framed, cut_frames, frame, frames

CONTENT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8).map(str.encode),
    st.binary(max_size=8).map(lambda content: content.replace(b"\n", b"")),
    st.sampled_from([b"x" * 125, b"x" * 126]),
)
CONTENTS = st.lists(CONTENT, min_size=1, max_size=6)


def canonical(contents: list[bytes]) -> bytes:
    return b"".join(content + b"\n" for content in contents)


def read(wire: bytes) -> list[Frame]:
    """What a client makes of this wire; fails for what is no valid server frame."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(wire)
    assert client.parser_exc is None
    return client.events_received()  # type: ignore[return-value]


@given(CONTENTS)
def test_each_line_is_one_message_text_where_it_is_utf8(contents: list[bytes]) -> None:
    found = read(frames(canonical(contents)))
    assert [bytes(message.data) for message in found] == contents
    for message in found:
        assert message.fin
        try:
            bytes(message.data).decode()
            assert message.opcode is Opcode.TEXT
        except UnicodeDecodeError:
            assert message.opcode is Opcode.BINARY


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_the_header_is_as_short_as_the_size_allows(size: int) -> None:
    (found,) = read(frame(b"x" * size, BINARY))
    assert (found.opcode, len(found.data)) == (Opcode.BINARY, size)
    assert len(frame(b"x" * size)) == size + (2 if size < 126 else 4 if size < 65536 else 10)


@given(CONTENTS, st.data())
def test_the_table_of_a_chunk_finds_what_walking_finds(contents: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(contents) - 1))
    stop = data.draw(st.integers(first + 1, len(contents)))
    start, end = len(canonical(contents[:first])), len(canonical(contents[:stop]))
    framed, part = Framed(canonical(contents)), frames(canonical(contents[first:stop]))
    assert framed.part(start, end) == part
    taken = data.draw(st.integers(1, len(part)))
    assert framed.cut(start, taken) == cut_frames(part, taken)


def test_long_lines_have_borders_behind_their_longer_headers() -> None:
    contents = [b"x" * size for size in (125, 126, 65535, 65536, 3)]
    framed, wire = Framed(canonical(contents)), frames(canonical(contents))
    for taken in (1, 127, 128, 256, 258, 259, 65000, 66000, 131000, len(wire) - 1, len(wire)):
        assert framed.cut(0, taken) == cut_frames(wire, taken)
