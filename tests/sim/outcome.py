"""What must be true once a plan is over: everybody has what it is owed, and then everybody is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.modes.chat import Chat
from hub.rooms.registry import LOBBY
from hub.session.client import Client
from tests.sim.kernel import fail
from tests.sim.tcp import tcp_at

if TYPE_CHECKING:
    from tests.sim.world import World


class Outcome:
    def __init__(self, world: World) -> None:
        self._world = world

    def unsettled(self) -> str:
        """What is not as it should be once everybody has read everything; nothing when all is."""
        world, hub = self._world, self._world.hub
        if any(listener.waiting for listener in world.sockets.listeners) and not hub.status.draining:
            return "somebody waits at the door"
        if world.kernel.epoll.has_events():
            return "an event waits"
        if hub.ready.readable:
            return "somebody is to be read"
        for client in hub.connections.clients.values():
            tcp = tcp_at(world.kernel, client.fd)
            if tcp.lost:
                continue
            unread = tcp.input or (tcp.fin_came and not client.inbox.eof)
            if unread or client.inbox.has_lines or not client.outbox.is_empty:
                return f"{client.peer} is left with something: {_show(client)}"
        return ""

    def is_settled(self) -> bool:
        return not self.unsettled()

    def when_settled(self) -> None:
        world, hub = self._world, self._world.hub
        alive = {client.peer: client for client in hub.connections.clients.values()}
        for peer in world.peers:
            client = alive.get(peer.name)
            is_mute = peer.write_only or (client is not None and not client.outbox.closed)
            if client is not None and is_mute and not (peer.tcp.lost or client.close.reason):
                peer.write_only or peer.follower.heard_all() or fail(f"{peer.name} did not hear everything")
                if peer.spotless and not peer.read_only and world.plan.mode != "echo":
                    self.was_heard(peer.number, peer.said, whole=not peer.remote.fin_sent)

    def when_drained(self) -> None:
        """Everybody is gone, for a reason that is known, and nothing is left behind."""
        world, hub = self._world, self._world.hub
        left = map(_show, hub.connections.by_fd.values())
        world.loop.is_drained or fail("the drain did not end:", *left)
        count = len(world.kernel.fds)
        count == 4 + len(world.mailbox.bells) or fail("descriptors are left:", count)
        self._nothing_is_kept()
        ends = {fields["peer"]: fields for event, fields in world.log if event == "closed"}
        for peer in world.peers:
            end = ends.get(peer.name)
            if end is None:
                continue
            if peer.spotless and world.plan.mode != "echo":
                orderly = end["reason"] == "peer_closed" and peer.tcp.fin_came
                self.was_heard(peer.number, peer.said, whole=orderly)

    def _nothing_is_kept(self) -> None:
        """Of those who are gone no table knows anything any more."""
        hub = self._world.hub
        rooms = [room.name for room in hub.rooms.all()]
        rooms == [LOBBY] or fail("rooms are left:", rooms)
        tables = {
            "addresses": hub.connections.per_address,
            "readable": hub.ready.readable, "to be flushed": hub.ready.writable, "ended": hub.ready.closing,
            "finished": hub.ready.finished, "in the lobby": list(hub.rooms.lobby.members()),
        }  # fmt: skip
        for name, table in tables.items():
            not table or fail(f"{name}: {len(table)} are left")
        if isinstance(hub.mode, Chat):
            not hub.mode.nicks.chosen or fail("nicks are left:", list(hub.mode.nicks.chosen))

    def was_heard(self, number: int, said: list[bytes], *, whole: bool) -> None:
        """Its lines stand in the journal, each once, as it said them; all of them, or the first of them."""
        heard = sorted(self._world.journal.said.get(number, []))
        numbers = [at for at, _ in heard]
        numbers == list(range(len(heard))) or fail(f"lines of peer {number}:", numbers)
        all(line.endswith(said[at]) for at, line in heard) or fail(f"a line of peer {number} is changed")
        is_all = not whole or len(heard) == len(said)
        is_all or fail(f"of peer {number} {len(heard)} of {len(said)} lines were heard")


def _show(client: Client) -> str:
    outbox, inbox = client.outbox, client.inbox
    waits = {"blocked": outbox.blocked, "mute": outbox.closed, "eof": inbox.eof, "lines": inbox.has_lines}
    so = " ".join([*client.gate.names(), *(name for name, is_so in waits.items() if is_so)])
    sizes = f"lag={outbox.lag_bytes} items={outbox.item_bytes} partial={outbox.partial is not None}"
    return f"{client.id} {client.peer} {client.phase} {client.close.reason} {so} {sizes}"
