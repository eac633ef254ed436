"""A contestant as a process pinned to one core: its start, how long it waited for that, its end."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bench.pages import come_first

START_S = 20.0
END_S = 5.0
LOOK_S = 0.02

Stream = IO[bytes] | int
"""What subprocess takes for a stream."""


class DidNotStart(Exception):
    """A contestant ended, or did not listen in time."""


class Server:
    """A running contestant."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.pid = process.pid
        self.port = port

    def waited_s(self) -> float:
        """Seconds so far for which others had its core while it could run."""
        return sum(map(waited_s_of, family(self.pid)))

    def listens(self) -> bool:
        """Whether somebody can connect. Raises DidNotStart when it has ended."""
        if self._process.poll() is not None:
            raise DidNotStart(f"ended with {self._process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
            return True
        return False

    def stop(self) -> None:
        """End it and all its children, whether it likes that or not."""
        # The group exists as long as a member does, so a child that outlives its parent is reached as well.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, 15)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, 9)
        self._process.wait()


@contextmanager
def running(
    command: Sequence[str], cpu: int, log: Path, extra: Mapping[str, str], *, first: bool = False
) -> Iterator[Server]:
    """A server for the time of the body; `{port}` in the command stands for a free port.

    Raises DidNotStart. What the server prints goes into the file `log`, as a full pipe would stop it.
    """
    port = free_port()
    filled = [part.replace("{port}", str(port)) for part in command]
    with log.open("wb") as output:
        server = Server(launch(filled, cpu, extra, output, subprocess.STDOUT, first=first), port)
    try:
        end_s = time.monotonic() + START_S
        while not server.listens():
            if time.monotonic() > end_s:
                raise DidNotStart(f"nobody listens after {START_S:g} s")
            time.sleep(LOOK_S)
        yield server
    finally:
        server.stop()


def launch(
    command: Sequence[str],
    cpu: int,
    extra: Mapping[str, str],
    stdout: Stream,
    stderr: Stream,
    stdin: Stream = subprocess.DEVNULL,
    *,
    first: bool = False,
) -> subprocess.Popen[bytes]:
    """A process on one core and in a session of its own, so that Ctrl-C reaches only this program.

    `first`: before other programs, where that is allowed.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})  # A child inherits it, and so do its threads.
    try:
        return subprocess.Popen(
            [*outlived(), *command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**ordinary_environment(), **extra},
            start_new_session=True,
            preexec_fn=come_first if first else None,  # There are no threads here.
        )
    finally:
        os.sched_setaffinity(0, before)


def outlived() -> list[str]:
    """What stands before a command whose process is to end with this program even if that is killed."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def ordinary_environment() -> dict[str, str]:
    """This program's environment, without what would change the settings of a hub."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:  # Grows while it is walked through.
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
    return found


def waited_s_of(pid: int) -> float:
    """Seconds for which threads of a process could run and another had their core: proc_pid_schedstat(5)."""
    total_ns = 0
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            total_ns += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[1])
    return total_ns / 1e9
