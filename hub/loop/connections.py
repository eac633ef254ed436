"""The table of clients, and what epoll is to report of each."""

import errno
from collections import Counter

from hub.close_reasons import CloseReason
from hub.loop.timer_set import TimerSet
from hub.net.poller import Poller
from hub.session.client import Client
from hub.session.read_gate import ENDED, OUTBOX
from hub.session.ready_sets import ReadySets


class ByDescriptor:
    """Clients by the number of their descriptor, which the kernel keeps small: 8 bytes each, not 80."""

    __slots__ = ("_clients", "_count")

    def __init__(self) -> None:
        self._clients: list[Client | None] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, fd: int) -> Client | None:
        """The client with this descriptor, if there is one."""
        return self._clients[fd] if 0 <= fd < len(self._clients) else None

    def add(self, client: Client) -> None:
        """Keep a client; nobody else has its descriptor."""
        self._clients += [None] * (client.fd + 1 - len(self._clients))
        self._clients[client.fd] = client
        self._count += 1

    def remove(self, client: Client) -> None:
        """Forget a client that was added."""
        assert self._clients[client.fd] is client
        self._clients[client.fd] = None
        self._count -= 1

    def values(self) -> list[Client]:
        """All of them."""
        return [client for client in self._clients if client is not None]


class Connections:
    """Every connection that has a descriptor."""

    def __init__(self, poller: Poller, ready: ReadySets, timers: TimerSet) -> None:
        self._poller, self._ready, self._timers = poller, ready, timers
        self.by_fd = ByDescriptor()
        """All of them, closing or not."""
        self.clients: dict[int, Client] = {}
        """The open ones by id."""
        self.closing: dict[int, Client] = {}
        """By id, those that count as closed and still have a descriptor."""
        self.per_address: Counter[str] = Counter()

    def add(self, client: Client) -> None:
        """A connection was accepted."""
        self.per_address[client.address] += 1
        self.clients[client.id] = client
        self.by_fd.add(client)
        self.watch(client)

    def settle(self, client: Client) -> None:
        """The client counts as closed from here on."""
        self.closing[client.id] = self.clients.pop(client.id)
        self.per_address[client.address] -= 1
        if not self.per_address[client.address]:
            del self.per_address[client.address]

    def remove(self, client: Client) -> None:
        """The descriptor is about to be closed."""
        self.by_fd.remove(client)
        del self.closing[client.id]
        self._poller.forget(client.fd)

    def watch(self, client: Client) -> None:
        """Tell the poller what is wanted of this client now. No system call where nothing changed.

        A kernel may have no memory for it (epoll_ctl(2)): a client that cannot be watched cannot stay.
        """
        reading = client.is_reading or (client.phase == "lingering" and not client.inbox.eof)
        try:
            if client.close.peer_error and not reading:
                self._poller.quiet(client.fd)
            else:
                self._poller.want(client.fd, reading=reading, writing=client.outbox.blocked)
        except OSError as error:
            if client.is_alive:
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self._ready.end(client, CloseReason.IO_ERROR, f"epoll={name}")
            else:
                self._ready.abort.append(client)

    def pause(self, client: Client, reason: int) -> None:
        """Do not read this client, for one more reason."""
        client.gate.add(reason)
        self.watch(client)

    def resume(self, client: Client, reason: int) -> None:
        """Drop a reason not to read this client."""
        client.gate.remove(reason)
        self.look_again(client)

    def look_again(self, client: Client) -> None:
        """Mark the client readable: what came while it was paused is in the kernel or parsed already.

        A closing client has nothing to resume, and its descriptor may be another's by now.
        """
        if not client.is_alive:
            return
        if client.close.reason is None and not client.gate.is_held:
            self._ready.readable[client] = None
        self.watch(client)

    def peer_is_gone(self, client: Client, reason: CloseReason) -> None:
        """Nothing more can be delivered: what the client was owed is unsent. Reading goes on to its end, and
        the end decides."""
        client.ending.peer_error = reason
        client.inbox.read_until_eagain = True
        if not client.outbox.closed:
            client.outbox.close()
            if client.room is not None:
                client.room.unsubscribe(client.outbox)
            self._ready.writable.pop(client, None)
        if not client.is_alive:
            self._ready.finished[client.id] = client
            self.watch(client)
            return
        self._timers.progress.forget(client.id)
        client.gate.remove(OUTBOX)
        if client.close.pending is None and client.close.reason is None:
            client.inbox.eof = False  # A viewer's end of stream closed nothing: find what has come behind it.
            client.gate.remove(ENDED)
        self.look_again(client)
