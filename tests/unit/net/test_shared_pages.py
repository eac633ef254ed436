"""Bytes for many sockets, on real loopback connections: what each gets, and how often they are copied."""

import contextlib
import gc
import os
import random
import socket
from collections.abc import Iterator

import pytest

from hub.net.listeners import SEND_BUFFER_BYTES
from hub.net.shared_pages import COPIES, PIPE_BYTES, SHARED_BYTES, Pipe, SharedPages
from tests.loop.support import no_descriptor_left
from tests.support import PATIENCE_S

MANY = 3 * COPIES


class Copied:
    """write(2), and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, fd: int, data: bytes) -> int:
        self.calls += 1
        return os.write(fd, data)


class Pair:
    """A connection: bytes go in at `fd`, which blocks nobody, and the peer gets them when it is asked to."""

    def __init__(self, stack: contextlib.ExitStack, listener: socket.socket, receive_buffer: int = 0) -> None:
        self.peer = stack.enter_context(socket.socket())
        if receive_buffer:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.peer.settimeout(PATIENCE_S)
        self.peer.connect(listener.getsockname())
        self.sock = stack.enter_context(listener.accept()[0])
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()
        self.sent = b""

    def write(self, pages: SharedPages, data: bytes) -> int:
        """As the hub does: what is not taken now is never sent."""
        try:
            taken = pages.write(self.fd, data)
        except BlockingIOError:
            taken = 0
        self.sent += data[:taken]
        return taken

    def take(self, size: int) -> bytes:
        """The next so many bytes that came."""
        got = bytearray()
        while len(got) < size:
            got += self.peer.recv(size - len(got))
        return bytes(got)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(stack: contextlib.ExitStack) -> socket.socket:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def descriptors() -> set[int]:
    gc.collect()
    with os.scandir("/proc/self/fd") as entries:  # Its own is open too while it looks.
        return {int(entry.name) for entry in entries if "/proc/" not in os.readlink(entry.path)}


def text(size: int, number: int = 0) -> bytes:
    return random.Random(number).randbytes(size)


@pytest.mark.parametrize("size", [SHARED_BYTES, 65_000, 65_536, 65_537, 128_000])
def test_bytes_for_many_are_copied_for_the_first(
    stack: contextlib.ExitStack, listener: socket.socket, size: int
) -> None:
    copied, data = Copied(), text(size)
    pages = SharedPages(copied)
    for pair in [Pair(stack, listener) for _ in range(MANY)]:
        assert pair.write(pages, data) == size
        assert pair.take(size) == data
    assert copied.calls == COPIES


def test_bytes_for_as_many_again_are_copied_once(
    stack: contextlib.ExitStack, listener: socket.socket
) -> None:
    copied, pairs = Copied(), [Pair(stack, listener) for _ in range(MANY)]
    pages = SharedPages(copied)
    for number in range(3):
        data = text(40_000, number)
        for pair in pairs:
            pair.write(pages, data)
            assert pair.take(len(data)) == data
    assert copied.calls == COPIES + 2


def test_bytes_for_few_are_copied_for_each(stack: contextlib.ExitStack, listener: socket.socket) -> None:
    copied, pairs = Copied(), [Pair(stack, listener) for _ in range(COPIES)]
    pages, before = SharedPages(copied), descriptors()
    for number in range(3):
        for pair in pairs:
            pair.write(pages, text(40_000, number))
            pair.take(40_000)
    assert copied.calls == 3 * COPIES
    assert descriptors() == before


@pytest.mark.parametrize("seed", range(8))
def test_streams_of_slow_peers_are_what_the_socket_took(
    stack: contextlib.ExitStack, listener: socket.socket, seed: int
) -> None:
    chance = random.Random(seed)
    pairs = [Pair(stack, listener, chance.choice((0, 4096, 30_000))) for _ in range(MANY)]
    copied = Copied()
    pages = SharedPages(copied)
    taken_of = dict.fromkeys(pairs, 0)
    partial = 0
    for number in range(12):
        data = text(chance.randrange(SHARED_BYTES, 200_000), 100 * seed + number)
        for pair in pairs:
            partial += pair.write(pages, data) < len(data)
            if chance.random() < 0.3:
                size = len(pair.sent) - taken_of[pair]
                assert pair.take(size) == pair.sent[taken_of[pair] :], seed
                taken_of[pair] += size
    assert partial
    assert copied.calls < 12 * MANY / 2
    for pair in pairs:
        assert pair.take(len(pair.sent) - taken_of[pair]) == pair.sent[taken_of[pair] :], seed


def test_peer_that_is_gone_is_an_error_for_it_alone(
    stack: contextlib.ExitStack, listener: socket.socket
) -> None:
    pairs, data, copied = [Pair(stack, listener) for _ in range(MANY)], text(50_000), Copied()
    pages = SharedPages(copied)
    gone = pairs[-5]
    gone.sock.shutdown(socket.SHUT_WR)
    for pair in pairs:
        if pair is gone:
            with pytest.raises(BrokenPipeError):
                pair.write(pages, data)
        else:
            assert pair.write(pages, data) == len(data)
            assert pair.take(len(data)) == data
    assert copied.calls == COPIES


def test_reset_in_the_middle_of_large_bytes_is_an_error(
    stack: contextlib.ExitStack, listener: socket.socket
) -> None:
    pairs, data, pages = [Pair(stack, listener) for _ in range(MANY)], text(128_000), SharedPages()
    for number, pair in enumerate(pairs):
        if number == MANY - 5:
            pair.peer.close()  # On loopback its reset of the first step is there before the second.
            with pytest.raises(BrokenPipeError):
                pair.write(pages, data)
        else:
            assert pair.write(pages, data) == len(data)
            assert pair.take(len(data)) == data


def test_bytes_are_copied_where_no_descriptor_is_left(
    stack: contextlib.ExitStack, listener: socket.socket
) -> None:
    copied, data, pairs = Copied(), text(50_000), [Pair(stack, listener) for _ in range(MANY)]
    pages = SharedPages(copied)
    with no_descriptor_left():
        for pair in pairs:
            assert pair.write(pages, data) == len(data)
    assert [pair.take(len(data)) for pair in pairs] == [data] * MANY
    assert copied.calls == MANY


def test_bytes_that_fill_a_pipe_are_copied(stack: contextlib.ExitStack, listener: socket.socket) -> None:
    copied, data = Copied(), text(PIPE_BYTES // 2 + 1)
    pages, pairs = SharedPages(copied), [Pair(stack, listener) for _ in range(MANY)]
    assert all(pair.write(pages, data) for pair in pairs)
    assert copied.calls == MANY


def test_bytes_are_copied_once_a_pipe_has_failed(
    stack: contextlib.ExitStack, listener: socket.socket
) -> None:
    copied, pairs, before = Copied(), [Pair(stack, listener) for _ in range(MANY)], descriptors()
    pages = SharedPages(copied)
    for number in range(3):
        data = text(50_000, number)
        for pair in pairs:
            assert pair.write(pages, data) == len(data)
            assert pair.take(len(data)) == data
        if number == 0:
            source = min(descriptors() - before)
            assert os.read(source, 1) == data[:1]
    assert copied.calls == COPIES + MANY + MANY
    del pages
    assert descriptors() == before


def test_pages_give_their_descriptors_back(stack: contextlib.ExitStack, listener: socket.socket) -> None:
    pairs, data, before = [Pair(stack, listener) for _ in range(MANY)], text(50_000), descriptors()
    pages = SharedPages()
    for pair in pairs:
        pair.write(pages, data)
    assert len(descriptors()) == len(before) + 5
    del pages
    assert descriptors() == before


def test_pipe_refuses_to_share_more_than_it_holds() -> None:
    source, other = Pipe(), Pipe()
    os.write(source.writer, b"four")
    with pytest.raises(OSError, match="4 of 5 bytes"):
        source.share(other, 5)
    with pytest.raises(BlockingIOError):
        Pipe().share(other, 1)
