"""Overload on a real hub process: a client that does not keep up costs only itself, and little memory."""

import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.figures import quantile
from tests.e2e.load import Allowance, Habit, Readers, block, flooding, queues
from tests.e2e.programs import require
from tests.polled import Crowd, Polled, assert_same_story, said
from tests.support import PATIENCE_S, HubProcess, Record, closing, each_trigger, until

KIB, MIB = 1 << 10, 1 << 20
BLOCK = block(2500)
BROADCAST = ("--mode", "broadcast", "--no-self-echo")


def peak_bytes(hub: HubProcess) -> int:
    """The most memory that it ever had resident, proc_pid_status(5)."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.split("\nVmHWM:")[1].split()[0]) * KIB


@contextmanager
def sending(directory: Path, size: int, *command: str) -> Iterator[None]:
    """A program whose standard input is so many bytes of numbered lines; it ends with 0."""
    path = directory / "lines"
    path.write_bytes(BLOCK * (size // len(BLOCK)))
    assert path.stat().st_size == size
    with path.open("rb") as source:
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.promise("limits-file-whole")
@pytest.mark.parametrize(
    ("trigger", "size", "count"),
    [
        ("level", 3_000_000, 20),
        pytest.param("edge", 100_000_000, 200, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_one_stalled_reader_is_closed_and_the_others_get_all(
    trigger: str, size: int, count: int, tmp_path: Path, record_property: Record
) -> None:
    """The sender is one that never reads."""
    with HubProcess(*BROADCAST, "--trigger", trigger, "--max-lag", "256KiB") as hub:
        before = hub.rss_bytes()
        with Readers(hub.port, count, BLOCK) as readers, hub.peer(receive_buffer=4096):
            hub.wait_open(count + 1)
            with sending(tmp_path, size, require("socat"), "-u", "-", f"TCP:127.0.0.1:{hub.port}"):
                readers.read_until(size, patience_s=PATIENCE_S + size / 1e6)
            (end,) = until(lambda: [end for end in hub.get("/api/closed")["closed"] if end["lines_in"] == 0])
            assert end["reason"] == "slow_consumer"
            # A turn brings at most an eighth of the limit into a room, and may end in a whole line.
            assert 256 * KIB < end["unsent_bytes"] <= 256 * KIB * 9 // 8 + 8 * KIB
        hub.wait_open(0)
        grown = hub.rss_bytes() - before
        record_property(f"memory kept after {size / 1e6:.0f} MB", f"{grown / MIB:.1f} MiB")
        assert grown < 4 * MIB
        assert hub.stop() == 0


def paste_to_slow_readers(
    directory: Path, size: int, habit: Habit, first: Habit | None = None, slow: str = "disconnect"
) -> None:
    """A client pastes so much, twenty read with this habit: everyone gets every byte, or AssertionError."""
    with (
        HubProcess(*BROADCAST, "--slow", slow) as hub,
        Readers(hub.port, 20, BLOCK, habit=habit, first=first) as readers,
        sending(directory, size, require("ncat"), "--send-only", "127.0.0.1", str(hub.port)),
    ):
        readers.read_until(size, patience_s=PATIENCE_S + 2 * size / habit.bytes_per_s)
        assert "slow_consumer" not in hub.reasons()


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.parametrize("slow", ["disconnect", pytest.param("wait", marks=pytest.mark.long)])
def test_slow_readers_slow_the_sender_and_nobody_is_closed(slow: str, tmp_path: Path) -> None:
    paste_to_slow_readers(tmp_path, 4_000_000, Habit(bytes_per_s=5_000_000), slow=slow)


@pytest.mark.promise("limits-slow-readers")
@pytest.mark.long
def test_a_fast_reader_with_a_small_buffer_is_not_closed(tmp_path: Path) -> None:
    """In the hub it lags most, for the kernel takes twelve times as much at once for each of the others."""
    faster = Habit(bytes_per_s=6_000_000, buffer=80_000)
    paste_to_slow_readers(tmp_path, 50_000_000, Habit(bytes_per_s=5_000_000, buffer=1_000_000), faster)


@pytest.mark.promise("limits-slow-readers")
@each_trigger
def test_twenty_clients_paste_200_kb_at_once_and_all_stay(trigger: str) -> None:
    """Each reads all along."""
    count, data = 20, (b"x" * 99 + b"\n") * 2000
    with HubProcess("--mode", "broadcast", "--trigger", trigger) as hub:
        with closing([hub.peer() for _ in range(count)]) as peers:
            hub.wait_open(count)
            left, got = [memoryview(data)] * count, [0] * count
            for peer in peers:
                peer.sock.setblocking(False)
            while min(got) < count * len(data):
                talking = [peer for number, peer in enumerate(peers) if left[number]]
                ready, writable, _ = select.select(peers, talking, [], PATIENCE_S)
                assert ready or writable, f"stuck: least {min(got)}"
                for number, peer in enumerate(peers):
                    if peer in ready:
                        piece = peer.sock.recv(MIB)
                        assert piece, f"cut after {got[number]} bytes: {hub.reasons()}"
                        got[number] += len(piece)
                    if peer in writable:
                        left[number] = left[number][peer.sock.send(left[number]) :]
            assert got == [count * len(data)] * count
        assert hub.closed(count) == {"peer_closed": count}


@pytest.mark.promise("limits-stalled-reader")
@pytest.mark.long
def test_forty_that_stop_reading_cost_a_hundred_nothing(record_property: Record) -> None:
    with HubProcess("--mode", "broadcast", "--max-lag", "256KiB") as hub, Crowd() as crowd:
        listeners = crowd.join(hub, [Polled(hub, f"{number}") for number in range(100)])
        with closing([hub.peer(receive_buffer=4096) for _ in range(40)]):
            hub.wait_open(140)
            before, allowed = peak_bytes(hub), Allowance(hub)
            taken_s = crowd.talk_for(listeners, listeners[0], 15.0)
            grown, late_ms = peak_bytes(hub) - before, quantile(taken_s, 0.99) * 1000
            crowd.until_heard(listeners, said(listeners))
            assert_same_story(listeners, listeners)
            record_property("p99 of a listener while 40 stop reading", f"{late_ms:.1f} ms")
            record_property("memory for it at most", f"{grown / MIB:.1f} MiB")
            until(lambda: hub.reasons() == {"slow_consumer": 40})
            assert late_ms < allowed.ms
            assert (
                grown < 16 * MIB
            )  # They lag in a log that they share: one limit for all, and its encodings.


@pytest.mark.promise("limits-fast-sender")
@pytest.mark.long
def test_a_sender_faster_than_the_hub_waits_and_no_line_is_lost(record_property: Record) -> None:
    samples: list[bool] = []
    with HubProcess("--mode", "broadcast") as hub, Readers(hub.port, 20, block(600)) as readers:
        hub.wait_open(20)
        before, start_s, total = peak_bytes(hub), time.monotonic(), 0
        with flooding(hub.port):
            while time.monotonic() < start_s + 10:
                total += 5_000_000
                readers.read_until(total, patience_s=60)
                fullest = max(queues(hub.port).values())
                samples.append(fullest.unsent > 64 * KIB)
                assert fullest.unread <= 256 * KIB  # the receive buffer, as the kernel books it
            grown = peak_bytes(hub) - before
            assert hub.reasons() == {}
        record_property("a flooder heard by 20", f"{total / 1e6 / 10:.0f} MB/s each")
        record_property("memory for it at most", f"{grown / MIB:.1f} MiB")
        assert sum(samples) > len(samples) / 2, "the sender waits"
        assert grown < 16 * MIB
