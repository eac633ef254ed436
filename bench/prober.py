"""An outside prober: one line every few milliseconds, on schedule, and how long until it is back.

    python -m bench.prober --host 127.0.0.1 --port 9000 --interval-ms 2 --seconds 60

A program of its own, because a hub that stands still does not see it: its clock stands still with it. The
load is open-loop: the moments of sending are planned, and a line's time counts from its planned moment,
so that a stop of the hub costs all the lines that were due in it, not only the one that was under way
("coordinated omission"; Gil Tene, How NOT to measure latency). For the same reason a line that never comes
back is the worst of all. The prober's own lateness in sending is in these times too, and told apart below
them. In a room the lines of others come back as well: the prober knows its own by a tag.
"""

import argparse
import gc
import json
import math
import os
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from bench.figures import Distribution, distribution

READ_BYTES = 1 << 16
GRACE_S = 2.0
"""How long the last answers may take."""
SETTLE_S = 0.2


class Prober:
    """A connection and the times of its lines. The clock is handed in; it gives seconds."""

    def __init__(
        self, sock: socket.socket, interval_s: float, count: int, clock: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._interval_s = interval_s
        self._count = count
        self._clock = clock
        self._tag = b"probe-%d-" % os.getpid()
        self._rest = b""
        self._start = 0.0
        self._sent = 0
        self._answered = 0
        self.times_s = array("d", [math.inf]) * count
        """From the planned moment to the answer, line by line; infinite where none came."""
        self.lateness_s = array("d", [0.0]) * count
        """From the planned moment to the send."""

    def run(self) -> None:
        """Send and receive until every line is back, or the grace is over. Raises OSError."""
        self._start = self._clock() + SETTLE_S
        end = self._start + self._count * self._interval_s + GRACE_S
        while self._answered < self._count:
            now = self._clock()
            if now >= end:
                return
            if self._sent < self._count and self._planned(self._sent) <= now:
                self._send_due(now)
            due = self._planned(self._sent) if self._sent < self._count else end
            readable, _, _ = select.select([self._sock], [], [], max(0.0, due - self._clock()))
            if readable:
                self._receive()

    def _planned(self, number: int) -> float:
        return self._start + number * self._interval_s

    def _send_due(self, now: float) -> None:
        lines = []
        while self._sent < self._count and self._planned(self._sent) <= now:
            self.lateness_s[self._sent] = now - self._planned(self._sent)
            lines.append(b"%b%d\n" % (self._tag, self._sent))
            self._sent += 1
        self._sock.sendall(b"".join(lines))

    def _receive(self) -> None:
        data = self._sock.recv(READ_BYTES)
        now = self._clock()
        if not data:
            raise ConnectionError("closed by the hub")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            _, found, number = line.partition(self._tag)
            if found:
                self.times_s[int(number)] = now - self._planned(int(number))
                self._answered += 1


def probe(host: str, port: int, interval_s: float, seconds: float, first: str = "") -> Prober:
    """Connect and probe for so long. `first` is a line to say before, such as a /join. Raises OSError."""
    with socket.create_connection((host, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if first:
            sock.sendall(f"{first}\n".encode())
        prober = Prober(sock, interval_s, max(1, round(seconds / interval_s)), time.perf_counter)
        prober.run()
    return prober


def figures(prober: Prober, interval_s: float) -> tuple[Distribution, Distribution]:
    """The distributions of the answers' times and of the prober's own lateness."""
    per_second = max(1, round(1 / interval_s))
    return distribution(prober.times_s, per_second), distribution(prober.lateness_s, per_second)


def keep_quiet() -> None:
    """Let nothing of this process disturb the schedule: no collections, and before others where allowed."""
    gc.disable()
    with suppress(OSError):  # Only root may: sched(7). The prober nearly always sleeps, so nothing starves.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.prober", description=str(__doc__).split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--interval-ms", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", default="", metavar="LINE", help="to say before, such as a /join")
    parser.add_argument("--json", action="store_true", help="two lines for a program to read")
    parser.add_argument("--raw", action="store_true", help="one line with every single time in seconds")
    options = parser.parse_args(arguments)
    keep_quiet()
    interval_s = options.interval_ms / 1000
    prober = probe(options.host, options.port, interval_s, options.seconds, options.first)
    answers, lateness = figures(prober, interval_s)
    if options.raw:
        print(json.dumps([round(time_s, 6) for time_s in prober.times_s]))
    elif options.json:
        print(answers.as_json(), lateness.as_json(), sep="\n")
    else:
        print(f"answers  {answers}\nsending  {lateness}")


if __name__ == "__main__":
    main(sys.argv[1:])
