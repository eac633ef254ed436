"""The write step: who gets what with which calls, and what becomes of a slow reader."""

import re

import pytest

from hub.loop.limits import Budgets
from tests.loop.scene import KERNEL_BYTES, LINE, SMALL_LAG, Scene
from tests.loop.support import RecordingSockets, SteppedHub, take_all
from tests.sim.stage import Stage
from tests.support import Peer, closing

# The common case: everyone is in step.


def test_subscribers_of_one_encoding_get_one_bytes_object() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets) as hub, closing(hub.join(12)) as peers:
        for peer in peers[:4]:
            hub.say(peer, b"x\r\n")
        for peer in peers[4:7]:
            hub.say(peer, b"\xff\xf1")
        sockets.sends.clear()
        hub.deliver(peers[-1], b"one\n")
        hub.deliver(peers[-2], b"two\n")
        hub.turns(2)
        assert len(sockets.sends) == len({fd for fd, _ in sockets.sends}) == 12
        objects = {id(data): data for _, data in sockets.sends}
        assert len(objects) == 2  # Of telnet only 0xFF differs.
        assert {wire.replace(b"\r", b"") for wire in objects.values()} <= {b"one\ntwo\n", b"two\none\n"}
        sockets.sends.clear()
        hub.say(peers[5], b"\xff\xff\n")
        objects = {id(data): data for _, data in sockets.sends}
        assert sorted(objects.values()) == [b"\xff\n", b"\xff\r\n", b"\xff\xff\r\n"]


def test_write_interest_is_not_armed_without_a_refusal() -> None:
    with SteppedHub() as hub, closing(hub.join(10)) as peers:
        before = dict(hub.poller.calls)
        for number in range(50):
            hub.say(peers[number % 10], b"line %d\n" % number)
        assert hub.poller.calls["epoll_ctl"] == before["epoll_ctl"]
        assert hub.hub.counters.events_out == 0


@pytest.mark.parametrize(
    ("mode", "sends", "rounds"), [("chat", 1, 1), ("broadcast", 1, 2), ("chat", 2, 2), ("broadcast", 3, 2)]
)
def test_small_slices_bring_everyone_every_line_in_order(mode: str, sends: int, rounds: int) -> None:
    few = Budgets(sends=sends, rounds=rounds)
    with SteppedHub(few, mode=mode, announce=0) as hub, closing(hub.join(8)) as peers:
        for peer in peers:
            take_all(peer)
        for number in range(40):
            hub.deliver(peers[number % 7], b"line %02d\n" % number)
            hub.turns(number % 5)
        hub.settle()
        hub.say(peers[7], b"the end\n")
        heard = {peer.read_until(b"the end\n") for peer in peers}
        assert len(heard) == 1
        assert sorted(re.findall(rb"line (\d\d)", heard.pop())) == [b"%02d" % number for number in range(40)]


@pytest.mark.parametrize("busy", [b"/who\n", b"to many\n"])
def test_room_of_two_does_not_wait_for_a_busy_crowd(busy: bytes) -> None:
    """Answers to many, or the lines of a large room, that take all sends of a turn and more."""
    few = Budgets(sends=2, rounds=2)
    stage = Stage(mode="chat", announce=0, budgets=few)
    *crowd, ann, bob = stage.join(32)
    for actor in (ann, bob):
        actor.send(b"/join den\n")
    stage.rest()
    for turn in range(6):
        for actor in crowd if busy == b"/who\n" else crowd[:1]:
            actor.send(busy)
        if turn == 0:
            ann.send(b"hello\n")
        stage.turn()
    assert bob.got.endswith(b"> hello\n")


def test_join_amid_a_pass_has_no_hole_behind_its_history() -> None:
    one_at_a_time = Budgets(sends=1, rounds=1)
    with (
        SteppedHub(one_at_a_time, mode="chat", notices=False, history=5) as hub,
        closing(hub.join(6)) as peers,
    ):
        hub.turns(50)
        for number in range(20):
            peers[0].send(b"%d\n" % number)
            hub.turns(20)
        peers[0].send(b"20\n")
        hub.turns(5)  # Five of six have it: the pass is under way.
        with Peer(hub.port) as late:
            peers[0].send(b"".join(b"%d\n" % number for number in range(21, 40)))
            hub.turns(300)
            hub.now_s += 1
            hub.turns(100)
            numbers = [int(line.split()[1]) for line in take_all(late).splitlines()]
            assert numbers == list(range(numbers[0], 40))


def test_join_amid_a_pass_shows_history_without_notices() -> None:
    one_at_a_time = Budgets(sends=1, rounds=1)
    with SteppedHub(one_at_a_time, mode="chat", notices=False) as hub, closing(hub.join(6)) as peers:
        hub.turns(50)
        peers[0].send(b"hello\n")
        hub.turns(4)
        with closing(hub.join(1)) as (late,):
            hub.turns(60)
            assert take_all(late) == b"<guest-1> hello\n"


@pytest.mark.parametrize(
    ("first", "eol", "end"),
    [
        (b"", "auto", b"\n"),
        (b"hi\n", "lf", b"\n"),
        (b"hi\r\n", "auto", b"\n"),
        (b"hi\r\n", "crlf", b"\r\n"),
        (b"\xff\xf1hi\r\n", "auto", b"\r\n"),
        (b"\xff\xf1hi\r\n", "lf", b"\n"),
    ],
)
def test_long_history_reaches_a_slow_joiner_whole(first: bytes, eol: str, end: bytes) -> None:
    stage = Stage(mode="chat", history=1000, announce=0, eol=eol)
    [talker] = stage.join()
    talker.send(LINE * 100)
    stage.rest()
    [late] = stage.arrive(out=KERNEL_BYTES, reads=False)
    late.send(first)
    stage.rest()
    stage.pass_time(0.1)
    client = stage.client(late)
    assert client.outbox.blocked
    late.reads = True
    stage.rest()
    assert late.got.count(b"> " + LINE.rstrip() + end) == 100
    assert client.outbox.lines_out == late.got.count(b"\n") == 103 + bool(first)


# A client that is behind.


def test_blocked_client_gets_all_in_few_sends_when_writable() -> None:
    scene = Scene(others=3)
    talker, slow, fd = scene.talker, scene.slow, scene.client.fd
    talker.send(LINE * 16)
    assert sum(turn.counted["epoll_ctl"] for turn in scene.stage.rest()) == 1
    turns = []
    for number in range(300):
        talker.send(b"line %03d\n" % number)
        turns += scene.stage.rest()
    assert not any(turn.counted["epoll_ctl"] or turn.by_fd("try")[fd] for turn in turns)
    assert scene.hub.counters.events_out == 0
    slow.tcp.widen()
    turns = scene.stage.rest()
    assert scene.heard == LINE * 16 + b"".join(b"line %03d\n" % number for number in range(300))
    assert sum(call[:2] == ("try", fd) for turn in turns for call in turn.calls) <= 4
    assert sum(turn.counted["epoll_ctl"] for turn in turns) == 1
    assert not scene.client.outbox.blocked


def test_slow_consumer_closes_with_what_it_was_owed_unsent() -> None:
    scene = Scene(others=3, patience_s=0)
    scene.talk_until(lambda: scene.end)
    assert re.fullmatch(rf"slow_consumer lag=\d+ limit={SMALL_LAG}", scene.end)
    assert scene.client.id not in scene.hub.rooms.lobby.subscribers
    said = scene.sender.inbox.lines_in * len(LINE)
    scene.say(b"after\n")
    assert scene.others[0].got.endswith(b"after\n")
    scene.reads()  # Write interest that stayed armed would be reported for ever.
    scene.slow.close()
    scene.stage.rest()
    [end] = scene.stage.ends
    assert not end["farewell"] and end["unsent_bytes"] > SMALL_LAG
    assert end["unsent_bytes"] + end["bytes_out"] == said


@pytest.mark.promise("pause-active")
@pytest.mark.parametrize(("trigger", "idle_timeout_s"), [("level", 300), ("edge", 0)])
def test_lines_taken_during_a_standstill_keep_the_client(trigger: str, idle_timeout_s: int) -> None:
    scene = Scene(trigger=trigger, idle_timeout_s=idle_timeout_s)
    scene.talk_until(lambda: scene.waits)
    scene.slow.takes(KERNEL_BYTES)
    scene.talker.send(LINE)
    scene.stage.kernel.now += 3600
    scene.stage.rest()
    assert not scene.end
    scene.reads()
    assert not scene.waits and scene.heard == LINE * scene.sender.inbox.lines_in
