"""The system calls on real loopback sockets: what the kernel inherits, and each outcome by its name."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from hub.close_reasons import CloseReason
from hub.net.sockets import (
    RECEIVE_BUFFER_BYTES,
    SEND_BUFFER_BYTES,
    NotAccepted,
    PeerGone,
    Sockets,
    SpareDescriptor,
    show_address,
)

PATIENCE_S = 20.0


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")


@dataclass
class Door:
    """Listeners and what was accepted or connected, all closed at the end."""

    sockets: Sockets
    stack: contextlib.ExitStack
    listeners: list[socket.socket] = field(default_factory=list)

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> list[str]:
        bound = self.sockets.listen(host, port)
        for listener, _ in bound:
            self.listeners.append(self.stack.enter_context(listener))
        return [address for _, address in bound]

    def connect(self) -> socket.socket:
        peer = socket.create_connection(self.listeners[0].getsockname(), PATIENCE_S)
        return self.stack.enter_context(peer)

    def accept(self) -> socket.socket:
        wait_readable(self.listeners[0])
        accepted = self.sockets.accept(self.listeners[0])
        assert isinstance(accepted, tuple), accepted
        return self.stack.enter_context(accepted[0])

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Our end, and the peer's."""
        peer = self.connect()
        return self.accept(), peer


@pytest.fixture
def door() -> Iterator[Door]:
    with contextlib.ExitStack() as stack:
        yield Door(Sockets(), stack)


@pytest.fixture
def open_door(door: Door) -> Door:
    door.listen()
    return door


def wait_readable(sock: socket.socket) -> None:
    assert select.select([sock], [], [], PATIENCE_S)[0], "nothing came"


def reset(peer: socket.socket) -> None:
    """RST instead of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


# Listening.


@pytest.mark.promise("limits-documented")
@pytest.mark.parametrize(
    ("level", "option", "value"),
    [
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * SEND_BUFFER_BYTES),  # socket(7): the kernel doubles it
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * RECEIVE_BUFFER_BYTES),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
    ],
    ids=lambda value: str(value),
)
def test_an_accepted_socket_inherits_the_option(open_door: Door, level: int, option: int, value: int) -> None:
    ours, _ = open_door.pair()
    assert ours.getsockopt(level, option) == value


def test_urgent_data_stays_in_the_stream(open_door: Door) -> None:
    ours, peer = open_door.pair()
    peer.sendall(b"a")
    peer.send(b"\xff", socket.MSG_OOB)
    peer.sendall(b"b")
    peer.shutdown(socket.SHUT_WR)
    got = b""
    while True:
        wait_readable(ours)
        data = open_door.sockets.receive(ours, 100)
        if data == b"":
            break
        got += data or b""
    assert got == b"a\xffb"


def test_an_accepted_socket_does_not_block(open_door: Door) -> None:
    ours, _ = open_door.pair()
    assert not ours.getblocking()


def test_a_child_process_inherits_neither_listener_nor_client(open_door: Door) -> None:
    ours, _ = open_door.pair()
    assert not ours.get_inheritable()
    assert not open_door.listeners[0].get_inheritable()


def test_port_0_picks_a_free_port_and_says_which(door: Door) -> None:
    (address,) = door.listen()
    host, port = address.rsplit(":", 1)
    assert host == "127.0.0.1"
    with socket.create_connection((host, int(port)), PATIENCE_S):
        pass


@needs_ipv6
def test_localhost_is_both_loopback_addresses_on_one_free_port(door: Door) -> None:
    first, second = door.listen("localhost")
    port = first.rsplit(":", 1)[1]
    assert int(port) > 0
    assert (first, second) == (f"127.0.0.1:{port}", f"[::1]:{port}")


@needs_ipv6
def test_an_ipv6_listener_leaves_ipv4_alone(door: Door) -> None:
    (address,) = door.listen("::1")
    assert address.startswith("[::1]:")
    assert door.listeners[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_taken_port_is_named_and_leaves_nothing_open(open_door: Door) -> None:
    port = open_door.listeners[0].getsockname()[1]
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=f"^.*cannot listen on 127.0.0.1:{port}: address in use$") as failure:
        open_door.sockets.listen("127.0.0.1", port)
    assert failure.value.errno == errno.EADDRINUSE
    assert set(os.listdir("/proc/self/fd")) == before


@needs_ipv6
def test_a_failing_second_family_closes_the_first_listener(door: Door) -> None:
    (address,) = door.listen("::1")
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="address in use"):
        door.sockets.listen("localhost", int(address.rsplit(":", 1)[1]))
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_address_that_is_not_ours_is_named(door: Door) -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:9000: cannot assign requested address"):
        door.listen("192.0.2.1", 9000)


def test_a_name_that_stands_for_nothing_is_named(door: Door) -> None:
    """An unknown interface: the one name that fails without asking a name server."""
    with pytest.raises(OSError, match="cannot listen on fe80::1%nowhere:9000: "):
        door.listen("fe80::1%nowhere", 9000)


def test_a_port_can_be_used_again_at_once_after_a_restart(door: Door) -> None:
    door.listen()
    ours, peer = door.pair()
    address = door.listeners[0].getsockname()
    ours.close()  # the hub closes first, so TIME-WAIT is on its side
    assert peer.recv(1) == b""
    peer.close()
    door.listeners[0].close()
    assert door.listen(address[0], address[1]) == [f"127.0.0.1:{address[1]}"]


# Accepting.


def test_with_nobody_waiting_accept_says_so(open_door: Door) -> None:
    assert open_door.sockets.accept(open_door.listeners[0]) is NotAccepted.NOBODY


def test_accept_brings_the_address_of_the_peer(open_door: Door) -> None:
    peer = open_door.connect()
    wait_readable(open_door.listeners[0])
    accepted = open_door.sockets.accept(open_door.listeners[0])
    assert isinstance(accepted, tuple)
    with accepted[0]:
        assert accepted[1] == peer.getsockname()


def test_a_peer_reset_before_accept_has_an_address_and_a_reset(open_door: Door) -> None:
    peer = open_door.connect()
    address = peer.getsockname()
    wait_readable(open_door.listeners[0])
    reset(peer)
    accepted = open_door.sockets.accept(open_door.listeners[0])
    assert isinstance(accepted, tuple)
    sock, seen = accepted
    with sock:
        assert seen == address
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        with pytest.raises(PeerGone) as gone:
            open_door.sockets.receive(sock, 100)
    assert gone.value.reason is CloseReason.PEER_RESET


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The limit set to what is open; only the soft one, so that it can be raised again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_accept_without_a_descriptor_says_so_and_the_peer_waits(open_door: Door) -> None:
    open_door.connect()
    wait_readable(open_door.listeners[0])
    with no_descriptor_left():
        assert open_door.sockets.accept(open_door.listeners[0]) is NotAccepted.NO_RESOURCES
    assert open_door.accept()


def test_a_spare_descriptor_makes_room_for_one_accept(open_door: Door) -> None:
    spare = SpareDescriptor()
    open_door.connect()
    wait_readable(open_door.listeners[0])
    with no_descriptor_left():
        assert open_door.sockets.accept(open_door.listeners[0]) is NotAccepted.NO_RESOURCES
        spare.release()
        accepted = open_door.sockets.accept(open_door.listeners[0])
        assert isinstance(accepted, tuple)
        assert not spare.refill()
        open_door.sockets.close(accepted[0])
        assert spare.refill()
        assert spare.refill()
    spare.release()
    spare.release()


# Receiving.


def test_receive_tells_nothing_yet_from_data_from_the_end(open_door: Door) -> None:
    ours, peer = open_door.pair()
    sockets = open_door.sockets
    assert sockets.receive(ours, 100) is None
    peer.sendall(b"hello")
    wait_readable(ours)
    assert sockets.receive(ours, 3) == b"hel"
    assert sockets.receive(ours, 100) == b"lo"
    peer.close()
    wait_readable(ours)
    assert sockets.receive(ours, 100) == b""
    assert sockets.receive(ours, 100) == b""


def test_a_reset_ends_receiving_as_peer_reset(open_door: Door) -> None:
    ours, peer = open_door.pair()
    reset(peer)
    wait_readable(ours)
    with pytest.raises(PeerGone) as gone:
        open_door.sockets.receive(ours, 100)
    assert (gone.value.reason, gone.value.detail) == (CloseReason.PEER_RESET, "")


def test_whether_input_waits_can_be_asked_without_taking_it(open_door: Door) -> None:
    ours, peer = open_door.pair()
    sockets = open_door.sockets
    assert not sockets.has_input(ours)
    peer.sendall(b"x")
    wait_readable(ours)
    assert sockets.has_input(ours)
    assert sockets.receive(ours, 100) == b"x"
    peer.close()
    wait_readable(ours)
    assert not sockets.has_input(ours), "an end of stream is no input"


def test_asking_a_dead_connection_for_input_tells_its_end(open_door: Door) -> None:
    ours, peer = open_door.pair()
    reset(peer)
    wait_readable(ours)
    with pytest.raises(PeerGone) as gone:
        open_door.sockets.has_input(ours)
    assert gone.value.reason is CloseReason.PEER_RESET


# Sending.


@pytest.mark.parametrize("many", [False, True])
def test_a_full_kernel_takes_some_then_nothing_and_all_arrives(open_door: Door, many: bool) -> None:
    ours, peer = open_door.pair()
    sockets, block = open_door.sockets, b"x" * 10_000
    taken = 0
    while count := sockets.send_many(ours, [block, block]) if many else sockets.send(ours, block):
        taken += count
    assert taken > SEND_BUFFER_BYTES
    arrived = 0
    while arrived < taken:
        arrived += len(peer.recv(1 << 20))
    assert arrived == taken


def test_several_buffers_go_out_in_order_in_one_call(open_door: Door) -> None:
    ours, peer = open_door.pair()
    assert open_door.sockets.send_many(ours, [b"one ", b"two ", b"three"]) == 13
    assert peer.recv(100) == b"one two three"
    assert open_door.sockets.calls["send"] == 1


def test_a_peer_that_never_reads_swallows_little(open_door: Door) -> None:
    """At the default buffers it would be some megabytes."""
    peer = socket.socket()
    open_door.stack.enter_context(peer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(open_door.listeners[0].getsockname())
    ours, taken = open_door.accept(), 0
    while count := open_door.sockets.send(ours, b"x" * 65536):
        taken += count
    assert taken <= 4 * SEND_BUFFER_BYTES


@pytest.mark.parametrize("many", [False, True])
def test_sending_after_a_fin_and_its_reset_is_called_peer_closed(open_door: Door, many: bool) -> None:
    """The first send after the peer's close is taken and draws an RST; the next one fails with EPIPE."""
    ours, peer = open_door.pair()
    peer.close()
    wait_readable(ours)
    assert open_door.sockets.send(ours, b"x") == 1
    poll = select.poll()
    poll.register(ours, 0)
    assert poll.poll(PATIENCE_S * 1000), "the RST did not come"
    with pytest.raises(PeerGone) as gone:
        open_door.sockets.send_many(ours, [b"x", b"y"]) if many else open_door.sockets.send(ours, b"x")
    assert gone.value.reason is CloseReason.PEER_CLOSED


@pytest.mark.parametrize("many", [False, True])
def test_sending_after_a_reset_is_called_peer_reset(open_door: Door, many: bool) -> None:
    ours, peer = open_door.pair()
    reset(peer)
    wait_readable(ours)
    with pytest.raises(PeerGone) as gone:
        open_door.sockets.send_many(ours, [b"x", b"y"]) if many else open_door.sockets.send(ours, b"x")
    assert gone.value.reason is CloseReason.PEER_RESET


def test_any_other_error_is_an_io_error_with_its_name(door: Door) -> None:
    sock = door.stack.enter_context(socket.socket())
    sock.close()
    with pytest.raises(PeerGone) as gone:
        door.sockets.receive(sock, 100)
    assert (gone.value.reason, gone.value.detail) == (CloseReason.IO_ERROR, "EBADF")


class Failing:
    """Stands in for a socket whose error loopback cannot bring about."""

    def __init__(self, error: int) -> None:
        self._error = error

    def recv(self, size: int, flags: int = 0) -> bytes:
        raise OSError(self._error, os.strerror(self._error))

    send = sendmsg = recv


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (errno.ETIMEDOUT, CloseReason.PEER_TIMEOUT, ""),
        (errno.EHOSTUNREACH, CloseReason.PEER_TIMEOUT, ""),
        (errno.ENETDOWN, CloseReason.PEER_TIMEOUT, ""),
        (errno.ENOBUFS, CloseReason.IO_ERROR, "ENOBUFS"),
        (9999, CloseReason.IO_ERROR, "unknown"),
    ],
)
@pytest.mark.parametrize("verb", ["receive", "send", "send_many"])
def test_a_vanished_peer_is_a_timeout_and_others_keep_their_name(
    verb: str, error: int, reason: CloseReason, detail: str
) -> None:
    with pytest.raises(PeerGone) as gone:
        getattr(Sockets(), verb)(Failing(error), 1)
    assert (gone.value.reason, gone.value.detail) == (reason, detail)


# Ending.


def test_shutdown_sends_our_end_and_the_peer_may_go_on(open_door: Door) -> None:
    ours, peer = open_door.pair()
    open_door.sockets.send(ours, b"bye")
    open_door.sockets.shutdown_write(ours)
    assert peer.recv(100) == b"bye"
    assert peer.recv(100) == b""
    peer.sendall(b"still here")
    wait_readable(ours)
    assert open_door.sockets.receive(ours, 100) == b"still here"


def test_ending_a_dead_connection_is_no_error(open_door: Door) -> None:
    ours, peer = open_door.pair()
    reset(peer)
    wait_readable(ours)
    open_door.sockets.shutdown_write(ours)
    open_door.sockets.close(ours)
    assert ours.fileno() == -1


def test_every_call_is_counted_by_its_kind(open_door: Door) -> None:
    sockets = open_door.sockets
    ours, _ = open_door.pair()
    sockets.accept(open_door.listeners[0])
    sockets.receive(ours, 1)
    sockets.has_input(ours)
    sockets.send(ours, b"x")
    sockets.send_many(ours, [b"x"])
    sockets.shutdown_write(ours)
    sockets.close(ours)
    assert sockets.calls == {"accept": 2, "recv": 2, "send": 2, "shutdown": 1, "close": 1}


def test_an_address_is_shown_as_people_type_it() -> None:
    assert show_address(("127.0.0.1", 9000)) == "127.0.0.1:9000"
    assert show_address(("::1", 9000, 0, 0)) == "[::1]:9000"
