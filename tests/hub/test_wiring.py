"""Wiring: which parts a hub gets from which settings, and that they know one another."""

from __future__ import annotations

import pytest

from hub.config.settings import Mode, Settings
from hub.loop.timers import Expiry
from hub.modes.chat import Chat
from hub.modes.relay import Broadcast, Echo
from tests.hub.test_client import a_client
from tests.hub.test_delivery import a_hub


def seconds_until_due(timer: Expiry) -> float | None:
    """How long after an activity at 0 this timer wants to be asked; None when it never expires anybody."""
    timer.touch(1, 0.0)
    return timer.timeout(0.0)


@pytest.mark.parametrize(("mode", "kind"), [("echo", Echo), ("broadcast", Broadcast), ("chat", Chat)])
def test_each_mode_has_its_object(mode: Mode, kind: type) -> None:
    with a_hub(Settings(mode=mode)) as hub:
        assert type(hub.mode) is kind


@pytest.mark.parametrize("mode", ["echo", "broadcast", "chat"])
def test_all_parts_share_one_account_one_set_of_marks_and_the_rooms(mode: Mode) -> None:
    with a_hub(Settings(mode=mode)) as hub:
        client = a_client(backlog=[b"hello"])
        hub.mode.joined(client)
        hub.mode.lines(client)
        assert hub.account.owed > 0
        assert hub.marks.flush or hub.marks.rooms
        assert client.room is (None if mode == "echo" else hub.rooms.lobby)


def test_chat_has_its_settings() -> None:
    settings = Settings(mode="chat", history=1, announce=1, greeting="ahoy", max_rooms=1)
    with a_hub(settings) as hub:
        first, second = a_client(1), a_client(2)
        hub.mode.joined(first)
        assert first.private[0].data.startswith(b"* ahoy - you are guest-1")
        assert hub.rooms.lobby.notes == [("guest-1", "joined")]
        first.backlog = [b"one", b"two", b"/join tea"]
        hub.mode.lines(first)
        assert b"as many rooms as this hub allows" in first.private[-1].data
        hub.mode.joined(second)
        assert second.lag_bytes == len(b"<guest-1> two\n")
        assert hub.rooms.lobby.notes == [("guest-1", "joined")]


def test_without_notices_nobody_is_greeted() -> None:
    with a_hub(Settings(mode="chat", notices=False)) as hub:
        client = a_client()
        hub.mode.joined(client)
        assert not client.private


def test_a_turn_brings_at_most_an_eighth_of_the_lag_into_one_room() -> None:
    with a_hub(Settings(max_lag_bytes=1 << 20)) as hub:
        assert hub.intake.room_bytes == 1 << 17
        assert hub.limits.lag_bytes == 1 << 20
        assert hub.limits.behind_bytes == 1 << 19
        assert hub.limits.history_bytes == 1 << 18


def test_without_a_limit_on_lag_nobody_is_behind_and_a_turn_is_still_bounded() -> None:
    with a_hub(Settings(max_lag_bytes=0)) as hub:
        assert hub.intake.room_bytes == 1 << 17
        assert hub.limits.behind_bytes == float("inf")


def test_private_output_is_bounded_by_256_kib() -> None:
    with a_hub() as hub:
        assert hub.intake.private_bytes == 256 * 1024


@pytest.mark.parametrize(
    ("settings", "warning_s"),
    [
        (Settings(mode="chat", idle_timeout_s=300, idle_warning_s=30), 270),
        (Settings(mode="chat", idle_timeout_s=300, idle_warning_s=0), None),
        (Settings(mode="chat", idle_timeout_s=20, idle_warning_s=30), None),
        (Settings(mode="chat", idle_timeout_s=30, idle_warning_s=30), None),
        (Settings(mode="chat", idle_timeout_s=0, idle_warning_s=30), None),
        (Settings(mode="chat", idle_strategy="poll"), None),
        (Settings(mode="chat", notices=False), None),
        (Settings(mode="broadcast", idle_timeout_s=300, idle_warning_s=30), None),
        (Settings(mode="echo", idle_timeout_s=300, idle_warning_s=30), None),
    ],
)
def test_only_chat_warns_and_only_where_there_is_time_for_it(
    settings: Settings, warning_s: float | None
) -> None:
    with a_hub(settings) as hub:
        assert seconds_until_due(hub.timers.warning) == warning_s


@pytest.mark.parametrize(("timeout_s", "due_s"), [(300.0, 300.0), (0.0, None)])
def test_the_idle_timer_has_the_timeout_and_0_switches_it_off(timeout_s: float, due_s: float | None) -> None:
    with a_hub(Settings(idle_timeout_s=timeout_s)) as hub:
        assert seconds_until_due(hub.timers.idle) == due_s


def test_ends_and_progress_have_limits_whatever_the_idle_timeout() -> None:
    with a_hub(Settings(idle_timeout_s=0)) as hub:
        assert seconds_until_due(hub.timers.closing) == 2.0
        assert seconds_until_due(hub.timers.progress) == 10.0


def test_a_new_hub_has_nobody_and_owes_nothing() -> None:
    with a_hub() as hub:
        assert not hub.by_fd
        assert not hub.clients
        assert len(hub.rooms) == 1
        assert not hub.draining
        assert len(hub.ledger) == 0
