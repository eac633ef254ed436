"""Many connections at once: made without waiting for each, closed without a trace.

A load client ends with a reset (SO_LINGER of 0, socket(7)), because thousands in TIME_WAIT would keep the
ports from the next run.
"""

import errno
import os
import resource
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from bench.load.result import LoadError

AT_ONCE = 128
"""Connects under way: below the backlog of most servers."""
CONNECT_S = 20.0
PORTS_PER_ADDRESS = 20_000
"""Linux has 28,232 ports for connections from one address to one other (ip_local_port_range, ip(7))."""
RESERVE = 64
"""Descriptors for everything else."""
_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, ip(7): the port is chosen at connect, per destination.
_RESET = struct.pack("ii", 1, 0)


Address = tuple[Any, ...]
"""What connect(2) takes: host, port and, for IPv6, two numbers more."""


class Place:
    """A server's address. Raises LoadError where the name has none."""

    def __init__(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise LoadError(f"{host}: no address: {error.strerror}") from None
        self.family, self.address = _first_that_answers([(one[0], one[4]) for one in found])
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._loopback = str(self.address[0]).startswith("127.")

    def open(self, number: int) -> socket.socket:
        """Begin the connection of this number; it may be under way still. Raises OSError."""
        sock = socket.socket(self.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if self._loopback and number >= PORTS_PER_ADDRESS:
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.0.0.{1 + number // PORTS_PER_ADDRESS}", 0))
            code = sock.connect_ex(self.address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except BaseException:
            sock.close()
            raise
        return sock


def _first_that_answers(found: Sequence[tuple[int, Address]]) -> tuple[int, Address]:
    """The first address at which somebody listens: localhost may mean ::1, and the server 127.0.0.1."""
    for family, address in found[:-1]:
        with suppress(OSError), socket.socket(family) as sock:
            sock.settimeout(CONNECT_S)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.connect(address)
            return family, address
    return found[-1]


def allow(connections: int) -> None:
    """Raise the soft limit of descriptors as far as needed. Raises LoadError, getrlimit(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = connections + RESERVE
    if hard != resource.RLIM_INFINITY and need > hard:
        raise LoadError(
            f"{connections} connections: at most {hard - RESERVE} with {hard} descriptors (ulimit -n)"
        )
    if soft != resource.RLIM_INFINITY and need > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def connect(place: Place, count: int, first: int = 0) -> list[socket.socket]:
    """So many connections, which have numbers from `first` on. Raises LoadError when one fails."""
    made: list[socket.socket] = []
    poller = select.epoll()
    pending: dict[int, socket.socket] = {}
    done, end = 0, time.monotonic() + CONNECT_S
    try:
        while done < count:
            while len(made) < count and len(pending) < AT_ONCE:
                sock = place.open(first + len(made))
                made.append(sock)
                pending[sock.fileno()] = sock
                poller.register(sock, select.EPOLLOUT)
            for fd, _ in poller.poll(1.0):
                _raise_error(pending.pop(fd))
                poller.unregister(fd)
                done += 1
                end = time.monotonic() + CONNECT_S
            if pending and time.monotonic() > end:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    except OSError as error:
        close(made)
        which = f" (after {done} of {count} connections)" if done else ""
        raise LoadError(f"{place.name}: {(error.strerror or str(error)).lower()}{which}") from None
    finally:
        poller.close()
    return made


def _raise_error(sock: socket.socket) -> None:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def close(sockets: Sequence[socket.socket]) -> None:
    """Reset them all."""
    for sock in sockets:
        sock.close()


def say(sock: socket.socket, data: bytes, patience_s: float = 10.0) -> None:
    """Send all of it, before the hot loop. Raises OSError."""
    sock.settimeout(patience_s)
    try:
        sock.sendall(data)
    finally:
        sock.settimeout(0.0)


class Ears:
    """Reads from many connections before the hot loop, until something has come or nothing comes any more."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.seen = {sock.fileno(): b"" for sock in sockets}
        self._closed = set[int]()
        self._poller = select.epoll()
        for fd in self.seen:
            self._poller.register(fd, select.EPOLLIN)

    def hear(self, timeout_s: float) -> bool:
        """Read what is there within this time; whether anything was. Raises LoadError at an end of stream."""
        events = self._poller.poll(timeout_s)
        for fd, _ in events:
            try:
                data = os.read(fd, 1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                raise LoadError(f"the server closed a connection, after {self.seen[fd][-200:]!r}")
            self.seen[fd] += data
        return bool(events)

    def until_quiet(self, quiet_s: float, most_s: float) -> None:
        """Read until nothing came for so long, but no longer than `most_s`."""
        end = time.monotonic() + most_s
        while self.hear(quiet_s) and time.monotonic() < end:
            pass

    def until(self, enough: Callable[[bytes], bool], fds: Sequence[int], most_s: float) -> bool:
        """Read until each of these has received enough; false when time is up."""
        end = time.monotonic() + most_s
        left = deque(fds)
        while left:
            if enough(self.seen[left[0]]):
                left.popleft()
            elif time.monotonic() > end:
                return False
            else:
                self.hear(0.1)
        return True

    def forget(self) -> None:
        """Begin anew with empty hands."""
        self.seen = dict.fromkeys(self.seen, b"")

    def close(self) -> None:
        """The connections stay open."""
        self._poller.close()
