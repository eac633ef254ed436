"""How fast three hubs of a cluster are: `python -m tests.cluster.measure [--seconds S] [HUB COMMAND]`.

The latency is the time from when a line is due until it is heard on another hub, at 1,000 lines a second.
What is added is the difference from one hub alone. The throughput is that of one room, with a sender that
never rests and one reader on each hub. The broker is one nats-server that syncs each message. The command is
the hub to be measured, such as .wheel/bin/hubbub; without one it is the checkout.
"""

import argparse
import hashlib
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench.figures import Distribution, distribution
from tests.cluster.scene import hubs_of
from tests.cluster.support import a_broker
from tests.support import HUBBUB, ROOT, HubProcess, Peer

LINES_PER_S = 1000
LINE_BYTES = 64
BLOCK_LINES = 256
WARM_UP_LINES = 500
QUIET_S = 30.0
"""So long what was said may take until all heard it."""
PORTS = ("--write-only-port", "0")


class Bench:
    """A talker and a listener on each hub. A talker is a client that hears nothing."""

    def __init__(self, hubs: Sequence[HubProcess]) -> None:
        self.talkers = [Peer(hub.write_only_port) for hub in hubs]
        self.listeners = [hub.peer() for hub in hubs]
        self._poller = select.epoll()
        self._by_fd = {listener.fileno(): number for number, listener in enumerate(self.listeners)}
        for peer in (*self.talkers, *self.listeners):
            peer.sock.setblocking(False)
        for listener in self.listeners:
            self._poller.register(listener, select.EPOLLIN)
        self._meet()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for peer in (*self.talkers, *self.listeners):
            peer.close()
        self._poller.close()

    def hear(self, timeout_s: float) -> Iterator[tuple[int, bytes]]:
        """What comes, with the number of the listener."""
        for fd, _ in self._poller.poll(timeout_s):
            number = self._by_fd[fd]
            data = self.listeners[number].sock.recv(1 << 20)
            assert data, "a listener was closed"
            yield number, data

    def until(self, is_so: Callable[[], bool], hear: Callable[[int, bytes], None]) -> None:
        """Listen until it is so; AssertionError after QUIET_S."""
        by_s = time.monotonic() + QUIET_S
        while not is_so():
            assert time.monotonic() < by_s, "lines are missing"
            for number, data in self.hear(0.05):
                hear(number, data)

    def _meet(self) -> None:
        """Until every listener has heard itself, and then every talker."""
        seen = [b"" for _ in self.listeners]

        def hear(number: int, data: bytes) -> None:
            seen[number] += data

        for number, listener in enumerate(self.listeners):
            listener.send(b"hello %d\n" % number)
        self.until(lambda: all(b"hello %d\n" % number in each for number, each in enumerate(seen)), hear)
        met = [b"met %d\n" % number for number in range(len(self.talkers))]
        for talker, line in zip(self.talkers, met, strict=True):
            talker.send(line)
        self.until(lambda: all(line in each for each in seen for line in met), hear)


def latency(bench: Bench, seconds: float) -> Distribution:
    """From when a line is due until a listener on another hub has it, or the one listener there is."""
    total, sent = WARM_UP_LINES + round(seconds * LINES_PER_S), 0
    hubs = len(bench.talkers)
    wanted = total * max(1, len(bench.listeners) - 1)
    torn, taken = [b"" for _ in bench.listeners], list[tuple[int, float]]()
    start_s = time.monotonic()

    def hear(number: int, data: bytes) -> None:
        now = time.monotonic()
        *lines, torn[number] = (torn[number] + data).split(b"\n")
        for line in map(int, lines):
            if hubs == 1 or line % hubs != number:
                taken.append((line, now - start_s - line / LINES_PER_S))

    while sent < total:
        while sent < total and start_s + sent / LINES_PER_S <= time.monotonic():
            bench.talkers[sent % hubs].send(b"%*d\n" % (LINE_BYTES - 1, sent))
            sent += 1
        for number, data in bench.hear(0.0005):
            hear(number, data)
    bench.until(lambda: len(taken) == wanted, hear)
    times_s = [took_s for line, took_s in sorted(taken) if line >= WARM_UP_LINES]
    return distribution(times_s, LINES_PER_S * max(1, len(bench.listeners) - 1))


def throughput(bench: Bench, seconds: float) -> float:
    """Lines a second until the last has heard the last of them. All hear the same."""
    block = b"".join(b"%*d\n" % (LINE_BYTES - 1, number) for number in range(BLOCK_LINES))
    sent, heard = [0 for _ in bench.talkers], [0 for _ in bench.listeners]
    digests = [hashlib.blake2b() for _ in bench.listeners]

    def hear(number: int, data: bytes) -> None:
        heard[number] += len(data)
        digests[number].update(data)

    start_s = time.monotonic()
    end_s = start_s + seconds
    while time.monotonic() < end_s or any(size % LINE_BYTES for size in sent):
        assert time.monotonic() < end_s + QUIET_S, "a line cannot be said to its end"
        for number, talker in enumerate(bench.talkers):
            size = len(block) if time.monotonic() < end_s else -sent[number] % LINE_BYTES
            sent[number] += _pushed(talker, block, sent[number], size)
        for number, data in bench.hear(0.001):
            hear(number, data)
    bench.until(lambda: all(size == sum(sent) for size in heard), hear)
    assert len({digest.digest() for digest in digests}) == 1, "they heard different things"
    return sum(sent) / LINE_BYTES / (time.monotonic() - start_s)


def _pushed(talker: Peer, block: bytes, said: int, most: int) -> int:
    """How much the kernel takes of the rest of a block that is repeated."""
    at = said % len(block)
    with suppress(BlockingIOError):
        return talker.sock.send(memoryview(block)[at : at + most]) if most else 0
    return 0


@contextmanager
def three_hubs(program: Sequence[str]) -> Iterator[Bench]:
    """Three hubs on one broker, which syncs each message."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-measure-")))
        broker = stack.enter_context(a_broker(folder))
        options = {"program": program, "env": environment(program)}
        hubs = stack.enter_context(hubs_of(folder, 3 * [broker.url], "broadcast", *PORTS, **options))
        yield stack.enter_context(Bench(hubs))


@contextmanager
def one_hub(program: Sequence[str]) -> Iterator[Bench]:
    """A hub alone."""
    flags = ("--mode", "broadcast", "--no-web", "--no-ws", *PORTS)
    with HubProcess(*flags, program=program, env=environment(program)) as hub, Bench([hub]) as bench:
        yield bench


def environment(program: Sequence[str]) -> dict[str, str]:
    """With a way to the checkout for its own hub only: one that is installed has its files beside it."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return found | {"PYTHONUNBUFFERED": "1"} | ({"PYTHONPATH": str(ROOT)} if program == HUBBUB else {})


def main() -> None:
    """Measure, and print four lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.measure", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each part takes")
    parser.add_argument("command", nargs="*", help="the hub, such as .wheel/bin/hubbub")
    arguments = parser.parse_args()
    program = HUBBUB
    if arguments.command:
        found = shutil.which(arguments.command[0])
        assert found is not None, f"no such command: {arguments.command[0]}"
        program = (os.path.abspath(found), *arguments.command[1:])
    with one_hub(program) as bench:
        alone = latency(bench, arguments.seconds)
    with three_hubs(program) as bench:
        together = latency(bench, arguments.seconds)
    with three_hubs(program) as bench:
        lines_per_s = throughput(bench, arguments.seconds)
    print(f"one hub alone:       {alone}")
    print(f"to another hub:      {together}")
    added = (together.p50_ms - alone.p50_ms, together.p99_ms - alone.p99_ms)
    print(f"added:               p50 {added[0]:.3f}  p99 {added[1]:.3f} ms  (goal: 4 and 12)")
    print(f"one room, {LINE_BYTES} B:      {lines_per_s:,.0f} lines/s through three hubs  (goal: 100,000)")


if __name__ == "__main__":
    main()
