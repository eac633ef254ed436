"""Floods of what never ends or never matters: bounded in memory and in answers, and the others go on."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from websockets.frames import Opcode

from tests.support import PAIRS, HubProcess, Peer, ThreadHub, until
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


@pytest.mark.promise("lines-too-long")
@pytest.mark.long
def test_sixty_four_lines_without_an_end_close_at_the_limit(record_property: Note) -> None:
    clients, piece = 64, b"x" * 65_536

    def flood(_: int) -> None:
        """Sixteen MiB, or until the hub has had enough."""
        with Peer(hub.port) as peer, suppress(ConnectionError):
            for _ in range(256):
                peer.send(piece)

    with HubProcess("--mode", "echo", "--max-line", "4096", "--max-per-ip", "0") as hub:
        for lap in (1, 2):  # The first lap warms the allocator; the second is measured.
            before = hub.rss_bytes()
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(flood, range(clients)))
            until(lambda ends=lap * clients: closed(hub).get("line_too_long") == ends)
        record_property("memory that 64 endless lines took", f"{grown(hub, before) / MIB:.1f} MiB")
        assert grown(hub, before) <= 2 * MIB
        endings = hub.get("/api/closed?limit=1000")["closed"]
        assert {ending["detail"] for ending in endings} == {"limit=4096"}


def closed(hub: HubProcess) -> dict[str, int]:
    """Endings by reason."""
    reasons: dict[str, int] = hub.get("/api/summary")["closed"]
    return reasons


def grown(hub: HubProcess, before: int) -> int:
    """Resident bytes more than before."""
    return max(0, hub.rss_bytes() - before)


@pytest.mark.promise("telnet-options")
@pytest.mark.long
def test_megabytes_of_option_requests_get_a_few_hundred_bytes(record_property: Note) -> None:
    options = [option for option in range(256) if option != 6]
    asked = b"".join(bytes([0xFF, 0xFD, option]) for option in options) * 90
    with HubProcess("--mode", "echo") as hub, hub.peer() as one:
        before = hub.rss_bytes()
        for _ in range(8 * MIB // len(asked)):
            one.send(asked)
        one.send(b"done\n")
        replies = one.read_until(b"done\r\n").removesuffix(b"done\r\n")
        record_property("answer to 8 MiB of DO", f"{len(replies)} bytes")
        assert replies == b"".join(bytes([0xFF, 0xFC, option]) for option in options)
        assert grown(hub, before) <= 2 * MIB


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
    with HubProcess("--mode", "broadcast") as hub:
        for _ in range(2):
            before = hub.rss_bytes()
            for data in streams * 20:
                with WsPeer(hub.ws_port) as peer, suppress(ConnectionError, BlockingIOError):
                    peer.sock.setblocking(False)
                    peer.sock.send(data)
            until(lambda: hub.get("/api/summary")["clients"]["open"] == 0)
        record_property("memory that 100 endless streams left", f"{grown(hub, before) / MIB:.1f} MiB")
        assert grown(hub, before) <= MIB
