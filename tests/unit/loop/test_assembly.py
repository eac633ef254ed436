"""Assembly: which parts a hub gets from which settings, and that they know one another."""

from __future__ import annotations

import pytest

from hub.config.settings import Mode, Settings, Slow
from hub.loop.expiry import Expiry
from hub.modes.chat import Chat
from hub.modes.relay import Broadcast, Echo
from tests.unit.support import a_client, a_hub, take


def seconds_until_due(timer: Expiry) -> float | None:
    """How long after an activity at 0 this timer wants to be asked; None when it never expires anybody."""
    timer.touch(1, 0.0)
    return timer.timeout(0.0)


@pytest.mark.parametrize(("mode", "kind"), [("echo", Echo), ("broadcast", Broadcast), ("chat", Chat)])
def test_each_mode_has_its_object(mode: Mode, kind: type) -> None:
    with a_hub(Settings(mode=mode)) as hub:
        assert type(hub.mode) is kind


@pytest.mark.parametrize("mode", ["echo", "broadcast", "chat"])
def test_all_parts_share_account_ready_sets_and_rooms(mode: Mode) -> None:
    with a_hub(Settings(mode=mode, self_echo=True)) as hub:
        client = a_client()
        client.inbox.add([b"hello"])
        hub.mode.joined(client)
        hub.mode.lines(client)
        assert hub.account.owed > 0
        assert hub.ready.writable or hub.ready.rooms
        assert client.room is (None if mode == "echo" else hub.rooms.lobby)


def test_chat_has_its_settings() -> None:
    settings = Settings(mode="chat", history=1, announce=1, greeting="ahoy", max_rooms=1)
    with a_hub(settings) as hub:
        first, second = a_client(1, hub.account), a_client(2, hub.account)
        hub.mode.joined(first)
        assert take(first.outbox).startswith(b"* ahoy - you are guest-1")
        first.inbox.add([b"one", b"two", b"/join tea"])
        hub.mode.lines(first)
        assert b"as many rooms as this hub allows" in take(first.outbox)
        hub.mode.joined(second)
        assert take(second.outbox).endswith(b"/help lists commands\n<guest-1> two\n")
        second.inbox.add([b"three"])
        hub.mode.lines(second)
        assert not hub.rooms.lobby.notes


def test_without_notices_nobody_is_greeted() -> None:
    with a_hub(Settings(mode="chat", notices=False)) as hub:
        client = a_client()
        hub.mode.joined(client)
        assert not client.outbox.items


def test_a_turn_brings_at_most_an_eighth_of_the_lag_into_a_room() -> None:
    with a_hub(Settings(max_lag_bytes=1 << 20)) as hub:
        assert hub.intake.room_bytes == 1 << 17
        assert hub.limits.lag_bytes == 1 << 20
        assert hub.limits.lagging_bytes == 1 << 19
        assert hub.limits.history_bytes == 1 << 18


def test_without_a_limit_on_lag_a_turn_is_still_bounded() -> None:
    with a_hub(Settings(max_lag_bytes=0)) as hub:
        assert hub.intake.room_bytes == 1 << 17
        assert hub.limits.lagging_bytes == float("inf")


def test_an_outbox_is_bounded_by_256_kib() -> None:
    with a_hub() as hub:
        assert hub.intake.outbox_bytes == 256 * 1024


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


@pytest.mark.parametrize(("slow", "progress_s"), [("disconnect", 10.0), ("skip", 10.0), ("wait", 60.0)])
def test_progress_has_a_longer_limit_under_slow_wait(slow: Slow, progress_s: float) -> None:
    with a_hub(Settings(mode="broadcast", slow=slow)) as hub:
        assert hub.limits.progress_s == seconds_until_due(hub.timers.progress) == progress_s


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
        assert not hub.connections.by_fd
        assert not hub.connections.clients
        assert len(hub.rooms) == 1
        assert not hub.status.draining
        assert len(hub.close_log) == 0
