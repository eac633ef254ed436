"""Listening sockets: the addresses that a name stands for, and the options of the connections accepted there.

Options are set on the listener and inherited by what it accepts (tcp(7), socket(7); a test holds the kernel
to it):

- SO_SNDBUF 64 KiB: at the defaults a peer that never reads swallows 3.9 MB before the first refusal.
- SO_RCVBUF 128 KiB: at the defaults a sender that is held back leaves up to 6 MB in the kernel, and one
  that closes without having read its own lines (a reset) takes with it what it has not got through.
- TCP_NODELAY: a turn's output, or the echo of a read, is one send already, so Nagle's algorithm could only
  delay it.
- keep-alive after 60 s, every 15 s, 4 times, and TCP_USER_TIMEOUT 120 s: a vanished peer is noticed. The
  latter also ends one that is alive and takes nothing for so long (measured), so it is longer than every
  patience of the hub's own.
- SO_OOBINLINE: telnet sends its interrupts as urgent data, which would otherwise leave the stream. A read
  stops at the urgent byte once, so a short one does not say that nothing is left.
"""

import contextlib
import errno
import os
import socket
from typing import Final

from hub.config.allowed_hosts import in_url

SEND_BUFFER_BYTES: Final = 64 * 1024
SEND_BYTES: Final = 128_000
"""What an empty send buffer takes in one send, also where 64-byte lines have a CR more. On loopback the
kernel takes 130,966 bytes; whoever is offered more has to wait for it, and the rate of a room is halved."""
RECEIVE_BUFFER_BYTES: Final = 128 * 1024
BACKLOG: Final = 1024
USER_TIMEOUT_MS: Final = 120_000

_BOTH_FAMILIES: Final = {
    "localhost": ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")),
    "*": ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")),
}
"""What no resolver is asked for. They differ in what they say of localhost."""

NO_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No descriptor or no memory is left."""

Socket = socket.socket
"""The type of a listener, for those who only hold one."""
Address = tuple[str, int] | tuple[str, int, int, int]


def listen(host: str, port: int) -> list[tuple[Socket, str]]:
    """Listening sockets for every address that `host` stands for, each with its "address:port".

    Port 0 picks one free port for all of them. An address family that the machine lacks is left out as long
    as one remains. Raises OSError with a message that names the address.
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
        if error.errno in NO_RESOURCES:  # Then an address that is there would be left out.
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
