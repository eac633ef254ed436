"""The small deeds that several steps share: holding senders, waiting for the slow, feeds, dropped output."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hub.loop.context import Limits
from tests.hub.support_turns import LINE, SteppedHub
from tests.support import closing

# What a client may cost.


@pytest.mark.parametrize(
    ("lag_bytes", "pressed", "behind"), [(1 << 20, 786_432, 524_288), (0, float("inf"), float("inf"))]
)
def test_who_is_behind_and_who_is_about_to_be_cut_follows_from_the_allowed_lag(
    lag_bytes: int, pressed: float, behind: float
) -> None:
    limits = Limits(lag_bytes=lag_bytes)
    assert (limits.pressed_bytes, limits.behind_bytes) == (pressed, behind)


def test_a_client_that_ends_leaves_no_clock_running() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        timers = hub.hub.timers
        clocks = [getattr(timers, field.name) for field in fields(timers)]
        for clock in clocks:
            clock.touch(1, hub.now_s)
        timers.forget(1)
        assert [clock.timeout(hub.now_s) for clock in clocks] == [None] * len(clocks)
        timers.idle.touch(1, hub.now_s)
        peer.close()
        hub.turns_until(hub.endings)
        assert timers.idle.timeout(hub.now_s) is None


def test_the_time_of_day_follows_the_loops_own_clock() -> None:
    with SteppedHub() as hub:
        before = hub.hub.wall_s(hub.now_s)
        assert before == hub.hub.started_wall_s
        assert hub.hub.wall_s(hub.now_s + 12.5) == before + 12.5


def test_wanting_of_a_client_what_is_wanted_already_costs_no_system_call() -> None:
    with SteppedHub() as hub, closing(hub.join(1)):
        client, calls = hub.hub.clients[1], hub.poller.calls
        before = calls["epoll_ctl"]
        for _ in range(3):
            hub.hub.interest(client)
        assert calls["epoll_ctl"] == before
        client.blocked = True
        hub.hub.interest(client)
        hub.hub.interest(client)
        assert calls["epoll_ctl"] == before + 1


# Output that nobody will get.


def test_dropped_output_is_unsent_and_counted_apart_where_it_was_the_hubs_own() -> None:
    with SteppedHub() as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            hub.begin_a_line(talker, slow, more=10)
            client, account = hub.client(slow), hub.hub.account
            hub.hub.marks.put(client, b"* a notice\n")
            lag, rest, begun = client.lag_bytes, client.rest_owed, client.rest
            assert lag >= 10 * len(LINE) and 0 < rest < len(LINE)
            hub.hub.drop_output(client, keep_rest=True)
            assert (account.unsent, client.unsent_bytes, client.unsent_private_bytes) == (lag, lag, 11)
            assert (client.rest, client.lag_bytes, client.private) == (begun, 0, [])
            hub.hub.drop_output(client)
            assert (account.unsent, client.unsent_bytes, client.rest) == (lag + rest, lag + rest, b"")
            hub.hub.drop_output(client)
            assert account.unsent == lag + rest
