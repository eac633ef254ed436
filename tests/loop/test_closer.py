"""The close step on real sockets: one reason, one farewell at a line border, a close that loses nothing."""

from __future__ import annotations

import gc
import re
import socket
from contextlib import suppress

import pytest
from websockets.protocol import Protocol

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.loop.limits import Budgets
from hub.net.sockets import Sockets
from hub.session.client import Phase
from tests.loop.support import (
    LINE,
    SMALL_LAG,
    SteppedHub,
    on_its_way_bytes,
    reading,
    take_all,
    unacknowledged_bytes,
)
from tests.support import PAIRS, Peer, ThreadHub, closing, until
from tests.unit.protocol.support import request, request_to

BYE_QUIT = b"* bye reason=quit\n"


class DiesBeforeASend(Sockets):
    """The real calls; a peer resets when the hub has read all there is and is about to send to it."""

    def __init__(self) -> None:
        super().__init__()
        self.victims: list[Peer] = []

    def send(self, sock: socket.socket, data: bytes) -> int:
        """Reset first, if it is the victim's turn."""
        for victim in self.victims:
            if victim.sock.fileno() >= 0 and victim.sock.getsockname() == sock.getpeername():
                victim.reset()
                until(lambda: not is_connected(sock))
        return super().send(sock, data)


def is_connected(sock: socket.socket) -> bool:
    """tcp(7): TCP_INFO begins with the state, of which 1 is ESTABLISHED."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


# The reason, and the farewell.


@pytest.mark.promise("close-one-reason")
def test_the_first_reason_wins_and_there_is_one_record() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        client = hub.deliver(peer, b"/quit\n" + b"x" * 9000, fin=True)
        hub.turns(2)
        hub.hub.ready.end(client, CloseReason.IDLE)
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        hub.turns(5)
        assert [end["reason"] for end in hub.endings()] == ["quit"]
        assert hub.hub.counters.closed == {"quit": 1}


@pytest.mark.promise("close-farewell")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_farewell_arrives_behind_200_kb_of_unread_input(trigger: str, read: str) -> None:
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as peer:
        peer.send(b"/quit\n" + b"more and more\n" * 15_000)
        assert peer.rest().endswith(BYE_QUIT)
        peer.close()
        assert hub.ending()["farewell"]


@pytest.mark.promise("close-farewell")
def test_farewell_stands_at_a_line_border_behind_all_owed() -> None:
    with SteppedHub(mode="chat", announce=0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            got = hub.begin_a_line(talker, slow)
            hub.say(talker, b"last\n")
            hub.say(slow, b"/quit\n")
            assert hub.client(slow).phase is Phase.FLUSHING
            got += hub.read_to_the_end(slow)
            assert got.endswith(b"x\n<guest-2> last\n" + BYE_QUIT)
            said = re.findall(rb"^<guest-2> (x+\n)", got, re.MULTILINE)
            assert said == [LINE] * (hub.client(talker).inbox.lines_in - 1)


@pytest.mark.promise("lines-no-notices")
def test_without_notices_nobody_gets_a_farewell() -> None:
    with SteppedHub(mode="chat", notices=False) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"/quit\n")
        assert peer.rest() == b""
        peer.close()
        hub.turns_until(hub.endings)
        assert not hub.ending()["farewell"]


@pytest.mark.promise("close-half-close")
def test_a_peer_that_ended_itself_gets_its_lines_and_no_farewell() -> None:
    with SteppedHub(mode="echo") as hub, closing(hub.join(1)) as (peer,):
        hub.deliver(peer, b"one\ntwo", fin=True)
        hub.turns_until(hub.endings)
        assert peer.rest() == b"one\ntwo\n"
        assert (hub.ending()["reason"], hub.ending()["farewell"]) == ("peer_closed", False)


def test_peer_that_closed_and_takes_nothing_ends_after_10_s() -> None:
    with SteppedHub(mode="echo") as hub, closing(hub.join(1, receive_buffer=4096)) as (peer,):
        client = hub.client(peer)
        while not client.outbox.blocked or on_its_way_bytes(client):
            hub.say(peer, LINE)
        peer.half_close()
        hub.turns_until(lambda: client.phase is Phase.FLUSHING)
        hub.now_s += hub.hub.limits.progress_s - 0.1
        hub.turns(3)
        assert client.fd in hub.hub.connections.by_fd
        hub.now_s += 0.2
        hub.turns(3)
        assert not hub.hub.connections.by_fd
        assert hub.ending()["unsent_bytes"] > 0


@pytest.mark.promise("close-rest")
def test_rest_taken_at_the_last_moment_leaves_time_to_read() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2, receive_buffer=4096)) as (slow, talker):
        client = hub.client(slow)
        hub.begin_a_line(talker, slow, more=20)
        hub.say(slow, b"/quit\n")
        assert client.phase is Phase.FLUSHING
        until(lambda: not (take_all(slow) and unacknowledged_bytes(client)))
        hub.deliver(slow, b"Input that nobody reads: with it a close is a reset.\n")
        hub.now_s += hub.hub.limits.linger_s
        hub.turns()
        assert client.phase is Phase.LINGERING
        assert slow.rest().endswith(BYE_QUIT)
        hub.now_s += hub.hub.limits.linger_s
        hub.turns(2)
        assert not hub.hub.connections.by_fd.get(client.fd)


def test_as_many_are_settled_in_a_turn_as_its_budget_allows() -> None:
    with SteppedHub(Budgets(closes=2), mode="chat", announce=0) as hub, closing(hub.join(5)) as peers:
        for peer in peers:
            hub.deliver(peer, b"/quit\n")
        ended = []
        for _ in range(3):
            hub.turns()
            ended.append(hub.hub.counters.closed["quit"])
        assert ended == [2, 4, 5]
        for peer in peers:
            assert peer.rest().endswith(BYE_QUIT)


# At the decision, and at the close.


def test_nick_and_room_are_free_before_the_descriptor_is() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2)) as (ann, bob):
        hub.say(ann, b"/nick ann\n/join den\n")
        hub.say(bob, b"/nick ANN\n")
        assert bob.read_until(b"taken\n")
        hub.say(ann, b"/quit\n")
        assert hub.client(ann).phase is Phase.LINGERING
        assert [room.name for room in hub.hub.rooms.all()] == ["lobby"]
        assert (len(hub.hub.connections.clients), len(hub.hub.connections.by_fd)) == (1, 2)
        assert not hub.endings()  # The close log knows only at the close what was left unsent.
        take_all(bob)
        hub.say(bob, b"/nick ANN\n/who\n")
        assert b"* in lobby (1): ANN\n" in bob.read_until(b"(1): ANN\n")
        ann.close()
        hub.turns_until(hub.endings)
        assert (hub.ending()["nick"], hub.ending()["room"]) == ("ann", "den")


def test_the_room_is_told_of_an_end_in_the_turn_of_the_decision() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2)) as (ann, bob):
        hub.say(ann, b"/quit\n")
        assert b"* guest-1 left\n" in bob.read_until(b"left\n")


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_lingering_ends_at_the_peers_end_of_stream(trigger: str, read: str) -> None:
    with SteppedHub(mode="chat", trigger=trigger, read=read) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"/quit\n")
        assert peer.rest().endswith(BYE_QUIT)
        hub.turns(5)
        assert len(hub.hub.connections.by_fd) == 1
        peer.half_close()
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        assert hub.ending()["farewell"]


@pytest.mark.promise("close-rest")
def test_lingering_ends_after_two_seconds_without_a_close() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"/quit\n")
        hub.now_s += 1.9
        hub.turns(3)
        assert len(hub.hub.connections.by_fd) == 1
        hub.deliver(peer, b"I am still talking\n")  # Which puts nothing off.
        hub.turns(3)
        hub.now_s += 0.2
        hub.turns(3)
        assert not hub.hub.connections.by_fd


def test_lingering_ends_at_a_reset() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"/quit\n")
        peer.rest()
        peer.reset()
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        assert hub.ending()["reason"] == "quit"


def test_only_so_many_linger_and_the_others_are_closed_at_once() -> None:
    budgets = Budgets(lingering=3)
    with SteppedHub(budgets, mode="chat", announce=0) as hub, closing(hub.join(8)) as peers:
        for peer in peers[:5]:
            hub.say(peer, b"/quit\n")
        assert (len(hub.hub.connections.closing), len(hub.endings())) == (3, 2)
        for peer in peers[:5]:
            assert peer.rest().endswith(BYE_QUIT)
        peers[0].close()
        hub.turns_until(lambda: len(hub.hub.connections.closing) == 2)
        hub.say(peers[5], b"/quit\n")
        assert len(hub.hub.connections.closing) == 3


def test_slow_consumer_that_cannot_linger_is_closed() -> None:
    with ThreadHub(budgets=Budgets(lingering=0), max_lag_bytes=SMALL_LAG, patience_s=0) as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        with slow, closing(hub.peers(2)) as (talker, listener), reading(talker, listener):
            with suppress(OSError):
                while not hub.endings() and hub.failure is None:
                    talker.send(b"x" * 1000 + b"\n")
            until(lambda: hub.failure or hub.endings())
            assert hub.failure is None
            assert hub.ending()["reason"] == "slow_consumer"


@pytest.mark.promise("close-rest")
def test_rest_that_is_not_taken_is_given_up_after_2_s() -> None:
    with SteppedHub(mode="chat", announce=0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.begin_a_line(talker, slow)
            hub.say(slow, b"/quit\n")
            hub.now_s += 1.9
            hub.turns(3)
            assert len(hub.hub.connections.by_fd) == 2
            hub.now_s += 0.2
            hub.turns(3)
            assert len(hub.hub.connections.by_fd) == 1
            end = hub.ending()
            assert end["unsent_bytes"] > 0 and end["unsent_outbox_bytes"] == len(BYE_QUIT)
            assert not end["farewell"]


# The drain.


@pytest.mark.promise("close-drain")
def test_drain_delivers_what_was_accepted_and_a_farewell() -> None:
    with SteppedHub(drain_s=10.0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            got = hub.begin_a_line(talker, slow)
            hub.deliver(talker, b"last words\n")
            hub.mailbox.post(Stop())
            hub.turns(3)
            assert talker.rest().endswith(b"last words\n* bye reason=server_shutdown\n")
            got += hub.read_to_the_end(slow)
            assert got.endswith(b"last words\n* bye reason=server_shutdown\n")
            assert got.count(LINE) == hub.client(talker).inbox.lines_in - 1
            assert not hub.loop.is_drained
        hub.turns_until(lambda: hub.loop.is_drained)
        assert {end["unsent_bytes"] for end in hub.endings()} == {0}


@pytest.mark.promise("close-drain")
@pytest.mark.parametrize("drain_s", [0.5, 10.0])
def test_a_drain_is_given_up_at_its_limit_and_not_before(drain_s: float) -> None:
    with SteppedHub(drain_s=drain_s) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.begin_a_line(talker, slow)
            hub.mailbox.post(Stop())
            is_drained = []
            for share in (0.0, 0.9, 0.2):
                hub.now_s += share * drain_s
                hub.turns(3)
                is_drained.append(hub.loop.is_drained)
            assert is_drained == [False, False, True]
            (unsent,) = (end["unsent_bytes"] for end in hub.endings() if end["id"] == 1)
            assert unsent > 0


@pytest.mark.promise("close-drain")
def test_drain_without_a_limit_waits_for_a_stalled_reader() -> None:
    with SteppedHub(drain_s=0.0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.begin_a_line(talker, slow)
            hub.mailbox.post(Stop())
            for _ in range(100):
                hub.turns()
                hub.now_s += 60
            assert not hub.loop.is_drained
        hub.turns_until(lambda: hub.loop.is_drained)


def test_a_second_stop_changes_nothing() -> None:
    with SteppedHub(drain_s=10.0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.begin_a_line(talker, slow)
            hub.mailbox.post(Stop(15))
            hub.turns(2)
            hub.now_s += 6
            hub.mailbox.post(Stop(15))
            hub.turns(2)
            hub.now_s += 5
            hub.turns(2)
            assert hub.loop.is_drained
            assert [event for event, _ in hub.log].count("draining") == 1


def test_drain_of_more_than_a_turn_settles_tells_everybody() -> None:
    with SteppedHub(Budgets(closes=3, sends=4), drain_s=10.0) as hub, closing(hub.join(20)) as peers:
        hub.mailbox.post(Stop())
        hub.turns(20)
        for peer in peers:
            assert peer.rest() == b"* bye reason=server_shutdown\n"
    assert hub.hub.counters.closed == {"server_shutdown": 20}


def test_a_hub_that_nobody_visited_drains_at_once() -> None:
    with ThreadHub(drain_s=10.0) as hub:
        hub.stop()
        assert hub.summaries[-1].draining


def test_silent_browser_gets_its_close_at_a_frame_border() -> None:
    with SteppedHub() as hub:
        slow = Peer(hub.ws_port, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.say(slow, request_to(hub.ws_port))
            slow.read_until(b"\r\n\r\n")
            got = hub.begin_a_line(talker, slow)
            hub.hub.ready.end(hub.client(slow), CloseReason.PEER_TIMEOUT, "ping=20s")
            hub.turns()
            got += hub.read_to_the_end(slow)
            whole = rb"(\x81\x7e\x07\xce" + LINE[:-1] + rb")+"
            assert re.fullmatch(whole + rb"\x88\x1e\x03\xf3reason=peer_timeout ping=20s", got)


@pytest.mark.promise("order-amid-broadcast")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_client_accepted_after_a_failed_send_is_served(trigger: str, read: str) -> None:
    """Numbers are reused at once: had the failed send closed its descriptor, the newcomer would get it."""
    sockets = DiesBeforeASend()
    with SteppedHub(sockets=sockets, trigger=trigger, read=read) as hub:
        victim, talker = hub.join(2)
        sockets.victims.append(victim)
        hub.deliver(talker, b"one\n")
        hub.loop.turn()
        newcomer = hub.peer()  # The client waits in the backlog when the next turn begins.
        with closing([talker, newcomer]):
            hub.turns_until(lambda: hub.hub.counters.accepted == 3)
            hub.turns_until(lambda: hub.hub.counters.closed == {"peer_reset": 1})
            hub.say(newcomer, b"two\n")
            hub.say(talker, b"three\n")
            assert newcomer.read(10) == b"two\nthree\n"
            assert talker.read(14) == b"one\ntwo\nthree\n"


@pytest.mark.promise("resources-websocket")
@pytest.mark.parametrize(
    ("request_line", "rest", "reset"),
    [
        ("GET / HTTP/1.1", b"", True),
        ("GET / HTTP/1.1", b"\x81\x85\0\0\0\0/quit", False),
        ("GET / HTTP/1.1", b"\x88\x80\0\0\0\0", False),
        ("GET / HTTP/1.1", b"\x83\x80\0\0\0\0", False),
        ("GET / HTTP/1.1", b"\x82\x80\0\0\0\0", False),
        ("GET / HTTP/1.0", b"", False),
        ("GET / HTTP/1.1", b"", False),
    ],
    ids=["reset", "quit", "closed", "unknown opcode", "binary", "malformed request", "end of stream"],
)
def test_a_websocket_that_has_ended_needs_no_garbage_collection(
    request_line: str, rest: bytes, reset: bool
) -> None:
    """While it is open its objects grow old, and the oldest generation is next to never collected."""

    def protocols() -> int:
        # By type(): isinstance() asks a weak proxy for its class, which raises when what it stood for went.
        return sum(issubclass(type(each), Protocol) for each in gc.get_objects())

    gc.disable()  # So what is there before, garbage or not, is there afterwards.
    try:
        before = protocols()
        with SteppedHub(mode="chat") as hub:
            for _ in range(3):
                with Peer(hub.ws_port) as peer:
                    peer.send(request(request_line, Host=f"localhost:{hub.ws_port}") + rest)
                    hub.turns_until(lambda: hub.hub.counters.accepted > len(hub.endings()))
                    hub.turns_until(lambda peer=peer: take_all(peer))
                    peer.reset() if reset else peer.half_close()
                    hub.turns_until(lambda: not hub.hub.connections.by_fd)
            assert hub.hub.counters.accepted == 3
        assert protocols() <= before
    finally:
        gc.enable()
