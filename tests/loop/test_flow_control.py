"""Flow control in the turns of a hub: who waits for whom, for how long, and that all go on in the end."""

from itertools import pairwise
from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.config.values import MIB, Rate
from hub.control.mailbox import Stop
from hub.loop.congestion import Congestion
from hub.loop.flow_control import SENDERS_A_TURN
from hub.loop.limits import Budgets
from tests.loop.scene import KERNEL_BYTES, LINE, Scene
from tests.loop.support import SteppedHub
from tests.sim.stage import MUCH, Stage
from tests.support import PAIRS, bye, closing

LAST = b"last words\n"


def held_up(others: int = 0, **settings: Any) -> Scene:
    """The slow one takes nothing, and the talker's last words wait with the hub."""
    scene = Scene(others, **settings)
    scene.talk_until(lambda: scene.waits)
    scene.say(LAST)
    assert scene.waits and not scene.talker.got.endswith(LAST)
    return scene


# A sender that waits is always read again.


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize(
    ("way", "trigger"),
    [("close", "level"), ("reset", "edge"), ("quit", "edge"), ("join", "level"), ("read", "edge")],
)
def test_talker_is_read_again_when_the_slow_one_goes(way: str, trigger: str) -> None:
    scene = held_up(mode="chat", trigger=trigger)
    if way == "close":
        scene.slow.close()
    elif way == "reset":
        scene.slow.reset()
    elif way == "read":
        scene.slow.reads = True
    else:
        scene.slow.send(b"/quit\n" if way == "quit" else b"/join den\n")
    scene.stage.rest()
    assert not scene.waits and scene.talker.got.endswith(LAST)
    assert not scene.hub.flow.records


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_talker_is_read_again_when_a_dead_reader_is_closed(mode: str) -> None:
    """A reader that takes something has ten seconds more."""
    scene = held_up(mode=mode)
    scene.pass_s(9.5)
    assert scene.waits and not scene.end
    scene.takes()
    scene.pass_s(9.5)
    assert scene.waits and not scene.end
    scene.pass_s(1.0)
    assert scene.end == "slow_consumer stuck=10s limit=10s"
    assert scene.talker.got.endswith(LAST)


def test_room_waits_for_the_last_of_most_while_it_moves() -> None:
    scene = Scene(mode="chat", slow="skip")
    [second] = scene.stage.join(out=KERNEL_BYTES, reads=False)
    scene.talk_until(lambda: scene.waits)
    scene.takes()
    second.reads = True
    scene.stage.rest()
    assert scene.waits
    scene.pass_s(0.1)
    assert scene.waits
    scene.pass_s(0.5)
    assert not scene.waits, "it has taken nothing for half a second"


def test_record_of_a_room_goes_with_the_room() -> None:
    scene = Scene(mode="chat")
    scene.slow.send(b"/join den\n")
    scene.say(b"/join den\n")
    scene.talk_until(lambda: scene.waits)
    assert scene.hub.flow.records
    scene.talker.reset()
    scene.slow.reset()
    scene.stage.rest()
    assert [room.name for room in scene.hub.rooms.all()] == ["lobby"]
    assert not scene.hub.flow.records
    assert scene.hub.flow.timeout(scene.stage.kernel.now) == float("inf")


def a_crowd_that_waits() -> Scene:
    """More senders than a turn resumes, each of which has said a line that is not read."""
    scene = held_up(mode="broadcast", slow="wait", others=1)
    senders = scene.stage.join(SENDERS_A_TURN + 20)
    for number, sender in enumerate(senders):
        sender.send(b"sender %d\n" % number)
    scene.stage.rest()
    (record,) = scene.hub.flow.records.values()
    assert len(record.paused) == 1 + len(senders)
    return scene


def test_senders_are_resumed_over_turns_and_all_are_heard() -> None:
    scene = a_crowd_that_waits()
    (record,) = scene.hub.flow.records.values()
    scene.slow.reset()
    left = [len(record.paused)]
    while record.paused:
        scene.stage.turn()
        left.append(len(record.paused))
    assert max(before - after for before, after in pairwise(left)) in (SENDERS_A_TURN - 1, SENDERS_A_TURN)
    scene.stage.rest()
    heard = scene.others[0].got.splitlines(keepends=True)[-SENDERS_A_TURN - 21 :]
    assert set(heard) == {LAST, *(b"sender %d\n" % number for number in range(SENDERS_A_TURN + 20))}


@pytest.mark.promise("limits-room-waits")
def test_room_waits_for_most_whichever_sender_sees_them() -> None:
    """Of five three lag, among them the first of two senders that wait: only the other sees most lag."""
    stage = Stage()
    first, *_, last = clients = [stage.client(actor) for actor in stage.join(5)]
    hub, now, room = stage.hub, stage.kernel.now, first.room
    assert room is not None
    record = Congestion(room, hub.limits, 0.0, now, waits_for_all=False)
    hub.flow.records[room] = record
    for client in clients[:3]:
        client.outbox.refused(now)
        record.fell_behind(client.outbox, now, is_near=False)
    record.pause(first, now)
    record.pause(last, now)
    hub.flow.step(now)
    assert record.majority


# A sender that waits may end.


def test_drain_of_many_waiting_senders_watches_no_closed_one() -> None:
    scene = a_crowd_that_waits()
    poller, by_fd = scene.hub.poller, scene.hub.connections.by_fd
    watched = len(poller) - len(by_fd)
    scene.stage.mailbox.post(Stop())
    for _ in range(20):
        scene.stage.turn()
        # The listeners are forgotten at the stop; what else epoll has is the bells and the open ones.
        assert len(poller) - len(by_fd) <= watched


def test_drain_with_waiting_senders_ends_and_counts_their_lines() -> None:
    scene = Scene(mode="chat", slow="wait")
    scene.talk_until(lambda: scene.waits, LINE * 1024)
    waiting = scene.sender.inbox.waiting
    scene.stage.stop()
    assert scene.stage.kernel.now < 1000 + 60
    assert scene.hub.counters.lines_discarded == waiting > 0
    assert not scene.hub.flow.records


def test_dead_talker_ends_with_its_room_and_is_heard() -> None:
    scene = held_up(others=1, mode="broadcast", slow="wait")
    scene.talker.reset()
    scene.stage.rest()
    scene.pass_s(61.0)
    assert scene.sender.close.reason is CloseReason.PEER_RESET
    assert scene.hub.connections.by_fd.get(scene.sender.fd) is None
    assert scene.others[0].got.endswith(LAST)


def test_dead_peer_is_owed_nothing_and_its_lines_are_heard() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (dying, listener):
        client = hub.deliver(dying, b"last words\n", fin=True)
        hub.hub.connections.peer_is_gone(client, CloseReason.PEER_CLOSED)
        assert client.id not in hub.hub.rooms.lobby.subscribers
        hub.turns_until(hub.endings)
        assert listener.line() == b"last words\n"
        assert hub.ending()["reason"] == "peer_closed"


@pytest.mark.promise("limits-unread-answers")
def test_commands_sent_in_bulk_get_every_answer_once_read() -> None:
    stage = Stage(mode="chat", announce=0)
    [eager] = stage.join(reads=False, into=MUCH)
    eager.send(b"/help\n" * 3000 + b"/quit\n")
    stage.rest()
    client = stage.client(eager)
    left = client.inbox.waiting
    eager.takes(64 * 1024)
    stage.rest()
    assert client.gate.names() == ["outbox"] and client.inbox.waiting == left, "more than half is left"
    eager.reads = True
    stage.rest()
    assert eager.got.count(b"* /quit") == 3000
    assert eager.got.endswith(bye("quit"))


@pytest.mark.promise("limits-unread-answers")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_client_with_a_full_outbox_ends_when_its_peer_dies(trigger: str, read: str) -> None:
    """Nothing goes out to it any more, so nothing would ever make its outbox smaller."""
    stage = Stage(mode="echo", trigger=trigger, read=read, intake={"outbox_bytes": 4096})
    [actor] = stage.join(reads=False, out=640)
    for _ in range(2):
        actor.send(LINE * 100)
        stage.rest()
    assert stage.client(actor).gate.names() == ["outbox"]
    actor.reset()
    stage.rest()
    assert [end["reason"] for end in stage.ends] == ["peer_reset"]


@pytest.mark.promise("limits-unread-answers")
def test_client_that_leaves_its_full_outbox_unread_is_closed() -> None:
    stage = Stage(mode="echo", intake={"outbox_bytes": 4096})
    [actor] = stage.join(reads=False, out=640)
    for _ in range(2):
        actor.send(LINE * 100)
        stage.rest()
    client = stage.client(actor)
    assert client.gate.names() == ["outbox"]
    stage.pass_time(6.0)
    actor.takes(320)  # Which puts it off.
    stage.rest()
    stage.pass_time(9.9)
    assert client.gate.names() == ["outbox"] and client.close.reason is None
    stage.pass_time(0.2)
    assert (client.close.reason, client.close.detail) == ("slow_consumer", "stuck=10s limit=10s")


# Patience: a broadcast waits for one that is near the limit and moves.


def near_the_limit(**changes: Any) -> Scene:
    """A broadcast to the slow one, over three quarters of its limit, and to three others."""
    scene = Scene(others=3, **{"mode": "broadcast", **changes})
    scene.talk_until(lambda: scene.client.outbox.lag_bytes > scene.hub.limits.near_bytes)
    scene.takes()
    return scene


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize(("moves", "limit_s"), [(True, 4.0), (False, 2.0)])
def test_broadcast_waits_for_a_moving_reader_for_its_patience(moves: bool, limit_s: float) -> None:
    scene = near_the_limit()
    scene.say(b"\n")
    assert scene.waits
    scene.pass_s(limit_s - 0.5, signs=moves)
    assert scene.waits
    scene.pass_s(1.0, signs=moves)
    assert not scene.waits
    scene.say(b"\n")
    assert scene.waits is moves, "for as long as what has come back of the patience since"


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("changes", [{"patience_s": 0.0}, {"mode": "chat"}])
def test_room_without_patience_waits_for_nobody(changes: dict[str, Any]) -> None:
    scene = near_the_limit(**changes)
    scene.say(b"\n")
    assert not scene.waits


def test_patience_comes_back_sixteen_times_as_fast() -> None:
    scene = near_the_limit()
    (record,) = scene.hub.flow.records.values()
    scene.pass_s(1.0, signs=True)
    assert record.patience_s == 4.0, "nobody waited"
    scene.say(b"\n")
    assert scene.waits
    scene.pass_s(3.0, signs=True)
    assert record.patience_s == pytest.approx(1.5, abs=0.01), "as of its last sign"
    scene.pass_s(1.0)
    scene.stage.pass_time(0.125)
    scene.takes()
    assert record.patience_s == pytest.approx(0.125 * 16, abs=0.1)
    scene.pass_s(3.0)
    assert record.patience_s == 4.0


# Under --slow wait.


@pytest.mark.promise("limits-room-waits")
def test_slow_wait_waits_for_a_silent_reader_for_sixty_seconds() -> None:
    scene = held_up(others=3, mode="broadcast", slow="wait")
    assert scene.client.outbox.lag_bytes <= scene.hub.limits.lag_bytes
    scene.pass_s(59.5)
    assert scene.waits and not scene.end
    scene.pass_s(1.0)
    assert scene.end == "slow_consumer stuck=60s limit=60s"
    assert scene.others[0].got.endswith(LAST)


@pytest.mark.promise("limits-room-waits")
def test_slow_wait_goes_on_when_the_reader_is_below_half() -> None:
    scene = held_up(others=3, mode="broadcast", slow="wait")
    while scene.waits:
        assert scene.client.outbox.lag_bytes > scene.hub.limits.lagging_bytes
        scene.takes()
    assert not scene.end


@pytest.mark.parametrize("self_echo", [True, False])
def test_slow_wait_bounds_the_lag_of_a_sender_that_reads_nothing(self_echo: bool) -> None:
    """Nobody else lags, so only its own lag can pause it."""
    scene = Scene(mode="broadcast", slow="wait", self_echo=self_echo)
    scene.say(LINE * 1100)
    scene.slow.send(LINE * 40_000)
    scene.stage.rest()
    assert scene.client.gate.names() == ["room"]
    assert scene.hub.limits.near_bytes < scene.client.outbox.lag_bytes <= scene.hub.limits.lag_bytes
    scene.stage.pass_time(59.9)
    assert not scene.end
    scene.stage.pass_time(0.2)
    assert scene.end == "slow_consumer stuck=60s limit=60s"


@pytest.mark.parametrize("way", ["reads", "resets"])
def test_log_kept_for_a_slow_reader_is_trimmed_when_it_is_done(way: str) -> None:
    scene = near_the_limit(patience_s=0)
    assert scene.hub.rooms.lobby.log.chunks
    scene.slow.reset() if way == "resets" else scene.reads()
    scene.stage.rest()
    assert not scene.hub.rooms.lobby.log.chunks


@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_log_kept_for_one_that_skips_is_within_max_lag(mode: str) -> None:
    """A pass takes several turns, and others say all that it takes until the slow one skips."""
    few = Budgets(sends=2, rounds=1)
    limits = {"max_lag_bytes": MIB, "patience_s": 0, "line_rate": Rate(0, "s", 0)}
    scene = Scene(others=3, mode=mode, slow="skip", budgets=few, **limits)
    scene.stage.read_much()
    log, most = scene.hub.rooms.lobby.log, 0
    while not scene.client.outbox.losses.skipped_lines:
        for other in scene.others:
            other.send(LINE * 2048)
        for _ in range(8):
            scene.stage.turn()
            most = max(most, log.head - log.chunks[0].start if log.chunks else 0)
    assert MIB // 2 < most <= MIB
