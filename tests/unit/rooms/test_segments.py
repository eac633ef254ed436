"""Segments: what is offered to the kernel at once, and which of it is talk."""

import pytest

from hub.rooms.segments import BATCH_BYTES, BATCH_SEGMENTS
from tests.unit.support import SPEAKER, a_room, an_outbox, take


def test_batch_has_so_many_segments_at_most() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    for number in range(BATCH_SEGMENTS + 10):
        room.append(b"%d" % number, SPEAKER)
        room.log.seal()
    assert len(outbox.segments()) == BATCH_SEGMENTS


def test_batch_has_about_so_many_bytes_at_most() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    for _ in range(10):
        room.append(b"x" * (BATCH_BYTES // 4), SPEAKER)
        room.log.seal()
    assert len(outbox.segments()) == 4


def test_offset_inside_a_chunk_gives_only_what_is_behind() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    room.extend(b"one\ntwo\nthree\n", 3, SPEAKER)
    room.log.seal()
    take(outbox, 4)
    (segment,) = outbox.segments()
    assert (segment.wire, segment.size) == (b"two\nthree\n", 10)
    take(outbox)
    assert (outbox.next_line, outbox.offset, outbox.lines_out) == (3, 14, 3)


def test_only_what_clients_said_is_talk() -> None:
    outbox = an_outbox()
    room = a_room(outbox, self_echo=False)
    for line, sender in ((b"* ann joined", 0), (b"<ann> hello", SPEAKER), (b"<bob> its own", outbox.id)):
        room.append(line, sender)
        room.log.seal()
    outbox.put(b"* answer\n")
    outbox.put(b"echo\n", owed=True)
    assert [segment.is_talk for segment in outbox.segments()] == [False, True, False, False, True]


@pytest.mark.parametrize("owed", [False, True])
def test_partial_line_is_talk_if_its_line_was(owed: bool) -> None:
    outbox = an_outbox()
    outbox.put(b"a line\n", owed=owed)
    take(outbox, 3)
    assert [segment.is_talk for segment in outbox.segments()] == [owed]
