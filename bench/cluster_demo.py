"""Three hubs that share their rooms, on this machine: `make demo-cluster`, `python -m bench.cluster_demo`.

A nats-server with a store that ends with it, and three hubs, each with a page. Flags that are not known here
go to the hubs. All are child processes, in groups of their own, so that a terminal's Ctrl-C reaches this
program alone, which ends them in order. A child that ends by itself is told, and the others go on.
"""

import argparse
import asyncio
import errno
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

NAMES: Final = ("a", "b", "c")
LINES, PAGE = 9000, 8080
APART: Final = 10
"""Between the line ports of two hubs; the port of WebSockets is the next after that of lines."""
START_S, LOOK_S, STOP_S = 20.0, 0.02, 15.0
"""STOP_S is more than a hub's --drain, 10 s."""
CONFIGURATION: Final = """listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""
PREFIX: Final = re.compile(r"hubbub: |(nats-server: |\[\d+\] )?[\d/]* ?[\d:.]* ?\[\w{3}\] ")


class Unavailable(Exception):
    """Why there is no demo, for the person who started it."""


class Ports(NamedTuple):
    """Where a hub listens."""

    lines: int
    websockets: int
    page: int

    @property
    def flags(self) -> list[str]:
        """The same on the command line of a hub."""
        flags = ("--port", "--ws-port", "--web-port")
        return [word for flag, port in zip(flags, self, strict=True) for word in (flag, str(port))]


class Child:
    """A program of the demo. What it says on stderr goes into a file, and so does stdout of nats-server."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name, self.process, self._log = name, process, log

    @classmethod
    async def start(cls, name: str, command: Sequence[str], log: Path, *, is_read: bool = False) -> "Child":
        """Start it, in a group of its own. `is_read`: its stdout comes here."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HUBBUB_")}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE if is_read else out, stderr=out, env=environment,
                process_group=0,
            )  # fmt: skip
        return cls(name, process, log)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.process.returncode is not None

    async def until_started(self) -> None:
        """Read a hub's start lines to the last of them. Raises Unavailable where it says something else."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            if "at most" in line:
                return
        raise Unavailable(self.last_words())

    def last_words(self) -> str:
        """What it said last, without what stands before every line of a hub or of nats-server."""
        said = self._log.read_text(errors="replace").rstrip().rpartition("\n")[2]
        return f"{self.name} did not start: {PREFIX.sub('', said)}"

    async def end(self) -> str:
        """Wait for its end, and tell how that was."""
        code = await self.process.wait()
        return f"{self.name} has ended ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    async def stop(self) -> None:
        """Ask it to end, and see to it."""
        for number, within_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, None)):
            if self.is_over:
                return
            # Not process.terminate(), which looks for the end itself and then hides it from asyncio.
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), within_s)


class Cluster:
    """The nats-server and the hubs of a demo, with all their files in one folder."""

    def __init__(self, folder: Path, options: argparse.Namespace, flags: Sequence[str]) -> None:
        self._folder, self._flags, self._has_people = folder, flags, options.people
        self._ports = [
            Ports(first, first + 1, options.page + number)
            for number, first in enumerate(options.lines + APART * number for number in range(len(NAMES)))
        ]
        self._nats: Child | None = None
        self._hubs: list[Child] = []

    async def start(self) -> None:
        """Start all. Raises Unavailable."""
        for ports in self._ports:
            for port in ports:
                refuse_taken(port)
        server = nats_server()
        port = free_port()
        configuration = self._folder / "nats.conf"
        configuration.write_text(CONFIGURATION.format(port=port, store=self._folder / "store"))
        command = [server, "-c", str(configuration)]
        self._nats = await Child.start("nats-server", command, self._folder / "nats.log")
        await self._until_listens(self._nats, port)
        say(f"nats-server on 127.0.0.1:{port}, process {self._nats.process.pid}")
        for name, ports in zip(NAMES, self._ports, strict=True):
            self._hubs.append(await self._hub(name, ports, f"nats://127.0.0.1:{port}"))
        async with asyncio.timeout(START_S):
            await asyncio.gather(*(hub.until_started() for hub in self._hubs))

    def invite(self) -> None:
        """Say where to telnet and to look."""
        for hub, ports in zip(self._hubs, self._ports, strict=True):
            where = f"telnet localhost {ports.lines}, page on http://127.0.0.1:{ports.page}/"
            say(f"{hub.name}: {where}, process {hub.process.pid}")
        say("what is said on one is heard on all; kill -9 a process and see; Ctrl-C ends all of it")

    async def watch(self) -> None:
        """Tell who ends, until no hub is left."""
        assert self._nats is not None
        waiting = {asyncio.create_task(child.end()) for child in (self._nats, *self._hubs)}
        while any(not hub.is_over for hub in self._hubs):
            ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for end in ended:
                say(end.result())
        for task in waiting:
            task.cancel()

    async def stop(self) -> None:
        """End the hubs, which have something to store, and then the server."""
        await asyncio.gather(*(hub.stop() for hub in self._hubs))
        if self._nats is not None:
            await self._nats.stop()

    async def _hub(self, name: str, ports: Ports, servers: str) -> Child:
        """Start a hub. Only the last has made-up clients, because `hubbub demo` closes the idle sooner."""
        kind = "demo" if self._has_people and name == NAMES[-1] else "serve"
        flags = [*ports.flags, "--cluster", servers, "--hub-name", name, *self._flags]
        command = [sys.executable, "-m", "hubbub", kind, *flags]
        return await Child.start(f"hub {name}", command, self._folder / f"hub-{name}.log", is_read=True)

    async def _until_listens(self, server: Child, port: int) -> None:
        """Raises Unavailable where it ends instead."""
        async with asyncio.timeout(START_S):
            while not server.is_over:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(LOOK_S)
        raise Unavailable(server.last_words())


def nats_server() -> str:
    """The program, of this environment or in the path. Raises Unavailable."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Unavailable("nats-server is neither in this environment nor in the path; see https://nats.io")
    return found


def refuse_taken(port: int) -> None:
    """Raises Unavailable if somebody listens there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = "taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise Unavailable(f"port {port} on 127.0.0.1: {why}; --lines and --page choose others") from None


def free_port() -> int:
    """A port at which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def say(text: str) -> None:
    """A line for the person who watches."""
    print(f"cluster: {text}", flush=True)


async def play(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """The demo from its start to Ctrl-C; the exit code."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def stop() -> None:
        if not task.cancelling():  # The second Ctrl-C finds it ending.
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    with tempfile.TemporaryDirectory(prefix="hubbub-cluster-") as folder:
        cluster = Cluster(Path(folder), options, flags)
        try:
            await cluster.start()
            cluster.invite()
            await cluster.watch()
            return 1
        except asyncio.CancelledError:
            return os.EX_OK
        except (Unavailable, TimeoutError) as error:
            print(f"cluster: {str(error) or 'no start in time'}", file=sys.stderr)
            return os.EX_UNAVAILABLE
        finally:
            await cluster.stop()


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what is left of it for the hubs."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster_demo",
        description="Three hubs that share their rooms. Other flags go to the hubs.",
        allow_abbrev=False,
    )
    for flag, port in (("--lines", LINES), ("--page", PAGE)):
        parser.add_argument(flag, metavar="PORT", type=int, default=port, help=f"of the first hub ({port})")
    parser.add_argument("--people", action="store_true", help="made-up clients on the last hub")
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(play(*parse(sys.argv[1:]))))
