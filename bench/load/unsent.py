"""What the kernel did not take at once: kept until it does, in order, for each connection."""

import os


class Unsent:
    """The rests of writes. True while there are any, so that a hot loop asks one thing.

    A connection that is gone is forgotten: its end is noticed where it is read.
    """

    __slots__ = ("_rests",)

    def __init__(self) -> None:
        self._rests: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._rests)

    def send(self, fd: int, data: bytes | memoryview) -> None:
        """Send all of it, now or later."""
        if fd in self._rests:
            self._rests[fd] += data
            return
        try:
            sent = os.write(fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(data):
            self._rests[fd] = bytes(data[sent:])

    def flush(self) -> None:
        """Try all rests once more."""
        for fd in list(self._rests):
            self.send(fd, self._rests.pop(fd))
