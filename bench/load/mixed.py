"""Mixed: lines on schedule to all readers, while other clients come and go and some readers never read.

The time of a line counts from its planned moment until the readers that read have it, so all that the others
cost shows in it.
"""

import heapq
import random
import select
import socket
import struct
import time

from bench.load.connect import Place, allow
from bench.load.fanout import Fanout, wire_of
from bench.load.histogram import Histogram
from bench.load.options import MixedOptions
from bench.load.plan import Plan
from bench.load.result import Result
from bench.load.room import gather
from bench.load.stalled import count_closed, part
from bench.load.stopwatch import Stopwatch
from bench.load.wire import Wire

STAY_S = 1.0
"""The longest stay of a client that comes and goes: it reads nothing, and must not be closed for that."""
IN_ORDER = struct.pack("ii", 0, 0)
"""SO_LINGER that lets close(2) send a FIN, unless something was left unread, which resets in any case."""


def run_mixed(options: MixedOptions, wire: Wire | None = None) -> Result:
    """Run the workload to its end. Raises LoadError."""
    wire = wire or wire_of(options)
    latency = Histogram()
    watch = Stopwatch(options, "mixed", latency)
    epoll = select.epoll()  # Before the connections: select(2) takes only small numbers (bench/load/plan.py).
    allow(options.readers + options.writers + int(options.churn * STAY_S) + 1)
    guests = Guests(options)
    room = gather(options, wire)
    try:
        reading, stalled = part(room, options)
        fanout = Fanout(reading, options, wire, epoll, watch, latency)
        fanout.aside = guests.turn
        guests.start()
        with watch.interruptible():
            fanout.run()
        fanout.finish()
        closed = count_closed(stalled)
    finally:
        room.close()
        guests.close()
        epoll.close()
    details = {
        "stalled_readers": float(len(stalled)),
        "stalled_closed": float(closed),
        "came_and_went": float(guests.came),
        "failed_to_come": float(guests.failed),
    }
    return watch.result(open_loop=True, lost_clients=fanout.lost, missing=fanout.missing, details=details)


class Guests:
    """Clients that come on schedule, stay a while and leave: half of them in order, half by a reset."""

    def __init__(self, options: MixedOptions) -> None:
        self.came = 0
        self.failed = 0
        self._place = Place(options.host, options.port)
        self._first = options.readers + options.writers
        self._plan = Plan(options.churn) if options.churn else None
        self._dice = random.Random(options.seed)
        self._here: list[tuple[float, int, socket.socket]] = []
        """A heap of when each leaves."""

    def start(self) -> None:
        """The first comes now."""
        if self._plan:
            self._plan.start()

    def turn(self) -> None:
        """Come and go, as far as it is time."""
        if not self._plan:
            return
        now = time.monotonic()
        while self._here and self._here[0][0] <= now:
            _leave(*heapq.heappop(self._here)[1:])
        for _ in self._plan.due():
            self.came += 1
            try:
                sock = self._place.open(self._first + len(self._here))
            except OSError:
                self.failed += 1
                continue
            heapq.heappush(self._here, (now + self._dice.uniform(0.0, STAY_S), self.came, sock))

    def close(self) -> None:
        """All leave."""
        for _, number, sock in self._here:
            _leave(number, sock)


def _leave(number: int, sock: socket.socket) -> None:
    if number % 2:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, IN_ORDER)
    sock.close()
