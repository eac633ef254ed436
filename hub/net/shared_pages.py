"""Bytes for many sockets, which the kernel copies once.

write(2) copies what it is given. Where a hundred clients get the same 64 KB, those copies are two fifths of
the processor time of a hub in C. A pipe holds pages: tee(2) gives another pipe the same ones, and splice(2)
moves them from a pipe to a socket. So the bytes are copied once, into a pipe, and each socket gets references
to its pages: busy rooms of 100 and of 1,000 take a fifth less processor time or better.

Python has no tee(2), and a call by ctypes takes 1 us: one for each socket would take back what is won. So
the `source` holds the bytes many times over, and one call fills the `outlet` for as many sockets. Nobody
writes to a page of a pipe again while somebody refers to it, so a peer that takes its bytes late gets what
was sent.
"""

import ctypes
import fcntl
import mmap
import os
from collections.abc import Callable
from typing import Final

from hub.net.listeners import NO_RESOURCES

SHARED_BYTES: Final = 24 * 1024
"""From this size on a reference costs less than a copy; with half of it, a tenth of the rate is lost."""
COPIES: Final = 32
"""So many sockets get a copy before the pages are shared: to begin costs as much as 10 to 20 copies. Where
the last bytes went to more sockets, one gets a copy."""
PIPE_BYTES: Final = 1024 * 1024
"""The largest pipe that everybody may have: 256 pages (pipe(7), /proc/sys/fs/pipe-max-size)."""
STEP_BYTES: Final = 16 * mmap.PAGESIZE
"""So much the kernel gives to a socket at once. Where a reset comes behind the first step of a call, the call
says how much was taken, and nobody ever hears of the reset."""

_tee: Final = ctypes.CDLL(None, use_errno=True).tee
_tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_tee.restype = ctypes.c_ssize_t


class SharedPages:
    """Writes as write(2) does; what it is given for many sockets in a row, as one object, is copied once.

    Where pipes of that size cannot be had, or the kernel refuses the calls, all is copied, as ever.
    """

    def __init__(self, write: Callable[[int, bytes], int] = os.write) -> None:
        self._write, self._splice = write, os.splice
        self._data = b""
        """The bytes that were written last; the pipes keep their pages until others come."""
        self._size = 0
        self._written = 0
        """So many sockets were offered them."""
        self._copies = COPIES
        """So many of those get a copy, and the others the pages."""
        self._most = self._held = 0
        """So often the source can hold the bytes, and does."""
        self._left = 0
        """So often the outlet holds them."""
        self._source: Pipe | None = None
        self._outlet: Pipe | None = None
        self._nowhere = -1
        self._is_refused = False

    def __del__(self) -> None:
        if self._nowhere >= 0:
            os.close(self._nowhere)

    def write(self, fd: int, data: bytes) -> int:
        """How many of these bytes the socket took: fewer where it is full, or a signal came.

        Raises OSError as write(2) does.
        """
        if data is not self._data:
            self._begin(data)
        self._written += 1
        if self._left == 0 and not (self._written > self._copies and self._fill()):
            return self._write(fd, data)
        outlet = self._outlet
        assert outlet is not None
        if self._size > STEP_BYTES:
            return self._write_in_steps(fd, outlet)
        taken = self._splice(outlet.reader, fd, self._size)
        self._used(outlet, taken)
        return taken

    def _write_in_steps(self, fd: int, outlet: "Pipe") -> int:
        taken, size = 0, self._size
        while taken < size:
            step = min(STEP_BYTES, size - taken)
            more = os.SPLICE_F_MORE if taken + step < size else 0
            try:
                done = self._splice(outlet.reader, fd, step, None, None, more)
            except OSError as error:
                if taken == 0:
                    raise
                if isinstance(error, BlockingIOError):
                    break
                self._used(outlet, taken)
                raise
            taken += done
            if done < step:
                break
        self._used(outlet, taken)
        return taken

    def _used(self, outlet: "Pipe", taken: int) -> None:
        self._left -= 1
        if taken < self._size:
            self._drop(outlet, self._size - taken)

    def _begin(self, data: bytes) -> None:
        source, outlet = self._source, self._outlet
        if source is not None and outlet is not None:
            held, left = self._held * self._size, self._left * self._size
            self._drop(source, held)
            self._drop(outlet, left)
        self._copies = 1 if self._written > COPIES else COPIES
        self._data, self._size, self._written = data, len(data), 0
        self._most = PIPE_BYTES // mmap.PAGESIZE // -(-len(data) // mmap.PAGESIZE)
        self._held = self._left = 0

    def _fill(self) -> bool:
        """Have the outlet hold the bytes a few times; False where that is not possible."""
        if self._is_refused or self._most < 2:
            return False
        try:
            if self._source is None or self._outlet is None:
                self._source, self._outlet = Pipe(), Pipe()
            if self._nowhere < 0:
                self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            if self._held == 0:
                self._load(self._source, self._outlet)
            self._source.share(self._outlet, self._held * self._size)
        except OSError as error:
            self._give_up(error)
        self._left = self._held
        return self._left > 0

    def _load(self, source: "Pipe", outlet: "Pipe") -> None:
        """Copy the bytes into the source, and then let it hold the same pages twice as often, and again."""
        _whole(os.write(source.writer, self._data), self._size)
        self._held = 1
        while self._held < self._most:
            more = min(self._held, self._most - self._held)
            source.share(outlet, more * self._size)
            outlet.move(source.writer, more * self._size)
            self._held += more

    def _drop(self, pipe: "Pipe", size: int) -> None:
        try:
            pipe.move(self._nowhere, size)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Copy from here on; but for want of descriptors or memory, only what is copied now."""
        self._is_refused = error.errno not in NO_RESOURCES
        self._source = self._outlet = None
        self._held = self._left = 0


class Pipe:
    """A pipe that blocks nobody. Its verbs raise OSError where the kernel does less than it is asked to."""

    def __init__(self) -> None:
        self.reader = self.writer = -1
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def __del__(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            os.close(self.writer)

    def share(self, other: "Pipe", size: int) -> None:
        """Let the other hold the next so many bytes as well."""
        shared = _tee(self.reader, other.writer, size, 0)
        if shared < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        _whole(shared, size)

    def move(self, fd: int, size: int) -> None:
        """Have the next so many bytes elsewhere instead. A signal cuts a call short."""
        while size:
            size -= os.splice(self.reader, fd, size)


def _whole(done: int, size: int) -> None:
    if done != size:
        raise OSError(f"{done} of {size} bytes")
