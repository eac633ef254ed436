"""How much of what was said a room keeps for those who come later."""

from __future__ import annotations

import pytest

from tests.hub.support_turns import LINE, SteppedHub
from tests.support import closing

KEPT = 256 * 1024
LAG = 384 * 1024
SAID = len(b"<guest-1> ") + len(LINE)


def bytes_shown(hub: SteppedHub) -> int:
    """To somebody who comes now."""
    with closing(hub.join(1)) as (late,):
        return hub.catch_up(late).count(b"> " + LINE) * SAID


@pytest.mark.parametrize("history", [0, 1, 20])
def test_who_joins_is_shown_as_many_lines_as_were_asked_for_whatever_their_turns(history: int) -> None:
    with (
        SteppedHub(mode="chat", history=history, announce=0) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        for number in range(30):
            hub.say(talker, b"%02d\n" % number)
        with closing(hub.join(1)) as (late,):
            shown = hub.catch_up(late).splitlines()[1:]
        assert shown == [b"<guest-1> %02d" % number for number in range(30 - history, 30)]


def test_who_joins_is_shown_about_256_kib_and_more_only_while_a_slow_reader_keeps_the_log() -> None:
    with (
        SteppedHub(mode="chat", history=10_000, announce=0, max_lag_bytes=LAG) as hub,
        closing(hub.join(4)) as (talker, *brisk),
        closing(hub.join(1, receive_buffer=4096)) as (slow,),
    ):
        room, client, most = hub.hub.rooms.lobby, hub.client(slow), 0
        hub.fill(talker, [*brisk, slow], lambda: room.end > KEPT + 2 * SAID)
        assert KEPT - SAID < bytes_shown(hub) <= KEPT
        while client.reason is None:
            head = room.head + 20
            hub.fill(talker, brisk, lambda head=head: room.head >= head or client.reason is not None)
            most = max(most, bytes_shown(hub))
        assert 1.4 * KEPT < most <= LAG + LAG // 8
        head = room.head
        hub.fill(talker, brisk, lambda: room.head > head)
        assert KEPT - SAID < bytes_shown(hub) <= KEPT
