"""Connections that end badly, or come in numbers: each is counted once, and none costs anybody else."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.namespaces import require_namespaces
from tests.e2e.programs import require
from tests.support import ROOT, HubProcess, Record, closing, until

triggers = pytest.mark.parametrize("trigger", [pytest.param("level", marks=pytest.mark.long), "edge"])


@contextmanager
def standing_still(hub: HubProcess) -> Iterator[None]:
    """What happens meanwhile has happened at once for the hub."""
    hub.stand_still()
    yield
    hub.go_on()


@pytest.mark.promise("close-reset")
@triggers
def test_a_thousand_resets_before_accept_are_a_thousand_closes(
    trigger: str, tmp_path: Path, record_property: Record
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, HubProcess("--mode", "echo", "--trigger", trigger, stderr=file) as hub:
        descriptors = until(lambda: hub.get("/livez") and hub.descriptors())
        with standing_still(hub):
            for _ in range(1000):
                hub.peer().reset()
            started_s = time.monotonic()
        assert hub.closed(1000) == {"silent": 1000}
        record_property("all counted after", f"{time.monotonic() - started_s:.1f} s")
        until(lambda: hub.descriptors() <= descriptors)
        with hub.peer() as peer:
            peer.echo()
    assert b"fault" not in log.read_bytes()


@pytest.mark.promise("close-reset")
@triggers
def test_a_peer_gone_when_a_line_is_sent_is_closed_once(trigger: str) -> None:
    flags = ("--mode", "broadcast", "--trigger", trigger)
    with HubProcess(*flags) as hub, closing([hub.peer() for _ in range(61)]) as peers:
        hub.wait_open(61)
        speaker, stays, *gone = peers[0], peers[1:21], *peers[21:]
        with standing_still(hub):
            for number, peer in enumerate(gone):
                (peer.reset, peer.close)[number % 2]()
            speaker.send(b"anybody there?\n" * 50)
        for peer in [speaker, *stays]:
            assert peer.read(15 * 50) == b"anybody there?\n" * 50
        assert hub.closed(61, 21) == {"silent": 40}
        status = Path(f"/proc/{hub.process.pid}/status").read_text()
        ignored = int(status.split("\nSigIgn:")[1].split()[0], 16)
        assert ignored >> signal.SIGPIPE - 1 & 1, "a write to a closed connection is an error and no end"
        assert hub.stop() == 0


@pytest.mark.promise("admission-full")
def test_each_address_and_each_ipv6_site_has_its_own_two_places() -> None:
    """In a network namespace, because the addresses of loopback are exempt; tests/e2e/sites.py looks."""
    require_namespaces(["ip"])
    command = [require("unshare"), "--net", sys.executable, "-m", "tests.e2e.sites"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.promise("cli-log")
@pytest.mark.long
def test_ten_thousand_bad_connections_leave_a_short_log(tmp_path: Path, record_property: Record) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, path = random.Random(seed), tmp_path / "log"
    bad = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"SSH-2.0-x\r\n", b"x" * 9000)
    with path.open("wb") as file, HubProcess("--mode", "chat", "--log", "json", stderr=file) as hub:
        before, started_s = path.stat().st_size, time.monotonic()
        for _ in range(10_000):
            with hub.peer() as peer:
                peer.send(chance.choice(bad))
                chance.random() < 0.5 and peer.rest()
        took_s = time.monotonic() - started_s
        counts = hub.closed(10_000)
        assert set(counts) <= {"wrong_protocol", "line_too_long", "peer_reset", "peer_closed", "silent"}, (
            counts
        )
        assert hub.summary()["log_dropped"] == 0
        assert hub.stop() == 0
        written = path.stat().st_size - before
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    ends = [record for record in records if record["event"] == "closed"]
    told = [record for record in ends if "repeated" not in record]
    assert len(told) + sum(
        record["repeated"] for record in ends if "repeated" in record
    ) == 10_000 - counts.get("silent", 0)
    # A second of the log begins with its first record, so one of the clock's has parts of two.
    per_second = Counter(record["time"].partition(".")[0] for record in records)
    assert max(per_second.values()) <= 2 * (2 * 21) + 2, per_second  # Of two reasons.
    assert written < 1 << 20
    record_property("seconds for them", f"{took_s:.0f} s")
    record_property("records of ends", len(told))
    record_property("log written", f"{written / 1024:.0f} KiB")
