"""How much of what was said a room keeps for those who come later."""

from __future__ import annotations

import pytest

from tests.loop.support import LINE, SMALL_LAG, SteppedHub, take_all
from tests.support import Peer, closing
from tests.unit.protocol.support import request_to

KEPT = 256 * 1024
SAID = len(b"<guest-1> ") + len(LINE)


def bytes_shown(hub: SteppedHub) -> int:
    """To somebody who comes now."""
    with closing(hub.join(1)) as (late,):
        return hub.catch_up(late).count(b"> " + LINE) * SAID


def say_more_than_is_kept(hub: SteppedHub, talker: Peer) -> None:
    for _ in range(SMALL_LAG * 2 // SAID):
        hub.say(talker, LINE)
        take_all(talker)


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize("history", [0, 1, 20])
def test_joiner_is_shown_as_many_lines_as_history_says(history: int) -> None:
    with (
        SteppedHub(mode="chat", history=history, announce=0) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        for number in range(30):
            hub.say(talker, b"%02d\n" % number)
        with closing(hub.join(1)) as (late,):
            shown = hub.catch_up(late).splitlines()[1:]
        assert shown == [b"<guest-1> %02d" % number for number in range(30 - history, 30)]


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize(
    ("lag", "shown"), [(1024 * 1024, KEPT), (2 * KEPT, KEPT), (384 * 1024, 192 * 1024), (0, KEPT)]
)
def test_joiner_is_shown_at_most_256_kib_and_half_the_lag(lag: int, shown: int) -> None:
    with (
        SteppedHub(mode="chat", history=10_000, announce=0, max_lag_bytes=lag) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        room = hub.hub.rooms.lobby
        hub.fill(talker, [], lambda: room.log.head > KEPT + 2 * SAID)
        assert shown - SAID < bytes_shown(hub) <= shown


@pytest.mark.promise("chat-history")
def test_joiner_is_shown_no_more_while_the_log_is_held_back() -> None:
    with (
        SteppedHub(mode="chat", history=10_000, announce=0) as hub,
        closing(hub.join(4)) as (talker, *brisk),
        closing(hub.join(1, receive_buffer=4096)) as (slow,),
    ):
        room, client = hub.hub.rooms.lobby, hub.client(slow)
        hub.fill(talker, brisk, lambda: client.outbox.lag_bytes > 2 * KEPT)
        assert room.log.head - room.log.chunks[0].start > 2 * KEPT
        assert KEPT - SAID < bytes_shown(hub) <= KEPT


@pytest.mark.promise("chat-history")
def test_history_on_demand_shows_no_more_than_joining_does() -> None:
    with (
        SteppedHub(mode="chat", history=1000, announce=0, max_lag_bytes=SMALL_LAG) as hub,
        closing(hub.join(2)) as (talker, asker),
        closing(hub.join(1, receive_buffer=4096)) as (slow,),
    ):
        client = hub.client(slow)
        hub.fill(talker, [asker], lambda: client.outbox.lag_bytes > SMALL_LAG * 3 // 4)
        hub.say(asker, b"/history\n")
        asked = hub.catch_up(asker).count(LINE)
        assert asked * SAID == bytes_shown(hub) > SMALL_LAG // 2 - SAID


@pytest.mark.promise("chat-history")
def test_joiner_is_shown_what_fits_of_one_large_turn() -> None:
    with (
        SteppedHub(mode="chat", history=20, announce=0, max_lag_bytes=4 * 1024 * 1024) as hub,
        closing(hub.join(8)) as talkers,
    ):
        for talker in talkers:
            hub.deliver(talker, LINE * 30)
        hub.turns()
        for talker in talkers:
            hub.catch_up(talker)
        hub.say(talkers[0], b"now the log is trimmed\n")
        assert [len(chunk.lf) > KEPT for chunk in hub.hub.rooms.lobby.log.chunks] == [True, False]
        assert bytes_shown(hub) == 19 * SAID


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize("slow", ["disconnect", "skip"])
def test_slow_joiner_reads_all_of_a_long_history_and_stays(slow: str) -> None:
    with (
        SteppedHub(mode="chat", history=1000, announce=0, max_lag_bytes=SMALL_LAG, slow=slow) as hub,
        closing(hub.join(1)) as (talker,),
        closing(hub.join(1, receive_buffer=4096)) as (late,),
    ):
        hub.say(talker, b"/join tea\n")
        say_more_than_is_kept(hub, talker)
        take_all(late)
        client = hub.client(late)
        hub.say(late, b"/join tea\n")
        got = hub.catch_up(late)
        assert (client.close.reason, client.outbox.closed, client.outbox.skipped_lines) == (None, False, 0)
        assert got.count(LINE) == SMALL_LAG // 2 // SAID


@pytest.mark.promise("chat-history")
def test_slow_browser_reads_all_of_a_long_history_and_stays() -> None:
    with (
        SteppedHub(mode="chat", history=1000, announce=0, max_lag_bytes=SMALL_LAG) as hub,
        closing(hub.join(1)) as (talker,),
        Peer(hub.ws_port, receive_buffer=4096) as late,
    ):
        say_more_than_is_kept(hub, talker)
        hub.turns_until(lambda: len(hub.hub.connections.clients) == 2)
        client = hub.client(late)
        hub.say(late, request_to(hub.ws_port))
        late.read_until(b"\r\n\r\n")
        got, late.seen = late.seen, b""
        got += hub.catch_up(late)
        assert (client.close.reason, client.outbox.closed) == (None, False)
        assert got.count(LINE[:-1]) == SMALL_LAG // 2 // SAID
