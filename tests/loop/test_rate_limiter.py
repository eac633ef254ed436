"""How many lines a client may say in a while: the others wait, and nobody else notices."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.settings import Mode, Settings
from hub.config.values import NO_RATE, Rate
from hub.control.mailbox import Stop
from hub.loop.line_rate import CHAT_RATE, STEP_S, line_rate, refill_s
from hub.loop.snapshot_maker import client_row
from hub.loop.timers import Deadline
from hub.session.read_gate import RATE, ROOM
from tests.loop.support import SteppedHub, take_all, waiting_bytes
from tests.support import PAIRS, HubProcess, ThreadHub, closing, until

SLOW = Rate(10, "s", 5)


def numbered(count: int, start: int = 0) -> bytes:
    """Lines that differ."""
    return b"".join(b"%d\n" % number for number in range(start, start + count))


def idle_for_s(hub: SteppedHub) -> float:
    """How long the loop has nothing to do, apart from publishing."""
    assert not (hub.hub.ready.readable or hub.hub.writer.has_work or hub.hub.closer.has_work)
    return hub.hub.expirer.timeout(hub.now_s)


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
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_burst_passes_and_the_rest_follows_at_the_rate(mode: str, trigger: str, read: str) -> None:
    with SteppedHub(mode=mode, trigger=trigger, read=read, line_rate=SLOW, announce=0) as hub:
        (talker,) = hub.join(1)
        with talker:
            take_all(talker)
            client, start_s = hub.client(talker), hub.now_s
            hub.deliver(talker, numbered(25))
            hub.turns(5)
            seen = [take_all(talker).count(b"\n")]
            while sum(seen) < 25:
                assert (
                    client.gate.has(RATE)
                    and client.inbox.has_lines
                    and client.id not in hub.hub.ready.readable
                )
                hub.now_s += 0.1
                hub.turns(3)
                seen.append(take_all(talker).count(b"\n"))
            assert seen == [5] + 20 * [1]
            assert hub.now_s - start_s == pytest.approx(2.0)
            assert client.inbox.lines_in == 25
            assert not client.gate.has(RATE)
            hub.now_s += 100
            hub.deliver(talker, numbered(9))
            hub.turns(5)
            assert take_all(talker).count(b"\n") == 5  # No more than a burst is ever saved up.


def test_paused_client_is_not_read_and_the_loop_sleeps() -> None:
    with SteppedHub(line_rate=SLOW) as hub, closing(hub.join(2)) as (talker, other):
        client = hub.client(talker)
        hub.deliver(talker, numbered(50))
        hub.turns(5)
        assert client_row(client, "", hub.now_s).state == "paused: rate"
        assert not client.is_reading
        hub.deliver(talker, b"more\n")
        hub.turns(5)
        assert waiting_bytes(client) == len(b"more\n")
        assert 0.05 < idle_for_s(hub) < 0.11
        hub.say(other, b"hello\n")
        assert talker.read_until(b"hello\n") == numbered(5) + b"hello\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("last", [b"", b"unfinished"])
def test_end_of_stream_behind_waiting_lines_is_found_later(trigger: str, read: str, last: bytes) -> None:
    with SteppedHub(trigger=trigger, read=read, line_rate=SLOW) as hub:
        talker, listener = hub.join(2)
        with talker, listener:
            client = hub.deliver(talker, numbered(12) + last, fin=True)
            hub.turns(5)
            assert take_all(listener) == numbered(5)
            assert (
                client.id in hub.hub.connections.clients and not hub.hub.counters.closed
            )  # The client counts as open.
            for _ in range(20):
                hub.turns(3)
                hub.now_s += 0.1
            hub.turns_until(hub.endings)
            assert hub.ending()["reason"] == "peer_closed"
            assert take_all(listener) == numbered(7, 5) + last + (b"\n" if last else b"")


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_peer_that_dies_while_its_lines_wait_causes_no_spin(trigger: str) -> None:
    with SteppedHub(trigger=trigger, line_rate=SLOW) as hub:
        talker, listener = hub.join(2)
        with listener:
            client = hub.deliver(talker, numbered(12))
            hub.turns(3)
            talker.reset()
            hub.turns_until(lambda: client.close.peer_error is not None)
            hub.turns(3)
            assert 0.05 < idle_for_s(hub) < 0.11
            for _ in range(10):
                hub.now_s += 0.1
                hub.turns(3)
            hub.turns_until(hub.endings)
            assert take_all(listener) == numbered(12)


def test_client_paused_for_rate_and_room_waits_for_both() -> None:
    with SteppedHub(line_rate=SLOW) as hub, closing(hub.join(2)) as (talker, _):
        client = hub.deliver(talker, numbered(12))
        hub.turns(3)
        hub.hub.connections.pause(client, ROOM)
        hub.now_s += 1.0
        hub.turns(3)
        assert (
            not client.gate.has(RATE) and client.inbox.has_lines and client.id not in hub.hub.ready.readable
        )
        hub.hub.connections.resume(client, ROOM)
        hub.turns(3)
        assert take_all(talker) == numbered(5 + 5)


def test_client_paused_for_its_rate_waits_for_its_timer() -> None:
    with SteppedHub(line_rate=SLOW) as hub, closing(hub.join(1)) as (talker,):
        client = hub.deliver(talker, numbered(12))
        hub.turns(3)
        hub.hub.connections.look_again(client)
        assert client.id not in hub.hub.ready.readable
        assert not client.is_reading


@pytest.mark.promise("rate-waiting")
def test_client_paused_for_its_rate_is_not_idle() -> None:
    with SteppedHub(line_rate=Rate(1, "m", 1), idle_timeout_s=10) as hub, closing(hub.join(1)) as (talker,):
        client = hub.deliver(talker, numbered(3))
        for _ in range(70):
            hub.now_s += 1
            hub.turns(2)
        assert client.close.reason is None
        assert take_all(talker) == numbered(2)


@pytest.mark.promise("rate-exact")
def test_commands_count_like_lines() -> None:
    with SteppedHub(mode="chat", line_rate=Rate(1, "s", 3)) as hub, closing(hub.join(1)) as (talker,):
        take_all(talker)
        hub.deliver(talker, b"/who\n" * 5)
        hub.turns(5)
        assert take_all(talker).count(b"in lobby") == 3


@pytest.mark.promise("rate-exact")
def test_empty_lines_count_and_an_unfinished_one_does_not() -> None:
    with (
        SteppedHub(mode="chat", announce=0, line_rate=Rate(1, "s", 3)) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        take_all(talker)
        client = hub.deliver(talker, b"\n\n\n" + b"unfinished " * 50)
        hub.turns(5)
        assert not client.gate.has(RATE) and client.is_reading
        hub.deliver(talker, b"line\n")
        hub.turns(5)
        assert client.gate.has(RATE) and talker.nothing_waits()
        hub.now_s += 1.0
        hub.turns(5)
        assert take_all(talker).endswith(b"unfinished line\n")


@pytest.mark.promise("rate-waiting")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_drain_does_not_wait_for_lines_beyond_the_rate(trigger: str, read: str) -> None:
    with SteppedHub(line_rate=Rate(2, "s", 1), trigger=trigger, read=read, drain_s=10.0) as hub:
        talker, listener = hub.join(2)
        with talker, listener:
            client = hub.deliver(talker, numbered(5))
            hub.turns(3)
            assert client.gate.has(RATE)
            hub.mailbox.post(Stop())
            for _ in range(6):
                hub.turns(2)
                hub.now_s += 0.25
            for peer in (talker, listener):
                assert peer.rest() == b"0\n* bye reason=server_shutdown\n"
        hub.turns_until(lambda: hub.loop.is_drained)
        assert [(end["reason"], end["unsent_bytes"]) for end in hub.endings()] == [("server_shutdown", 0)] * 2


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize("uptime_s", [0.0, 1e7 + 1 / 3])
@pytest.mark.parametrize("rate", [Rate(7, "m", 1), Rate(10**6, "s", 1), Rate(333, "s", 10)])
def test_rate_is_exact_at_any_time_of_the_clock(rate: Rate, uptime_s: float) -> None:
    with SteppedHub(line_rate=rate) as hub:
        hub.now_s = hub.hub.status.started_at = uptime_s
        (talker,) = hub.join(1)
        with talker:
            start_s, client = hub.now_s, hub.client(talker)
            hub.deliver(talker, numbered(50))
            hub.turns(3)
            waits = 0
            while client.inbox.has_lines:
                assert isinstance(hub.hub.timers.rate, Deadline)
                wait_s = hub.hub.timers.rate.timeout(hub.now_s)
                assert wait_s is not None
                hub.now_s += wait_s
                before = client.inbox.waiting
                hub.turns(2)
                waits += 1
                assert not client.inbox.has_lines or client.inbox.waiting < before or wait_s > 0
            assert waits <= 50 + 2
            assert hub.now_s - start_s == pytest.approx((50 - rate.burst) / rate.per_s, abs=STEP_S)


# On real clocks.


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_client_paused_for_its_rate_costs_others_nothing(trigger: str) -> None:
    with ThreadHub(trigger=trigger, line_rate=Rate(20, "s", 1)) as hub, closing(hub.peers(2)) as (fast, calm):
        turns, start_s = hub.loop.hub.counters.turns, time.monotonic()
        fast.send(numbered(20))
        until(lambda: hub.loop.hub.connections.clients[1].gate.has(RATE))
        calm.send(b"hello\n")
        assert calm.read_until(b"hello\n")
        assert fast.read_until(b"19\n").endswith(b"19\n")
        took_s = time.monotonic() - start_s
        assert took_s > 0.8
        assert hub.loop.hub.counters.turns - turns < 6 * 20 + 10


def test_hub_full_of_pasters_sleeps_at_the_default_rate() -> None:
    with (
        HubProcess("--no-web", "--line-rate", "auto") as hub,
        closing([hub.peer() for _ in range(20)]) as all_,
    ):
        start_s = time.monotonic()
        for peer in all_:
            peer.send(b"/join room%d\n" % peer.sock.getsockname()[1] + 400 * b"a line\n")
        for peer in all_:
            for _ in range(199):
                peer.read_until(b"> a line\n")
        before_s = hub.cpu_s()
        for peer in all_:
            for _ in range(100):
                peer.read_until(b"> a line\n")
        assert time.monotonic() - start_s > 1.9  # 300 commands and lines: 200 at once, then 50 a second.
        assert hub.cpu_s() - before_s < 0.7
