"""A client that does not keep up, on a real hub process: it costs nobody else a line, and little memory."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.figures import distribution
from tests.e2e.load import Allowance, Readers, block, connect_all, flooding, pushing, queues
from tests.support import PATIENCE_S, HubProcess, Peer, closing, until

KIB, MIB = 1 << 10, 1 << 20
SENT_BYTES, FEW_BYTES = 67_108_900, 1_048_600
"""64 MiB, and one, in whole lines."""
BROADCAST = ("--mode", "broadcast", "--no-self-echo")
Record = Callable[[str, object], None]


def peak_bytes(hub: HubProcess) -> int:
    """The most memory that it ever had resident, proc_pid_status(5)."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.split("\nVmHWM:")[1].split()[0]) * KIB


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.long
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_stopped_reader_is_closed_and_twenty_others_get_64_mib(
    trigger: str, record_property: Record
) -> None:
    flags = ("--trigger", trigger, "--max-lag", "256KiB")
    with HubProcess(*BROADCAST, *flags) as hub:
        before = hub.rss_bytes()
        with Readers(hub.port, 20, block()) as readers, hub.peer(receive_buffer=4096):
            until(lambda: hub.get("/api/summary")["clients"]["open"] == 21)
            with pushing(hub.port, SENT_BYTES):
                readers.read_until(SENT_BYTES, patience_s=100)
                (end,) = until(lambda: hub.get("/api/closed")["closed"])
                assert end["reason"] == "slow_consumer"
                # A turn brings at most an eighth of the limit into a room, and may end in a whole line.
                assert 256 * KIB < end["unsent_bytes"] <= 256 * KIB * 9 // 8 + 8 * KIB
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 0)
        grown = hub.rss_bytes() - before
        record_property("lag at the close, with --max-lag 256 KiB", f"{end['unsent_bytes'] / KIB:.0f} KiB")
        record_property("memory kept after 64 MiB", f"{grown / MIB:.1f} MiB")
        assert grown < 4 * MIB


class Audience:
    """Listeners in one poller who hold what they hear against what was said, and look how late it is."""

    def __init__(self, port: int, count: int, stalled: int) -> None:
        self._poller = select.epoll()
        self.speaker = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socks = {sock.fileno(): sock for sock in connect_all(port, count)}
        self._heard = dict.fromkeys(self._socks, 0)
        for fd in self._socks:
            self._poller.register(fd, select.EPOLLIN)
        self._stalled = [Peer(port, receive_buffer=4096) for _ in range(stalled)]
        self.times_s: list[float] = []

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self.speaker, *self._socks.values(), *self._stalled]:
            sock.close()
        self._poller.close()

    def run(self, seconds: float, per_s: int, line_bytes: int) -> None:
        """So many lines a second, each of which everybody who reads must hear."""
        total = round(seconds * per_s)
        text = b"".join(b"%0*d\n" % (line_bytes - 1, number) for number in range(total))
        start_s, said = time.monotonic(), 0
        while min(self._heard.values()) < len(text):
            assert time.monotonic() < start_s + seconds + PATIENCE_S, f"{min(self._heard.values())}"
            while said < total and time.monotonic() >= start_s + said / per_s:
                self.speaker.sendall(text[said * line_bytes : (said + 1) * line_bytes])
                said += 1
            for fd, _ in self._poller.poll(0.002):
                data, at = self._socks[fd].recv(1 << 16), self._heard[fd]
                assert data and data == text[at : at + len(data)], f"a listener was closed or misled at {at}"
                # The oldest of what came at once has waited longest.
                self.times_s.append(time.monotonic() - start_s - at // line_bytes / per_s)
                self._heard[fd] += len(data)


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.long
def test_a_hundred_that_stop_reading_cost_two_hundred_nothing(
    record_property: Record,
) -> None:
    with (
        HubProcess(*BROADCAST, "--max-lag", "256KiB") as hub,
        Audience(hub.port, 200, stalled=100) as audience,
    ):
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 301)
        before, allowed = peak_bytes(hub), Allowance(hub)
        audience.run(15.0, per_s=200, line_bytes=500)
        figures = distribution(audience.times_s, 1000)
        grown = peak_bytes(hub) - before
        record_property("p99 of 200 listeners while 100 stop reading", f"{figures.p99_ms:.1f} ms")
        record_property("memory for it at most", f"{grown / MIB:.1f} MiB")
        assert hub.get("/api/summary")["closed"]["slow_consumer"] == 100
        assert figures.p99_ms < allowed.ms
        assert grown < 16 * MIB  # They lag in a log that they share: one limit for all, and its encodings.


@pytest.mark.promise("limits-fast-sender")
@pytest.mark.long
def test_a_sender_faster_than_the_hub_waits_and_no_line_is_lost(
    record_property: Record,
) -> None:
    samples: list[bool] = []
    with (
        HubProcess("--mode", "broadcast") as hub,
        Readers(hub.port, 20, block(600)) as readers,
    ):
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 20)
        before, start_s, total = peak_bytes(hub), time.monotonic(), 0
        with flooding(hub.port):
            while time.monotonic() < start_s + 20:
                total += 5_000_000
                readers.read_until(total, patience_s=60)
                fullest = max(queues(hub.port).values())
                samples.append(fullest.unsent > 64 * KIB)
                assert fullest.unread <= 256 * KIB  # the receive buffer, as the kernel books it
            grown = peak_bytes(hub) - before
            closed = hub.get("/api/summary")["closed"]
        record_property("a flooder heard by 20", f"{total / 1e6 / 20:.0f} MB/s each")
        record_property("memory for it at most", f"{grown / MIB:.1f} MiB")
        assert sum(samples) > len(samples) / 2, "the sender waits"
        assert grown < 16 * MIB
        assert not any(closed.values())


@pytest.mark.promise("rate-exact")
@pytest.mark.long
def test_lines_over_the_rate_come_out_at_it_and_none_is_lost(record_property: Record) -> None:
    said = [b"line %d\n" % number for number in range(300)]
    with HubProcess("--mode", "echo", "--line-rate", "10/s:20") as hub, hub.peer() as peer:
        start_s = time.monotonic()
        for number, line in enumerate(said):
            time.sleep(max(0.0, start_s + number / 1000 - time.monotonic()))  # The pace is the scenario.
            peer.send(line)
        heard = 0
        while time.monotonic() < start_s + 10:
            heard += peer.line() == said[heard]
        record_property("of 300 lines at 10/s:20 after 10 s", heard)
        assert 108 <= heard <= 132
        assert [peer.line() for _ in said[heard:]] == said[heard:]
        took_s = time.monotonic() - start_s
        record_property("all of them after", f"{took_s:.1f} s")
        assert took_s >= 27.9
        assert not any(hub.get("/api/summary")["closed"].values())


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.long
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_twenty_readers_of_100_kb_a_second_get_a_mebibyte_each(trigger: str, record_property: Record) -> None:
    data = block()
    expected = (data * (FEW_BYTES // len(data) + 1))[:FEW_BYTES]
    with HubProcess(*BROADCAST, "--trigger", trigger) as hub, ExitStack() as stack:
        peers = stack.enter_context(closing([hub.peer(receive_buffer=4096) for _ in range(20)]))
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 20)
        got = [0] * len(peers)
        with pushing(hub.port, FEW_BYTES):
            tick_s = time.monotonic()
            while min(got) < len(expected):
                for number, peer in enumerate(peers):
                    if got[number] < len(expected):
                        piece = peer.sock.recv(min(KIB, len(expected) - got[number]))
                        assert piece and piece == expected[got[number] : got[number] + len(piece)]
                        got[number] += len(piece)
                tick_s += 0.01
                time.sleep(max(0.0, tick_s - time.monotonic()))  # The pace of slow readers is the scenario.
            assert not any(hub.get("/api/summary")["closed"].values())
        # Write interest that stays armed is reported again and again.
        first = until(lambda: (s := hub.get("/api/summary"))["clients"]["open"] == 20 and s)
        later = until(lambda: (s := hub.get("/api/summary"))["taken_s"] > first["taken_s"] + 2 and s)
        assert first["events"]["out"] > 0
        assert later["events"]["out"] == first["events"]["out"]
        record_property("times that the kernel was full and not any more", first["events"]["out"])
