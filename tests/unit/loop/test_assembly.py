"""Assembly: which parts a hub gets from which settings, and that they know one another."""

from math import inf

import pytest

from hub.config.settings import Mode, Settings, Slow
from hub.loop.assembly import PASS_BYTES, Hub
from hub.loop.limit_timers import Limit
from hub.modes.chat import Chat
from hub.modes.relay import Broadcast, Echo
from tests.unit.support import a_client, a_hub, take


def seconds_until_due(timer: Limit) -> float:
    """How long after an activity at 0 this timer wants to be asked; infinite when it expires nobody."""
    timer.touch(1, 0.0)
    return timer.timeout(0.0)


def seconds_until_idle(hub: Hub) -> float:
    """The same of the idle timer: the warning, where there is one, comes first."""
    hub.timers.idle.touch(a_client(), 0.0)
    return hub.timers.idle.timeout(0.0)


@pytest.mark.parametrize(("mode", "kind"), [("echo", Echo), ("broadcast", Broadcast), ("chat", Chat)])
def test_each_mode_shares_account_ready_sets_and_rooms(mode: Mode, kind: type) -> None:
    with a_hub(Settings(mode=mode, self_echo=True)) as hub:
        assert type(hub.mode) is kind
        client = a_client()
        client.inbox.receive([b"hello"])
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
        first.inbox.receive([b"one", b"two", b"/join tea"])
        hub.mode.lines(first)
        assert b"as many rooms as this hub allows" in take(first.outbox)
        hub.mode.joined(second)
        assert take(second.outbox).endswith(b" old\n<guest-1> two\n* end of history\n")
        second.inbox.receive([b"three"])
        hub.mode.lines(second)
        assert not hub.rooms.lobby.notes


@pytest.mark.parametrize(
    ("lag_bytes", "lagging_bytes", "history_bytes"), [(1 << 20, 1 << 19, 1 << 18), (0, inf, 1 << 18)]
)
def test_limits_and_intake_follow_from_the_lag_that_is_allowed(
    lag_bytes: int, lagging_bytes: float, history_bytes: int
) -> None:
    with a_hub(Settings(max_lag_bytes=lag_bytes)) as hub:
        assert hub.intake.room_bytes == PASS_BYTES, "a turn is bounded though the lag is not"
        assert (hub.limits.lag_bytes, hub.limits.lagging_bytes) == (lag_bytes, lagging_bytes)
        assert hub.limits.history_bytes == history_bytes


@pytest.mark.parametrize(
    ("settings", "first_s"),
    [
        (Settings(mode="chat", idle_timeout_s=300, idle_warning_s=30), 270),
        (Settings(mode="chat", idle_timeout_s=300, idle_warning_s=0), 300),
        (Settings(mode="chat", idle_timeout_s=20, idle_warning_s=30), 20),
        (Settings(mode="chat", idle_timeout_s=30, idle_warning_s=30), 30),
        (Settings(mode="chat", idle_timeout_s=0, idle_warning_s=30), inf),
        (Settings(mode="chat", idle_strategy="poll"), 300),
        (Settings(mode="chat", notices=False), 300),
        (Settings(mode="broadcast", idle_timeout_s=300, idle_warning_s=30), 300),
        (Settings(mode="echo", idle_timeout_s=300, idle_warning_s=30), 300),
    ],
)
def test_only_chat_warns_and_only_where_there_is_time_for_it(settings: Settings, first_s: float) -> None:
    with a_hub(settings) as hub:
        assert seconds_until_idle(hub) == first_s


@pytest.mark.parametrize(
    ("slow", "progress_s", "alive_s"), [("disconnect", 10.0, 2.0), ("skip", 10.0, 0.5), ("wait", 60.0, 2.0)]
)
@pytest.mark.parametrize(("timeout_s", "due_s"), [(300.0, 300.0), (0.0, inf)])
def test_timers_have_the_limits_and_an_idle_timeout_of_0_is_none(
    slow: Slow, progress_s: float, alive_s: float, timeout_s: float, due_s: float
) -> None:
    with a_hub(Settings(mode="broadcast", slow=slow, idle_timeout_s=timeout_s)) as hub:
        assert seconds_until_idle(hub) == due_s
        assert seconds_until_due(hub.timers.closing) == 2.0
        assert hub.limits.progress_s == seconds_until_due(hub.timers.progress) == progress_s
        assert hub.limits.alive_s == alive_s
