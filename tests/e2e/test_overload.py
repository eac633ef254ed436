"""Overload on a real hub process: a client that does not keep up costs only itself.

The quick set runs each scenario with a tenth of the load; `make test-long` runs it in full.
"""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.load import Habit, Readers, block
from tests.e2e.programs import require
from tests.support import PATIENCE_S, HubProcess, Peer, closing, until

MIB = 1 << 20
SIZES = [
    pytest.param(10_000_000, id="10MB"),
    pytest.param(100_000_000, id="100MB", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]
BLOCK = block(2500)
BROADCAST = ("--mode", "broadcast", "--no-self-echo")


@pytest.fixture
def numbered_file(tmp_path: Path, size: int) -> Path:
    """A file of `size` bytes of numbered lines."""
    path = tmp_path / "lines"
    with path.open("wb") as file:
        for _ in range(size // len(BLOCK)):
            file.write(BLOCK)
    assert path.stat().st_size == size
    return path


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that sends to the hub, ended with the test."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def reasons(hub: HubProcess) -> dict[str, int]:
    """How many were closed for each reason."""
    closed = hub.get("/api/summary")["closed"]
    assert isinstance(closed, dict)
    return closed


def everyone_is_gone(hub: HubProcess) -> bool:
    """Whether no connection is left, ended ones included."""
    summary = hub.get("/api/summary")
    return bool(summary["clients"]["open"] == 0 and summary["lingering"] == 0)


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.parametrize("size", SIZES)
def test_one_stalled_reader_is_closed_and_the_others_get_all(size: int, numbered_file: Path) -> None:
    count = 200 if size > 50_000_000 else 50
    with HubProcess(*BROADCAST) as hub:
        before = hub.rss_bytes()
        with (
            Readers(hub.port, count, BLOCK) as readers,
            hub.peer(),
            running(require("socat"), "-u", f"FILE:{numbered_file}", f"TCP:127.0.0.1:{hub.port}"),
        ):
            readers.read_until(size, patience_s=PATIENCE_S + size / 1e6)
            closed = until(lambda: [end for end in hub.get("/api/closed")["closed"] if end["lines_in"] == 0])
            assert [end["reason"] for end in closed] == ["slow_consumer"]
            assert closed[0]["unsent_bytes"] > MIB
        until(lambda: everyone_is_gone(hub))
        assert hub.rss_bytes() - before < 4 * MIB
        assert hub.stop() == 0


@pytest.mark.promise("limits-file-whole")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_sender_that_reads_nothing_delivers_its_file(size: int, numbered_file: Path, trigger: str) -> None:
    with (
        HubProcess(*BROADCAST, "--trigger", trigger) as hub,
        Readers(hub.port, 3, BLOCK) as readers,
        running(require("socat"), "-u", f"FILE:{numbered_file}", f"TCP:127.0.0.1:{hub.port}") as sender,
    ):
        readers.read_until(size, patience_s=PATIENCE_S + size / 1e6)
        assert sender.wait(PATIENCE_S) == 0


class Arrivals(threading.Thread):
    """Reads all that comes to one client, and keeps when how much came."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self.total = 0
        self._peer = peer
        self._times: list[tuple[float, int]] = []
        self.start()

    def run(self) -> None:
        """Until the connection ends."""
        with suppress(OSError):
            while data := self._peer.sock.recv(MIB):
                self._times.append((time.monotonic(), len(data)))
                self.total += len(data)

    def wait_for(self, total: int) -> None:
        """Until so many bytes have come."""
        until(lambda: self.total >= total)

    def between(self, start_s: float, end_s: float) -> int:
        """How many bytes came in this time."""
        return sum(size for time_s, size in self._times if start_s <= time_s < end_s)


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.long
def test_slow_skip_one_stopped_reader_stalls_nobody() -> None:
    flags, socat = ("--slow", "skip", "--max-lag", "64KiB"), require("socat")
    burst, piece, per_s, seconds = BLOCK[:60_000], BLOCK[:8000], 400_000, 14
    with (
        HubProcess(*BROADCAST, *flags) as hub,
        hub.peer(),
        closing([hub.peer() for _ in range(4)]) as readers,
    ):
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 5)
        arrivals = [Arrivals(reader) for reader in readers]
        for _ in range(30):
            subprocess.run([socat, "-u", "-", f"TCP:127.0.0.1:{hub.port}"], input=burst, check=True)
        with hub.peer() as sender:
            start_s = time.monotonic()
            for number in range(seconds * per_s // len(piece)):
                due_s = start_s + number * len(piece) / per_s
                time.sleep(max(0.0, due_s - time.monotonic()))  # The pace of the sender is the scenario.
                sender.send(piece)
            total = 30 * len(burst) + seconds * per_s
            for one in arrivals:
                one.wait_for(total)
                assert one.total == total, "no line is skipped, so there is no notice"
                for second in range(4, seconds - 2):
                    assert one.between(start_s + second, start_s + second + 2) > 0.9 * 2 * per_s
        assert "slow_consumer" not in reasons(hub)


def paste_to_slow_readers(
    numbered_file: Path, size: int, habit: Habit, first: Habit | None = None, slow: str = "disconnect"
) -> None:
    """A client pastes it, twenty read with this habit: everyone gets every byte, or AssertionError."""
    with (
        HubProcess(*BROADCAST, "--slow", slow) as hub,
        Readers(hub.port, 20, BLOCK, habit=habit, first=first) as readers,
    ):
        with numbered_file.open("rb") as source:
            sender = subprocess.Popen(
                [require("ncat"), "127.0.0.1", str(hub.port)], stdin=source, stdout=subprocess.DEVNULL
            )
        try:
            readers.read_until(size, patience_s=PATIENCE_S + 2 * size / habit.bytes_per_s)
            assert "slow_consumer" not in reasons(hub)
        finally:
            sender.kill()
            sender.wait()


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("slow", ["disconnect", "wait"])
def test_slow_readers_slow_the_sender_and_nobody_is_closed(slow: str, size: int, numbered_file: Path) -> None:
    paste_to_slow_readers(numbered_file, size, Habit(bytes_per_s=5_000_000), slow=slow)


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.long
@pytest.mark.parametrize("size", [50_000_000])
def test_a_fast_reader_with_a_small_buffer_is_not_closed(size: int, numbered_file: Path) -> None:
    """In the hub it lags most, for the kernel takes twelve times as much at once for each of the others."""
    faster = Habit(bytes_per_s=6_000_000, buffer=80_000)
    paste_to_slow_readers(numbered_file, size, Habit(bytes_per_s=5_000_000, buffer=1_000_000), faster)


def paste_and_read(hub: HubProcess, count: int, size: int) -> list[int]:
    """`count` clients send `size` bytes each as fast as they can and read all that comes; what each got."""
    line = b"x" * 99 + b"\n"
    poller, socks, left, got = select.epoll(), {}, {}, {}
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", hub.port))
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        left[sock.fileno()] = memoryview(line * (size // len(line)))
        got[sock.fileno()] = 0
    until(lambda: hub.get("/api/summary")["clients"]["open"] == count)
    for fd in socks:
        poller.register(fd, select.EPOLLIN | select.EPOLLOUT)
    while any(total < count * size for total in got.values()):
        events = poller.poll(PATIENCE_S)
        assert events, f"stuck: least {min(got.values())} of {count * size}"
        for fd, mask in events:
            if mask & select.EPOLLIN:
                data = socks[fd].recv(MIB)
                assert data, f"cut after {got[fd]} bytes: {reasons(hub)}"
                got[fd] += len(data)
            if mask & select.EPOLLOUT:
                left[fd] = left[fd][socks[fd].send(left[fd]) :]
                if not left[fd]:
                    poller.modify(fd, select.EPOLLIN)
    for sock in socks.values():
        sock.close()
    return list(got.values())


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_forty_clients_paste_400_kb_at_once_and_all_stay(trigger: str) -> None:
    with HubProcess("--mode", "broadcast", "--trigger", trigger) as hub:
        assert set(paste_and_read(hub, 40, 400_000)) == {40 * 400_000}
        until(lambda: everyone_is_gone(hub))
        assert set(reasons(hub)) <= {"peer_closed", "peer_reset"}


@pytest.mark.promise("limits-unread-answers")
def test_unread_answers_to_commands_pause_their_client_only() -> None:
    with HubProcess("--mode", "chat") as hub, hub.peer(receive_buffer=4096) as flooder, hub.peer() as ann:
        ann.read_until(b"/help lists commands\n")
        before = hub.rss_bytes()
        sender = threading.Thread(target=_send_until_blocked, args=(flooder.sock, b"/help\n" * 100_000))
        sender.start()
        row = until(lambda: paused_for_its_outbox(hub))[0]
        assert row["outbox_bytes"] < 320 * 1024
        for number in range(100):
            ann.send(b"still here %d\n" % number)
            ann.read_until(b"still here %d\n" % number)
        assert hub.rss_bytes() - before < 8 * MIB
        flooder.sock.close()
        sender.join(PATIENCE_S)


def paused_for_its_outbox(hub: HubProcess) -> list[dict[str, Any]]:
    """The clients whose state says so."""
    return [row for row in hub.get("/api/clients")["clients"] if "paused: outbox" in row["state"]]


def _send_until_blocked(sock: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # The test closes the socket under it.
        sock.sendall(data)


@pytest.mark.promise("close-farewell")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_the_farewell_arrives_with_200_kb_of_unread_input(trigger: str) -> None:
    with HubProcess("--mode", "chat", "--trigger", trigger) as hub:
        for _ in range(20):
            with hub.peer() as peer:
                peer.send(b"/quit\n" + b"x" * 79 + b"\n" + b"more and more\n" * 15_000)
                assert peer.rest().endswith(b"* bye reason=quit\n")


@pytest.mark.promise("resources-log")
def test_echo_goes_on_when_nobody_reads_stdout_and_stderr() -> None:
    with HubProcess("--mode", "echo", "--log", "json", stderr=subprocess.PIPE) as hub:
        for _ in range(1500):  # Each end is a log record of some 400 bytes; a pipe holds 64 KiB.
            with hub.peer() as peer:
                peer.send(b"hello\n")
                assert peer.line() == b"hello\n"
        assert hub.stop() == 0


@pytest.mark.promise("resources-given-back")
@pytest.mark.parametrize(
    "cycles", [1500, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_cycles_of_connect_and_close_leave_nothing_behind(cycles: int) -> None:
    with HubProcess("--mode", "chat") as hub:
        descriptors = until(lambda: hub.get("/livez") and hub.descriptors())
        for number in range(cycles):
            peer = hub.peer()
            if number % 3 == 0:
                peer.send(b"half a li")
                peer.reset()
                continue
            peer.send(b"hello\n")
            if number % 3 == 1:
                peer.half_close()
                peer.rest()
            peer.close()
        until(lambda: everyone_is_gone(hub))
        summary = until(lambda: (s := hub.get("/api/summary"))["clients"]["accepted"] == cycles and s)
        assert sum(summary["closed"].values()) == cycles
        assert set(summary["closed"]) <= {"peer_closed", "peer_reset"}
        account = summary["account"]
        assert account["owed"] + account["replayed"] == account["delivered"] + account["unsent"]
        until(lambda: hub.descriptors() <= descriptors)


@pytest.mark.promise("resources-no-descriptor")
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not here")
def test_out_of_descriptors_refuses_with_a_line_and_recovers() -> None:
    with HubProcess("--mode", "echo", prefix=("prlimit", "--nofile=64:64")) as hub:
        peers = [hub.peer() for _ in range(200)]
        with closing(peers):
            served = peers[:32]
            for peer in served:
                peer.send(b"hello\n")
                assert peer.line() == b"hello\n"
            assert {peer.line() for peer in peers[32:]} == {b"* bye reason=server_full limit=32\r\n"}
            before_s, started_s = hub.cpu_s(), time.monotonic()
            time.sleep(2.0)  # What is used in it is asserted.
            used = (hub.cpu_s() - before_s) / (time.monotonic() - started_s)
            assert used < 0.2  # 0.01 as a rule; a spin would be 1, or what others leave of it.
            for peer in served[:20]:
                peer.close()
            until(lambda: _is_served(hub), patience_s=1.0)


def _is_served(hub: HubProcess) -> bool:
    with hub.peer() as peer:
        peer.send(b"again\n")
        return peer.line() == b"again\n"
