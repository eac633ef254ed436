"""Clocks that jump under a running hub: the time of day, which nothing may depend on, and the monotonic one.

libfaketime stands between the hub and its clocks; what it tells is in a file that the tests rewrite. That
slows every look at a clock down, so nothing here is about how long something takes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.programs import require
from tests.e2e.test_idle import STRATEGIES, endings
from tests.support import HubProcess, Peer, closing, until

HOUR_S, DAY_S = 3600, 86400

pytestmark = pytest.mark.long


class FakeClocks:
    """What a hub takes for the time: the real one and an offset, which may change under it."""

    def __init__(self, directory: Path, *, monotonic: bool) -> None:
        self._file = directory / "offset"
        self.step(0)
        library = subprocess.run(
            [require("faketime"), "-m", "-f", "+0", "printenv", "LD_PRELOAD"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        self.prefix = (
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            f"FAKETIME_DONT_FAKE_MONOTONIC={int(not monotonic)}",
        )

    def step(self, offset_s: int) -> None:
        """From now on the clocks show the real time and so much."""
        whole = self._file.with_suffix(".new")
        whole.write_text(f"{offset_s:+d}\n")
        whole.replace(self._file)  # It is read at every look, so it is never half written.


@contextmanager
def crowd(hub: HubProcess, count: int) -> Iterator[list[Peer]]:
    """Clients of an echo hub that are in."""
    with closing([hub.peer() for _ in range(count)]) as peers:
        for peer in peers:
            echo(peer)
        yield list(peers)


def echo(peer: Peer) -> None:
    """A line there and back."""
    peer.send(b"hello\n")
    assert peer.line() == b"hello\n"


@pytest.mark.promise("idle-wall-clock")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_stamps_of_the_log_follow_the_time_of_day(strategy: str, tmp_path: Path) -> None:
    clocks = FakeClocks(tmp_path, monotonic=False)
    flags = ("--mode", "echo", "--log", "json", "--idle-timeout", "1m", "--idle-strategy", strategy)
    steps = [0, HOUR_S, -HOUR_S, DAY_S, -DAY_S, 0]
    hub = HubProcess(*flags, "--sweep-interval", "100ms", prefix=clocks.prefix, stderr=subprocess.PIPE)
    with hub, crowd(hub, 5) as peers:
        started_s = hub.get("/api/clients")["clients"][0]["age_s"] - time.monotonic()
        for count, offset_s in enumerate(steps, 1):
            clocks.step(offset_s)
            with hub.peer() as leaves:
                echo(leaves)
            newest = endings(hub, count)[0]
            assert abs(newest["closed_wall_s"] - time.time()) < 5
            for peer in peers:
                echo(peer)
            rows = hub.get("/api/clients")["clients"]
            assert len(rows) == 5
            assert all(abs(row["age_s"] - started_s - time.monotonic()) < 5 for row in rows)
            assert all(0 <= row["idle_s"] < 5 for row in rows)
        summary = until(lambda: (s := hub.get("/api/summary"))["closed"] == {"peer_closed": len(steps)} and s)
        assert 0 < summary["uptime_s"] < 60
        real_s = time.time()
        for peer in peers:
            peer.close()
        assert hub.stop() == 0
        assert hub.process.stderr is not None
        log = [json.loads(line) for line in hub.process.stderr.read().splitlines()]
    ends = [entry for entry in log if entry["event"] == "closed"][: len(steps)]
    stamps = [datetime.fromisoformat(entry["time"]).timestamp() - real_s for entry in ends]
    assert [round(stamp / HOUR_S) for stamp in stamps] == [offset_s // HOUR_S for offset_s in steps]
    assert {entry["event"] for entry in log} == {"closed", "draining"}


@pytest.mark.promise("pause-active")
@pytest.mark.parametrize("strategy", ["sweep", "deadline"])
def test_after_a_leap_of_an_hour_input_counts_before_idleness(strategy: str, tmp_path: Path) -> None:
    """As after a laptop's sleep: more input than one wait reports, so some is unseen at first."""
    clocks = FakeClocks(tmp_path, monotonic=True)
    flags = ("--mode", "echo", "--idle-timeout", "5m", "--idle-strategy", strategy, "--sweep-interval", "1s")
    with (
        HubProcess(*flags, prefix=clocks.prefix) as hub,
        crowd(hub, 600) as silent,
        crowd(hub, 1100) as talking,
    ):
        hub.stand_still()
        for peer in talking:
            peer.send(b"hello\n")
        clocks.step(HOUR_S)
        hub.go_on()
        for peer in talking:
            assert peer.line() == b"hello\n"
        for peer in silent:
            assert peer.rest() == b"* bye reason=idle after=300s\n"
            peer.close()
        ledger = endings(hub, 600)
        assert {ending["reason"] for ending in ledger} == {"idle"}
        slices = [ending["decided_s"] for ending in ledger]
        assert max(slices.count(decided_s) for decided_s in set(slices)) <= 256
        assert min(ending["lateness_ms"] for ending in ledger) > 50 * 60_000
        for peer in talking:
            echo(peer)
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 1100)
        assert hub.get("/livez")["alive"]


@pytest.mark.promise("pause-active")
def test_after_a_leap_of_an_hour_a_client_that_took_lines_stays(tmp_path: Path) -> None:
    """The process stands still in its wait, which then ends by a signal, and its time is over."""
    clocks = FakeClocks(tmp_path, monotonic=True)
    lines = b"".join(b"line %06d\n" % number for number in range(60_000))
    with (
        HubProcess("--mode", "echo", prefix=clocks.prefix) as hub,
        Peer(hub.port, receive_buffer=4096) as slow,
    ):
        slow.send(lines)
        until(lambda: hub.get("/api/clients")["clients"][0]["state"] == "paused")
        hub.stand_still()
        got = slow.read(64 * 1024)
        clocks.step(HOUR_S)
        hub.go_on()
        assert got + slow.read(len(lines) - len(got)) == lines
        echo(slow)


@pytest.mark.promise("idle-wall-clock")
def test_the_end_of_a_drain_is_not_put_off_by_the_time_of_day(tmp_path: Path) -> None:
    clocks = FakeClocks(tmp_path, monotonic=False)
    flags = ("--mode", "echo", "--drain", "1s", "--no-web")
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(*flags, prefix=clocks.prefix))
        (stays,) = stack.enter_context(crowd(hub, 1))
        hub.process.send_signal(signal.SIGTERM)
        assert stays.read_until(b"shutdown\n") == b"* bye reason=server_shutdown\n"
        clocks.step(-DAY_S)
        assert hub.process.wait(20) == 0
