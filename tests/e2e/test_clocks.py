"""Clocks that jump under a running hub: the time of day, which nothing may depend on, and the monotonic one.

libfaketime stands between the hub and its clocks; what it tells is in a file that the tests rewrite. That
slows every look at a clock down, so nothing here is about how long something takes.
"""

import json
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.programs import require
from tests.e2e.test_idle import endings
from tests.support import HubProcess, Peer, bye, closing, until

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


def age_s(hub: HubProcess) -> float:
    """How much later than now the hub's start and its age say that it is."""
    summary: dict[str, float] = hub.summary()
    return summary["started_wall_s"] + summary["uptime_s"] - time.time()


def crowd(hub: HubProcess, count: int) -> list[Peer]:
    """Clients of an echo hub that are in."""
    peers = [hub.peer() for _ in range(count)]
    for peer in peers:
        peer.echo()
    return peers


@pytest.mark.promise("idle-wall-clock")
@pytest.mark.promise("close-log-time")
def test_only_wall_times_follow_the_time_of_day(tmp_path: Path) -> None:
    clocks = FakeClocks(tmp_path, monotonic=False)
    flags = ("--mode", "echo", "--log", "json", "--idle-timeout", "1m")
    steps = [0, HOUR_S, -HOUR_S, DAY_S, -DAY_S, 0]
    hub = HubProcess(*flags, prefix=clocks.prefix, stderr=subprocess.PIPE)
    with hub, closing(crowd(hub, 5)) as peers:
        started_s = hub.get("/api/clients")["clients"][0]["age_s"] - time.monotonic()
        for count, offset_s in enumerate(steps, 1):
            clocks.step(offset_s)
            with hub.peer() as leaves:
                leaves.echo()
            ended_s = [time.time() + offset_s - end["closed_wall_s"] for end in endings(hub, count)]
            assert abs(ended_s[0]) < 5 and ended_s == sorted(ended_s) and ended_s[-1] < 60
            until(lambda offset_s=offset_s: abs(age_s(hub) - offset_s) < 5)
            for peer in peers:
                peer.echo()
            rows = hub.get("/api/clients")["clients"]
            assert len(rows) == 5
            assert all(abs(row["age_s"] - started_s - time.monotonic()) < 5 for row in rows)
            assert all(0 <= row["idle_s"] < 5 for row in rows)
        until(lambda: hub.reasons() == {"peer_closed": len(steps)})
        assert 0 < hub.summary()["uptime_s"] < 60
        real_s = time.time()
        for peer in peers:
            peer.close()
        assert hub.stop() == 0
        log = [json.loads(line) for line in hub.log().splitlines()]
    ends = [entry for entry in log if entry["event"] == "closed"][: len(steps)]
    stamps = [datetime.fromisoformat(entry["time"]).timestamp() - real_s for entry in ends]
    assert [round(stamp / HOUR_S) for stamp in stamps] == [offset_s // HOUR_S for offset_s in steps]
    assert {entry["event"] for entry in log} == {"started", "closed", "draining", "stopped"}


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
        until(lambda: "paused" in hub.get("/api/clients")["clients"][0]["state"])
        hub.stand_still()
        got = slow.read(64 * 1024)
        clocks.step(HOUR_S)
        hub.go_on()
        assert got + slow.read(len(lines) - len(got)) == lines
        slow.echo()


@pytest.mark.promise("idle-wall-clock")
def test_the_end_of_a_drain_is_not_put_off_by_the_time_of_day(tmp_path: Path) -> None:
    clocks = FakeClocks(tmp_path, monotonic=False)
    flags = ("--mode", "echo", "--drain", "1s", "--no-web")
    with HubProcess(*flags, prefix=clocks.prefix) as hub, closing(crowd(hub, 1)) as (stays,):
        hub.process.send_signal(signal.SIGTERM)
        assert stays.line() == bye("server_shutdown")
        clocks.step(-DAY_S)
        assert hub.process.wait(20) == 0
