"""What a workload measured. All rates and shares are of the measured window alone."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Bottleneck = Literal["load", "server", "none"]
BUSY_SHARE = 0.9
"""A process that uses more of a core has no idle time to speak of."""


class LoadError(Exception):
    """Why a workload cannot run, as one line for people."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of times, kept to 0.8 %."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures of one run. What needs the server's process ids is None without them."""

    workload: str
    seconds: float
    """How long was measured."""
    lines: int = 0
    """What the load sent and saw come back, or saw at the readers."""
    deliveries: int = 0
    lines_per_s: float = 0.0
    deliveries_per_s: float = 0.0
    cpu_us_per_line: float | None = None
    """The server's user and system time."""
    cpu_us_per_delivery: float | None = None
    server_cpu_share: float | None = None
    """The share of one core."""
    own_cpu_share: float = 0.0
    """The share of one core that the load itself used."""
    own_wait_share: float = 0.0
    """How much of the time the load was ready to run and other processes had the core."""
    server_wait_share: float | None = None
    """The same of the server, all its threads together."""
    bottleneck: Bottleneck = "none"
    rss_bytes: int | None = None
    """The server's resident memory at the end of the window."""
    rss_growth_bytes: int | None = None
    latency: Latency | None = None
    open_loop: bool = False
    """Whether latency counts from planned moments."""
    lost_clients: int = 0
    """Connections that the server closed."""
    missing: int = 0
    """Deliveries that never came, of lines that were sent."""
    interrupted: bool = False
    details: dict[str, float] = field(default_factory=dict)
    """What one workload alone measures, by its name with its unit."""
    notes: tuple[str, ...] = ()
    """Whatever a reader of the figures must know."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def bottleneck_of(own_share: float, server_share: float | None) -> Bottleneck:
    """What kept the figures from being higher: a busy server, else a busy load, else neither of them."""
    if server_share is not None and server_share > BUSY_SHARE:
        return "server"
    return "load" if own_share > BUSY_SHARE else "none"
