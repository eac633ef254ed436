"""A chunk: each of its encodings is made once and shared; several in a row are handed out as one."""

from typing import get_args

import pytest

from hub.protocol.encoding import Encoding, encode
from hub.rooms.chunk import Chunk
from hub.rooms.outbox import Outbox
from tests.unit.support import SPEAKER, a_room, an_outbox

LINES = [b"one\n", b"t\xffwo\n", b"three\n", b"\n"]


def chunks_of(outbox: Outbox, *said: tuple[bytes, int]) -> list[Chunk]:
    """Of a room in which these lines were said, each in a turn of its own."""
    room = a_room(outbox, self_echo=False)
    for line, sender in said:
        room.extend(line, 1, sender)
        room.log.seal()
    return room.log.chunks


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_encoding_of_a_chunk_is_made_once(encoding: Encoding) -> None:
    lf = b"abc\n\xff\n"
    chunk = Chunk(lf, 0, 0, 2, True)
    assert chunk.encoded(encoding) == encode(lf, encoding)
    assert chunk.encoded(encoding) is chunk.encoded(encoding)


@pytest.mark.promise("telnet-byte-255")
def test_telnet_encoding_without_byte_255_is_the_crlf_encoding() -> None:
    chunk = Chunk(b"abc\n", 0, 0, 1, True)
    assert chunk.encoded("telnet") is chunk.encoded("crlf")


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_several_as_one_are_encoded_once_and_cut_alike(encoding: Encoding) -> None:
    lf = b"".join(LINES)
    whole, usual = (
        Chunk.of_parts(chunks_of(an_outbox(), *((line, 9) for line in LINES))),
        Chunk(lf, 0, 0, 4, True),
    )
    assert (whole.start, whole.end, whole.count, whole.lf) == (0, len(lf), 4, lf)
    wire = whole.encoded(encoding)
    assert wire == encode(lf, encoding) == whole.encoded(encoding)
    for other in get_args(Encoding):
        assert whole.encoded(other) == encode(lf, other)
    assert whole.encoded(encoding) is wire
    for taken in range(1, len(wire)):
        assert whole.cut(encoding, 0, wire, taken) == usual.cut(encoding, 0, wire, taken)


def test_sender_gets_what_others_said_of_several_as_one() -> None:
    outbox = an_outbox()
    senders = [outbox.id, SPEAKER, outbox.id, SPEAKER]
    whole = Chunk.of_parts(chunks_of(outbox, *zip(LINES, senders, strict=True)))
    for encoding in get_args(Encoding):
        assert whole.without(outbox.id, encoding) == encode(LINES[1] + LINES[3], encoding)
    assert whole.share_of(outbox.id) == (2, len(LINES[0] + LINES[2]))


def test_several_as_one_are_talk_where_a_client_said_any() -> None:
    def is_talk(*senders: int) -> bool:
        return Chunk.of_parts(chunks_of(an_outbox(), *((b"a line\n", sender) for sender in senders))).talk

    assert [is_talk(0, 0), is_talk(0, SPEAKER)] == [False, True]
