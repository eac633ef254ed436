"""What the kernel did not take at once."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bench.load.unsent import Unsent

SIZE = 1 << 22
"""More than the buffers of a socket pair."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


def test_everything_comes_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    unsent, data = Unsent(), os.urandom(SIZE)
    unsent.send(left.fileno(), memoryview(data)[: SIZE // 2])
    unsent.send(left.fileno(), data[SIZE // 2 :])
    assert unsent
    got = bytearray()
    while len(got) < SIZE:
        with suppress(BlockingIOError):
            got += right.recv(SIZE)
        unsent.flush()
    assert got == data
    assert not unsent


def test_a_connection_that_is_gone_is_forgotten(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    unsent = Unsent()
    unsent.send(left.fileno(), bytes(SIZE))
    assert unsent
    right.close()
    unsent.flush()
    assert not unsent
