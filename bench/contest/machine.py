"""The machine that the figures depend on: its processor, its kernel, and who else used its cores."""

import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

STEAL = 8
"""The field of a line of /proc/stat, whose first one is the name."""
SYSTEM = {
    "congestion control": "net/ipv4/tcp_congestion_control",
    "tcp_wmem": "net/ipv4/tcp_wmem",
    "tcp_rmem": "net/ipv4/tcp_rmem",
}
"""Settings of the kernel that move figures, below /proc/sys."""


def stolen_s() -> float:
    """Seconds for which the host ran something else than this machine, all cores together: proc_stat(5)."""
    fields = _first_line(Path("/proc/stat")).split()
    return int(fields[STEAL]) / os.sysconf("SC_CLK_TCK") if len(fields) > STEAL else 0.0


def facts() -> dict[str, str]:
    """The machine in words, and the date."""
    kernel = {name: _first_line(Path("/proc/sys") / path) for name, path in SYSTEM.items()}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "memory": memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load average before": _first_line(Path("/proc/loadavg")),
        **kernel,
    }


def processor() -> str:
    """How many cores of which kind."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} x {found[1] if found else platform.machine()}"


def memory() -> str:
    """All of the machine's memory."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return f"{int(found[1]) / 2**20:.1f} GiB" if found else "unknown"


def cores() -> tuple[int, int]:
    """The core of the contestants and that of the load. Exits where there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("the contest needs two cores: one for the contestant, one for the load")
    return allowed[0], allowed[1]


def _first_line(path: Path) -> str:
    try:
        return " ".join(path.read_text().split("\n")[0].split())
    except OSError:
        return "unknown"
