"""The system calls on real loopback sockets: what the kernel inherits, and each outcome by its name."""

import contextlib
import errno
import gc
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NoReturn

import pytest

from hub.close_reasons import CloseReason
from hub.net.listeners import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, SEND_BYTES
from hub.net.sockets import NotAccepted, PeerGone, Sockets, SpareDescriptor
from tests.loop.support import no_descriptor_left
from tests.support import PATIENCE_S, Peer, until


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")


class Door(Sockets):
    """The system calls, with what was opened by them, which is closed at the end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__()
        self.stack = stack
        self.listeners: list[socket.socket] = []
        self.descriptors: list[int] = []
        stack.callback(self.close_all)

    def open(self, host: str = "127.0.0.1", port: int = 0) -> list[str]:
        bound = self.listen(host, port)
        self.listeners += [self.stack.enter_context(listener) for listener, _ in bound]
        return [address for _, address in bound]

    def knock(self, receive_buffer: int = 0) -> Peer:
        """A peer that waits to be let in."""
        if not self.listeners:
            self.open()
        port = self.listeners[0].getsockname()[1]
        peer = self.stack.enter_context(Peer(port, receive_buffer=receive_buffer))
        wait_readable(self.listeners[0])
        return peer

    def let_in(self) -> int:
        accepted = self.accept(self.listeners[0])
        assert isinstance(accepted, tuple), accepted
        self.descriptors.append(accepted[0])
        return accepted[0]

    def close(self, fd: int) -> None:
        self.descriptors.remove(fd)
        super().close(fd)

    def close_all(self) -> None:
        for fd in list(self.descriptors):
            self.close(fd)

    def pair(self, receive_buffer: int = 0) -> tuple[int, Peer]:
        """Our end, and the peer."""
        peer = self.knock(receive_buffer)
        return self.let_in(), peer


@pytest.fixture
def door() -> Iterator[Door]:
    with contextlib.ExitStack() as stack:
        yield Door(stack)


def wait_readable(sock: socket.socket | int) -> None:
    assert select.select([sock], [], [], PATIENCE_S)[0], "nothing came"


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# Listening.


@pytest.mark.promise("limits-documented")
def test_an_accepted_socket_inherits_every_option(door: Door) -> None:
    fd, _ = door.pair()
    ours = door.stack.enter_context(socket.socket(fileno=os.dup(fd)))
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * SEND_BUFFER_BYTES),  # socket(7): the kernel doubles it
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * RECEIVE_BUFFER_BYTES),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
    ):
        assert ours.getsockopt(level, option) == value, (level, option)
    assert not os.get_blocking(fd)
    assert not os.get_inheritable(fd) and not door.listeners[0].get_inheritable()


def test_urgent_data_stays_in_the_stream(door: Door) -> None:
    ours, peer = door.pair()
    peer.send(b"a")
    peer.sock.send(b"\xff", socket.MSG_OOB)
    peer.send(b"b")
    peer.half_close()
    got, data = b"", None
    while data != b"":
        wait_readable(ours)
        data = door.receive(ours, 100)
        got += data or b""
    assert got == b"a\xffb"


@needs_ipv6
@pytest.mark.promise("network-addresses")
@pytest.mark.parametrize(
    ("name", "v4", "v6"), [("localhost", "127.0.0.1", "[::1]"), ("*", "0.0.0.0", "[::]")]
)
def test_both_families_are_listened_on_at_one_free_port(door: Door, name: str, v4: str, v6: str) -> None:
    first, second = door.open(name)
    host, port = first.rsplit(":", 1)
    assert (host, second) == (v4, f"{v6}:{port}")
    for address in ("127.0.0.1", "::1", "127.0.0.9")[: 3 if name == "*" else 2]:
        Peer(int(port), address).close()


@needs_ipv6
def test_addresses_of_a_name_are_listened_on_once_ipv4_first(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
    four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [six, four, six, four])
    assert [address.rpartition(":")[0] for address in door.open("hub.example")] == ["127.0.0.1", "[::1]"]


@pytest.mark.parametrize(("name", "address"), [("localhost", "127.0.0.1"), ("*", "0.0.0.0")])
@pytest.mark.parametrize("error", [errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EMFILE])
def test_both_families_are_ipv4_where_ipv6_is_denied(
    door: Door, error: int, name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denied(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if self.family == socket.AF_INET6:
                raise OSError(error, os.strerror(error))
            super().bind(address)

    monkeypatch.setattr("socket.socket", Denied)
    if error == errno.EMFILE:  # No denial: the next time it may be there.
        with pytest.raises(OSError, match=r"cannot listen on \[::1?\]:0: Too many open files"):
            door.open(name)
    else:
        (heard_on,) = door.open(name)
        assert heard_on.startswith(f"{address}:")


@needs_ipv6
def test_an_ipv6_listener_leaves_ipv4_alone(door: Door) -> None:
    (address,) = door.open("::1")
    assert address.startswith("[::1]:")
    assert door.listeners[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    before = descriptors()
    with pytest.raises(OSError, match="address in use"):  # The second family fails: the first is closed.
        door.listen("localhost", int(address.rsplit(":", 1)[1]))
    assert descriptors() == before


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "address in use"),
        ("192.0.2.1", "cannot assign requested address"),
        ("fe80::1%nowhere", ""),  # An unknown interface: the one name that fails without a name server.
    ],
)
def test_an_address_that_cannot_be_had_is_named(door: Door, host: str, why: str) -> None:
    port = int(door.open()[0].rsplit(":", 1)[1])
    before = descriptors()
    with pytest.raises(OSError, match=f"cannot listen on {host}:{port}: {why}") as failure:
        door.listen(host, port)
    assert failure.value.errno == errno.EADDRINUSE or why != "address in use"
    assert descriptors() == before


def test_a_family_that_the_machine_lacks_is_named_by_address(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr("socket.socket", lacking)
    with pytest.raises(OSError, match=r"cannot listen on \[::1\]:9: address family not supported"):
        door.listen("::1", 9)


def test_a_port_can_be_used_again_at_once_after_a_restart(door: Door) -> None:
    ours, peer = door.pair()
    host, port = door.listeners[0].getsockname()
    door.close(ours)  # the hub closes first, so TIME-WAIT is on its side
    assert peer.rest() == b""
    peer.close()
    door.listeners[0].close()
    assert door.open(host, port) == [f"127.0.0.1:{port}"]


# Accepting.


def test_accept_brings_the_address_of_the_peer_or_nobody(door: Door) -> None:
    peer = door.knock()
    accepted = door.accept(door.listeners[0])
    assert isinstance(accepted, tuple)
    door.descriptors.append(accepted[0])
    assert accepted[1] == peer.sock.getsockname()
    assert door.accept(door.listeners[0]) is NotAccepted.NOBODY


def test_a_peer_reset_before_accept_has_an_address_and_a_reset(door: Door) -> None:
    peer = door.knock()
    address = peer.sock.getsockname()
    peer.reset()
    accepted = door.accept(door.listeners[0])
    assert isinstance(accepted, tuple)
    fd, seen = accepted
    door.descriptors.append(fd)
    assert seen == address
    with socket.socket(fileno=os.dup(fd)) as ours, pytest.raises(OSError, match="not connected"):
        ours.getpeername()
    assert end_of(lambda: door.receive(fd, 100)) == (CloseReason.PEER_RESET, "")


def test_a_spare_descriptor_makes_room_for_one_accept(door: Door) -> None:
    spare = SpareDescriptor()
    door.knock()
    with no_descriptor_left():
        assert door.accept(door.listeners[0]) is NotAccepted.NO_RESOURCES
        spare.release()
        accepted = door.let_in()  # The peer has waited.
        assert not spare.refill()
        door.close(accepted)
        assert spare.refill()
        assert spare.refill()
    spare.release()
    spare.release()


# Receiving and sending.


def test_receive_tells_nothing_yet_from_data_from_the_end(door: Door) -> None:
    ours, peer = door.pair()
    assert door.receive(ours, 100) is None
    assert not door.has_input(ours)
    peer.send(b"hello")
    wait_readable(ours)
    assert door.has_input(ours)
    assert door.receive(ours, 3) == b"hel"
    assert door.receive(ours, 100) == b"lo"
    peer.close()
    wait_readable(ours)
    assert not door.has_input(ours), "an end of stream is no input"
    assert door.receive(ours, 100) == b""
    assert door.receive(ours, 100) == b""


@pytest.mark.parametrize("many", [False, True])
def test_a_full_kernel_takes_some_then_nothing_and_all_arrives(door: Door, many: bool) -> None:
    ours, peer = door.pair()
    block, taken = b"x" * 10_000, 0
    while count := door.send_many(ours, [block, block]) if many else door.send(ours, block):
        taken += count
    assert taken > SEND_BUFFER_BYTES
    assert len(peer.read(taken)) == taken


def test_an_empty_kernel_takes_what_subscribers_share_at_once(door: Door) -> None:
    """Also where a peer does not read, and each line of 64 bytes has a CR more."""
    ours, _ = door.pair()
    size = SEND_BYTES + SEND_BYTES // 64
    assert door.send(ours, b"x" * size) == size


def test_a_look_shutdown_or_question_leaves_the_descriptor_open(door: Door) -> None:
    """Each of them makes a socket object for a moment, which would close it."""
    ours, peer = door.pair()
    before = descriptors()
    door.has_input(ours)
    assert door.send(ours, b"hello") == 5
    assert door.acknowledged(ours) in (0, 5)
    door.shutdown_write(ours)
    gc.collect()
    assert descriptors() == before
    assert peer.rest() == b"hello"
    until(lambda: door.acknowledged(ours) >= 5)


def test_several_buffers_go_out_in_order_in_one_call(door: Door) -> None:
    ours, peer = door.pair()
    assert door.send_many(ours, [b"one ", b"two ", b"three"]) == 13
    assert peer.read(13) == b"one two three"
    assert door.calls["send"] == 1


def test_a_peer_that_never_reads_swallows_little(door: Door) -> None:
    """At the default buffers it would be some megabytes."""
    (ours, _), taken = door.pair(receive_buffer=4096), 0
    while count := door.send(ours, b"x" * 65536):
        taken += count
    assert taken <= 4 * SEND_BUFFER_BYTES


def end_of(call: Callable[[], object]) -> tuple[CloseReason, str]:
    """How a call says that the connection is of no more use."""
    with pytest.raises(PeerGone) as gone:
        call()
    return gone.value.reason, gone.value.detail


VERBS: dict[str, Callable[[Sockets, int], object]] = {
    "receive": lambda sockets, fd: sockets.receive(fd, 1),
    "has_input": lambda sockets, fd: sockets.has_input(fd),
    "send": lambda sockets, fd: sockets.send(fd, b"x"),
    "send_many": lambda sockets, fd: sockets.send_many(fd, [b"x", b"y"]),
}


@pytest.mark.parametrize("verb", ["send", "send_many"])
def test_sending_after_a_fin_and_its_reset_is_called_peer_closed(door: Door, verb: str) -> None:
    """The first send after the peer's close is taken and draws an RST; the next one fails with EPIPE."""
    ours, peer = door.pair()
    peer.close()
    wait_readable(ours)
    assert door.send(ours, b"x") == 1
    poll = select.poll()
    poll.register(ours, 0)
    assert poll.poll(PATIENCE_S * 1000), "the RST did not come"
    assert end_of(lambda: VERBS[verb](door, ours)) == (CloseReason.PEER_CLOSED, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_after_a_reset_says_so_and_end_is_no_error(door: Door, verb: str) -> None:
    ours, peer = door.pair()
    peer.reset()
    wait_readable(ours)
    assert end_of(lambda: VERBS[verb](door, ours)) == (CloseReason.PEER_RESET, "")
    door.shutdown_write(ours)
    door.close(ours)
    assert end_of(lambda: VERBS[verb](door, -1)) == (CloseReason.IO_ERROR, "EBADF")


class Failing(Sockets):
    """Calls that fail with an error that loopback cannot bring about."""

    def __init__(self, number: int) -> None:
        super().__init__(self._fail, self._fail, self._fail)
        self._number = number

    def _fail(self, fd: int, what: int | bytes | Sequence[bytes]) -> NoReturn:
        raise OSError(self._number, os.strerror(self._number))

    def _peek(self, fd: int) -> NoReturn:
        self._fail(fd, 1)

    def _tcp_info(self, fd: int, size: int) -> NoReturn:
        self._fail(fd, size)

    def _shutdown_write(self, fd: int) -> NoReturn:
        self._fail(fd, 1)


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
def test_a_vanished_peer_is_a_timeout_and_others_keep_their_name(
    error: int, reason: CloseReason, detail: str
) -> None:
    failing = Failing(error)
    for name, verb in VERBS.items():
        assert end_of(partial(verb, failing, 0)) == (reason, detail), name
    failing.shutdown_write(0)
    assert failing.acknowledged(0) == sys.maxsize, "what cannot be asked is taken for heard"


# Ending.


def test_shutdown_sends_our_end_and_the_peer_may_go_on(door: Door) -> None:
    ours, peer = door.pair()
    door.send(ours, b"bye")
    door.shutdown_write(ours)
    assert peer.rest() == b"bye"
    peer.send(b"still here")
    wait_readable(ours)
    assert door.receive(ours, 100) == b"still here"


def test_every_call_is_counted_by_its_kind(door: Door) -> None:
    ours, _ = door.pair()
    door.accept(door.listeners[0])
    for verb in VERBS.values():
        verb(door, ours)
    door.shutdown_write(ours)
    door.close(ours)
    assert door.calls == {"accept": 2, "recv": 2, "send": 2, "shutdown": 1, "close": 1}
