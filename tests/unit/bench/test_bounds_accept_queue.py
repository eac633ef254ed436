"""The queue of a listener, as the kernel tells it."""

import socket

import pytest

from bench.bounds.accept_queue import AcceptQueue


def test_queue_of_a_listener_counts_who_waits_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        queue = AcceptQueue(*address)
        assert queue.length() == 0
        with socket.create_connection(address), socket.create_connection(address):
            assert queue.length() == 2
            listener.accept()[0].close()
            assert queue.length() == 1
        queue.close()


def test_queue_without_a_listener_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        queue = AcceptQueue(*listener.getsockname())
    with pytest.raises(ConnectionError, match="nobody listens"):
        queue.length()
    queue.close()
