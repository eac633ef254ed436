"""How many lines a client may say in a while: the others wait, and nobody else notices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.settings import Mode, Settings
from hub.config.values import NO_RATE, Rate
from hub.loop.snapshot_maker import client_row
from hub.loop.timer_set import CHAT_RATE, STEP_S, line_rate, refill_s
from hub.session.read_gate import RATE, ROOM
from tests.loop.support import SteppedHub
from tests.sim.stage import MUCH, Stage
from tests.support import PAIRS, bye, closing

SLOW = Rate(10, "s", 5)


def numbered(count: int, start: int = 0) -> bytes:
    """Lines that differ."""
    return b"".join(b"%d\n" % number for number in range(start, start + count))


@pytest.mark.parametrize(
    ("mode", "wanted", "meant"),
    [
        ("chat", "auto", CHAT_RATE),
        ("broadcast", "auto", None),
        ("echo", "auto", None),
        ("chat", NO_RATE, None),
        ("broadcast", SLOW, SLOW),
        ("echo", SLOW, SLOW),
    ],
)
def test_line_rate_auto_holds_in_chat_only(mode: Mode, wanted: object, meant: Rate | None) -> None:
    assert line_rate(Settings(mode=mode, line_rate=wanted)) == meant  # type: ignore[arg-type]


@given(st.integers(1, 10**6), st.sampled_from("sm"), st.integers(1, 10**6))
def test_refill_time_is_worth_a_line_and_at_most_a_burst(count: int, unit: str, burst: int) -> None:
    rate = Rate(count, unit, burst)
    lines = refill_s(rate) * rate.per_s
    assert 1 - 1e-9 <= lines <= max(1, burst) + 1e-9
    assert refill_s(rate) >= min(STEP_S, burst / rate.per_s) - 1e-12


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize(
    ("rate", "interval_s"),
    [
        (CHAT_RATE, 0.05),
        (Rate(1000, "s", 50), 0.05),
        (Rate(50, "s", 1), 0.02),
        (Rate(1000, "s", 10), 0.01),
        (Rate(10, "s", 200), 0.1),
        (Rate(30, "m", 30), 2.0),
    ],
)
def test_paused_client_is_looked_at_at_the_refill_time(rate: Rate, interval_s: float) -> None:
    with SteppedHub(line_rate=rate) as hub:
        hub.hub.timers.rate.touch(1, 0.0)
        assert hub.hub.timers.rate.timeout(0.0) == pytest.approx(interval_s)


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize(
    ("mode", "trigger", "read"),
    [(mode, *pair) for mode, pair in zip(["chat", "broadcast", "echo"], PAIRS, strict=True)],
)
def test_burst_passes_and_the_rest_follows_at_the_rate(mode: str, trigger: str, read: str) -> None:
    stage = Stage(mode=mode, trigger=trigger, read=read, line_rate=SLOW, announce=0)
    [talker] = stage.join(into=MUCH)
    client, before = stage.client(talker), talker.got.count(b"\n")
    talker.send(numbered(25))
    stage.rest()
    seen = [talker.got.count(b"\n") - before]
    while seen[-1] < 25:
        assert client.gate.has(RATE) and client.inbox.has_lines and client not in stage.hub.ready.readable
        stage.pass_time(0.1)
        seen.append(talker.got.count(b"\n") - before)
    assert seen == list(range(5, 26))
    assert not client.gate.has(RATE)
    stage.pass_time(100)
    talker.send(numbered(9))
    stage.rest()
    assert talker.got.count(b"\n") - before == 25 + 5  # No more than a burst is ever saved up.


def test_paused_client_is_not_read_and_the_loop_sleeps() -> None:
    stage = Stage(line_rate=SLOW)
    talker, other = stage.join(2)
    client = stage.client(talker)
    talker.send(numbered(50))
    stage.rest()
    assert client_row(client, "", stage.kernel.now).state == "paused: rate"
    assert not client.is_reading
    talker.send(b"more\n")
    stage.rest()
    assert talker.tcp.input == b"more\n"
    assert 0.05 < stage.turn().wait_s < 0.11
    other.send(b"hello\n")
    stage.rest()
    assert talker.got == numbered(5) + b"hello\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("last", [b"", b"unfinished"])
def test_end_of_stream_behind_waiting_lines_is_found_later(trigger: str, read: str, last: bytes) -> None:
    stage = Stage(trigger=trigger, read=read, line_rate=SLOW)
    talker, listener = stage.join(2)
    client = stage.client(talker)
    talker.send(numbered(12) + last)
    talker.half_close()
    stage.rest()
    assert listener.got == numbered(5)
    assert client.id in stage.hub.connections.clients and not stage.ends  # The client counts as open.
    stage.pass_time(2.0)
    assert [end["reason"] for end in stage.ends] == ["peer_closed"]
    assert listener.got == numbered(12) + last + (b"\n" if last else b"")


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_peer_that_dies_while_its_lines_wait_causes_no_spin(trigger: str) -> None:
    stage = Stage(trigger=trigger, line_rate=SLOW)
    talker, listener = stage.join(2)
    talker.send(numbered(12))
    stage.rest()
    talker.reset()
    stage.rest()
    assert stage.hub.connections.clients[1].close.peer_error is not None
    turns = stage.pass_time(1.0)
    assert len(turns) <= 25
    assert [end["reason"] for end in stage.ends] == ["peer_reset"]
    assert listener.got == numbered(12)


def test_client_paused_for_rate_and_room_waits_for_both() -> None:
    stage = Stage(line_rate=SLOW)
    talker, _ = stage.join(2)
    client = stage.client(talker)
    talker.send(numbered(12))
    stage.rest()
    stage.hub.connections.pause(client, ROOM)
    stage.pass_time(1.0)
    assert not client.gate.has(RATE) and client.inbox.has_lines and client not in stage.hub.ready.readable
    stage.hub.connections.resume(client, ROOM)
    stage.rest()
    assert talker.got == numbered(5 + 5)


def test_client_paused_for_its_rate_waits_for_its_timer() -> None:
    stage = Stage(line_rate=SLOW)
    [talker] = stage.join()
    client = stage.client(talker)
    talker.send(numbered(12))
    stage.rest()
    stage.hub.connections.look_again(client)
    assert client not in stage.hub.ready.readable and not client.is_reading


@pytest.mark.promise("rate-waiting")
def test_client_paused_for_its_rate_is_not_idle() -> None:
    stage = Stage(line_rate=Rate(1, "m", 1), idle_timeout_s=10)
    [talker] = stage.join()
    talker.send(numbered(3))
    stage.pass_time(70)
    assert talker.got == numbered(2) and not stage.ends


@pytest.mark.promise("rate-exact")
def test_commands_and_empty_lines_count_an_unfinished_does_not() -> None:
    stage = Stage(mode="chat", announce=0, line_rate=Rate(1, "s", 3))
    [talker] = stage.join()
    client = stage.client(talker)
    talker.send(b"\n/who\n\n" + b"unfinished " * 50)
    stage.rest()
    assert not client.gate.has(RATE) and client.is_reading
    talker.send(b"line\n")
    stage.rest()
    assert client.gate.has(RATE) and b"unfinished" not in talker.got
    stage.pass_time(1.0)
    assert talker.got.endswith(b"unfinished line\n")


@pytest.mark.promise("rate-waiting")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_drain_does_not_wait_for_lines_beyond_the_rate(trigger: str, read: str) -> None:
    stage = Stage(line_rate=Rate(2, "s", 1), trigger=trigger, read=read, drain_s=10.0)
    talker, listener = stage.join(2)
    talker.send(numbered(5))
    stage.rest()
    assert stage.client(talker).gate.has(RATE)
    stage.stop()
    assert talker.got == listener.got == b"0\n" + bye("server_shutdown")
    assert [(end["reason"], end["unsent_bytes"]) for end in stage.ends] == [("server_shutdown", 0)] * 2


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize("uptime_s", [0.0, 1e7 + 1 / 3])
@pytest.mark.parametrize("rate", [Rate(7, "m", 1), Rate(10**6, "s", 1), Rate(333, "s", 10)])
def test_rate_is_exact_at_any_time_of_the_clock(rate: Rate, uptime_s: float) -> None:
    with SteppedHub(line_rate=rate) as hub:
        hub.now_s = hub.hub.status.started_at = uptime_s
        with closing(hub.join(1)) as (talker,):
            start_s, client = hub.now_s, hub.deliver(talker, numbered(50))
            hub.turns(3)
            waits = 0
            while client.inbox.has_lines:
                wait_s, before = hub.hub.timers.rate.timeout(hub.now_s), client.inbox.waiting
                hub.now_s += wait_s
                hub.turns(2)
                waits += 1
                assert not client.inbox.has_lines or client.inbox.waiting < before or wait_s > 0
            assert waits <= 50 + 2
            assert hub.now_s - start_s == pytest.approx((50 - rate.burst) / rate.per_s, abs=STEP_S)
