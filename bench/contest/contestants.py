"""The contestants: the command that starts each, what it speaks, and what it misses where it cannot start."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION_S = 20.0
OTHER_BUILD = {"compiled": "pure", "pure": "compiled"}
MOST_CLIENTS = "10000"
"""What hubbub takes at its default; the others are raised to it where they take fewer."""
ADDRESS = "127.0.0.1"
MOSQUITTO = """allow_anonymous true
max_queued_messages 0
set_tcp_nodelay true
user root
"""
"""Without a listener of its own it hears loopback only; as root it stays, because setuid(2) clears the
signal that ends it with this program."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server. `{port}` in its command is a free port; `wire` names what it speaks (bench/contest/wires)."""

    name: str
    command: tuple[str, ...]
    wire: str = "line"
    extra: Mapping[str, str] = field(default_factory=dict)
    version: str | tuple[str, ...] = ()
    """Its version, or the command that prints it."""
    module: str = ""
    """The Python module that it needs."""

    @property
    def missing(self) -> str:
        """The program or module that is not installed; empty when all is there."""
        if self.module and importlib.util.find_spec(self.module) is None:
            return self.module
        return "" if shutil.which(self.command[0]) else self.command[0]


@dataclass(frozen=True, slots=True)
class Build:
    """A hubbub to compare: its name, and the command that `serve` follows."""

    name: str
    command: tuple[str, ...]

    def serve(self, mode: str, *flags: str, called: str = "") -> Contestant:
        """This hubbub at its default settings, but for its mode and these flags, on free ports."""
        ports = ("--host", ADDRESS, "--port", "{port}", "--ws-port", "0", "--web-port", "0")
        return Contestant(
            f"hubbub {self.name}{called}",
            (*self.command, "serve", *ports, "--mode", mode, *flags),
            "chat" if mode == "chat" else "line",
            version=(*self.command, "--version"),
        )


class Others:
    """Everybody else, with what they need in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def c(self, mode: str) -> Contestant:
        """The yardstick. Without a compiler it is missing."""
        program = self._folder / "hub"
        compiler = shutil.which("cc")
        if compiler and not program.exists():
            subprocess.run([compiler, "-O2", "-o", str(program), str(HERE / "hub.c")], check=True)
        return Contestant(f"C {mode}", (str(program), "{port}", mode), version=("cc", "--version"))

    def python(self, library: str, form: str) -> Contestant:
        """An echo server on asyncio or uvloop."""
        # -P: the folder of the script holds modules whose names others have too.
        command = (sys.executable, "-P", str(HERE / "echo_servers.py"), library, form, "{port}")
        version = platform.python_version() if library == "asyncio" else installed(library)
        return Contestant(f"{library} {form}", command, version=version, module=library)

    def redis(self) -> Contestant:
        """Pub/sub on one channel, without persistence."""
        keep_nothing = ("--save", "", "--appendonly", "no")
        flags = ("--bind", ADDRESS, "--port", "{port}", "--maxclients", MOST_CLIENTS, *keep_nothing)
        return Contestant("Redis", ("redis-server", *flags), "redis", version=("redis-server", "--version"))

    def nats(self) -> Contestant:
        """A single subject, and a single processor for the Go code."""
        program = _beside_python("nats-server")
        flags = ("--addr", ADDRESS, "--port", "{port}")
        one_core = {"GOMAXPROCS": "1"}
        return Contestant("NATS", (program, *flags), "nats", one_core, version=(program, "--version"))

    def mosquitto(self) -> Contestant:
        """QoS 0, and no queue that drops."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "mosquitto"
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(MOSQUITTO)
        command = (program, "-c", str(configuration), "-p", "{port}")
        return Contestant("mosquitto", command, "mqtt", version=(program, "-h"))

    def ncat(self) -> Contestant:
        """ncat --broker, which leaves the sender out, and waits with select(2) for a thousand at most."""
        flags = ("--broker", "--listen", ADDRESS, "{port}", "--max-conns", MOST_CLIENTS)
        return Contestant("ncat", ("ncat", *flags), version=("ncat", "--version"))


def installed(package: str) -> str:
    """The version of a package of this environment."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def version_of(contestant: Contestant) -> str:
    """The first line with a number that it prints of its version; "unknown" where it says nothing."""
    if isinstance(contestant.version, str):
        return contestant.version
    try:
        said = subprocess.run(
            contestant.version, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=VERSION_S,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "unknown"
    lines = said.strip().splitlines()
    return next((line.strip() for line in lines if re.search(r"\d", line)), "unknown")


def wrong_build(build: Build, version: str) -> bool:
    """Whether a hubbub that is called compiled or pure says that it is the other one."""
    return f"({OTHER_BUILD.get(build.name)})" in version


def builds(options: Sequence[str]) -> list[Build]:
    """The hubbubs of `NAME=COMMAND` each. Raises ValueError for anything else."""
    found = []
    for option in options:
        name, equals, command = option.partition("=")
        if not (name and equals and command.split()):
            raise ValueError(f"NAME=COMMAND is expected, not {option!r}")
        found.append(Build(name, tuple(command.split())))
    return found


def _beside_python(program: str) -> str:
    """A program of this virtual environment, or the one in the path of that name."""
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() else program
