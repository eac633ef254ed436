"""The lecture's exhibits: what level and edge triggering report, and what a read takes, on real sockets.

The loop is stepped here, and what a turn should find has arrived in the kernel before. So nothing depends on
time, and "it stays silent" means so many turns, not so many seconds. Serve does not allow edge with once.
"""

import select

import pytest

from hub.loop.limits import Budgets
from hub.net.listeners import Address, Socket
from hub.net.sockets import NotAccepted, Sockets
from hub.session.client import Client
from tests.loop.support import SteppedHub, waiting_bytes
from tests.support import PAIRS, Peer, closing, each_pair, each_trigger, until

READ_BYTES = 400
LINES = b"".join(b"line %04d\n" % number for number in range(80))
"""800 bytes, two reads. Half of them are whole lines, so an echo shows exactly what was read."""
FIRST = LINES[:READ_BYTES]
SILENT_TURNS = 20


def stepped(trigger: str, read: str, **budgets: int) -> SteppedHub:
    """An echo hub that turns only when the test says so."""
    return SteppedHub(Budgets(read_bytes=READ_BYTES, **budgets), mode="echo", trigger=trigger, read=read)


def deliver_with_end(hub: SteppedHub, peer: Peer, data: bytes) -> Client:
    """Data and FIN, both there before the hub looks, and one event."""
    client = hub.deliver(peer, data, fin=True)
    look = select.poll()
    look.register(client.fd, select.POLLIN | select.POLLRDHUP)
    assert look.poll(0) == [(client.fd, 0x2001)]
    return client


@pytest.mark.parametrize(
    ("trigger", "read", "at_first", "at_last", "reports"),
    [
        ("level", "once", 400, 800, 2),
        ("level", "drain", 800, 800, 1),
        ("edge", "drain", 800, 800, 1),
        ("edge", "once", 400, 400, 1),
    ],
)
def test_what_one_read_leaves_is_reported_again_by_level_only(
    trigger: str, read: str, at_first: int, at_last: int, reports: int
) -> None:
    with stepped(trigger, read) as hub, closing(hub.join()) as (peer,):
        counters, before = hub.hub.counters, hub.hub.counters.events_in
        client = hub.deliver(peer, LINES)
        hub.turns()
        assert client.inbox.bytes_in == at_first
        hub.turns(SILENT_TURNS)
        assert (client.inbox.bytes_in, waiting_bytes(client)) == (at_last, len(LINES) - at_last)
        assert counters.events_in - before == reports
        if at_last == 400:  # New bytes bring the old ones; the hub stays as far behind as before, for ever.
            hub.deliver(peer, b"line 0080\n")
            hub.turns(SILENT_TURNS)
            assert (client.inbox.bytes_in, waiting_bytes(client)) == (len(LINES), 10)
            assert counters.events_in - before == reports + 1
        assert peer.read(len(LINES)) == LINES


@pytest.mark.parametrize(
    ("trigger", "read", "starved_bytes"), [(*pair, 0) for pair in PAIRS] + [("edge", "once", 400)]
)
def test_edge_and_once_starves_a_client_that_waits_for_an_answer(
    trigger: str, read: str, starved_bytes: int
) -> None:
    with stepped(trigger, read) as hub, closing(hub.join(2)) as (patient, lively):
        starving = hub.deliver(patient, LINES)
        for number in range(100):
            line = b"another's line %d\n" % number
            hub.deliver(lively, line)
            hub.turns()
            assert lively.line() == line
        assert waiting_bytes(starving) == starved_bytes
        assert patient.read(len(LINES) - starved_bytes) == (FIRST if starved_bytes else LINES)
        assert patient.nothing_waits()


@pytest.mark.promise("lines-unfinished-last")
@each_pair
def test_data_and_fin_that_come_as_one_event_are_both_found(trigger: str, read: str) -> None:
    with stepped(trigger, read) as hub, closing(hub.join()) as (peer,):
        client = deliver_with_end(hub, peer, b"whole\nunfinished")
        hub.turns()
        assert hub.hub.counters.events_rdhup == 1
        hub.turns(2)
        assert client.inbox.eof
        assert peer.rest() == b"whole\nunfinished\n"
        assert hub.ending()["reason"] == "peer_closed"


@each_trigger
def test_a_fin_behind_more_than_a_turn_takes_is_found(trigger: str) -> None:
    share = {"client_bytes": 2 * READ_BYTES, "echo_bytes": 0}
    with stepped(trigger, "drain", **share) as hub, closing(hub.join()) as (peer,):
        deliver_with_end(hub, peer, 5 * LINES)
        hub.turns(8)
        assert peer.rest() == 5 * LINES
        assert hub.ending()["reason"] == "peer_closed"


def test_edge_and_once_never_finds_a_fin_that_came_with_data() -> None:
    with stepped("edge", "once") as hub, closing(hub.join()) as (peer,):
        client = deliver_with_end(hub, peer, b"whole\nunfinished")
        hub.turns(SILENT_TURNS)
        assert (client.inbox.bytes_in, waiting_bytes(client)) == (16, 0)
        assert not client.inbox.eof
        assert hub.hub.connections.clients == {client.id: client}


class Latecomer(Sockets):
    """Real calls, but while the first client is accepted a second one connects, into the same batch."""

    hub: SteppedHub
    second: Peer | None = None

    def accept(self, listener: Socket) -> tuple[int, Address] | NotAccepted:
        """The first, and next time the second."""
        accepted = super().accept(listener)
        if self.second is None:
            self.hub.now_s += 5
            self.second = Peer(self.hub.port)
        return accepted


def test_a_newcomer_is_not_idle_since_before_it_came() -> None:
    sockets = Latecomer()
    with SteppedHub(sockets=sockets) as hub, Peer(hub.port):
        sockets.hub = hub
        hub.turns()
        came_s = hub.now_s
        clients = until(lambda: hub.turns() or hub.hub.connections.clients)
        assert len(clients) == 2
        assert max(client.active_at for client in clients.values()) >= came_s
        assert sockets.second is not None
        sockets.second.close()
