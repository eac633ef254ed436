"""`make demo-cluster`: three real hubs that share a room, and an end that leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import bench.cluster_demo
from bench.cluster_demo import APART, NAMES
from tests.cluster.support import nats_server
from tests.deploy.support import listens
from tests.support import PATIENCE_S, ROOT, Peer, until

DEMO = (sys.executable, "-m", "bench.cluster_demo")
LAST = "cluster: what is said on one is heard on all"


class Demo:
    """The demo as a process, on ports at which nobody listens now."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.lines = a_row_of_ports()
        self.said, self._errors = folder / "said", folder / "errors"
        ports = ("--lines", str(self.lines), "--page", str(self.lines + APART * len(NAMES)))
        with self.said.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*DEMO, *ports, *flags], stdout=out, stderr=errors, cwd=ROOT,
                env={**os.environ, "TMPDIR": str(folder)},
            )  # fmt: skip

    @property
    def errors(self) -> str:
        """What it complains of."""
        return self._errors.read_text()

    def wait_for(self, text: str) -> None:
        """Until it says so. AssertionError where it ends instead."""
        until(lambda: text in self.said.read_text() or self.process.poll() is not None)
        assert text in self.said.read_text(), self.errors

    def process_of(self, name: str) -> int:
        """The number of a hub's process, as it tells it."""
        found = re.search(rf"hub {name}: .* process (\d+)", self.said.read_text())
        assert found
        return int(found[1])

    def peers(self) -> list[Peer]:
        """A client of each hub."""
        return [Peer(self.lines + APART * number) for number in range(len(NAMES))]


def a_row_of_ports() -> int:
    """The first of some ports in a row at which nobody listens now, below those that the kernel hands out."""
    needed = [*range(0, APART * len(NAMES), APART), *range(APART * len(NAMES), APART * len(NAMES) + 3)]
    first = 10_000 + os.getpid() % 400 * 40
    while any(listens(first + port) or listens(first + port + 1) for port in needed):
        first += 40
    return first


@contextmanager
def demo(folder: Path, *flags: str) -> Iterator[Demo]:
    """The demo for the time of the body; after it none of its processes is left."""
    nats_server()
    played = Demo(folder, *flags)
    try:
        played.wait_for(LAST)
        children = psutil.Process(played.process.pid).children(recursive=True)
        yield played
        played.process.send_signal(signal.SIGINT)
        assert played.process.wait(PATIENCE_S) == 0, played.errors
        assert [child for child in children if child.is_running()] == []
        assert list(folder.glob("hubbub-cluster-*")) == []
    finally:
        played.process.terminate()
        played.process.wait(PATIENCE_S)


def test_the_demo_joins_hubs_and_outlives_a_killed_one(tmp_path: Path) -> None:
    with demo(tmp_path) as played:
        ann, bob, cy = played.peers()
        with ann, bob, cy:
            ann.send(b"from ann\n")
            bob.read_until(b"<guest-a-1> from ann\n")
            os.kill(played.process_of("a"), signal.SIGKILL)
            played.wait_for("cluster: hub a has ended (signal 9)")
            bob.send(b"still here\n")
            cy.read_until(b"<guest-b-1> still here\n")


def test_the_demo_has_made_up_clients_where_asked_for(tmp_path: Path) -> None:
    with demo(tmp_path, "--people", "--log-level", "error") as played, Peer(played.lines) as ann:
        ann.send(b"/who\n")
        until(lambda: b" joined" in ann.line())


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    nats_server()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        command = [*DEMO, "--lines", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stderr == f"cluster: port {port} on 127.0.0.1: taken; --lines and --page choose others\n"


def test_a_flag_that_no_hub_takes_ends_the_demo_in_a_line(tmp_path: Path) -> None:
    nats_server()
    played = Demo(tmp_path, "--mode", "nonsense")
    assert played.process.wait(PATIENCE_S) == os.EX_UNAVAILABLE
    assert re.fullmatch(r"cluster: hub \w did not start: --mode: 'nonsense': one of .*\n", played.errors)
    assert list(tmp_path.glob("hubbub-cluster-*")) == []


def test_a_missing_nats_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bench.cluster_demo.Unavailable, match="nats-server is neither in"):
        bench.cluster_demo.nats_server()
