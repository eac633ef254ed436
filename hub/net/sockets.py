"""TCP sockets with plain verbs: outcomes instead of exceptions, and a count of the system calls.

Events are hints; what these calls return decides. Options are set on the listener and inherited by what
it accepts (tcp(7), socket(7); a test holds the kernel to it):

- SO_SNDBUF 64 KiB: at the defaults a peer that never reads swallows 3.9 MB before the first refusal.
- SO_RCVBUF 128 KiB: at the defaults a sender that is held back leaves up to 6 MB in the kernel, and one
  that closes without having read its own lines (a reset) takes with it what it has not got through.
- TCP_NODELAY: a turn's output is one send already, so Nagle's algorithm could only delay it.
- keep-alive after 60 s, every 15 s, 4 times, and TCP_USER_TIMEOUT 120 s: a vanished peer is noticed. The
  latter also ends one that is alive and takes nothing for so long (measured), so it is longer than every
  patience of the hub's own.
- SO_OOBINLINE: telnet sends its interrupts as urgent data, which would otherwise leave the stream.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Final

from hub.close_reasons import CloseReason
from hub.config.allowed_hosts import in_url

SEND_BUFFER_BYTES: Final = 64 * 1024
RECEIVE_BUFFER_BYTES: Final = 128 * 1024
BACKLOG: Final = 1024
USER_TIMEOUT_MS: Final = 120_000

_BOTH_FAMILIES: Final = {
    "localhost": ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")),
    "*": ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")),
}
"""What no resolver is asked for. They differ in what they say of localhost."""
_BYTES_ACKED: Final = slice(120, 128)  # tcpi_bytes_acked in linux/tcp.h, since Linux 4.1.
_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_LISTENER = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK})
_TIMED_OUT = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
# EPIPE means that a FIN came first, so the peer closed; ECONNRESET is a reset.
_PEER_GONE: Final = dict.fromkeys(_TIMED_OUT, CloseReason.PEER_TIMEOUT) | {
    errno.EPIPE: CloseReason.PEER_CLOSED,
    errno.ECONNRESET: CloseReason.PEER_RESET,
}

Socket = socket.socket
"""The type of a socket, for those who only hold one."""
Address = tuple[str, int] | tuple[str, int, int, int]


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


class Sockets:
    """The system calls on sockets that the loop makes."""

    def __init__(self) -> None:
        self.calls = {"accept": 0, "recv": 0, "send": 0, "shutdown": 0, "close": 0}
        """System calls so far, by kind."""

    def listen(self, host: str, port: int) -> list[tuple[socket.socket, str]]:
        """Listening sockets for every address that `host` stands for, each with its "address:port".

        Port 0 picks one free port for all of them. An address family that the machine lacks is left
        out as long as one remains. Raises OSError with a message that names the address.
        """
        listeners: list[tuple[socket.socket, str]] = []
        with contextlib.ExitStack() as opened:
            for family, address in _resolve(host, port):
                if listeners and port == 0:
                    address = (address[0], listeners[0][0].getsockname()[1], *address[2:])
                listener = opened.enter_context(_listener(family, address))
                listeners.append((listener, show_address(listener.getsockname())))
            opened.pop_all()
        return listeners

    def spare(self) -> SpareDescriptor:
        """A descriptor to keep back."""
        return SpareDescriptor()

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Address] | NotAccepted:
        """A waiting connection, non-blocking, with the address that accept itself reported.

        Asking again with getpeername would fail for a peer that has reset already.
        """
        self.calls["accept"] += 1
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return NotAccepted.NOBODY
        except OSError as error:
            if error.errno in _NO_LISTENER:
                return NotAccepted.NO_LISTENER
            return NotAccepted.NO_RESOURCES if error.errno in _NO_RESOURCES else NotAccepted.VANISHED
        sock.setblocking(False)
        return sock, address

    def receive(self, sock: socket.socket, size: int, flags: int = 0) -> bytes | None:
        """What has come, at most `size` bytes; b"" at the peer's end of stream; None when nothing waits."""
        self.calls["recv"] += 1
        try:
            return sock.recv(size, flags)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _gone(error) from None

    def send(self, sock: socket.socket, data: bytes) -> int:
        """How many of these bytes the kernel took; fewer than all means that it is full."""
        self.calls["send"] += 1
        try:
            return sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    def send_many(self, sock: socket.socket, buffers: Sequence[bytes]) -> int:
        """The same for several buffers in a row, at most IOV_MAX (1024) of them, in one call."""
        self.calls["send"] += 1
        try:
            return sock.sendmsg(buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    def has_input(self, sock: socket.socket) -> bool:
        """Whether a read would bring data now; it is not taken.

        An error is: the kernel tells it once, so who only looks has to pass it on (tcp(7), SO_ERROR).
        """
        # A subclass that watches what is received does not see this, as nothing is taken.
        return bool(Sockets.receive(self, sock, 1, socket.MSG_PEEK))

    def acknowledged(self, sock: socket.socket) -> int:
        """How many bytes of what was sent the peer's kernel acknowledged, tcp(7) TCP_INFO.

        The kernel there acknowledges nothing after a close(2), so this tells a peer that was gone from one
        that heard.
        """
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
        except OSError:  # A sandbox may forbid it.
            return sys.maxsize
        return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)

    def shutdown_write(self, sock: socket.socket) -> None:
        """Send our end of stream behind what the kernel still holds."""
        self.calls["shutdown"] += 1
        with contextlib.suppress(OSError):  # A peer that has reset already leaves only the close to do.
            sock.shutdown(socket.SHUT_WR)

    def close(self, sock: socket.socket) -> None:
        """Give the descriptor back."""
        self.calls["close"] += 1
        with contextlib.suppress(OSError):  # close(2) gives it back whatever error of the past it reports.
            sock.close()


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


def show_address(address: Address) -> str:
    """`127.0.0.1:9000` or `[::1]:9000`."""
    return f"{in_url(address[0])}:{address[1]}"


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
    if both := _BOTH_FAMILIES.get(host):
        return [(family, (address, port)) for family, address in both if _usable(family, (address, port))]
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    # IPv4 first: it is the address that people type, and the one every machine has.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    known = (socket.AF_INET, socket.AF_INET6)
    resolved = {(family, address): None for family, _, _, _, address in found if family in known}
    return list(resolved)  # type: ignore[arg-type]  # typeshed allows addresses of other families


def _usable(family: socket.AddressFamily, address: Address) -> bool:
    """Whether the address is to be had: containers often lack IPv6 or deny it. Raises OSError.

    Linux binds :: without a single IPv6 address as well, so ::1 is tried in its place.
    """
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(("::1" if address[0] == "::" else address[0], 0))
    except OSError as error:
        if error.errno in _NO_RESOURCES:  # Then an address that is there would be left out.
            told = f"cannot listen on {show_address(address)}: {error.strerror}"
            raise OSError(error.errno, told) from None
        return False
    return True


def _listener(family: socket.AddressFamily, address: Address) -> socket.socket:
    try:
        return _listening(family, address)
    except OSError as error:
        why = "address in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0).lower()
        raise OSError(error.errno, f"cannot listen on {show_address(address)}: {why}") from None


def _listening(family: socket.AddressFamily, address: Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_inherited_options(sock)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _set_inherited_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def _gone(error: OSError) -> PeerGone:
    if reason := _PEER_GONE.get(error.errno or 0):
        return PeerGone(reason)
    return PeerGone(CloseReason.IO_ERROR, errno.errorcode.get(error.errno or 0, "unknown"))
