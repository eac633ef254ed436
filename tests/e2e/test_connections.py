"""Connections that end badly, or come in numbers: each is counted once, and none costs anybody else."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.namespaces import require_namespaces
from tests.e2e.programs import require
from tests.support import ROOT, HubProcess, Peer, closing, until

Record = Callable[[str, object], None]
triggers = pytest.mark.parametrize("trigger", [pytest.param("level", marks=pytest.mark.long), "edge"])


@contextmanager
def standing_still(hub: HubProcess) -> Iterator[None]:
    """What happens meanwhile has happened at once for the hub."""
    hub.stand_still()
    yield
    hub.go_on()


def closed(hub: HubProcess, accepted: int, still_open: int = 0) -> dict[str, int]:
    """The ends by their reason, once so many have come and only so many are left."""

    def books() -> Any:
        summary = hub.get("/api/summary")
        clients = summary["clients"]
        settled = (clients["accepted"], clients["open"], summary["lingering"]) == (accepted, still_open, 0)
        return settled and summary

    summary = until(books)
    counts: dict[str, int] = {reason: count for reason, count in summary["closed"].items() if count}
    assert sum(counts.values()) + still_open == accepted
    return counts


@pytest.mark.promise("close-half-close")
@triggers
def test_a_half_close_after_100_lines_gets_all_echoes(trigger: str) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(100))
    long_lines = b"".join(b"%02000d\n" % number for number in range(100))
    with (
        HubProcess("--mode", "echo", "--trigger", trigger) as hub,
        hub.peer() as peer,
        hub.peer(receive_buffer=4096) as late,
    ):
        with standing_still(hub):  # So that the lines and the end of stream are one event.
            peer.send(lines)
            peer.half_close()
        assert peer.rest() == lines
        late.send(long_lines)  # More than the kernels between them hold: it ends while it is owed the rest.
        late.half_close()
        assert late.rest() == long_lines
        assert closed(hub, 2) == {"peer_closed": 2}


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
        assert closed(hub, 1000) == {"peer_reset": 1000}
        record_property("all counted after", f"{time.monotonic() - started_s:.1f} s")
        until(lambda: hub.descriptors() <= descriptors)
        with hub.peer() as peer:
            peer.send(b"hello\n")
            assert peer.line() == b"hello\n"
    assert b"fault" not in log.read_bytes()


@pytest.mark.promise("close-reset")
@triggers
def test_a_peer_gone_when_a_line_is_sent_is_closed_once(trigger: str) -> None:
    with HubProcess("--mode", "broadcast", "--trigger", trigger) as hub, closing(_joined(hub, 61)) as peers:
        speaker, stays, *gone = peers[0], peers[1:21], *peers[21:]
        with standing_still(hub):
            for number, peer in enumerate(gone):
                (peer.reset, peer.close)[number % 2]()
            speaker.send(b"anybody there?\n" * 50)
        for peer in [speaker, *stays]:
            assert peer.read(15 * 50) == b"anybody there?\n" * 50
        assert closed(hub, 61, 21) == {"peer_reset": 20, "peer_closed": 20}
        status = Path(f"/proc/{hub.process.pid}/status").read_text()
        ignored = int(status.split("\nSigIgn:")[1].split()[0], 16)
        assert ignored >> signal.SIGPIPE - 1 & 1, "a write to a closed connection is an error and no end"
        assert hub.stop() == 0


def _joined(hub: HubProcess, count: int) -> list[Peer]:
    """Clients who are known to be in the room: each has heard its own line, and has nothing unread."""
    peers = [hub.peer() for _ in range(count)]
    until(lambda: hub.get("/api/summary")["clients"]["open"] == count)
    return peers


@pytest.mark.promise("admission-full")
def test_of_fifty_too_many_each_is_told_so_again_and_again(record_property: Record) -> None:
    with HubProcess("--mode", "echo", "--max-clients", "100") as hub:
        for round_ in range(1, 4):
            with closing([hub.peer() for _ in range(150)]) as peers:
                for peer in peers[:100]:
                    peer.send(b"hello\n")
                    assert peer.line() == b"hello\n"
                assert {peer.rest() for peer in peers[100:]} == {b"* bye reason=server_full limit=100\r\n"}
                for peer in peers[:100]:
                    peer.half_close()
                    assert peer.rest() == b""
            counts = closed(hub, 150 * round_)
            assert counts == {"server_full": 50 * round_, "peer_closed": 100 * round_}
        summary = hub.get("/api/summary")
        assert (summary["refused"], summary["clients"]["peak"]) == (150, 100)
        record_property("refused", summary["refused"])


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
        counts = closed(hub, 10_000)
        assert set(counts) <= {"wrong_protocol", "line_too_long", "peer_reset", "peer_closed"}, counts
        assert hub.get("/api/summary")["log_dropped"] == 0
        assert hub.stop() == 0
        written = path.stat().st_size - before
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    ends = [record for record in records if record["event"] == "closed"]
    told = [record for record in ends if "repeated" not in record]
    assert len(told) + sum(record["repeated"] for record in ends if "repeated" in record) == 10_000
    # A second of the log begins with its first record, so one of the clock's has parts of two.
    per_second = Counter(record["time"].partition(".")[0] for record in records)
    assert max(per_second.values()) <= 2 * 21 + 2, per_second
    assert written < 1 << 20
    record_property("seconds for them", f"{took_s:.0f} s")
    record_property("records of ends", len(told))
    record_property("log written", f"{written / 1024:.0f} KiB")
