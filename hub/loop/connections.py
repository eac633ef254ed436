"""The table of clients, and what epoll is to report of each."""

import errno
from collections import Counter

from hub.close_reasons import CloseReason
from hub.loop.timer_set import TimerSet
from hub.net.poller import Poller
from hub.session.client import Client, Phase
from hub.session.read_gate import ENDED, OUTBOX
from hub.session.ready_sets import ReadySets


class Connections:
    """Every connection that has a descriptor."""

    def __init__(self, poller: Poller, ready: ReadySets, timers: TimerSet) -> None:
        self._poller, self._ready, self._timers = poller, ready, timers
        self.by_fd: dict[int, Client] = {}
        """All of them, closing or not."""
        self.clients: dict[int, Client] = {}
        """The open ones by id."""
        self.closing: dict[int, Client] = {}
        """By id, those that count as closed and still have a descriptor."""
        self.per_address: Counter[str] = Counter()

    def add(self, client: Client) -> None:
        """A connection was accepted."""
        self.per_address[client.address] += 1
        self.by_fd[client.fd] = self.clients[client.id] = client
        self.watch(client)

    def settle(self, client: Client) -> None:
        """The client counts as closed from here on."""
        self.closing[client.id] = self.clients.pop(client.id)
        self.per_address[client.address] -= 1
        if not self.per_address[client.address]:
            del self.per_address[client.address]

    def remove(self, client: Client) -> None:
        """The descriptor is about to be closed."""
        del self.by_fd[client.fd], self.closing[client.id]
        self._poller.forget(client.fd)

    def watch(self, client: Client) -> None:
        """Tell the poller what is wanted of this client now. No system call where nothing changed.

        A kernel may have no memory for it (epoll_ctl(2)): a client that cannot be watched cannot stay.
        """
        reading = client.is_reading or (client.phase is Phase.LINGERING and not client.inbox.eof)
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
            self._ready.readable[client.id] = client
        self.watch(client)

    def peer_is_gone(self, client: Client, reason: CloseReason) -> None:
        """Nothing more can be delivered: what the client was owed is unsent. Reading goes on to its end, and
        the end decides."""
        client.close.peer_error = reason
        client.inbox.read_until_eagain = True
        if not client.outbox.closed:
            client.outbox.close()
            if client.room is not None:
                client.room.unsubscribe(client.outbox)
            self._ready.writable.pop(client.id, None)
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
