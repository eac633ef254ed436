"""What a workload is told. hub/cli/bench.py has the flags, with what is allowed and the help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every workload is told."""

    host: str = "127.0.0.1"
    port: int
    seconds: float = 5.0
    """How long is measured."""
    warmup_s: float = 1.0
    """How long the load runs before that."""
    size: int = 64
    """Bytes of a line, with its LF."""
    pid: tuple[int, ...] = ()
    """The server's processes: their CPU time and memory are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoOptions(Options):
    """Clients that each send a segment of `depth` lines and wait until all are back."""

    clients: int = 100
    depth: int = 1
    rate: float = 0.0
    """Open loop: so many lines a second from all together, on schedule. 0: closed loop."""
    verify: bool = False
    """Compare each byte that comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutOptions(Options):
    """Writers whose lines go to all readers."""

    readers: int = 100
    writers: int = 10
    window: int = 100
    """Lines under way for each writer. Under way: not yet received by every reader (bench/load/fanout.py)."""
    rate: float = 0.0
    """Open loop: so many lines a second from all writers together. 0: closed loop."""
    verify: bool = False
    """Look at each line that comes: none is missing, none comes twice, each writer's are in order."""
    chat: bool = False
    """The server is a hubbub in chat mode."""
    writer_port: int = 0
    """The port for writers where the server has one of its own; 0: the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledOptions(FanoutOptions):
    """Fan-out twice: all read, then `stalled` percent of the readers stop reading."""

    readers: int = 1000
    stalled: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOptions(FanoutOptions):
    """Fan-out on schedule, while other clients come and go, and some readers never read."""

    rate: float = 1000.0
    stalled: int = 5
    churn: float = 50.0
    """Connections that come in a second, and stay for up to a second."""
    seed: int = 1
    """The same coming and going again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StormOptions(Options):
    """Clients that connect, at most `at_once` being under way, and say a line."""

    seconds: float = 60.0
    """The longest it may take."""
    warmup_s: float = 0.0
    clients: int = 1000
    at_once: int = 100
    rate: float = 0.0
    """Open loop: so many connects a second, on schedule. 0: closed loop."""
    chat: bool = False
    """Take a nick, which is answered, in place of a line, which a chat would send to all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleOptions(Options):
    """Clients that connect and do nothing."""

    clients: int = 1000
