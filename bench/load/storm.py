"""Connect storm: many clients come at once, and how long until each is connected and answered.

The kernel completes a connection before the server has accepted it, so every client says a line as well, and
the time that counts ends with the first byte that comes back. A server that answers nothing by itself (a room
without greeting) is timed to the connect alone, which says little about it. All stay until the end.
"""

import os
import select
import socket
import time
from collections.abc import Callable

from bench.load.connect import Ears, Place, allow, close, connect, say
from bench.load.histogram import Histogram
from bench.load.options import StormOptions
from bench.load.plan import WAIT_S, Plan, wait
from bench.load.result import Result
from bench.load.stopwatch import Stopwatch, clock_s
from bench.load.verify import line_of
from bench.load.wire import ChatWire

ANSWER_S = 2.0
READ_BYTES = 1 << 16
NO_ANSWER = "the server does not answer a newcomer: the times are those of the kernel's connects"


def run_storm(options: StormOptions) -> Result:
    """Run the workload to its end. Raises LoadError."""
    allow(options.clients + 1)
    place = Place(options.host, options.port)
    wire = ChatWire()
    words: Callable[[], bytes] = wire.hello if options.chat else lambda: line_of(options.size)
    answers = _is_answered(place, words())
    latency = Histogram()
    watch = Stopwatch(options, "storm", latency, unit="connections")
    epoll = select.epoll()  # Before the connections: select(2) takes only small numbers (bench/load/plan.py).
    storm = Storm(options, place, words if answers else None, epoll, watch, latency)
    try:
        with watch.interruptible():
            storm.run()
    finally:
        storm.close()
        epoll.close()
    return watch.result(
        open_loop=bool(options.rate),
        lost_clients=storm.failed,
        missing=options.clients - storm.done - storm.failed,
        details=storm.details(),
        notes=() if answers else (NO_ANSWER,),
    )


def _is_answered(place: Place, line: bytes) -> bool:
    """Whether a newcomer that says a line receives anything. Raises LoadError."""
    sockets = connect(place, 1)
    ears = Ears(sockets)
    try:
        say(sockets[0], line)
        return ears.until(bool, [sockets[0].fileno()], ANSWER_S)
    finally:
        ears.close()
        close(sockets)


class Storm:
    """The clients: not begun, connecting, waiting for an answer, done or failed."""

    def __init__(
        self,
        options: StormOptions,
        place: Place,
        words: Callable[[], bytes] | None,
        epoll: select.epoll,
        watch: Stopwatch,
        latency: Histogram,
    ) -> None:
        self.done = 0
        self.failed = 0
        """Refused, reset, or closed before an answer."""
        self._options = options
        self._place = place
        self._words = words
        self._epoll = epoll
        self._watch = watch
        self._latency = latency
        self._connected = Histogram()
        self._sockets: list[socket.socket] = []
        self._connecting: dict[int, tuple[socket.socket, int]] = {}
        """By descriptor: the socket, and the moment that its time counts from, in nanoseconds."""
        self._waiting: dict[int, int] = {}

    def run(self) -> None:
        """Until all are answered, or time is over."""
        options, watch = self._options, self._watch
        plan = Plan(options.rate) if options.rate else None
        begun = 0
        watch.start()
        if plan:
            plan.start()
        while not watch.over:
            moments = [*plan.due()] if plan else [0] * (options.at_once - self._under_way())
            for moment_ns in moments[: options.clients - begun]:
                self._begin(begun, moment_ns or time.perf_counter_ns())
                begun += 1
            for fd, _ in wait(self._epoll, plan.wait_s() if plan else WAIT_S):
                self._go_on(fd, time.perf_counter_ns())
            if begun == options.clients and not self._under_way():
                watch.end()
            if (now := clock_s()) >= watch.due_s:
                watch.tick(now, self.done, 0)

    def details(self) -> dict[str, float]:
        """What the result shows besides: the times of the connects alone."""
        connected = self._connected.latency()
        if not connected:
            return {}
        return {
            "connected_p50_ms": connected.p50_ms,
            "connected_p99_ms": connected.p99_ms,
            "connected_max_ms": connected.max_ms,
        }

    def close(self) -> None:
        """Reset all connections."""
        close(self._sockets)

    def _under_way(self) -> int:
        return len(self._connecting) + len(self._waiting)

    def _begin(self, number: int, moment_ns: int) -> None:
        try:
            sock = self._place.open(number)
        except OSError:
            self.failed += 1
            return
        self._sockets.append(sock)
        self._connecting[sock.fileno()] = sock, moment_ns
        self._epoll.register(sock, select.EPOLLOUT)

    def _go_on(self, fd: int, now_ns: int) -> None:
        """Connected: say the line. Answered: done. Else failed."""
        try:
            if fd in self._connecting:
                sock, begun_ns = self._connecting.pop(fd)
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise ConnectionError
                self._connected.record(now_ns - begun_ns)
                if self._words:
                    self._waiting[fd] = begun_ns
                    os.write(fd, self._words())
                    self._epoll.modify(fd, select.EPOLLIN)
                    return
            else:
                begun_ns = self._waiting.pop(fd)
                if not os.read(fd, READ_BYTES):
                    raise ConnectionError
        except OSError:
            self._waiting.pop(fd, None)
            self.failed += 1
        else:
            self._latency.record(now_ns - begun_ns)
            self.done += 1
        self._epoll.unregister(fd)
