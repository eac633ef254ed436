"""Lines with a number, and a look at each that comes: none missing, none twice, each writer's in order."""

from collections.abc import Sequence

from bench.load.result import LoadError

LEAST_BYTES = 20
"""A numbered line has writer, number and LF in so many bytes."""


def line_of(size: int) -> bytes:
    """A line without a number."""
    return b"x" * (size - 1) + b"\n"


def numbered_line(writer: int, number: int, size: int) -> bytes:
    """A line of so many bytes that says which of whose it is. Raises LoadError when that does not fit."""
    if size < LEAST_BYTES:
        raise LoadError(f"--size: {size}: with --verify at least {LEAST_BYTES}")
    return b"%05d %012d " % (writer, number) + b"x" * (size - LEAST_BYTES) + b"\n"


class Verifier:
    """What each reader of a fan-out has received, in the order of each writer."""

    def __init__(self, writers: int, size: int, hearing: Sequence[int]) -> None:
        self.lines = 0
        self._size = size
        self._rests = dict.fromkeys(hearing, b"")
        self._next = {fd: [0] * writers for fd in hearing}

    def take(self, fd: int, data: bytes) -> None:
        """Look at what a reader received. Raises LoadError at a line that is not the next of its writer."""
        *lines, self._rests[fd] = (self._rests[fd] + data).split(b"\n")
        following = self._next[fd]
        for line in lines:
            try:
                # What a chat puts before the line is left out.
                writer, number, _ = line[1 - self._size :].split(b" ")
                at, got = int(writer), int(number)
                wanted = following[at]
            except (ValueError, IndexError):
                raise LoadError(f"--verify: not a line that was sent: {line[:100]!r}") from None
            if got != wanted:
                raise LoadError(f"--verify: line {got} of writer {at} came where line {wanted} was next")
            following[at] = wanted + 1
        self.lines += len(lines)
