"""Floods of what never ends or never matters: bounded in memory and in answers, and the others go on.

A prober says a line every few milliseconds and notes how long until it is back. What it saw is told beside
the promise; what is asserted is generous, because the machine is shared.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from websockets.frames import Opcode

from bench.figures import quantile
from tests.support import PAIRS, HubProcess, Peer, ThreadHub, closing, until
from tests.support_ws import WsPeer
from tests.unit.protocol.support import masked, more, text

MIB = 1 << 20
Note = Callable[[str, object], None]


@pytest.mark.promise("hostile-urgent")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_urgent_data_amid_lines_is_data_and_does_not_spin(trigger: str, read: str) -> None:
    count = 1000
    with ThreadHub(mode="echo", trigger=trigger, read=read) as hub, hub.peer() as peer, hub.peer() as other:
        until(lambda: len(hub.loop.hub.connections.clients) == 2)
        before = hub.loop.hub.counters.turns
        for number in range(count):
            peer.send(b"%d a" % number)
            peer.sock.send(b"!", socket.MSG_OOB)
            peer.send(b"b\n")
        assert peer.read_until(b"999 a!b\n") == b"".join(b"%d a!b\n" % number for number in range(count))
        # Each of the 3,000 sends may be an event of its own, and each of the answers a wake-up to send.
        assert hub.loop.hub.counters.turns - before <= 6 * count + 100
        peer.sock.send(b"?", socket.MSG_OOB)  # A line that does not end: the urgent mark stays where it is.
        until(lambda: hub.loop.hub.counters.bytes_in == len(b"999 a!b\n") * 900 + 90 * 7 + 10 * 6 + 1)
        before = hub.loop.hub.counters.turns
        for _ in range(50):
            other.send(b"x\n")
            assert other.line() == b"x\n"
        assert hub.loop.hub.counters.turns - before <= 4 * 50 + 100
        peer.send(b"\n")
        assert peer.line() == b"?\n"


class Prober:
    """Lines that come back, and how long each took, while something else goes on."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.took_s: list[float] = []
        self.failure: BaseException | None = None
        self._peers = peers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def p99_ms(self) -> float:
        """Of all so far; fails where one did not come back."""
        assert self.failure is None, self.failure
        assert len(self.took_s) >= 50
        return 1000 * quantile(sorted(self.took_s), 0.99)

    def _run(self) -> None:
        try:
            while not self._over.wait(0.002):
                for peer in self._peers:
                    start = time.monotonic()
                    peer.send(b"probe\n")
                    assert peer.line().rstrip() == b"probe"
                    self.took_s.append(time.monotonic() - start)
        except BaseException as failure:  # told by p99_ms
            self.failure = failure


@contextmanager
def at_once(work: Callable[[], None], count: int) -> Iterator[None]:
    """So many threads that do it, all over when this ends."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def growth(hub: HubProcess, before: int) -> int:
    """Resident bytes more than before."""
    return max(0, hub.rss_bytes() - before)


def flood(port: int, data: bytes, times: int) -> int:
    """Send it so often, or until the hub has had enough; how many bytes went out."""
    sent = 0
    with Peer(port) as peer, suppress(ConnectionError):
        for _ in range(times):
            peer.send(data)
            sent += len(data)
    return sent


@pytest.mark.promise("lines-too-long")
@pytest.mark.long
def test_sixty_four_lines_without_an_end_close_at_the_limit(record_property: Note) -> None:
    clients, each = 64, 16 * MIB
    with HubProcess("--mode", "echo", "--max-line", "4096", "--max-per-ip", "0") as hub:
        with closing([hub.peer() for _ in range(4)]) as peers:
            for _ in range(2):  # The first lap warms the allocator; the second is measured.
                before, ended = hub.rss_bytes(), ends(hub).get("line_too_long", 0)
                with Prober(peers) as prober, at_once(lambda: send_a_line_without_end(hub, each), clients):
                    pass
                until(partial(has_ended, hub, ended + clients))
                grown = growth(hub, before)
        endings = hub.get("/api/closed?limit=1000")["closed"]
        assert {ending["detail"] for ending in endings if ending["reason"] == "line_too_long"} == {
            "limit=4096"
        }
        record_property("memory that 64 endless lines took", f"{grown / MIB:.1f} MiB")
        record_property("p99 of an echo beside 64 endless lines", f"{prober.p99_ms():.1f} ms")
        assert grown <= 2 * MIB
        assert prober.p99_ms() < 1000


def send_a_line_without_end(hub: HubProcess, size: int) -> None:
    flood(hub.port, b"x" * 65_536, size // 65_536)


def has_ended(hub: HubProcess, count: int) -> bool:
    return ends(hub).get("line_too_long") == count


def ends(hub: HubProcess) -> dict[str, int]:
    """Endings by reason."""
    closed: dict[str, int] = hub.get("/api/summary")["closed"]
    return closed


@pytest.mark.promise("telnet-options")
@pytest.mark.long
def test_megabytes_of_option_requests_get_a_few_hundred_bytes(record_property: Note) -> None:
    asked = b"".join(bytes([0xFF, 0xFD, option]) for option in range(256) if option != 6) * 90
    times = 8 * MIB // len(asked)  # A MiB takes the filter 0.7 s, in Python two microseconds for each.
    with (
        HubProcess("--mode", "echo") as hub,
        closing([hub.peer() for _ in range(20)]) as peers,
        hub.peer() as one,
    ):
        before = hub.rss_bytes()
        with Prober(peers) as prober:
            for _ in range(times):
                one.send(asked)
            one.send(b"done\n")
            got = one.read_until(b"done\r\n")
        replies = got.removesuffix(b"done\r\n")
        record_property("answer to 8 MiB of DO", f"{len(replies)} bytes")
        record_property("p99 of 20 others' echoes beside 8 MiB of DO", f"{prober.p99_ms():.1f} ms")
        assert replies == b"".join(bytes([0xFF, 0xFC, option]) for option in range(256) if option != 6)
        assert growth(hub, before) <= 2 * MIB
        assert prober.p99_ms() < 1000


@pytest.mark.promise("telnet-options")
@pytest.mark.long
def test_a_flood_of_unread_timing_marks_pauses_then_closes(record_property: Note) -> None:
    with HubProcess("--mode", "echo") as hub, closing([hub.peer() for _ in range(4)]) as peers:
        before = hub.rss_bytes()
        with Prober(peers) as prober, Peer(hub.port, receive_buffer=4096) as deaf:
            with suppress(ConnectionError, TimeoutError):
                while True:
                    deaf.send(b"\xff\xfd\x06" * 10_000)
            until(lambda: ends(hub).get("slow_consumer"), patience_s=60)
        grown = growth(hub, before)
        record_property("memory that unread timing marks took", f"{grown / MIB:.1f} MiB")
        assert grown <= 4 * MIB
        assert prober.p99_ms() < 1000


@pytest.mark.promise("websocket-breach")
@pytest.mark.long
def test_frames_without_end_leave_no_memory_behind(record_property: Note) -> None:
    streams = [
        text("", fin=False) + more(b"", False) * 100_000,
        text("", fin=False) + more(b"x" * 1000, False) * 60,
        masked(Opcode.PING, b"p" * 100) * 10_000,
        b"\x81\xff\x7f" + b"\xff" * 7 + b"\0" * 4,
        text(b"\xff") + b"noise" * 10_000,
    ]

    def lap(hub: HubProcess) -> None:
        for data in streams:
            with WsPeer(hub.ws_port) as peer, suppress(ConnectionError):
                peer.sock.setblocking(False)
                with suppress(BlockingIOError):
                    peer.sock.send(data)

    with HubProcess("--mode", "broadcast") as hub:
        for _ in range(20):
            lap(hub)
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 0)
        before = hub.rss_bytes()
        for _ in range(20):
            lap(hub)
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 0)
        record_property(
            "memory that 100 endless streams of frames left", f"{growth(hub, before) / MIB:.1f} MiB"
        )
        assert growth(hub, before) <= MIB
