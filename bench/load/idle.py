"""Idle herd: clients that connect and do nothing, what each costs in memory, and all together in CPU.

Memory for each is a slope, between a tenth of the herd (at most 1,000) and the whole: what the server needs
without clients is in neither. RSS is user memory; the kernel's sockets are not in it.
"""

import os
import select
import socket

from bench.load.connect import Ears, Place, allow, close, connect
from bench.load.histogram import Histogram
from bench.load.options import IdleOptions
from bench.load.plan import MAX_EVENTS, WAIT_S
from bench.load.processes import Processes
from bench.load.result import Result
from bench.load.stopwatch import Stopwatch, clock_s, to_stderr

FIRST = 1_000
QUIET_S, SETTLE_S = 0.5, 10.0
READ_BYTES = 1 << 16
NO_PID = "without --pid there is nothing to say of memory and CPU"


def run_idle(options: IdleOptions) -> Result:
    """Run the workload to its end. Raises LoadError."""
    allow(options.clients)
    place, server = Place(options.host, options.port), Processes(options.pid)
    watch = Stopwatch(options, "idle", Histogram(), unit="")
    first = min(FIRST, max(1, options.clients // 10))
    sockets: list[socket.socket] = []
    rss: list[int] = []
    try:
        with watch.interruptible():
            for count in (first, options.clients - first):
                sockets += connect(place, count, first=len(sockets))
                _settle(sockets)
                rss.append(server.rss_bytes())
                to_stderr(f"idle: {len(sockets)} clients are connected")
            lost = _hold(sockets, watch)
    finally:
        close(sockets)
    details = {"clients": float(options.clients)}
    if server and options.clients > first:
        details["rss_bytes_per_client"] = (rss[1] - rss[0]) / (options.clients - first)
    notes = () if server else (NO_PID,)
    return watch.result(lost_clients=lost, details=details, notes=notes)


def _settle(sockets: list[socket.socket]) -> None:
    """Read greetings until nothing comes any more."""
    ears = Ears(sockets)
    ears.until_quiet(QUIET_S, SETTLE_S)
    ears.close()


def _hold(sockets: list[socket.socket], watch: Stopwatch) -> int:
    """Be there until the watch is over, reading what comes; how many the server closed."""
    lost = 0
    with select.epoll() as epoll:
        for sock in sockets:
            epoll.register(sock, select.EPOLLIN)
        watch.start()
        while not watch.over:
            for fd, _ in epoll.poll(WAIT_S, MAX_EVENTS):
                try:
                    data = os.read(fd, READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    epoll.unregister(fd)
                    lost += 1
            if lost == len(sockets):
                watch.end()
            if (now := clock_s()) >= watch.due_s:
                watch.tick(now, 0, 0)
    return lost
