"""Under --no-self-echo no sender gets its own lines back, and everything else is as ever."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from hub.config.settings import Mode
from tests.loop.support import SMALL_LAG, RecordingSockets, SteppedHub, take_all
from tests.support import PAIRS, ThreadHub, closing, until
from tests.support_ws import WsPeer

BULK = b"".join(b"bulk %04d\n" % number for number in range(800))


def heard_by(names: list[str], said: list[tuple[int, bytes]], who: int) -> bytes:
    """What one of them is to hear of all that was said."""
    return b"".join(b"<%b> %b" % (names[by].encode(), line) for by, line in said if by != who)


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_each_client_gets_the_others_in_order_and_not_itself(trigger: str, read: str) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    with (
        SteppedHub(mode="chat", trigger=trigger, read=read, announce=0, self_echo=False, eol="lf") as hub,
        closing(hub.join(5)) as peers,
    ):
        names = [hub.hub.mode.nick(hub.client(peer)) for peer in peers]
        for peer in peers:
            take_all(peer)
        said: list[tuple[int, bytes]] = []
        for number in range(200):
            by = chance.randrange(5)
            lines = [b"%d %d\n" % (number, at) for at in range(chance.randrange(1, 4))]
            said += [(by, line) for line in lines]
            hub.deliver(peers[by], b"".join(lines))
            if chance.random() < 0.6:
                hub.turns(chance.randrange(1, 4))
        hub.turns(3)
        hub.settle()
        for who, peer in enumerate(peers):
            assert sorted(take_all(peer).splitlines()) == sorted(heard_by(names, said, who).splitlines())
            client = hub.client(peer)
            assert client.outbox.is_empty
            assert (client.outbox.next_line, client.outbox.offset) == (
                hub.hub.rooms.lobby.log.next_line,
                hub.hub.rooms.lobby.log.head,
            )
            assert (client.outbox.own_lines, client.outbox.own_bytes) == (0, 0)
        assert hub.hub.account.owed == hub.hub.account.delivered


@pytest.mark.promise("self-echo-off")
def test_streams_are_the_order_of_the_room_less_own_lines() -> None:
    with SteppedHub(self_echo=False) as hub, closing(hub.join(4)) as (*talkers, listener):
        for number in range(50):
            for at, peer in enumerate(talkers):
                hub.deliver(peer, b"%d from %d\n" % (number, at) * (1 + (number + at) % 3))
            hub.turns(number % 3)
        hub.settle()
        order = take_all(listener).splitlines()
        for at, peer in enumerate(talkers):
            assert take_all(peer).splitlines() == [
                line for line in order if not line.endswith(b"from %d" % at)
            ]


def test_client_that_said_nothing_gets_the_shared_bytes() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, self_echo=False) as hub, closing(hub.join(6)) as peers:
        sockets.sends.clear()
        hub.say(peers[0], b"one\ntwo\n")
        assert len(sockets.sends) == 5
        assert len({id(send.buffers[0]) for send in sockets.sends}) == 1
        sockets.sends.clear()
        hub.deliver(peers[0], b"mine\n")
        hub.deliver(peers[1], b"yours\n")
        hub.turns(3)
        assert take_all(peers[0]) == b"yours\n"
        assert take_all(peers[1]) == b"one\ntwo\nmine\n"
        assert len(sockets.sends) == 6


def test_lone_talker_is_sent_nothing_and_holds_no_log_back() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, self_echo=False, max_lag_bytes=SMALL_LAG) as hub:
        (talker,) = hub.join(1)
        with talker:
            for _ in range(20):
                hub.say(talker, BULK)
            assert not sockets.sends
            assert not hub.hub.rooms.lobby.log.chunks
            assert hub.client(talker).outbox.lag_bytes == 0
            assert hub.hub.account.owed == hub.hub.account.skipped == 0


def test_answers_and_own_whispers_still_come() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann), take_all(bob)
        hub.say(ann, b"one\n/who\n/me waves\ntwo\n/msg guest-2 psst\n/history 1\nthree\n")
        assert take_all(ann).splitlines() == [
            b"* in lobby (2): guest-1, guest-2",
            b"<you to guest-2> psst",
            b"* the last 1 line of lobby:",
            b"<guest-1> two",
        ]
        assert take_all(bob).splitlines() == [
            *(b"<guest-1> one", b"<guest-1> *waves*", b"<guest-1> two"),
            *(b"<guest-1 to you> psst", b"<guest-1> three"),
        ]


@pytest.mark.promise("self-echo-off")
def test_notices_about_the_client_itself_still_come() -> None:
    with SteppedHub(mode="chat", self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann), take_all(bob)
        hub.say(ann, b"mine\n/nick ann\n")
        assert b"* guest-1 is now ann\n" in take_all(ann)
        assert take_all(bob) == b"* guest-1 joined\n<guest-1> mine\n* guest-1 is now ann\n"


@pytest.mark.parametrize("slow_policy", ["disconnect", "skip"])
@pytest.mark.parametrize("eol", ["lf", "crlf"])
def test_slow_client_that_talks_itself_gets_the_others_whole(slow_policy: str, eol: str) -> None:
    changes: dict[str, Any] = {
        "slow": slow_policy,
        "eol": eol,
        "self_echo": False,
        "max_lag_bytes": SMALL_LAG,
    }
    with SteppedHub(**changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(4)) as (talker, *brisk):
            client = hub.client(slow)
            hub.clog(talker, brisk, slow)
            said = hub.client(talker).inbox.lines_in
            for number in range(10):
                hub.say(slow, b"mine %d\n" % number)
                hub.say(talker, b"%d " % number + b"x" * 2000 + b"\n")
                take_all(talker), [take_all(peer) for peer in brisk]
            if slow_policy == "skip":
                before = client.outbox.skipped_lines
                while client.outbox.skipped_lines == before:
                    hub.now_s += 1
                    hub.say(slow, b"mine again\n")
                    hub.say(talker, b"y" * 2000 + b"\n")
                    take_all(talker), [take_all(peer) for peer in brisk]
            got = hub.catch_up(slow)
            assert b"mine" not in got
            told = sum(int(count) for count in re.findall(rb"\* skipped (\d+) lines", got))
            notices = got.count(b"* skipped")
            assert got.count(b"\n") - notices + told == hub.client(talker).inbox.lines_in > said
            assert told == client.outbox.skipped_lines
            assert (told > 0) == (slow_policy == "skip")


@pytest.mark.promise("self-echo-off")
@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_default_leaves_the_sender_out_in_broadcast_only(mode: Mode) -> None:
    with SteppedHub(mode=mode, announce=0, self_echo=None) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann), take_all(bob)
        hub.say(ann, b"hello\n")
        got = take_all(bob)
        assert got.endswith(b"hello\n")
        assert take_all(ann) == (got if mode == "chat" else b"")


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_eof_behind_an_own_line_closes_in_order(trigger: str) -> None:
    with ThreadHub(trigger=trigger, self_echo=False) as hub:
        ann, bob = hub.peers(2)
        with ann, bob:
            bob.send(b"yours\n")
            assert ann.line() == b"yours\n"
            ann.send(b"mine\nlast")
            ann.half_close()
            assert ann.rest() == b""
            assert bob.read_until(b"last\n") == b"mine\nlast\n"
            assert hub.ending()["reason"] == "peer_closed"


def test_waiting_lines_move_to_another_room_without_own_ones() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann)
        hub.deliver(bob, b"yours\n")
        hub.deliver(ann, b"mine\n/join den\nalone\n")
        hub.turns(4)
        assert take_all(ann).splitlines()[-1] == b"* you are now in den, with nobody else"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_browser_and_telnet_get_each_other_and_not_themselves(trigger: str, read: str) -> None:
    with (
        ThreadHub(trigger=trigger, read=read, self_echo=False) as hub,
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
