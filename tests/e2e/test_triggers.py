"""The lecture's exhibits: what level and edge triggering report, and what a read takes, on real sockets.

The loop is stepped here: a turn happens when the test says so, and what it should find has arrived in the
kernel before. So nothing depends on time, and "it stays silent" means so many turns, not so many seconds.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub.control.mailbox import Stop, WantClosed
from hub.loop.limits import Budgets
from hub.net.sockets import Address, NotAccepted, Sockets
from hub.session.client import Client
from tests.loop.support import waiting_bytes
from tests.support import PAIRS, Peer, ThreadHub, closing, until

READ_BYTES = 500
LINES = b"".join(b"line %04d\n" % number for number in range(100))
"""1000 bytes, two reads. Half of them are whole lines, so an echo shows exactly what was read."""
FIRST, SECOND = LINES[:READ_BYTES], LINES[READ_BYTES:]
SILENT_TURNS = 20


@contextmanager
def stepped(
    trigger: str, read: str, mode: str = "echo", *, sockets: Sockets | None = None, **budgets: int
) -> Iterator[ThreadHub]:
    """A hub that turns only when the test says so. edge + once is allowed here, unlike in serve."""
    sizes = {"read_bytes": READ_BYTES} | budgets
    hub = ThreadHub(mode=mode, trigger=trigger, read=read, budgets=Budgets(**sizes), sockets=sockets)
    try:
        yield hub
    finally:
        hub.mailbox.post(Stop())
        hub.loop.run()
    assert not [fields for event, fields in hub.log if event == "fault"]
    hub.assert_books_balance()


def turn(hub: ThreadHub, count: int = 1) -> None:
    """Turns that never wait: each begins with the mailbox's bell ringing, which is no client's event."""
    for _ in range(count):
        hub.mailbox.post(WantClosed(0, 0, lambda page: None))
        hub.loop.turn()


def join(hub: ThreadHub) -> tuple[Peer, Client]:
    """A new client, seen from both sides."""
    known = set(hub.loop.hub.connections.clients)
    peer = hub.peer()

    def arrived() -> list[Client]:
        turn(hub)
        return [client for id_, client in hub.loop.hub.connections.clients.items() if id_ not in known]

    client = until(arrived)[0]
    return peer, client


def deliver(peer: Peer, client: Client, data: bytes) -> None:
    """Send, and return when all of it waits in the hub's kernel."""
    before = waiting_bytes(client)
    peer.send(data)
    until(lambda: waiting_bytes(client) == before + len(data))


def deliver_with_end(peer: Peer, client: Client, data: bytes) -> int:
    """Data and FIN, both there before the hub looks. Returns the event that poll(2) shows for them."""
    deliver(peer, client, data)
    peer.half_close()
    look = select.poll()
    look.register(client.fd, select.POLLIN | select.POLLRDHUP)
    [(_, mask)] = until(lambda: [seen for seen in look.poll(0) if seen[1] & select.POLLRDHUP])
    return mask


def test_level_and_once_is_told_again_of_what_one_read_left() -> None:
    with stepped("level", "once") as hub:
        peer, client = join(hub)
        with peer:
            deliver(peer, client, LINES)
            turn(hub)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (500, 500)
            turn(hub)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (1000, 0)
            turn(hub, SILENT_TURNS)
            assert hub.loop.hub.counters.events_in == 2
            assert peer.read(len(LINES)) == LINES


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_drain_takes_everything_on_one_report(trigger: str) -> None:
    with stepped(trigger, "drain") as hub:
        peer, client = join(hub)
        with peer:
            deliver(peer, client, LINES)
            turn(hub)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (1000, 0)
            turn(hub, SILENT_TURNS)
            assert hub.loop.hub.counters.events_in == 1
            assert peer.read(len(LINES)) == LINES


def test_edge_and_once_is_silent_about_the_rest_until_more_comes() -> None:
    with stepped("edge", "once") as hub:
        peer, client = join(hub)
        with peer:
            deliver(peer, client, LINES)
            turn(hub, SILENT_TURNS)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (500, 500)
            assert hub.loop.hub.counters.events_in == 1
            deliver(peer, client, b"line 0100\n")
            turn(hub, SILENT_TURNS)
            # It got the old bytes, and is as far behind as before: one report, one read, for ever.
            assert hub.loop.hub.counters.events_in == 2
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (1000, 10)
            assert peer.read(len(LINES)) == LINES


@pytest.mark.parametrize(
    ("trigger", "read", "starved_bytes"), [(*pair, 0) for pair in PAIRS] + [("edge", "once", 500)]
)
def test_edge_and_once_starves_a_client_that_waits_for_an_answer(
    trigger: str, read: str, starved_bytes: int
) -> None:
    with stepped(trigger, read) as hub:
        (patient, starving), (lively, busy) = join(hub), join(hub)
        with patient, lively:
            deliver(patient, starving, LINES)
            for number in range(100):
                line = b"another's line %d\n" % number
                deliver(lively, busy, line)
                turn(hub)
                assert lively.line() == line
            assert waiting_bytes(starving) == starved_bytes
            assert patient.read(len(LINES) - starved_bytes) == (FIRST if starved_bytes else LINES)
            assert patient.nothing_waits()


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_drain_cut_by_its_budget_goes_on_without_a_report(trigger: str) -> None:
    with stepped(trigger, "drain", client_bytes=2 * READ_BYTES) as hub:
        peer, client = join(hub)
        with peer:
            deliver(peer, client, LINES + LINES + FIRST)
            for taken_bytes in (1000, 2000, 2500):
                hub.loop.turn()  # Without a bell: who is marked keeps the loop from waiting.
                assert client.inbox.bytes_in == taken_bytes
            assert peer.read(2500) == LINES + LINES + FIRST


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_more_lines_than_a_turn_takes_starve_nobody(trigger: str, read: str) -> None:
    with stepped(trigger, read, "chat", client_bytes=4 * READ_BYTES) as hub:
        peer, client = join(hub)
        with peer:
            deliver(peer, client, b"x\n" * 2000)
            turn(hub, SILENT_TURNS)
            assert (client.inbox.lines_in, waiting_bytes(client)) == (2000, 0)


@pytest.mark.promise("lines-unfinished-last")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_data_and_fin_that_come_as_one_event_are_both_found(trigger: str, read: str) -> None:
    with stepped(trigger, read) as hub:
        peer, client = join(hub)
        with peer:
            assert deliver_with_end(peer, client, b"whole\nunfinished") == 0x2001
            turn(hub)
            counters = hub.loop.hub.counters
            assert (counters.events_in, counters.events_rdhup) == (1, 1)
            turn(hub, 2)
            assert client.inbox.eof
            assert peer.rest() == b"whole\nunfinished\n"
            assert hub.ending()["reason"] == "peer_closed"


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_fin_behind_more_than_a_turn_takes_is_found(trigger: str) -> None:
    with stepped(trigger, "drain", client_bytes=2 * READ_BYTES) as hub:
        peer, client = join(hub)
        with peer:
            assert deliver_with_end(peer, client, 5 * LINES) == 0x2001
            turn(hub, 8)
            assert peer.rest() == 5 * LINES
            assert hub.ending()["reason"] == "peer_closed"


def test_edge_and_once_never_finds_a_fin_that_came_with_data() -> None:
    with stepped("edge", "once") as hub:
        peer, client = join(hub)
        with peer:
            assert deliver_with_end(peer, client, b"whole\nunfinished") == 0x2001
            turn(hub, SILENT_TURNS)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (16, 0)
            assert not client.inbox.eof
            assert hub.loop.hub.connections.clients == {client.id: client}


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_nothing_is_lost_however_the_bytes_are_cut(trigger: str, read: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    budgets = Budgets(read_bytes=READ_BYTES, client_bytes=3 * READ_BYTES, turn_bytes=8 * READ_BYTES)
    hub = ThreadHub(mode="echo", trigger=trigger, read=read, budgets=budgets)
    with hub, closing(hub.peers(8)) as peers:
        sent = {peer: b"" for peer in peers}
        for _ in range(400):
            peer = chance.choice(peers)
            size = chance.choice((1, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES, chance.randrange(1, 3000)))
            piece = bytes(chance.choices(b"abcdefg\n", k=size))
            peer.send(piece)
            sent[peer] += piece
        for peer, lines in sent.items():
            peer.send(b"unfinished")
            peer.half_close()
            assert peer.rest() == lines + b"unfinished\n"


class Latecomer(Sockets):
    """Real calls, but while the first client is accepted a second one connects, into the same batch."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.connected_s = 0.0
        self.second: Peer | None = None

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Address] | NotAccepted:
        """The first, and next time the second."""
        accepted = super().accept(listener)
        if self.second is None:
            self.connected_s = time.monotonic()
            self.second = Peer(self.port)
        return accepted


def test_a_newcomer_is_not_idle_since_before_it_came() -> None:
    sockets = Latecomer()
    with stepped("level", "drain", sockets=sockets) as hub:
        sockets.port = hub.port
        first, _ = join(hub)
        clients = hub.loop.hub.connections.clients.values()
        with first:
            assert sockets.second is not None
            with sockets.second:
                assert len(clients) == 2
                assert max(client.active_at for client in clients) >= sockets.connected_s
