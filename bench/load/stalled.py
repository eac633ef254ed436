"""Stalled readers: a fan-out in which some stop reading, and what that costs the others and the server.

The same room runs twice: first all read, then a share of the readers does nothing more. Rates are those of
the readers that go on.
"""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

from bench.load.fanout import Fanout, wire_of
from bench.load.histogram import Histogram
from bench.load.options import MixedOptions, StalledOptions
from bench.load.plan import MAX_EVENTS
from bench.load.result import Result
from bench.load.room import Room, gather
from bench.load.stopwatch import Stopwatch
from bench.load.wire import Wire

DRAIN_BYTES = 1 << 18
END_QUIET_S, END_S = 0.5, 10.0


def run_stalled(options: StalledOptions, wire: Wire | None = None) -> Result:
    """Run the workload to its end. Raises LoadError."""
    wire = wire or wire_of(options)
    epolls = select.epoll(), select.epoll()  # Before the connections: see bench/load/plan.py.
    latency = Histogram()
    before = Stopwatch(options, "all read", Histogram())
    after = Stopwatch(options, "stalled", latency)
    room = gather(options, wire)
    try:
        first = Fanout(room, options, wire, epolls[0], before, Histogram())
        with before.interruptible():
            first.run()
        first.finish()
        reading, stalled = part(room, options)
        second = Fanout(reading, options, wire, epolls[1], after, latency)
        if not before.interrupted:
            with after.interruptible():
                second.run()
            second.finish()
        closed = count_closed(stalled)
    finally:
        room.close()
        for epoll in epolls:
            epoll.close()
    were, result = (
        before.result(),
        after.result(lost_clients=first.lost + second.lost, missing=second.missing),
    )
    details = {
        "stalled_readers": float(len(stalled)),
        "stalled_closed": float(closed),
        "lines_per_s_before": were.lines_per_s,
        "rate_kept": result.lines_per_s / were.lines_per_s if were.lines_per_s else 0.0,
    }
    if were.rss_bytes is not None and result.rss_bytes is not None:
        details["rss_growth_by_stall_bytes"] = float(result.rss_bytes - were.rss_bytes)
    return replace(result, details=details, interrupted=before.interrupted or after.interrupted)


def part(room: Room, options: StalledOptions | MixedOptions) -> tuple[Room, list[socket.socket]]:
    """The room of those who go on reading, and every so-manieth reader, which does not."""
    count = len(room.readers) * options.stalled // 100
    step = len(room.readers) / count if count else 1
    stalled = [room.readers[int(number * step)] for number in range(count)]
    readers = [sock for sock in room.readers if sock not in stalled]
    return replace(room, readers=readers, per_line=room.per_line - count), stalled


def count_closed(stalled: Sequence[socket.socket]) -> int:
    """Read what the stalled ones were owed; how many of them the server has closed."""
    buffer = bytearray(DRAIN_BYTES)
    end_s = time.monotonic() + END_S
    by_fd = {sock.fileno(): sock for sock in stalled}
    with select.epoll() as epoll:
        for sock in stalled:
            epoll.register(sock, select.EPOLLIN)
        while time.monotonic() < end_s and (events := epoll.poll(END_QUIET_S, MAX_EVENTS)):
            for fd, _ in events:
                try:
                    got = by_fd[fd].recv_into(buffer, 0, socket.MSG_TRUNC)
                except OSError:
                    got = 0
                if not got:
                    epoll.unregister(fd)
                    del by_fd[fd]
    return len(stalled) - len(by_fd)
