"""Calls of a running hub fail, by strace(1): the process stays up, nobody else notices, no descriptor leaks.

strace is attached to the main thread once the hub runs, and makes the K-th call of one kind fail. Which calls
are made is seen in a first run without a fault; of reads and writes only those on sockets count. close(2) is
left out: strace keeps it from happening, so the descriptor would stay open in a way that no kernel knows.
"""

import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.programs import require
from tests.support import PATIENCE_S, HubProcess, Peer, until
from tests.support_ws import Refused, WsPeer

CALLS = ("accept4", "read", "write", "writev", "shutdown", "epoll_ctl")
ON_SOCKETS = ("read", "write", "writev")
PLAUSIBLE = {
    "accept4": (
        "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPROTO", "ENETDOWN", "EPERM", "EINTR",
    ),
    "read": ("ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENOMEM", "EIO", "EINTR"),
    "write": ("ECONNRESET", "EPIPE", "ETIMEDOUT", "ENETDOWN", "ENOBUFS", "ENOMEM", "EPERM", "EINTR"),
    "writev": ("ECONNRESET", "EPIPE", "ENOBUFS", "EPERM"),
    "shutdown": ("ENOTCONN", "ENOBUFS"),
    "epoll_ctl": ("ENOMEM",),  # ENOSPC only where something is added, and which one it is cannot be chosen.
}  # fmt: skip
"""What each may fail with: see tests/sim/errnos.py. EINTR is made again by Python."""
SAMPLES = 30


class Watched:
    """A hub, strace on its main thread, and what both wrote."""

    def __init__(self, path: Path, inject: str = "") -> None:
        self._stderr = path / "stderr"
        self._trace = path / "trace"
        with self._stderr.open("wb") as stderr:
            self.hub = HubProcess("--mode", "broadcast", "--idle-timeout", "0", "--drain", "2", stderr=stderr)
        command = [require("strace"), "-y", "-p", f"{self.hub.process.pid}", "-o", f"{self._trace}"]
        command += ["-e", f"trace={','.join(CALLS)}"] + ["-e", f"inject={inject}"] * bool(inject)
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self._strace.stderr is not None
        said = self._strace.stderr.readline()  # It says so once it is attached.
        assert b"attached" in said, said

    @property
    def trace(self) -> str:
        """The calls so far."""
        return self._trace.read_text()

    @property
    def stderr(self) -> str:
        """What the hub wrote there."""
        return self._stderr.read_text()

    def stop(self) -> None:
        """End strace by the signal that it takes for that, then the hub."""
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(PATIENCE_S)
        assert self._strace.stderr is not None
        self._strace.stderr.close()
        self.hub.__exit__()


@contextmanager
def watched(path: Path, inject: str = "") -> Iterator[Watched]:
    path.mkdir()
    made = Watched(path, inject)
    try:
        yield made
    finally:
        made.stop()


def scenario(hub: HubProcess) -> None:
    """Some come, talk, fall silent, break off; each may be the one that the fault hits."""
    for number in range(4):
        with Peer(hub.port) as peer:
            try:
                peer.send(b"hello\n")
                peer.read_until(b"hello\n")
                if number % 2:
                    peer.half_close()
                    peer.rest()
                else:
                    peer.send(b"\xff\xfa\x18" + b"x" * 300)  # The hub ends it: farewell, end of stream.
                    peer.rest()
            except (AssertionError, OSError):
                continue
    try:
        with WsPeer(hub.ws_port) as browser:
            browser.say("hi")
            browser.read_until("hi")
            browser.close()
            browser.rest()
    except (AssertionError, OSError, Refused):
        pass


def suffer(path: Path, inject: str) -> str:
    """One run with a fault; the trace."""
    with watched(path, inject) as run:
        hub = run.hub
        before = hub.descriptors()
        scenario(hub)
        with Peer(hub.port) as later:
            later.echo()
            until(lambda: hub.descriptors() == before + 1)
        until(lambda: hub.descriptors() == before)
        assert hub.process.poll() is None, run.stderr
        summary = hub.summary()
        assert summary["clients"]["accepted"] == summary["clients"]["open"] + sum(summary["closed"].values())
        trace = run.trace
        assert hub.stop() == 0
        assert "Traceback" not in run.stderr and "fault" not in run.stderr, run.stderr
        return trace


def usual_calls(path: Path) -> dict[str, list[int]]:
    """By kind, the numbers of the calls that may fail in a run without a fault; the first is number 1."""
    with watched(path) as run:
        scenario(run.hub)
        trace = run.trace
    found = {call: re.findall(rf"^{call}\((.*)", trace, re.MULTILINE) for call in CALLS}
    return {
        call: [at for at, what in enumerate(calls, 1) if call not in ON_SOCKETS or "<socket:" in what]
        for call, calls in found.items()
    }


@pytest.mark.promise("calls-one-client")
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_running_hub_outlives_thirty_failed_calls(tmp_path: Path, record_property: Any) -> None:
    seed = int(os.environ.get("ERRNO_SEED", random.randrange(1 << 20)))
    print(f"ERRNO_SEED={seed}")
    rng, calls = random.Random(seed), usual_calls(tmp_path / "usual")
    assert all(calls[call] for call in ("accept4", "read", "write", "shutdown", "epoll_ctl")), calls
    struck = 0
    for number in range(SAMPLES):
        call = rng.choice([call for call in CALLS if calls[call]])
        error, at = rng.choice(PLAUSIBLE[call]), rng.choice(calls[call])
        inject = f"{call}:error={error}:when={at}"
        print(inject)
        struck += "INJECTED" in suffer(tmp_path / str(number), inject)
    assert struck > SAMPLES // 2
    record_property("calls that failed in a running hub", struck)
