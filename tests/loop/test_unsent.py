"""What a client did not get, by whose words they were: others', its own, and the hub's to it alone."""

from typing import Any

import pytest

from tests.loop.scene import LINE, Scene
from tests.sim.stage import SENDERS, Actor, Stage

KERNEL_BYTES = 600


def ends_amid(stage: Stage, actor: Actor, way: str) -> dict[str, Any]:
    """The actor, whose kernel is full, ends; its record."""
    if way == "fin, then reset":
        actor.half_close()
        stage.rest()
    actor.reset()
    stage.rest()
    record = stage.end_of(actor)
    assert record is not None
    return record


each_way = pytest.mark.parametrize("way", ["reset", "fin, then reset"])


@pytest.mark.promise("close-unsent")
@each_way
@pytest.mark.parametrize("mode", ["echo", "chat", "broadcast"])
def test_own_lines_that_do_not_come_back_are_no_loss(mode: str, way: str) -> None:
    """A feed that is cut, as `socat -u` does it."""
    stage = Stage(mode=mode)
    [feed] = stage.join(out=KERNEL_BYTES, reads=False)
    feed.send(LINE * 50)
    stage.rest()
    record, account = ends_amid(stage, feed, way), stage.hub.account
    assert record["unsent_bytes"] == 0
    assert record["unsent_own_bytes"] == account.unsent_own == account.unsent > 20 * len(LINE)


@pytest.mark.promise("close-unsent")
@each_way
@pytest.mark.parametrize("taken", [0, 1, 63, 64, 65, 100, 128, 500, 3000])
def test_own_and_others_lines_are_told_apart_wherever_cut(taken: int, way: str) -> None:
    """Each line is its speaker's letter; the kernel stops anywhere, and the rest is counted by the letter."""
    stage = Stage(mode="broadcast")
    [other], [feed] = stage.join(), stage.join(out=KERNEL_BYTES, reads=False)
    for number in range(60):
        for actor, letter in [(feed, b"f"), (other, b"o")][:: 1 if number % 3 else -1]:
            actor.send(letter * (number % 7 * 10 + 3) + b"\n")
            stage.rest()
    feed.takes(taken)
    stage.rest()
    record = ends_amid(stage, feed, way)
    said, got = other.got, feed.got
    assert said.startswith(got)
    rest = said[len(got) :]
    begun = rest.index(b"\n") + 1 if got and not got.endswith(b"\n") else 0
    lines = ([rest[:begun]] if begun else []) + rest[begun:].splitlines(keepends=True)
    own = sum(len(line) for line in lines if line.startswith(b"f") or (line == b"\n" and got[-1:] == b"f"))
    assert (record["unsent_own_bytes"], record["unsent_bytes"]) == (own, len(rest) - own)


def test_sender_in_step_keeps_nothing_of_what_it_said() -> None:
    stage = Stage(mode="broadcast")
    [talker] = stage.join()
    for _ in range(5):
        talker.send(LINE * 9)
        stage.rest()
    assert stage.client(talker).outbox.echo_bytes == 0


@pytest.mark.promise("close-unsent")
def test_own_lines_of_an_earlier_room_count_for_nothing_here() -> None:
    """Offsets are a room's own: those of a longer log mean other lines in a shorter one."""
    stage = Stage(mode="chat", announce=0)
    [mover], [other] = stage.join(out=KERNEL_BYTES), stage.join()
    mover.send(LINE * 99 + b"/join den\n")
    other.send(b"/join den\n")
    stage.rest()
    mover.reads = False
    other.send(LINE * 150)
    stage.rest()
    mover.reset()
    stage.rest()
    record = stage.end_of(mover)
    assert record is not None
    assert record["unsent_bytes"] > 100 * len(LINE) and record["unsent_own_bytes"] == 0


@pytest.mark.promise("close-unsent")
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
def test_reply_to_a_probe_is_no_line_that_was_lost(mode: str) -> None:
    stage = Stage(mode=mode)
    [probe] = stage.arrive(out=60, reads=False)
    probe.send(b"GET / HTTP/1.1\r\n\r\n")
    stage.rest()
    probe.reset()
    stage.rest()
    [record] = stage.ends
    assert (record["unsent_bytes"], record["unsent_own_bytes"], stage.hub.account.unsent) == (0, 0, 0)


@pytest.mark.promise("close-unsent")
@each_way
@pytest.mark.parametrize("taken", [0, 1, 9, 200])
def test_a_whisper_is_a_line_of_others_and_its_copy_an_own_one(taken: int, way: str) -> None:
    """Two whisper to each other, neither reads; what each was told is `<x to you>`, its copy `<you to x>`."""
    stage = Stage(mode="chat", announce=0)
    pair = stage.join(2, out=KERNEL_BYTES, reads=False)
    for _ in range(20):
        for actor, other in zip(pair, (2, 1), strict=True):
            actor.send(b"/msg guest-%d psst\n" % other)
            stage.rest()
    pair[0].takes(taken)
    stage.rest()
    record, got = ends_amid(stage, pair[0], way), pair[0].got
    told, copy = b"<guest-2 to you> psst\n", b"<you to guest-2> psst\n"
    half = got.rpartition(b"\n")[2]
    lost = 20 * len(told) - got.count(told) * len(told) - len(half) * told.startswith(half)
    own = 20 * len(copy) - got.count(copy) * len(copy) - len(half) * copy.startswith(half)
    assert (record["unsent_bytes"], record["unsent_own_bytes"]) == (lost, own) and lost > len(told) < own
    assert record["unsent_outbox_bytes"] < len(told), "which is the farewell"


def test_a_writer_that_receives_nothing_loses_no_copy() -> None:
    stage = Stage(mode="chat", announce=0, write_only_port=0)
    [writer], [bob] = stage.join(listener=SENDERS), stage.join()
    writer.send(b"/msg guest-2 psst\n")
    writer.reset()
    stage.rest()
    assert b"<guest-1 to you> psst\n" in bob.got
    assert stage.hub.account.unsent == 0


def test_lines_of_others_are_a_loss() -> None:
    scene = Scene()
    scene.fill()
    scene.slow.reset()
    scene.stage.rest()
    record = scene.stage.end_of(scene.slow)
    assert record is not None and record["unsent_bytes"] > 20 * len(LINE)
    assert record["unsent_own_bytes"] == scene.hub.account.unsent_own == 0
