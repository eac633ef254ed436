"""Under --no-self-echo no sender gets its own lines back, and everything else is as ever."""

import random
import re

import pytest

from tests.loop.scene import LINE, SMALL_LAG, Scene
from tests.loop.support import RecordingSockets, SteppedHub, take_all
from tests.sim.stage import Stage
from tests.support import PAIRS, ThreadHub, closing, until
from tests.support_ws import WsPeer

BULK = b"".join(b"bulk %04d\n" % number for number in range(800))


@pytest.mark.promise("self-echo-off")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_each_client_gets_the_others_in_order_and_not_itself(trigger: str, read: str) -> None:
    """A client that only listens shows the order of the room."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    stage = Stage(trigger=trigger, read=read, self_echo=False)
    *talkers, listener = stage.join(5)
    for number in range(200):
        by = chance.randrange(4)
        talkers[by].send(b"%d from %d\n" % (number, by) * chance.randrange(1, 4))
        if chance.random() < 0.6:
            stage.turns(chance.randrange(1, 4))
    stage.rest()
    order, log = listener.got.splitlines(), stage.hub.rooms.lobby.log
    assert len(order) == stage.hub.counters.lines_in
    for at, talker in enumerate(talkers):
        assert talker.got.splitlines() == [line for line in order if not line.endswith(b"from %d" % at)]
        outbox = stage.client(talker).outbox
        assert (outbox.next_line, outbox.offset) == (log.next_line, log.head)
        assert outbox.is_empty and (outbox.own_lines, outbox.own_bytes) == (0, 0)
    assert stage.hub.account.owed == stage.hub.account.delivered


def test_client_that_said_nothing_gets_the_shared_bytes() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, self_echo=False) as hub, closing(hub.join(6)) as peers:
        sockets.sends.clear()
        hub.say(peers[0], b"one\ntwo\n")
        assert len(sockets.sends) == 5
        assert len({id(data) for _, data in sockets.sends}) == 1
        before = sockets.calls["send"]
        hub.deliver(peers[0], b"mine\n")
        hub.deliver(peers[1], b"yours\n")
        hub.turns(3)
        assert take_all(peers[0]) == b"yours\n"
        assert take_all(peers[1]) == b"one\ntwo\nmine\n"
        assert sockets.calls["send"] == before + 6


def test_lone_talker_is_sent_nothing_and_holds_no_log_back() -> None:
    stage = Stage(self_echo=False, max_lag_bytes=SMALL_LAG)
    [talker] = stage.join()
    for _ in range(20):
        talker.send(BULK)
        assert not any(turn.count("try") for turn in stage.rest())
    assert not stage.hub.rooms.lobby.log.chunks
    assert stage.client(talker).outbox.lag_bytes == 0
    assert stage.hub.account.owed == stage.hub.account.skipped == 0


def test_answers_whispers_and_notices_of_its_own_still_come() -> None:
    stage = Stage(mode="chat", self_echo=False)
    ann, bob = stage.join(2)
    before = len(ann.got), len(bob.got)
    ann.send(b"one\n/who\n/me waves\ntwo\n/msg guest-2 psst\n/history 1\n/nick ann\nthree\n")
    stage.rest()
    assert ann.got[before[0] :].splitlines() == [
        *(b"* guest-1 joined", b"* in lobby (2): guest-1, guest-2", b"<you to guest-2> psst"),
        *(b"* history: 1 line of lobby, the newest 0 s old", b"<guest-1> two", b"* end of history"),
        *(b"* you are now ann", b"* guest-1 is now ann"),
    ]
    assert bob.got[before[1] :].splitlines() == [
        *(b"* guest-1 joined", b"<guest-1> one", b"<guest-1> *waves*", b"<guest-1> two"),
        *(b"<guest-1 to you> psst", b"* guest-1 is now ann", b"<ann> three"),
    ]


@pytest.mark.parametrize("slow", ["disconnect", "skip"])
@pytest.mark.parametrize("eol", ["lf", "crlf"])
def test_slow_client_that_talks_itself_gets_the_others_whole(slow: str, eol: str) -> None:
    scene = Scene(others=3, slow=slow, eol=eol, self_echo=False, patience_s=0)
    scene.fill()
    for number in range(10):
        scene.slow.send(b"mine %d\n" % number)
        scene.say(LINE)
    while slow == "skip" and not scene.client.outbox.losses.skipped_lines:
        scene.slow.send(b"mine again\n")
        scene.say(LINE * 16)
    scene.reads()
    assert b"mine" not in scene.heard
    told = sum(int(count) for count in re.findall(rb"\* skipped (\d+) lines", scene.heard))
    lines = scene.heard.count(b"\n") - scene.heard.count(b"* skipped")
    assert lines + told == scene.sender.inbox.lines_in
    assert told == scene.client.outbox.losses.skipped_lines
    assert (told > 0) == (slow == "skip")


@pytest.mark.promise("self-echo-off")
@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_default_leaves_the_sender_out_in_broadcast_only(mode: str) -> None:
    stage = Stage(mode=mode, announce=0, self_echo=None)
    ann, bob = stage.join(2)
    ann.send(b"hello\n")
    stage.rest()
    assert bob.got.endswith(b"hello\n")
    assert (b"hello\n" in ann.got) is (mode == "chat")


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_eof_behind_an_own_line_closes_in_order(trigger: str) -> None:
    stage = Stage(trigger=trigger, self_echo=False)
    ann, bob = stage.join(2)
    bob.send(b"yours\n")
    stage.rest()
    ann.send(b"mine\nlast")
    ann.half_close()
    stage.rest()
    assert (ann.got, bob.got) == (b"yours\n", b"mine\nlast\n")
    assert [end["reason"] for end in stage.ends] == ["peer_closed"]


def test_waiting_lines_move_to_another_room_without_own_ones() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann)
        hub.deliver(bob, b"yours\n")
        hub.deliver(ann, b"mine\n/join den\nalone\n")
        hub.turns(4)
        assert take_all(ann).splitlines()[-1] == b"* you are now in den, with nobody else"


def test_browser_and_telnet_get_each_other_and_not_themselves() -> None:
    with (
        ThreadHub(self_echo=False) as hub,
        WsPeer(hub.ws_port) as browser,
        hub.peer() as window,
    ):
        until(lambda: len(hub.loop.hub.rooms.lobby.subscribers) == 2)
        for number in range(50):
            browser.say(f"b{number}\nb{number} again")
            window.send(b"w%d\n" % number)
        assert browser.read_until("w49") == [f"w{number}" for number in range(50)]
        expected = b"".join(b"b%d\nb%d again\n" % (number, number) for number in range(50))
        assert window.read_until(b"b49 again\n") == expected
