"""Fan-out: what writers send comes to every reader.

A line is under way until the readers together have received as many bytes as it has deliveries, so until the
average reader has it. That costs one division a turn, and no look at any line. The writers together have at
most writers x window lines under way and send in equal shares, an eighth of the window at a time. With one
writer and a window of 1 the next line is sent when the last reader has this one.

Readers let the kernel throw the bytes away (MSG_TRUNC, tcp(7)), because they are only counted: that saves the
load a copy of everything, and the server's core the memory traffic.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.load.histogram import Histogram
from bench.load.options import FanoutOptions
from bench.load.plan import MAX_EVENTS, RETRY_S, WAIT_S, Plan, wait
from bench.load.result import Result
from bench.load.room import Room, gather
from bench.load.stopwatch import Stopwatch, clock_s
from bench.load.verify import Verifier
from bench.load.wire import ChatWire, LineWire, Wire
from bench.load.writers import Writers

READ_BYTES = 1 << 18
SILENCE_S, LAST_S = 5.0, 10.0
"""A room that is silent so long, with lines under way, has lost them. The longest wait for the last ones."""
ASIDE_S = 0.01
PARTS = 8
"""The window is filled up in so many parts."""

Receive = Callable[[bytearray, int, int], int]


def run_fanout(options: FanoutOptions, wire: Wire | None = None) -> Result:
    """Run the workload to its end. Raises LoadError."""
    latency = Histogram()
    watch = Stopwatch(options, "fanout", latency)
    wire = wire or wire_of(options)
    epoll = select.epoll()  # Before the connections: select(2) takes only small numbers (bench/load/plan.py).
    room = gather(options, wire)
    try:
        fanout = Fanout(room, options, wire, epoll, watch, latency)
        with watch.interruptible():
            fanout.run()
        fanout.finish()
    finally:
        room.close()
        epoll.close()
    return watch.result(open_loop=bool(options.rate), lost_clients=fanout.lost, missing=fanout.missing)


def wire_of(options: FanoutOptions) -> Wire:
    """How a line server is spoken to."""
    return ChatWire() if options.chat else LineWire()


@dataclass(slots=True)
class Count:
    """What the readers have received, in bytes, and in lines that all of them have."""

    line_bytes: int
    """The size of all deliveries of one line."""
    received: int = 0
    _lines: int = 0
    _from: int = 0

    @property
    def lines(self) -> int:
        """Lines that the average reader has."""
        return self._lines + (self.received - self._from) // self.line_bytes

    def owed_bytes(self, sent_lines: int) -> int:
        """What is still to come when so many lines were sent in all."""
        return (sent_lines - self._lines) * self.line_bytes - (self.received - self._from)

    def begin(self, lines: int, line_bytes: int) -> None:
        """Count anew from here: some receivers are gone, or lines are lost."""
        self._lines, self._from, self.line_bytes = lines, self.received, line_bytes


class Fanout:
    """The clients of a room at work."""

    def __init__(
        self,
        room: Room,
        options: FanoutOptions,
        wire: Wire,
        epoll: select.epoll,
        watch: Stopwatch,
        latency: Histogram,
    ) -> None:
        self.lost = 0
        self.missing = 0
        """Deliveries that did not come, of clients that are still there."""
        self.aside: Callable[[], None] = lambda: None
        """What else is to be done, every ASIDE_S."""
        self._aside_s = 0.0
        self._options = options
        self._epoll = epoll
        self._watch = watch
        self._record = latency.record
        self._per_line = room.per_line
        self._delivery_bytes = room.delivery_bytes
        self._count = Count(room.per_line * room.delivery_bytes)
        self._writers = Writers(room, options, wire)
        self._sent = 0
        self._under_way = deque[tuple[int, int]]()
        """How many lines were sent up to a moment, and the moment, ns; in an open loop the planned one."""
        hearing = [*room.readers, *(room.writers if room.writers_hear else ())]
        self._verifier = None
        if options.verify:
            fds = [sock.fileno() for sock in hearing]
            self._verifier = Verifier(options.writers, options.size, fds)
        self._receive = {sock.fileno(): self._receiver(sock) for sock in hearing}
        self._buffer = bytearray(READ_BYTES)
        for sock in hearing:
            epoll.register(sock, select.EPOLLIN)

    def run(self) -> None:
        """Send and receive until the watch is over. Raises LoadError."""
        watch, count, unsent = self._watch, self._count, self._writers.unsent
        plan = Plan(self._options.rate) if self._options.rate else None
        watch.start(count.lines, count.received // self._delivery_bytes)
        heard_s = clock_s()
        if plan:
            plan.start()
        while not watch.over:
            if self._writers and not unsent:
                self._send_due(plan) if plan else self._send_free()
            if plan:
                events = wait(self._epoll, RETRY_S if unsent else plan.wait_s())
            else:
                events = self._epoll.poll(RETRY_S if unsent else WAIT_S, MAX_EVENTS)
            self._turn(events)
            now = clock_s()
            if events:
                heard_s = now
            elif now - heard_s > SILENCE_S and self._sent > count.lines:
                self._write_off()
            if now >= self._aside_s:
                self._look_aside(now)
            if now >= watch.due_s:
                watch.tick(now, count.lines, count.received // self._delivery_bytes)

    def finish(self) -> None:
        """Receive what is under way still; what does not come is missing.

        A client that was closed took an unknown part of it along, so then nothing is waited for.
        """
        heard_s = clock_s()
        end_s = heard_s + (0.0 if self.lost else LAST_S)
        while self._count.owed_bytes(self._sent) > 0 and clock_s() < min(end_s, heard_s + SILENCE_S):
            events = self._epoll.poll(RETRY_S if self._writers.unsent else WAIT_S, MAX_EVENTS)
            heard_s = clock_s() if events else heard_s
            self._turn(events)
        self._write_off()
        self._writers.close()
        if self.lost:
            self.missing = 0

    def _turn(self, events: list[tuple[int, int]]) -> None:
        """Receive; then the times of lines that all have now, and rests of writes."""
        self._take(events)
        under_way, lines = self._under_way, self._count.lines
        if under_way and under_way[0][0] <= lines:
            now_ns = time.perf_counter_ns()
            while under_way and under_way[0][0] <= lines:
                self._record(now_ns - under_way.popleft()[1])
        if self._writers.unsent:
            self._writers.unsent.flush()

    def _look_aside(self, now: float) -> None:
        """What needs no look in every turn: replies to writers, and what else is to be done."""
        self._aside_s = now + ASIDE_S
        self.lost += self._writers.read_replies()
        if not self._writers:
            self._watch.end()
        self.aside()

    def _take(self, events: list[tuple[int, int]]) -> None:
        """The hot loop: receive from each of these clients."""
        receive, count, buffer, discard = self._receive, self._count, self._buffer, socket.MSG_TRUNC
        received = 0
        for fd, _ in events:
            try:
                got = receive[fd](buffer, 0, discard)
            except OSError:
                got = 0
            if got:
                received += got
            else:
                count.received += received
                received = 0
                self._lose(fd)
        count.received += received

    def _send_free(self) -> None:
        """Closed loop: fill the window up, once a part of it is free."""
        limit = len(self._writers) * self._options.window
        free = limit - (self._sent - self._count.lines)
        if free >= max(1, limit // PARTS):
            self._sent += free
            self._under_way.append((self._sent, time.perf_counter_ns()))
            self._writers.send(free)

    def _send_due(self, plan: Plan) -> None:
        """Open loop: send the lines whose moments have come."""
        moments = list(plan.due())
        self._under_way.extend((self._sent + at, moment) for at, moment in enumerate(moments, 1))
        self._sent += len(moments)
        self._writers.send(len(moments))

    def _receiver(self, sock: socket.socket) -> Receive:
        """How a client is read: by the kernel alone, or with a look at the lines."""
        verifier, fd = self._verifier, sock.fileno()
        if not verifier:
            return sock.recv_into

        def receive(buffer: bytearray, size: int, flags: int) -> int:
            data = sock.recv(READ_BYTES)
            verifier.take(fd, data)
            return len(data)

        return receive

    def _lose(self, fd: int) -> None:
        """Go on without a client that the server closed; the run is over when there is nobody left."""
        self.lost += 1
        self._epoll.unregister(fd)
        self._writers.drop(fd)
        self._per_line -= 1
        if self._per_line and self._writers:
            self._count.begin(self._count.lines, self._per_line * self._delivery_bytes)
        else:
            self._watch.end()

    def _write_off(self) -> None:
        """Take what is under way for lost, as nothing comes any more."""
        owed = self._count.owed_bytes(self._sent)
        self.missing += max(0, -(-owed // self._delivery_bytes))
        self._count.begin(self._sent, self._count.line_bytes)
        self._under_way.clear()
