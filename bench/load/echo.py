"""Echo: clients that send a segment of lines and wait until it is back; or lines on schedule.

Closed loop: each client has one segment of `depth` lines under way, and its time counts from the write to the
read that completes it. Open loop (`rate`): the clients take turns, a line has a planned moment, and its time
counts from that, so that a server that stands still costs all lines that were due meanwhile.
"""

import select
import socket
from collections.abc import Sequence

from bench.load.connect import Ears, Place, allow, close, connect, say
from bench.load.echo_loops import ClosedLoop, OpenLoop
from bench.load.histogram import Histogram
from bench.load.options import EchoOptions
from bench.load.result import LoadError, Result
from bench.load.stopwatch import Stopwatch
from bench.load.verify import line_of

QUIET_S, GREETING_S, ANSWER_S = 0.1, 2.0, 5.0


def run_echo(options: EchoOptions) -> Result:
    """Run the workload to its end. Raises LoadError."""
    allow(options.clients)
    place = Place(options.host, options.port)
    latency = Histogram()
    watch = Stopwatch(options, "echo", latency)
    epoll = select.epoll()  # Before the connections: select(2) takes only small numbers (bench/load/plan.py).
    sockets = connect(place, options.clients)
    try:
        _try_out(sockets, line_of(options.size))
        with watch.interruptible():
            lost, missing = _run(options, sockets, epoll, watch, latency)
    finally:
        close(sockets)
        epoll.close()
    return watch.result(open_loop=bool(options.rate), lost_clients=lost, missing=missing)


def _run(
    options: EchoOptions,
    sockets: Sequence[socket.socket],
    epoll: select.epoll,
    watch: Stopwatch,
    latency: Histogram,
) -> tuple[int, int]:
    """Run one of the loops; the clients that were closed, and the lines that never came back."""
    if options.rate:
        scheduled = OpenLoop(options, sockets, epoll, watch, latency)
        scheduled.run()
        return scheduled.lost, scheduled.unanswered()
    loop = ClosedLoop(options, sockets, epoll, watch, latency)
    loop.run_verified() if options.verify else loop.run()
    return loop.lost, 0


def _try_out(sockets: Sequence[socket.socket], line: bytes) -> None:
    """Read what the server says by itself, then see one line of each client come back."""
    ears = Ears(sockets)
    try:
        ears.until_quiet(QUIET_S, GREETING_S)
        ears.forget()
        for sock in sockets:
            say(sock, line)
        if not ears.until(lambda seen: len(seen) >= len(line), list(ears.seen), ANSWER_S):
            raise LoadError(f"no echo within {ANSWER_S:g} s: the server must send a line back to its sender")
        ears.until_quiet(QUIET_S, GREETING_S)
        odd = next((seen for seen in ears.seen.values() if seen != line), None)
        if odd is not None:
            raise LoadError(f"no echo: {len(line)} bytes were sent, and {len(odd)} came: {odd[:100]!r}")
    except OSError as error:
        raise LoadError(f"the server closed a connection: {error.strerror}") from None
    finally:
        ears.close()
