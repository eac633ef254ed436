"""Writers that say as much as the readers take: a closed loop with a window, for the rate of the others.

The writers take turns with BATCH lines each, as long as no more than a window of each is under way: what was
sent and the first reader does not have yet.
"""

import select
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

LINE: Final = b"x" * 63 + b"\n"
BATCH: Final = LINE * 10
READ_BYTES = 1 << 18
QUIET_S = 0.3


class Pump:
    """Writers, readers, and how many bytes each reader got."""

    def __init__(
        self,
        poll: select.epoll,
        writers: Sequence[socket.socket],
        readers: Sequence[socket.socket],
        window: int,
    ) -> None:
        self._poll = poll
        self._all = {sock.fileno(): sock for sock in (*writers, *readers)}
        self._got = {sock.fileno(): 0 for sock in readers}
        self._pilot = readers[0].fileno()
        self._buffer = bytearray(READ_BYTES)
        self._under_way = len(LINE) * window * len(writers)
        self._order = list(writers)
        self._sent = 0
        self._rest = b""
        self._heard_s = self._pause_s = 0.0

    def run(self, seconds: float) -> dict[str, Any]:
        """Pump for so long. Lines per second that a reader got, on average and at the slowest one.

        `pause_s` is the longest time in which the first reader got nothing.
        """
        cpu_s, began_s = time.process_time(), time.monotonic()
        self._heard_s = began_s
        while time.monotonic() < began_s + seconds:
            self._send()
            self._receive()
        passed_s = time.monotonic() - began_s
        lines = [got / len(LINE) / passed_s for got in self._got.values()]
        busy = (time.process_time() - cpu_s) / passed_s
        pause_s = max(self._pause_s, time.monotonic() - self._heard_s)
        self._drain()
        rates = {"lines_per_s": sum(lines) / len(lines), "slowest_per_s": min(lines)}
        return {**rates, "pause_s": pause_s, "herd_busy": busy}

    def _send(self) -> None:
        """A batch of the next writer, if the pilot is near enough and that writer's kernel takes it."""
        while self._send_rest() and self._sent - self._got[self._pilot] <= self._under_way - len(BATCH):
            self._order.append(self._order.pop(0))
            self._rest = BATCH

    def _send_rest(self) -> bool:
        """Whether the kernel has taken all of the batch."""
        with suppress(BlockingIOError):
            while self._rest:
                taken = self._order[-1].send(self._rest)
                self._sent += taken
                self._rest = self._rest[taken:]
        return not self._rest

    def _receive(self) -> None:
        for fd, _ in self._poll.poll(0.001):
            with suppress(BlockingIOError):
                # tcp(7): with MSG_TRUNC the kernel throws the bytes away and copies none.
                got = self._all[fd].recv_into(self._buffer, READ_BYTES, socket.MSG_TRUNC)
                if not got:
                    sys.exit("the hub closed a connection of the herd that reads")
                if fd in self._got:
                    self._got[fd] += got
                if fd == self._pilot:
                    now_s = time.monotonic()
                    self._heard_s, self._pause_s = now_s, max(self._pause_s, now_s - self._heard_s)

    def _drain(self) -> None:
        """Finish the last line, and read on until the hub has nothing more to say."""
        quiet_at_s = time.monotonic() + QUIET_S
        while time.monotonic() < quiet_at_s:
            before = sum(self._got.values())
            if self._rest:
                self._send_rest()
            self._receive()
            if self._rest or sum(self._got.values()) != before:
                quiet_at_s = time.monotonic() + QUIET_S
