"""The close step: one reason, one farewell at a line border, a close that loses nothing."""

import gc
import os
import socket
from typing import Any

import pytest
from websockets.protocol import Protocol

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.loop.limits import Budgets
from hub.net.sockets import Sockets
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub, take_all
from tests.sim.stage import Stage
from tests.support import PAIRS, Peer, ThreadHub, bye, closing, until
from tests.unit.protocol.support import request

BYE_QUIT = bye("quit")
BYE_SHUTDOWN = bye("server_shutdown")
SAID = b"<guest-2> " + LINE


class DiesBeforeASend(Sockets):
    """The real calls; a peer resets when the hub has read all there is and is about to send to it."""

    def __init__(self) -> None:
        super().__init__()
        self.victims: list[Peer] = []

    def send(self, fd: int, data: bytes) -> int:
        """Reset first, if it is the victim's turn."""
        for victim in self.victims:
            if victim.sock.fileno() >= 0 and victim.sock.getsockname() == peer_name(fd):
                victim.reset()
                until(lambda: not is_connected(fd))
        return super().send(fd, data)


def peer_name(fd: int) -> object:
    """The address of the other end."""
    with socket.socket(fileno=os.dup(fd)) as ours:
        return ours.getpeername()


def is_connected(fd: int) -> bool:
    """tcp(7): TCP_INFO begins with the state, of which 1 is ESTABLISHED."""
    with socket.socket(fileno=os.dup(fd)) as ours:
        return ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


# The reason, and the farewell.


@pytest.mark.promise("close-one-reason")
def test_the_first_reason_wins_and_there_is_one_record() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2)) as (peer, other):
        hub.say(peer, b"hello\n")
        take_all(other)
        client = hub.deliver(peer, b"/quit\n" + b"x" * 9000, fin=True)
        hub.turns(2)
        assert take_all(other) == b"* guest-1 left\n"
        hub.hub.ready.end(client, CloseReason.IDLE)
        hub.turns_until(hub.endings)
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


def owed(lines: int = 20, **settings: Any) -> Scene:
    """The slow one has got a part of a line, and its kernel takes nothing of these."""
    scene = Scene(**{"mode": "chat", **settings})
    scene.fill(lines)
    return scene


def quits(scene: Scene) -> None:
    """The slow one says so, and is owed too much for an end at once."""
    scene.slow.send(b"/quit\n")
    scene.stage.rest()
    assert scene.client.phase == "flushing"


@pytest.mark.promise("close-farewell")
def test_farewell_stands_at_a_line_border_behind_all_owed() -> None:
    scene = owed()
    quits(scene)
    scene.reads()
    assert scene.heard == SAID * scene.sender.inbox.lines_in + BYE_QUIT


def test_peer_that_closed_and_takes_nothing_ends_after_10_s() -> None:
    scene = owed()
    scene.slow.half_close()
    scene.stage.rest()
    scene.stage.pass_time(9.9)
    assert scene.client.phase == "flushing"
    scene.stage.pass_time(0.2)
    assert scene.client.phase == "closed"
    assert [end["unsent_bytes"] > 0 for end in scene.stage.ends] == [True]


@pytest.mark.promise("close-rest")
def test_rest_taken_at_the_last_moment_leaves_time_to_read() -> None:
    scene = owed(5)
    quits(scene)
    scene.stage.kernel.now += 2.1
    scene.slow.reads = True
    scene.slow.send(b"Input that nobody reads puts nothing off.\n")
    scene.stage.rest()
    assert scene.client.phase == "lingering"
    assert scene.heard.endswith(BYE_QUIT)
    scene.stage.pass_time(1.9)
    assert scene.client.phase == "lingering"
    scene.stage.pass_time(0.2)
    assert scene.client.phase == "closed"


@pytest.mark.promise("close-rest")
def test_rest_that_is_not_taken_is_given_up_after_2_s() -> None:
    scene = owed()
    quits(scene)
    scene.stage.pass_time(1.9)
    assert scene.client.phase == "flushing"
    scene.stage.pass_time(0.2)
    assert scene.client.phase == "closed"
    [end] = scene.stage.ends
    assert end["unsent_bytes"] > 0 and end["unsent_outbox_bytes"] == len(BYE_QUIT)
    assert not end["farewell"]


def test_slow_consumer_that_cannot_linger_is_closed() -> None:
    scene = Scene(others=1, patience_s=0, budgets=Budgets(lingering=0))
    scene.talk_until(lambda: scene.end)
    assert scene.end.startswith("slow_consumer lag=")
    assert scene.client.phase == "closed"


# At the decision, and at the close.


def test_nick_and_room_are_free_before_the_descriptor_is() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2)) as (ann, bob):
        hub.say(ann, b"/nick ann\n/join den\n")
        hub.say(bob, b"/nick ANN\n")
        assert bob.read_until(b"taken\n")
        hub.say(ann, b"/quit\n")
        assert hub.client(ann).phase == "lingering"
        assert [room.name for room in hub.hub.rooms.all()] == ["lobby"]
        assert (len(hub.hub.connections.clients), len(hub.hub.connections.by_fd)) == (1, 2)
        assert not hub.endings()  # The close log knows only at the close what was left unsent.
        take_all(bob)
        hub.say(bob, b"/nick ANN\n/who\n")
        assert b"* in lobby (1): ANN\n" in bob.read_until(b"(1): ANN\n")
        ann.close()
        hub.turns_until(hub.endings)
        assert (hub.ending()["nick"], hub.ending()["room"]) == ("ann", "den")


@pytest.mark.parametrize("way", ["half_close", "reset"])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_lingering_ends_at_the_peers_end_of_stream(trigger: str, read: str, way: str) -> None:
    with SteppedHub(mode="chat", trigger=trigger, read=read) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"/quit\n")
        assert peer.rest().endswith(BYE_QUIT)
        hub.turns(5)
        assert len(hub.hub.connections.by_fd) == 1
        getattr(peer, way)()
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        assert hub.ending()["reason"] == "quit" and hub.ending()["farewell"]


def test_only_so_many_linger_and_the_others_are_closed_at_once() -> None:
    stage = Stage(mode="chat", budgets=Budgets(lingering=3))
    actors, lingering = stage.join(6), stage.hub.connections.closing
    for actor in actors[:5]:
        actor.send(b"/quit\n")
    stage.rest()
    assert (len(lingering), len(stage.ends)) == (3, 2)
    assert all(actor.got.endswith(BYE_QUIT) for actor in actors[:5])
    actors[0].close()
    stage.rest()
    assert len(lingering) == 2
    actors[5].send(b"/quit\n")
    stage.rest()
    assert len(lingering) == 3


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_input_of_a_lingering_client_is_discarded_in_pieces(trigger: str, read: str) -> None:
    stage = Stage(mode="chat", trigger=trigger, read=read, budgets=Budgets(discard_bytes=500))
    [leaver] = stage.join()
    leaver.send(b"/quit\n")
    stage.rest()
    client = stage.client(leaver)
    assert client.phase == "lingering"
    leaver.send(b"x" * 1700)
    assert [size for turn in stage.rest() if (size := turn.by_fd("recv")[client.fd])] == [500, 500, 500, 200]
    assert client.inbox.bytes_in == len(b"/quit\n")


# The drain.


@pytest.mark.promise("close-drain")
def test_drain_delivers_what_was_accepted_and_a_farewell() -> None:
    scene = owed(drain_s=10.0)
    scene.talker.send(b"last words\n")
    scene.stage.mailbox.post(Stop())
    scene.stage.turns(3)
    assert scene.talker.got.endswith(b"<guest-2> last words\n" + BYE_SHUTDOWN)
    scene.slow.reads = True
    scene.stage.turns(3)
    said = SAID * (scene.sender.inbox.lines_in - 1)
    assert scene.heard == said + b"<guest-2> last words\n" + BYE_SHUTDOWN
    assert not scene.stage.loop.is_drained
    scene.stage.stop()
    assert {end["unsent_bytes"] for end in scene.stage.ends} == {0}


@pytest.mark.promise("close-drain")
def test_a_drain_is_given_up_at_its_limit_and_not_before() -> None:
    """A second stop changes nothing."""
    scene = owed(drain_s=10.0)
    is_drained = []
    for passed_s in (0.0, 6.0, 3.9, 0.2):
        scene.stage.mailbox.post(Stop(15))
        scene.stage.kernel.now += passed_s
        scene.stage.turns(1 if is_drained[2:] else 3)
        is_drained.append(scene.stage.loop.is_drained)
    assert is_drained == [False, False, False, True]
    assert [event for event, _ in scene.stage.log].count("draining") == 1
    end = scene.stage.end_of(scene.slow)
    assert end is not None and end["unsent_bytes"] > 0


@pytest.mark.promise("close-drain")
def test_drain_without_a_limit_waits_for_a_stalled_reader() -> None:
    scene = owed(drain_s=0.0)
    scene.stage.mailbox.post(Stop())
    for _ in range(20):
        scene.stage.kernel.now += 60
        scene.stage.turn()
    assert not scene.stage.loop.is_drained
    scene.slow.reads = True
    scene.stage.stop()
    assert {end["unsent_bytes"] for end in scene.stage.ends} == {0}


# Descriptors, and objects.


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
            hub.turns_until(lambda: hub.hub.counters.closed == {"silent": 1})
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
