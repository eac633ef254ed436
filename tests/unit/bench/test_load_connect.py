"""The connections of the load: how they are made, named when they fail, and ended."""

import resource
import socket
from collections.abc import Iterator

import pytest

from bench.load import connect as connecting
from bench.load.connect import PORTS_PER_ADDRESS, Ears, Place, allow, close, connect, say
from bench.load.result import LoadError

MANY = 300
"""More than are under way at once."""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=MANY) as listener:
        listener.settimeout(20)
        yield listener


def place_of(server: socket.socket) -> Place:
    return Place("127.0.0.1", server.getsockname()[1])


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_all_are_connected_and_wait_for_nothing(server: socket.socket) -> None:
    made = connect(place_of(server), MANY)
    peers = [server.accept() for _ in range(MANY)]
    assert {sock.getsockname() for sock in made} == {address for _, address in peers}
    assert not any(sock.getblocking() for sock in made)
    assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in made)
    close([*made, *(peer for peer, _ in peers)])


@pytest.mark.parametrize(
    ("number", "host"),
    [
        (0, "127.0.0.1"),
        (PORTS_PER_ADDRESS - 1, "127.0.0.1"),
        (PORTS_PER_ADDRESS, "127.0.0.2"),
        (3 * PORTS_PER_ADDRESS, "127.0.0.4"),
    ],
)
def test_many_connections_come_from_several_addresses(server: socket.socket, number: int, host: str) -> None:
    made = connect(place_of(server), 1, first=number)
    peer, address = server.accept()
    assert address[0] == host
    close([*made, peer])


def test_a_close_is_a_reset(server: socket.socket) -> None:
    """Nothing is left in TIME_WAIT."""
    made = connect(place_of(server), 1)
    peer, _ = server.accept()
    close(made)
    with peer, pytest.raises(ConnectionResetError):
        peer.recv(1)


def test_a_refused_connection_is_named() -> None:
    port = free_port()
    with pytest.raises(LoadError, match=f"^127.0.0.1:{port}: connection refused$"):
        connect(Place("127.0.0.1", port), 3)


def test_a_server_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, pytest.raises(LoadError) as caught:
        connect(place_of(server), 10)
    assert "connection timed out (after " in str(caught.value)


def test_a_name_without_address_is_named() -> None:
    with pytest.raises(LoadError, match=r"^nobody\.invalid: no address: "):
        Place("nobody.invalid", 1)


def test_a_name_means_the_address_that_listens(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As localhost does, where the server is on 127.0.0.1 alone."""
    port = server.getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"127.0.0.{host}", port)) for host in (9, 1)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert Place("both", port).address == ("127.0.0.1", port)


def test_more_than_descriptors_allow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    with pytest.raises(LoadError, match="937 connections: at most 936 with 1000 descriptors"):
        allow(937)
    allow(936)
    allow(36)
    assert limits == [(1000, 1000)]


def test_ears_tell_what_came_and_what_did_not(server: socket.socket) -> None:
    made = connect(place_of(server), 2)
    peers = [server.accept()[0] for _ in range(2)]
    ears = Ears(made)
    fds = [sock.fileno() for sock in made]
    for peer in peers:
        peer.sendall(b"hello")
    assert ears.until(lambda seen: seen == b"hello", fds, 20)
    assert not ears.until(lambda seen: seen == b"more", fds, 0.05)
    ears.forget()
    assert list(ears.seen.values()) == [b"", b""]
    say(made[0], b"x" * 100_000)
    peers[0].close()
    with pytest.raises(LoadError, match="the server closed a connection"):
        ears.until(bool, fds, 20)
    close([*made, peers[1]])
    ears.close()
