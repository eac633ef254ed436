"""The expire step: what it means that a timer has run out."""

import select

import pytest

from hub.config.values import Rate
from hub.loop.limits import Budgets
from hub.session.client import Client
from hub.session.read_gate import OUTBOX
from tests.loop.support import SteppedHub
from tests.sim.stage import BROWSERS, MUCH, Actor, Stage
from tests.support import PATIENCE_S, bye, closing
from tests.unit.protocol.support import close, more, request, text

REQUEST = request()
MASKED_PONG = b"\x8a\x80\0\0\0\0"
MASKED_PING = b"\x89\x80\0\0\0\0"
LINES = [b"line %d" % number for number in range(50)]
WARNING = b"* idle: say something within 8 s, or be gone\n"
TIMES = {"idle_timeout_s": 10.0, "idle_warning_s": 8.0}


def heard_after(stage: Stage, actor: Actor, *steps_s: float) -> list[bytes]:
    """What this client gets as so many seconds pass, step by step."""
    heard = []
    for passed_s in steps_s:
        before = len(actor.got)
        stage.pass_time(passed_s)
        heard.append(actor.got[before:])
    return heard


def test_idle_client_is_warned_then_told_the_timeout() -> None:
    stage = Stage(mode="chat", announce=0, **TIMES)
    [actor] = stage.join()
    assert heard_after(stage, actor, 1.9, 0.2) == [b"", WARNING]
    actor.send(b"here\n")
    stage.rest()
    farewell = bye("idle", "after=10s limit=10s")
    assert heard_after(stage, actor, 1.9, 0.2, 7.8, 0.2) == [b"", WARNING, b"", farewell]
    actor.close()
    stage.rest()
    assert 0 <= stage.ends[0]["lateness_ms"] < 2


def knock(stage: Stage, said: bytes = request()) -> tuple[Actor, Client]:
    """A connection to the WebSocket port that has said so much, and the hub's side of it."""
    [actor] = stage.arrive(listener=BROWSERS, into=MUCH)
    actor.push()  # What such a client says by itself, thrown away.
    actor.remote.outbox.clear()
    actor.tcp.input.clear()
    actor.send(said)
    stage.rest()
    return actor, stage.client(actor)


@pytest.mark.promise("idle-handshake")
def test_a_handshake_that_trickles_in_ends_after_five_seconds() -> None:
    stage = Stage()
    actor, client = knock(stage, b"GET / HTTP/1.1\r\n")
    for _ in range(4):
        stage.pass_time(1.2)
        actor.send(b"X: y\r\n")
    stage.pass_time(0.1)
    assert client.close.reason is None
    stage.pass_time(0.2)
    assert client.close.reason == "handshake_timeout"
    assert actor.got.startswith(b"HTTP/1.1 408 ")


@pytest.mark.promise("pause-active")
def test_request_unread_at_the_handshake_deadline_is_read() -> None:
    stage = Stage(budgets=Budgets(turn_bytes=1))
    peers = [knock(stage, b"")[0] for _ in range(2)]
    for actor in peers:
        actor.send(REQUEST)
    stage.kernel.now += 3600
    stage.rest()  # A turn reads one of the two.
    assert all(actor.got.startswith(b"HTTP/1.1 101 ") for actor in peers)


@pytest.mark.promise("pause-active")
def test_client_that_was_sent_nothing_yet_is_not_stuck() -> None:
    budgets = Budgets(sends=1, rounds=1)
    with SteppedHub(budgets, mode="chat", idle_timeout_s=0) as hub, closing(hub.join(3)) as peers:
        clients = [hub.deliver(peer, b"hello\n") for peer in peers]
        for client in clients:
            hub.hub.ready.put(client, b"x" * 400_000 + b"\n")
        hub.turns()
        untried = [each for each in clients if each.gate.has(OUTBOX) and not each.outbox.blocked]
        assert untried
        hub.now_s += 3600
        hub.turns()
        assert {client.close.reason for client in untried} == {None}


@pytest.mark.promise("websocket-ping")
def test_a_websocket_that_answers_its_pings_stays_for_ever() -> None:
    stage = Stage()
    actor, client = knock(stage)
    for _ in range(10):
        assert heard_after(stage, actor, 19.9, 0.2) == [b"", b"\x89\0"]
        actor.send(MASKED_PONG)
        stage.rest()
    assert client.close.reason is None


@pytest.mark.promise("pause-active")
def test_pong_unread_when_its_time_is_over_keeps_its_browser() -> None:
    stage = Stage(budgets=Budgets(turn_bytes=1))
    knocked = [knock(stage) for _ in range(2)]
    stage.pass_time(20.1)
    for actor, client in knocked:
        assert client.inbox.pinged
        actor.send(MASKED_PONG)
    stage.kernel.now += 3600  # A turn reads one of the two.
    stage.rest()
    assert [client.close.reason for _, client in knocked] == [None, None]


def test_a_websocket_that_talks_is_not_asked_whether_it_is_there() -> None:
    stage = Stage()
    actor, client = knock(stage)
    for _ in range(5):
        stage.pass_time(15)
        actor.send(text("here"))
        stage.rest()
        assert not client.inbox.pinged
    stage.pass_time(20.1)
    assert client.inbox.pinged


@pytest.mark.promise("idle-activity")
@pytest.mark.parametrize("frame", [MASKED_PING, MASKED_PONG], ids=["ping", "pong"])
@pytest.mark.parametrize("strategy", ["deadline", "sweep", "poll"])
def test_pings_and_pongs_are_no_activity(strategy: str, frame: bytes) -> None:
    stage = Stage(idle_timeout_s=50, sweep_interval_s=1, idle_strategy=strategy)
    actor, client = knock(stage)
    actor.send(text("a line does not make the ping behind it one"))
    stage.rest()
    for _ in range(2):
        stage.pass_time(20.1)
        assert client.inbox.pinged
        actor.send(frame)
    stage.pass_time(9)
    assert client.close.reason is None
    stage.pass_time(2)
    assert client.close.reason == "idle"


@pytest.mark.promise("websocket-message")
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
def test_an_empty_message_is_an_empty_line_and_so_is_activity(mode: str) -> None:
    stage = Stage(mode=mode, idle_timeout_s=30)
    actor, client = knock(stage)
    for _ in range(2):
        stage.pass_time(19)
        actor.send(text(b""))
    stage.rest()
    assert client.close.reason is None and client.inbox.lines_in == 2


def test_a_fragment_of_a_message_is_activity() -> None:
    stage = Stage(idle_timeout_s=30)
    actor, client = knock(stage)
    for frame in (text(b"a long", fin=False), more(b" message", fin=False), b""):
        stage.pass_time(19)
        actor.send(frame)
    stage.rest()
    assert client.close.reason is None and client.inbox.lines_in == 0


@pytest.mark.promise("websocket-ping")
@pytest.mark.parametrize(
    ("end", "reason"),
    [(close(1000), "peer_closed"), (text(b"x" * 9000), "line_too_long"), (b"", "peer_closed")],
    ids=["close", "offence", "fin"],
)
def test_browser_whose_end_waits_behind_lines_is_not_pinged(end: bytes, reason: str) -> None:
    """A peer answers nothing behind its Close, so that it says nothing is no sign."""
    stage = Stage(line_rate=Rate(1, "s", 1))
    (actor, client), [listener] = knock(stage), stage.join()
    actor.send(b"".join(map(text, LINES)) + end)
    if not end:
        actor.half_close()
    stage.pass_time(len(LINES))
    assert listener.got == b"".join(b"%b\n" % line for line in LINES)
    assert client.close.reason == reason


@pytest.mark.promise("idle-handshake")
def test_the_idle_time_of_a_websocket_starts_when_it_is_let_in() -> None:
    """No warning comes in the handshake either."""
    stage = Stage(mode="chat", announce=0, idle_timeout_s=4, idle_warning_s=2)
    actor, client = knock(stage, REQUEST[:20])
    stage.pass_time(3.9)
    assert not actor.got
    actor.send(REQUEST[20:])
    stage.rest()
    stage.pass_time(3.9)
    assert client.close.reason is None
    stage.pass_time(0.2)
    assert client.close.reason == "idle"


def test_reset_found_by_the_idle_timer_is_a_reset() -> None:
    with SteppedHub(idle_timeout_s=5, mode="broadcast") as hub:
        (peer,) = hub.join()
        client = hub.client(peer)
        hub.say(peer, b"unfinished")
        hub.now_s += 6
        peer.reset()
        hangup = select.poll()
        hangup.register(client.fd, 0)
        assert hangup.poll(1000 * PATIENCE_S)
        hub.hub.expirer.slice(hub.now_s, hub.now_s)  # As when the reset comes in the middle of a turn.
        assert client.close.peer_error == "peer_reset"
        hub.turns(2)
        assert client.close.reason == "peer_reset"
        assert client.inbox.lines_in == 0
