"""Sentences of docs/reference about gaps, opening, one-way ports and closes, on a simulated network.

What a chapter says in passing (what becomes of the same client without notices, who gets no farewell) is
tried here; the rules themselves are tried where they are kept. Times are those of the sentence.
"""

from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.session.client import Client
from hub.session.read_gate import OUTBOX
from tests.sim.counting import Turn
from tests.sim.stage import BROWSERS, SENDERS, VIEWERS, Actor, Stage, each_pair
from tests.support import bye

KIB = 1024
LAG = 64 * KIB
LINE = b"x" * 63 + b"\n"


# Lag, and gaps.


def stuck_in_a_crowd(**settings: Any) -> tuple[Stage, Actor, Actor, Client]:
    """A talker, and one of five that takes nothing: its kernel is full, and nothing of it is waited for."""
    stage = Stage(max_lag_bytes=LAG, patience_s=0.0, **settings)
    talker, slow, *_ = stage.join(5, out=640)
    slow.reads = False
    talker.send(LINE * 10)
    stage.rest()
    return stage, talker, slow, stage.client(slow)


@pytest.mark.promise("limits-stalled-reader")
def test_subscriber_past_the_limit_is_offered_its_lines_again() -> None:
    """Its kernel has taken a little since, too little to say so: only a send finds that out."""
    stage, talker, slow, client = stuck_in_a_crowd()
    while client.outbox.lag_bytes < LAG:
        talker.send(LINE * 32)
        stage.rest()
        stage.pass_time(0.01)
    assert client.outbox.blocked and client.outbox.lag_bytes == LAG
    slow.takes(2 * len(LINE))
    stage.rest()
    assert client.outbox.lag_bytes == LAG, "or the kernel said that there is room"
    talker.send(LINE * 2)
    stage.rest()
    assert client.outbox.lag_bytes == LAG
    assert client.close.reason is None
    talker.send(LINE)
    stage.rest()
    detail = f"lag={LAG + len(LINE)} limit={LAG}"
    assert (client.close.reason, client.close.detail) == ("slow_consumer", detail)


@pytest.mark.promise("limits-unread-answers")
def test_skip_with_a_full_outbox_closes_and_skips_nothing() -> None:
    stage = Stage(mode="chat", announce=0, slow="skip", max_lag_bytes=LAG, intake={"outbox_bytes": 4 * KIB})
    talker, slow, *_ = stage.join(5, out=640)
    slow.reads = False
    client = stage.client(slow)
    while client.outbox.lag_bytes < LAG * 5 // 8:
        talker.send(LINE * 8)
        stage.rest()
    slow.send(b"/help\n" * 100)
    stage.rest()
    assert client.gate.has(OUTBOX) and client.id in stage.hub.flow.records[stage.hub.rooms.lobby].lagging
    stage.pass_time(9.9)
    assert client.close.reason is None
    stage.pass_time(0.2)
    assert (client.close.reason, client.close.detail) == ("slow_consumer", "stuck=10s limit=10s")
    assert client.outbox.losses.skipped_lines == 0


# Two one-way ports.


@pytest.mark.promise("write-only-silent")
@each_pair
@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_write_only_client_whatever_it_does_gets_no_byte(mode: str, trigger: str, read: str) -> None:
    stage = Stage(mode=mode, trigger=trigger, read=read, write_only_port=0, history=0, idle_timeout_s=5.0)
    [subscriber] = stage.join(listener=VIEWERS)
    [sender] = stage.join(listener=SENDERS)
    sender.send(b"\xff\xfd\x01\xff\xf6hello\n" + (b"/who\n" if mode == "chat" else b""))
    stage.rest()
    assert b"hello\n" in subscriber.got
    stage.pass_time(5.1 + stage.hub.limits.linger_s)
    end = stage.end_of(sender)
    assert end is not None
    assert (end["reason"], end["transport"], end["unsent_bytes"]) == ("idle", "write-only", 0)
    assert sender.got == b""
    assert stage.balances()


# Endings.


def pass_time_of_a_drain(stage: Stage, seconds: float) -> list[Turn]:
    """As `pass_time`, of a loop that may end on the way: then nobody turns it any more."""
    end, made = stage.kernel.now + seconds, list[Turn]()
    while not stage.loop.is_drained and stage.kernel.now < end:
        stage.allowed_s = end - stage.kernel.now
        made.append(stage.turn())
    stage.allowed_s = 0.0
    return made


@pytest.mark.promise("close-rest")
@pytest.mark.parametrize(
    ("drain_s", "takes_at_s", "closed_after_s"),
    [(10.0, 5.0, 7.0), (10.0, 9.0, 10.0), (1.0, 0.5, 1.0), (0.0, 50.0, 52.0)],
)
def test_shutdown_gives_closing_clients_the_time_of_the_drain(
    drain_s: float, takes_at_s: float, closed_after_s: float
) -> None:
    stage = Stage(drain_s=drain_s)
    [slow, talker] = stage.join(2, out=640)
    slow.reads, client = False, stage.client(slow)
    for _ in range(5):
        talker.send(LINE * 10)
        stage.rest()
    stage.mailbox.post(Stop())
    stage.rest()
    assert client.phase == "flushing"
    pass_time_of_a_drain(stage, takes_at_s)
    slow.reads = True
    stage.rest()
    assert slow.got == LINE * 50 + bye("server_shutdown")
    pass_time_of_a_drain(stage, closed_after_s - takes_at_s - 0.05)
    assert client.phase == "lingering"
    pass_time_of_a_drain(stage, 0.1)
    assert client.phase == "closed"


@pytest.mark.promise("close-drain")
def test_drain_gives_all_a_reason_at_once_and_ends_unwaiting() -> None:
    """Elsewhere a turn ends a few: a client late in the table would still be heard, and hear."""
    stage = Stage(drain_s=1.0)
    crowd = stage.join(700, out=640)
    for actor in crowd:
        actor.reads = False
    [talker] = stage.join()
    talker.send(LINE * 20)  # Twice what a kernel takes.
    stage.rest()
    clients = [stage.client(actor) for actor in crowd]
    stage.mailbox.post(Stop())
    stage.turn()
    assert {client.close.reason for client in clients} == {CloseReason.SERVER_SHUTDOWN}
    talker.send(b"too late\n")
    stage.rest()
    assert talker.got == LINE * 20 + bye("server_shutdown")
    pass_time_of_a_drain(stage, 1.0)
    turns = [stage.turn()]
    while not stage.loop.is_drained:
        turns.append(stage.turn())
    assert not any(turn.wait_s for turn in turns)
    most = stage.hub.budgets.rounds * stage.hub.budgets.closes
    assert all(0 < turn.count("close") <= most for turn in turns)


@pytest.mark.promise("close-farewell")
@pytest.mark.parametrize(("room_bytes", "arrives"), [(200, True), (0, False)])
def test_slow_consumer_is_sent_its_farewell_once(room_bytes: int, arrives: bool) -> None:
    stage, talker, slow, client = stuck_in_a_crowd(idle_timeout_s=3.0, idle_counts="rx")
    talker.send(LINE * 10)
    stage.rest()
    slow.takes(room_bytes)  # Too little for its kernel to say so.
    stage.rest()
    assert client.outbox.blocked
    turns = stage.pass_time(3.1)
    assert client.close.reason == "slow_consumer"
    assert client.phase == "lingering"
    lines, said, _ = slow.got.partition(b"* bye reason=slow_consumer after=")
    assert bool(said) == arrives
    assert (LINE * 20).startswith(lines)
    slow.reads = True
    turns += stage.rest()
    assert sum(call[:2] == ("try", slow.tcp.fd) for turn in turns for call in turn.calls) == 1


@pytest.mark.promise("lines-no-notices")
def test_without_notices_a_browser_alone_is_told_why_it_ends() -> None:
    stage = Stage(notices=False, idle_timeout_s=3.0)
    [[line], [browser]] = stage.join(), stage.join(listener=BROWSERS)
    before = len(browser.got)
    stage.pass_time(3.1)
    assert browser.got[before:] == b"\x88\x44\x03\xe8" + bye("idle", "after=3s limit=3s", end="")[6:]
    assert line.got == b""
