"""TCP sockets with plain verbs: outcomes instead of exceptions, and a count of the system calls.

Events are hints; what these calls return decides. A connection is a descriptor's number and no socket object,
which would take 88 B more: read(2) and write(2) do what recv(2) and send(2) do without flags, and Python gets
to them sooner. A closed number is given out again at once, so whoever closes a descriptor forgets its number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from mypy_extensions import mypyc_attr

from hub.close_reasons import CloseReason
from hub.net.listeners import NO_RESOURCES, Address, Socket, listen
from hub.net.shared_pages import SHARED_BYTES, SharedPages

_ACKED_AT: Final = 120  # tcpi_bytes_acked in linux/tcp.h, 8 bytes, since Linux 4.1.
_NO_LISTENER = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK})
_TIMED_OUT = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
# EPIPE means that a FIN came first, so the peer closed; ECONNRESET is a reset.
_PEER_GONE: Final = dict.fromkeys(_TIMED_OUT, CloseReason.PEER_TIMEOUT) | {
    errno.EPIPE: CloseReason.PEER_CLOSED,
    errno.ECONNRESET: CloseReason.PEER_RESET,
}


class PeerGone(Exception):
    """The connection is of no more use; `reason` says whose doing it was."""

    def __init__(self, reason: CloseReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class NotAccepted(Enum):
    """Why accept brought no connection."""

    NOBODY = "nobody is waiting"
    VANISHED = "that one is gone again; the next may not be"
    NO_RESOURCES = "no descriptor or memory is left"
    NO_LISTENER = "this listens no more; the system took it away"


@mypyc_attr(allow_interpreted_subclasses=True)
class Sockets:
    """The system calls on sockets that the loop makes."""

    def __init__(
        self,
        read: Callable[[int, int], bytes] = os.read,
        write: Callable[[int, bytes], int] = os.write,
        write_many: Callable[[int, Sequence[bytes]], int] = os.writev,
    ) -> None:
        self._accepts = self._receives = self._sends = self._shutdowns = self._closes = 0
        # Handed in where the network is simulated. The rarer calls are methods, each of which is a call more.
        self._read, self._write, self._write_many = read, write, write_many
        self._shared = SharedPages()

    @property
    def calls(self) -> dict[str, int]:
        """System calls so far, by kind."""
        return {
            "accept": self._accepts, "recv": self._receives, "send": self._sends,
            "shutdown": self._shutdowns, "close": self._closes,
        }  # fmt: skip

    def listen(self, host: str, port: int) -> list[tuple[Socket, str]]:
        """Listening sockets for every address that `host` stands for, each with its "address:port"."""
        return listen(host, port)

    def spare(self) -> SpareDescriptor:
        """A descriptor to keep back."""
        return SpareDescriptor()

    def accept(self, listener: Socket) -> tuple[int, Address] | NotAccepted:
        """The descriptor of a waiting connection, non-blocking, with the address that accept itself reported.

        Asking again with getpeername would fail for a peer that has reset already.
        """
        self._accepts += 1
        try:
            return self._accept(listener)
        except BlockingIOError:
            return NotAccepted.NOBODY
        except OSError as error:
            if error.errno in _NO_LISTENER:
                return NotAccepted.NO_LISTENER
            return NotAccepted.NO_RESOURCES if error.errno in NO_RESOURCES else NotAccepted.VANISHED

    def receive(self, fd: int, size: int) -> bytes | None:
        """What has come, at most `size` bytes; b"" at the peer's end of stream; None when nothing waits."""
        self._receives += 1
        try:
            return self._read(fd, size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _gone(error) from None

    def send(self, fd: int, data: bytes) -> int:
        """How many of these bytes the kernel took; fewer than all means that it is full.

        Python ignores SIGPIPE from its start, so where nobody reads any more this is an error and no signal.
        """
        self._sends += 1
        try:
            return self._write(fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    def send_shared(self, fd: int, data: bytes) -> int:
        """The same for bytes that many clients get one after another, which the kernel copies once."""
        if len(data) < SHARED_BYTES:
            return self.send(fd, data)
        self._sends += 1
        try:
            return self._shared.write(fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    def send_many(self, fd: int, buffers: Sequence[bytes]) -> int:
        """The same for several buffers in a row, at most IOV_MAX (1024) of them, in one call."""
        self._sends += 1
        try:
            return self._write_many(fd, buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    def has_input(self, fd: int) -> bool:
        """Whether a read would bring data now; it is not taken.

        An error is: the kernel tells it once, so who only looks has to pass it on (tcp(7), SO_ERROR).
        """
        self._receives += 1
        try:
            return bool(self._peek(fd))
        except BlockingIOError:
            return False
        except OSError as error:
            raise _gone(error) from None

    def acknowledged(self, fd: int) -> int:
        """How many bytes of what was sent the peer's kernel acknowledged, tcp(7) TCP_INFO.

        The kernel there acknowledges nothing after a close(2), so this tells a peer that was gone from one
        that heard.
        """
        try:
            info = self._tcp_info(fd, _ACKED_AT + 8)
        except OSError:  # A sandbox may forbid it.
            return sys.maxsize
        return int.from_bytes(info[_ACKED_AT:], sys.byteorder)

    def shutdown_write(self, fd: int) -> None:
        """Send our end of stream behind what the kernel still holds."""
        self._shutdowns += 1
        with contextlib.suppress(OSError):  # A peer that has reset already leaves only the close to do.
            self._shutdown_write(fd)

    def close(self, fd: int) -> None:
        """Give the descriptor back. Its number may be another's at once."""
        self._closes += 1
        with contextlib.suppress(OSError):  # close(2) gives it back whatever error of the past it reports.
            self._close(fd)

    # The calls themselves, for a simulated network to replace; they raise OSError.

    def _accept(self, listener: Socket) -> tuple[int, Address]:
        sock, address = listener.accept()
        sock.setblocking(False)
        return sock.detach(), address

    def _peek(self, fd: int) -> bytes:
        sock = _borrowed(fd)
        try:
            return sock.recv(1, socket.MSG_PEEK)
        finally:
            sock.detach()

    def _tcp_info(self, fd: int, size: int) -> bytes:
        sock = _borrowed(fd)
        try:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
        finally:
            sock.detach()

    def _shutdown_write(self, fd: int) -> None:
        sock = _borrowed(fd)
        try:
            sock.shutdown(socket.SHUT_WR)
        finally:
            sock.detach()

    def _close(self, fd: int) -> None:
        os.close(fd)


@mypyc_attr(allow_interpreted_subclasses=True)
class SpareDescriptor:
    """A descriptor kept back, so that with none left a waiting peer can still be told so."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self.refill()

    def release(self) -> None:
        """Make room for one accept."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def refill(self) -> bool:
        """Take it back; False while none is to be had."""
        if self._fd is None:
            try:
                self._fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        return True


def _borrowed(fd: int) -> Socket:
    """A socket object for a moment, for what only such an object can ask; to be detached, or it closes `fd`.

    Its family matters to addresses alone; with the protocol it is given so that the kernel is not asked.
    """
    if fd < 0:  # The constructor says ValueError.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return Socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=fd)


def _gone(error: OSError) -> PeerGone:
    if reason := _PEER_GONE.get(error.errno or 0):
        return PeerGone(reason)
    return PeerGone(CloseReason.IO_ERROR, errno.errorcode.get(error.errno or 0, "unknown"))
