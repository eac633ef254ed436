"""A stretch: chunks in a row, joined once in each encoding that somebody needs."""

import pytest

from hub.protocol.encoding import Encoding, encode
from hub.rooms.outbox import Outbox
from hub.rooms.stretch import Stretch
from tests.unit.support import SPEAKER, a_room, an_outbox

LINES = [b"one\n", b"t\xffwo\n", b"three\n", b"\n"]


def a_stretch(outbox: Outbox, *said: tuple[bytes, int]) -> Stretch:
    """Of a room in which these lines were said, each in a turn of its own."""
    room = a_room(outbox, self_echo=False)
    for line, sender in said:
        room.extend(line, 1, sender)
        room.log.seal()
    return Stretch(room.log.chunks)


@pytest.mark.parametrize("encoding", Encoding)
def test_stretch_is_joined_once_in_each_encoding(encoding: Encoding) -> None:
    stretch = a_stretch(an_outbox(), *((line, SPEAKER) for line in LINES))
    assert (stretch.start, stretch.size, stretch.count) == (0, len(b"".join(LINES)), 4)
    wire = stretch.encoded(encoding)
    assert wire == encode(b"".join(LINES), encoding)
    for other in Encoding:
        stretch.encoded(other)
    assert stretch.encoded(encoding) is wire


def test_stretch_of_one_chunk_is_the_bytes_of_the_chunk() -> None:
    room = a_room(an_outbox())
    room.append(b"line", SPEAKER)
    room.log.seal()
    [chunk] = room.log.chunks
    for encoding in Encoding:
        assert Stretch([chunk]).encoded(encoding) is chunk.encoded(encoding)


def test_sender_gets_what_others_said_of_a_stretch() -> None:
    outbox = an_outbox()
    senders = [outbox.id, SPEAKER, outbox.id, SPEAKER]
    stretch = a_stretch(outbox, *zip(LINES, senders, strict=True))
    wires = [segment.wire for segment in stretch.segments(outbox.id, Encoding.LF)]
    assert wires == [b"", LINES[1], b"", LINES[3]]
    assert stretch.share_of(outbox.id) == (2, len(LINES[0] + LINES[2]))
    assert stretch.senders == {outbox.id}, "the other is not here"


def test_stretch_is_talk_where_a_client_said_any_of_it() -> None:
    assert not a_stretch(an_outbox(), (b"* ann joined\n", 0), (b"* ann left\n", 0)).talk
    assert a_stretch(an_outbox(), (b"* ann joined\n", 0), (b"hello\n", SPEAKER)).talk
