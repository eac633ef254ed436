"""Sentences of docs/behaviour.md about feeds, gaps, newcomers and endings, each arranged on a simulated net.

What a chapter says in passing (what becomes of the same client without notices, who gets no farewell) is
tried here; the rules themselves are tried where they are kept. Times are those of the sentence.
"""

from __future__ import annotations

from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.session.client import Client, Phase
from tests.sim.counting import Turn
from tests.sim.stage import BROWSERS, PAIRS, Actor, Stage

KIB = 1024
LAG = 64 * KIB
LINE = b"x" * 63 + b"\n"
BULK = b"".join(b"bulk %04d\n" % number for number in range(800))
each_pair = pytest.mark.parametrize(("trigger", "read"), PAIRS)


# Who is new, and who sends in bulk.


@pytest.mark.promise("limits-newcomer")
@each_pair
def test_a_newcomer_in_chat_gets_nothing_before_its_first_line_or_50_ms(trigger: str, read: str) -> None:
    stage = Stage(mode="chat", trigger=trigger, read=read)
    silent, early = stage.arrive(2)
    stage.rest()
    stage.pass_time(0.045)
    assert silent.got == early.got == b""
    early.send(b"/who\n")  # Said to nobody, so nothing else has the hub look at who is new.
    stage.rest()
    assert b"* welcome" in early.got and early.got.endswith(b"* in lobby (2): guest-1, guest-2\n")
    assert silent.got == b""
    stage.pass_time(0.010)
    assert b"* welcome" in silent.got


@each_pair
@pytest.mark.parametrize(("size", "waits"), [(4095, False), (4096, True)])
def test_a_read_of_4_kib_is_bulk_and_a_byte_less_is_not(
    size: int, waits: bool, trigger: str, read: str
) -> None:
    stage = Stage(trigger=trigger, read=read)
    feed, listener = stage.join(2)
    said = b"x" * (size - 1) + b"\n"
    feed.send(said)
    stage.rest()
    stage.pass_time(0.045)
    assert listener.got == said
    assert feed.got == (b"" if waits else said)
    stage.pass_time(0.010)
    assert feed.got == said


def sends_in_bulk(stage: Stage, feed: Actor, times: int) -> bytes:
    """So many reads of 8,000 bytes, without the pause that would end its waiting; what was said."""
    for _ in range(times):
        feed.send(BULK)
        stage.rest()
        stage.pass_time(0.03)
    return BULK * times


@each_pair
@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_without_notices_a_bulk_senders_own_lines_go_out_when_they_are_more_than_the_lag(
    mode: str, trigger: str, read: str
) -> None:
    stage = Stage(mode=mode, max_lag_bytes=LAG, notices=False, history=0, trigger=trigger, read=read)
    feed, listener = stage.join(2)
    client = stage.client(feed)
    sends_in_bulk(stage, feed, 6 if mode == "broadcast" else 3)
    assert feed.got == b""
    sends_in_bulk(stage, feed, 12)
    assert len(feed.got) > LAG
    stage.pass_time(0.1)
    assert feed.got == listener.got  # The same lines to the byte: none is skipped, and none is the hub's.
    assert client.skipped_lines == stage.hub.account.skipped == 0
    assert client.reason is None


def test_without_notices_a_bulk_sender_that_does_not_take_its_own_lines_is_given_up() -> None:
    stage = Stage(max_lag_bytes=LAG, notices=False)
    listener, feed = *stage.join(1), *stage.join(1, reads=False, out=640)
    client = stage.client(feed)
    said = sends_in_bulk(stage, feed, 40)
    assert client.deaf and client.reason is None
    assert listener.got == said
    stage.pass_time(9.9)
    assert client.reason is None
    stage.pass_time(0.2)
    assert (client.reason, client.detail) == ("slow_consumer", "feed=yes")
    assert stage.hub.account.skipped == 0


# Lag, and gaps.


def stuck_in_a_crowd(**settings: Any) -> tuple[Stage, Actor, Actor, Client]:
    """A talker, and one of five that takes nothing: its kernel is full, and nothing of it is waited for."""
    stage = Stage(max_lag_bytes=LAG, **settings)
    talker, slow, *_ = stage.join(5, out=640)
    slow.reads = False
    talker.send(LINE * 10)
    stage.rest()
    return stage, talker, slow, stage.client(slow)


@pytest.mark.promise("limits-stalled-reader")
def test_who_is_past_the_limit_is_offered_its_lines_once_more_before_it_is_cut() -> None:
    """Its kernel has taken a little since, too little to say so: only a send finds that out."""
    stage, talker, slow, client = stuck_in_a_crowd()
    while client.lag_bytes < LAG:
        talker.send(LINE * 32)
        stage.rest()
        stage.pass_time(0.01)
    assert client.blocked and client.lag_bytes == LAG
    slow.takes(2 * len(LINE))
    stage.rest()
    assert client.lag_bytes == LAG, "or the kernel said that there is room"
    talker.send(LINE)
    stage.rest()
    assert client.reason is None
    assert client.lag_bytes <= LAG
    talker.send(LINE * 4)
    stage.rest()
    assert client.reason == "slow_consumer"


@pytest.mark.promise("limits-unread-answers")
def test_under_skip_who_takes_no_answers_is_cut_and_misses_no_line_for_it() -> None:
    stage = Stage(mode="chat", announce=0, slow="skip", max_lag_bytes=LAG, intake={"private_bytes": 4 * KIB})
    talker, slow, *_ = stage.join(5, out=640)
    slow.reads = False
    client = stage.client(slow)
    while client.lag_bytes < LAG * 5 // 8:
        talker.send(LINE * 8)
        stage.rest()
    slow.send(b"/help\n" * 100)
    stage.rest()
    assert client.choked and client.room is not None and client.id in client.room.behind
    stage.pass_time(9.9)
    assert client.reason is None
    stage.pass_time(0.2)
    assert (client.reason, client.detail, client.skipped_lines) == ("slow_consumer", "stuck=10s", 0)


def test_under_skip_a_sender_that_takes_nothing_for_a_minute_after_a_gap_becomes_a_feed() -> None:
    stage, talker, slow, client = stuck_in_a_crowd(slow="skip")
    while not client.skipping:
        talker.send(LINE * 32)
        stage.rest()
        stage.pass_time(0.1)
    for _ in range(11):
        stage.pass_time(5.0)
        slow.send(b"still talking\n")
        stage.rest()
        assert not client.deaf
    stage.pass_time(5.0)
    assert client.deaf and client.reason is None
    slow.send(b"last\n")
    slow.half_close()
    stage.rest()
    assert (client.reason, client.detail) == ("slow_consumer", "feed=yes")
    assert talker.got.endswith(b"last\n")


# Endings.


def pass_time_of_a_drain(stage: Stage, seconds: float) -> list[Turn]:
    """As `pass_time`, of a loop that may end on the way: then nobody turns it any more."""
    end, made = stage.kernel.now + seconds, list[Turn]()
    while not stage.loop.is_drained and stage.kernel.now < end:
        stage.allowed_s = end - stage.kernel.now
        made.append(stage.turn())
    stage.allowed_s = 0.0
    return made


def stuck(stage: Stage) -> tuple[Actor, Client]:
    """One that reads nothing, and whose kernel is full of what another said."""
    [slow, talker] = stage.join(2, out=640)
    slow.reads = False
    for _ in range(5):
        talker.send(LINE * 10)
        stage.rest()
    return slow, stage.client(slow)


def leaves_owed(stage: Stage, *, reads_at_s: float) -> tuple[Actor, Client]:
    """One that quits while its kernel is full, and takes its rest so much later."""
    slow, client = stuck(stage)
    slow.send(b"/quit\n")
    stage.rest()
    assert client.phase is Phase.FLUSHING
    stage.pass_time(reads_at_s)
    slow.reads = True
    stage.rest()
    return slow, client


@pytest.mark.promise("close-rest")
def test_who_ended_has_two_seconds_for_its_rest_and_two_more_for_its_end_of_stream() -> None:
    stage = Stage(mode="chat", announce=0)
    slow, client = leaves_owed(stage, reads_at_s=1.9)
    assert slow.got.endswith(b"* bye reason=quit\n")
    assert client.phase is Phase.LINGERING
    stage.pass_time(1.95)
    assert client.phase is Phase.LINGERING
    stage.pass_time(0.1)
    assert client.phase is Phase.CLOSED
    end = stage.end_of(slow)
    assert end is not None
    assert (end["farewell"], end["unsent_bytes"]) == (True, 0)


@pytest.mark.promise("close-rest")
@pytest.mark.parametrize(
    ("drain_s", "takes_at_s", "closed_after_s"),
    [(10.0, 5.0, 7.0), (10.0, 9.0, 10.0), (1.0, 0.5, 1.0), (0.0, 50.0, 52.0)],
)
def test_at_a_shutdown_the_drain_is_the_limit_of_the_rest_and_of_the_end_of_stream(
    drain_s: float, takes_at_s: float, closed_after_s: float
) -> None:
    stage = Stage(drain_s=drain_s)
    slow, client = stuck(stage)
    stage.mailbox.post(Stop())
    stage.rest()
    assert client.phase is Phase.FLUSHING
    pass_time_of_a_drain(stage, takes_at_s)
    slow.reads = True
    stage.rest()
    assert slow.got == LINE * 50 + b"* bye reason=server_shutdown\n"
    pass_time_of_a_drain(stage, closed_after_s - takes_at_s - 0.05)
    assert client.phase is Phase.LINGERING
    pass_time_of_a_drain(stage, 0.1)
    assert client.phase is Phase.CLOSED


@pytest.mark.promise("close-drain")
def test_at_a_drain_everybody_has_its_reason_at_once_and_who_is_left_is_closed_at_once() -> None:
    """Elsewhere a turn ends 256: who came late in the table would still be heard, and hear."""
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
    assert {client.reason for client in clients} == {CloseReason.SERVER_SHUTDOWN}
    talker.send(b"too late\n")
    stage.rest()
    assert talker.got == LINE * 20 + b"* bye reason=server_shutdown\n"
    turns = pass_time_of_a_drain(stage, 1.0)
    assert stage.loop.is_drained
    assert [count for turn in turns if (count := turn.count("close"))] == [701]


@pytest.mark.promise("close-farewell")
@pytest.mark.parametrize(("room_bytes", "arrives"), [(200, True), (0, False)])
def test_a_slow_consumer_is_sent_its_farewell_once_and_not_waited_for(room_bytes: int, arrives: bool) -> None:
    stage, talker, slow, client = stuck_in_a_crowd(idle_timeout_s=3.0, idle_counts="rx")
    talker.send(LINE * 10)
    stage.rest()
    slow.takes(room_bytes)  # Too little for its kernel to say so.
    stage.rest()
    assert client.blocked
    turns = stage.pass_time(3.1)
    assert client.reason == "slow_consumer"
    assert client.phase is Phase.LINGERING
    lines, bye, _ = slow.got.partition(b"* bye reason=slow_consumer lag=")
    assert bool(bye) == arrives
    assert (LINE * 20).startswith(lines)
    slow.reads = True
    turns += stage.rest()
    assert sum(call[:2] == ("try", slow.tcp.fd) for turn in turns for call in turn.calls) == 1


def test_a_feed_gets_no_farewell() -> None:
    stage = Stage(max_lag_bytes=LAG)
    [feed] = stage.join()
    client = stage.client(feed)
    feed.send(b"hello\n")
    stage.rest()
    stage.loop._pacing.make_feed(client, stage.kernel.now)
    stage.pass_time(10.1)
    assert (client.reason, client.detail) == ("slow_consumer", "feed=yes")
    assert feed.got == b"hello\n"


@pytest.mark.promise("lines-no-notices")
@pytest.mark.parametrize("listener", [BROWSERS, 0], ids=["browser", "lines"])
def test_without_notices_a_browser_alone_is_told_why_it_ends(listener: int) -> None:
    stage = Stage(notices=False, idle_timeout_s=3.0)
    [actor] = stage.join(listener=listener)
    before = len(actor.got)
    stage.pass_time(3.1)
    farewell = b"\x88\x16\x03\xe8reason=idle after=3s"
    assert actor.got[before:] == (farewell if listener == BROWSERS else b"")
