"""CPU time and memory of the server's processes, read from /proc (proc_pid_stat(5), proc_pid_statm(5))."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.load.result import LoadError

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UTIME, _STIME = 11, 12  # Fields behind the name, which may hold blanks and is in parentheses.


class Processes:
    """Some processes, taken together. Raises LoadError where one is not there."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.cpu_s()

    def __bool__(self) -> bool:
        return bool(self._pids)

    def cpu_s(self) -> float:
        """User and system time of all their threads, in steps of 10 ms."""
        return sum(_cpu_s(pid) for pid in self._pids)

    def wait_s(self) -> float:
        """How long their threads were ready to run and had no core, /proc/N/task/N/schedstat (ns)."""
        return sum(wait_s(pid) for pid in self._pids)

    def rss_bytes(self) -> int:
        """Resident memory. Pages that two of them share count twice."""
        return sum(_rss_bytes(pid) for pid in self._pids)


def _cpu_s(pid: int) -> float:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_S


def wait_s(pid: int) -> float:
    """How long the threads of a process waited for a core; 0 where the kernel does not count that."""
    found = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # A thread that has ended meanwhile.
            found += int(path.read_text().split()[1])
    return found / 1e9


def _rss_bytes(pid: int) -> int:
    return int(_read(pid, "statm").split()[1]) * _PAGE_BYTES


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        raise LoadError(f"--pid: {pid}: no such process, or it has ended") from None
