"""`hubbub bench`: the flags of each workload, checked here, and the start of the load.

The load is a program of its own, bench/load, that the hub never imports: the launcher starts it, as it starts
the demo's clients. exec(2) gives it a process without this command line in it; its one argument is JSON.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Final, Literal, NoReturn

import cyclopts
from cyclopts import Group, Parameter

from hub.cli.demo import LAUNCHER
from hub.config.settings import Conflict, running
from hub.config.values import FLAG, HOST, MILLION, PORT, Kind, choice, duration, number, size

LOAD: Final = "measured-load"
"""The launcher's first argument for the program in bench/load."""
NUMBERED_BYTES: Final = 20
"""The shortest line that holds a number; bench/load/verify.py has the same."""
Workload = Literal["echo", "fanout", "stalled", "mixed", "storm", "idle"]

_CLIENTS = number(1, MILLION)
_RATE = number(1, 10 * MILLION, off=True)
_PERCENT = number(1, 99)
_SECONDS = duration(0.1, 3600)
_WARMUP = duration(0.1, 3600, off=True)
_SIZE = size(2, 1 << 20)
_PIDS = replace(number(1, 1 << 22), many=True, show=lambda pids: " ".join(map(str, pids)) or "(none)")
_OFF = Parameter(negative=())
_FLAGS = Group("Flags", sort_key=1)
_HELP = """\
Measure a line server: hubbub or any other, over sockets, from outside.

Progress goes to stderr once a second, a table comes at the end. Ctrl-C ends
a run early with what was measured so far. --pid adds what the server's
processes cost. A closed loop sends the next line when the last is back; with
--rate each line has a planned moment and is timed from it, so that no stop
of the server is hidden. The load says when it was itself the bottleneck:
give it a core of its own, as in

taskset -c 1 hubbub bench fanout localhost 9000 --pid $(pgrep -o hubbub)

Exit codes: 0 measured, 1 not: no connection, wrong answers; 2 wrong usage."""


def _flag(name: str, kind: Kind) -> Parameter:
    """A flag as serve has them, in a group of its own."""
    return Parameter.combine(running(name, kind), Parameter(group=_FLAGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What every workload takes."""

    seconds: Annotated[float, _flag("--seconds", _SECONDS)] = 5.0
    """How long is measured."""
    size: Annotated[int, _flag("--size", _SIZE)] = 64
    """Bytes of a line, with its LF."""
    pid: Annotated[tuple[int, ...], _flag("--pid", _PIDS)] = ()
    """A process of the server, whose CPU time and memory are reported. May be repeated."""
    json: Annotated[bool, _flag("--json", FLAG), _OFF] = False
    """Print one JSON object in place of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmFlags(Flags):
    """What every workload takes that goes on for some time."""

    warmup_s: Annotated[float, _flag("--warmup", _WARMUP)] = 1.0
    """How long the load runs before it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoFlags(WarmFlags):
    """What echo takes."""

    clients: Annotated[int, _flag("--clients", _CLIENTS)] = 100
    """Connections."""
    depth: Annotated[int, _flag("--depth", number(1, 10_000))] = 1
    """Lines in a segment: each client sends so many at once and waits for all of them."""
    rate: Annotated[int, _flag("--rate", _RATE)] = 0
    """Open loop: so many lines a second from all together, on schedule. 0: closed loop."""
    verify: Annotated[bool, _flag("--verify", FLAG), _OFF] = False
    """Number the lines and compare each byte that comes back. Slower; closed loop only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFlags(WarmFlags):
    """What every workload takes in which writers are heard by readers."""

    readers: Annotated[int, _flag("--readers", _CLIENTS)] = 100
    """Connections that only listen."""
    writers: Annotated[int, _flag("--writers", _CLIENTS)] = 10
    """Connections that send."""
    verify: Annotated[bool, _flag("--verify", FLAG), _OFF] = False
    """Number the lines; none may be missing, come twice or out of order. Slower."""
    chat: Annotated[bool, _flag("--chat", FLAG), _OFF] = False
    """The server is a hubbub in chat mode (with --line-rate 0): each client takes a nick."""
    writer_port: Annotated[int, _flag("--writer-port", PORT)] = 0
    """Port for writers, such as a hub's --write-only-port. 0: the same port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutFlags(RoomFlags):
    """What fanout takes."""

    window: Annotated[int, _flag("--window", number(1, 10_000))] = 100
    """Lines under way for each writer: sent, and not yet received by the average reader."""
    rate: Annotated[int, _flag("--rate", _RATE)] = 0
    """Open loop: so many lines a second from all writers together, on schedule. 0: closed loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledFlags(FanoutFlags):
    """What stalled takes."""

    readers: Annotated[int, _flag("--readers", _CLIENTS)] = 1000
    """Connections that only listen."""
    stalled: Annotated[int, _flag("--stalled", _PERCENT)] = 10
    """Percent of the readers that stop reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFlags(RoomFlags):
    """What mixed takes."""

    rate: Annotated[int, _flag("--rate", number(1, 10 * MILLION))] = 1000
    """Lines a second from all writers together, on schedule."""
    stalled: Annotated[int, _flag("--stalled", _PERCENT)] = 5
    """Percent of the readers that never read."""
    churn: Annotated[int, _flag("--churn", number(1, 10_000, off=True))] = 50
    """Clients that come in a second, stay for up to a second and leave. 0: none."""
    seed: Annotated[int, _flag("--seed", number(0, MILLION))] = 1
    """The same coming and going again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StormFlags(Flags):
    """What storm takes."""

    seconds: Annotated[float, _flag("--seconds", _SECONDS)] = 60.0
    """The longest it may take; it ends when all have been answered."""
    clients: Annotated[int, _flag("--clients", _CLIENTS)] = 1000
    """Connections, which all stay until the end."""
    at_once: Annotated[int, _flag("--at-once", _CLIENTS)] = 100
    """Closed loop: how many are under way, from the connect to the answer."""
    rate: Annotated[int, _flag("--rate", _RATE)] = 0
    """Open loop: so many connects a second, on schedule. 0: closed loop."""
    chat: Annotated[bool, _flag("--chat", FLAG), _OFF] = False
    """A hubbub in chat mode: each client takes a nick, in place of a line that all would get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleFlags(WarmFlags):
    """What idle takes."""

    clients: Annotated[int, _flag("--clients", _CLIENTS)] = 1000
    """Connections, from which nothing comes."""


def refuse(hint: object, flags: Flags) -> None:
    """Raise Conflict for flags that do not go together: a cyclopts validator."""
    if getattr(flags, "verify", False):
        if flags.size < NUMBERED_BYTES:
            raise Conflict("--size", f"with --verify at least {NUMBERED_BYTES}, as each line has a number")
        if isinstance(flags, EchoFlags) and flags.rate:
            raise Conflict("--rate", "0 with --verify, which is closed loop in echo")
    if isinstance(flags, StalledFlags | MixedFlags) and flags.readers * flags.stalled < 100:
        raise Conflict("--readers", f"more, for {flags.stalled} percent of them to be one at least")


_FLAT = Parameter(name="*", validator=refuse)
Host = Annotated[str, Parameter(converter=HOST, help="Name or address of the server.")]
Port = Annotated[int, Parameter(converter=number(1, 65535), help="Port of its lines.")]


def echo(host: Host, port: Port, /, flags: Annotated[EchoFlags, _FLAT] = EchoFlags()) -> NoReturn:
    """Lines that come back to their sender: depth 1, pipelined, or on schedule."""
    _load("echo", host, port, flags)


def fanout(host: Host, port: Port, /, flags: Annotated[FanoutFlags, _FLAT] = FanoutFlags()) -> NoReturn:
    """Lines of some writers that come to every reader: a hub in broadcast or chat.

    The writers together have at most writers x window lines under way. With
    --writers 1 --window 1 a line is sent when the last reader has the one before.
    """
    _load("fanout", host, port, flags)


def stalled(host: Host, port: Port, /, flags: Annotated[StalledFlags, _FLAT] = StalledFlags()) -> NoReturn:
    """Fan-out twice: all read, then some stop reading; what rate the others keep."""
    _load("stalled", host, port, flags)


def mixed(host: Host, port: Port, /, flags: Annotated[MixedFlags, _FLAT] = MixedFlags()) -> NoReturn:
    """Fan-out on schedule while clients come and go and some readers never read."""
    _load("mixed", host, port, flags)


def storm(host: Host, port: Port, /, flags: Annotated[StormFlags, _FLAT] = StormFlags()) -> NoReturn:
    """Many clients connect at once; how long until each one's first line is answered."""
    _load("storm", host, port, flags)


def idle(host: Host, port: Port, /, flags: Annotated[IdleFlags, _FLAT] = IdleFlags()) -> NoReturn:
    """Clients that do nothing; what each costs in memory, with --pid."""
    _load("idle", host, port, flags)


def no_such(workload: Annotated[str, Parameter(converter=choice(Workload), show=False)], /) -> None:
    """What is meant where no workload is named: its converter says which there are."""


def app() -> cyclopts.App:
    """The command with its workloads."""
    made = cyclopts.App(name="bench", help=_HELP, help_epilogue="", default_command=no_such)
    for workload in (echo, fanout, stalled, mixed, storm, idle):
        made.command(workload)
    return made


def _load(workload: Workload, host: str, port: int, flags: Flags) -> NoReturn:
    """Become the load."""
    told = json.dumps({"workload": workload, "host": host, "port": port, **asdict(flags)})
    python = [sys.executable, "-I" if sys.flags.isolated else "-P"]
    os.execv(sys.executable, [*python, str(LAUNCHER), LOAD, told])
