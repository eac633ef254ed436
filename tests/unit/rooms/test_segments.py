"""Segments: what is offered to the kernel at once, and which of it is talk."""

import pytest

from hub.rooms.segments import BATCH_BYTES, BATCH_SEGMENTS
from tests.unit.support import SPEAKER, a_room, an_outbox, take


def test_batch_has_so_many_segments_at_most() -> None:
    outbox = an_outbox()
    for number in range(BATCH_SEGMENTS + 10):
        outbox.put(b"%d\n" % number)
    assert len(outbox.segments()) == BATCH_SEGMENTS


def test_many_chunks_in_a_row_are_few_segments() -> None:
    outbox = an_outbox()
    room = a_room(outbox, self_echo=False)
    for number in range(2000):
        room.append(b"%04d" % number + b"." * 45, outbox.id if number == 1000 else SPEAKER)
        room.log.seal()
    take(outbox, 120)
    sizes = [segment.size for segment in outbox.segments()]
    assert len(sizes) == 1 + 4 + 1 + 4, "a partial line, rows before the own line, that, rows behind it"
    assert outbox.offset + sum(sizes[1:]) == room.log.head


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
    for line, sender in ((b"<ann> hello", SPEAKER), (b"<bob> its own", outbox.id), (b"* ann left", 0)):
        room.append(line, sender)
        room.log.seal()
    outbox.put(b"* answer\n")
    outbox.put(b"echo\n", owed=True)
    assert [segment.is_talk for segment in outbox.segments()] == [True, False, False, False, True]


@pytest.mark.parametrize("owed", [False, True])
def test_partial_line_is_talk_if_its_line_was(owed: bool) -> None:
    outbox = an_outbox()
    outbox.put(b"a line\n", owed=owed)
    take(outbox, 3)
    assert [segment.is_talk for segment in outbox.segments()] == [owed]
