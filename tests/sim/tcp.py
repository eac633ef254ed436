"""TCP in memory: listeners, the hub's end as a socket with its calls, the other end as a peer's kernel.

Each direction has a buffer on each side. `pump` moves what fits; while the link stands still nothing moves.
The events are those of tcp_poll() in the kernel: RDHUP with IN at the peer's end of stream, HUP once both
directions are shut or after a reset, OUT while a third of the send buffer is free. Errors as in tcp(7): after
a reset one call says ECONNRESET (EPIPE where an end of stream came first), then reads say end of stream and
writes EPIPE; what had come before the reset can still be read.
"""

import errno
from collections import deque
from collections.abc import Sequence

from tests.sim.kernel import ERR, HUP, IN, OUT, RDHUP, Description, Kernel, Violation, error, fail

USER_TIMEOUT_S = 120.0
"""TCP_USER_TIMEOUT of the hub's sockets: unacknowledged for so long is gone, and so is who has answered
no keep-alive for so long, 60 s and four times 15 s (hub/net/listeners.py, tcp(7))."""


class Remote:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.inbox = bytearray()
        """Arrived, and not read by its program."""
        self.outbox = bytearray()
        """Sent by its program, and not arrived at the hub."""
        self.fin_sent = False
        self.closed = False
        """Its program has closed the socket: what still arrives is answered with a reset."""
        self.got_fin = False
        self.got_reset = False


class Tcp(Description):
    """The hub's end of one connection: its calls by their names in the manual, and what is known of it."""

    def __init__(self, kernel: Kernel, remote: Remote, address: tuple[str, int], sndbuf: int, rcvbuf: int):
        super().__init__()
        self._kernel, self.remote, self.address = kernel, remote, address
        self._sndbuf, self._rcvbuf = sndbuf, rcvbuf
        self.fd = -1
        self.input = bytearray()
        self.output = bytearray()
        self.taken = bytearray()
        """Everything that this kernel took from the hub, for whoever wants to compare."""
        self.acknowledged = 0
        """How many bytes the peer's kernel took."""
        self.refused = False
        """The last write was not taken whole."""
        self.heard_at = self.took_at = kernel.now
        self.stalled = False
        self.lost = False
        self.is_closed = False
        """The hub has closed it."""
        self.shut_at: float | None = None
        """Since when the hub waits for the peer's end of stream."""
        self.has_failed = False
        """A call failed that need not have: the hub may give the connection up."""
        self._moved_at = self._arrived_at = kernel.now
        self._error = 0
        self.fin_came = self._dead = self._nospace = False
        self.shut_in = self._shut_out = self._fin_left = False

    # What epoll asks.

    def events(self) -> int:
        found = ERR if self._error else 0
        if self.shut_in:
            found |= IN | RDHUP
            if self._shut_out or self._dead:
                found |= HUP
        if self.input:
            found |= IN
        if self._shut_out or self.is_writeable:
            return found | OUT
        self._nospace = True
        return found

    @property
    def is_writeable(self) -> bool:
        """A third of the buffer is free."""
        return self._sndbuf - len(self.output) >= len(self.output) // 2

    # The hub's calls.

    def tcp_info(self, size: int) -> bytes:
        return bytes(size - 8) + self.acknowledged.to_bytes(8, "little")  # tcpi_bytes_acked stands last.

    def recv(self, size: int, *, peek: bool = False) -> bytes:
        self._kernel.called("recv", self.fd, size, len(self.input))
        if self.input:
            data = bytes(self.input[:size])
            if not peek:
                self._took_input(len(data))
            return data
        if self.fin_came:
            self._kernel.useful += not peek
            return b""
        if self._error:
            self._fail()
        if self.shut_in:
            self._kernel.useful += not peek
            return b""
        raise error(errno.EAGAIN)

    def send(self, data: bytes) -> int:
        self._kernel.called("send", self.fd, len(data))
        if not data:
            raise Violation("an empty send")
        if self._error or self._shut_out or self._dead:
            if self._error:
                self._fail()
            raise error(errno.EPIPE)
        room = self._sndbuf - len(self.output)
        took = min(room, len(data))
        self.refused = took < len(data)
        if self.refused:
            self._nospace = True
        if took <= 0:
            raise error(errno.EAGAIN)
        if not self.output:
            self._moved_at = self._kernel.now
        self.output += data[:took]
        self.taken += data[:took]
        self.took_at = self._kernel.now
        self._kernel.useful += 1
        self.pump()
        return took

    def writev(self, buffers: Sequence[bytes]) -> int:
        if len(buffers) > 1024:
            raise error(errno.EINVAL)  # writev(2).
        return self.send(b"".join(buffers))

    def shutdown(self) -> None:
        self._kernel.called("shutdown", self.fd)
        self.shut_at = self._kernel.woke_at
        if self._dead:
            raise error(errno.ENOTCONN)
        self._shut_out = True
        self._kernel.useful += 1
        self.wake()
        self.pump()

    def close(self) -> None:
        self._kernel.called("close", self.fd)
        if self.was_watched and not self._kernel.may_close:
            raise Violation(f"descriptor {self.fd} is closed inside a batch")
        self._kernel.close(self.fd)
        self._kernel.useful += 1
        self.fd = -1

    def release(self) -> None:
        self.is_closed = True
        if (self.input or (self.remote.outbox and not self.lost)) and not self._dead:
            self._dead = True
            self.output.clear()
            self.remote.got_reset = not self.lost
        self._shut_out = True
        self.pump()

    def _fail(self) -> None:
        number, self._error = self._error, 0
        self._kernel.useful += 1
        raise error(number)

    def _took_input(self, size: int) -> None:
        del self.input[:size]
        if not self._shut_out:  # Else it is only thrown away.
            self.heard_at = self._kernel.now
        self._kernel.useful += 1
        self.pump()

    # The network's side.

    def pump(self) -> None:
        """Move what fits, in both directions."""
        if self.stalled or self.lost:
            return
        self._pump_out()
        self._pump_in()

    def _pump_out(self) -> None:
        remote = self.remote
        if remote.closed and self.output:
            self.reset()
            return
        size = min(len(self.output), remote.capacity - len(remote.inbox))
        if size > 0:
            remote.inbox += self.output[:size]
            self.acknowledged += size
            del self.output[:size]
            self._moved_at = self._kernel.now
            if self._nospace and self.is_writeable and self.fd >= 0:
                self._nospace = False
                self.wake(OUT)
        if self._shut_out and not self.output and not self._fin_left and not self._dead:
            self._fin_left = remote.got_fin = True

    def _pump_in(self) -> None:
        remote = self.remote
        if remote.outbox:
            if self.fd < 0 and self._shut_out:
                remote.got_reset = True
                remote.outbox.clear()
                return
            size = min(len(remote.outbox), self._rcvbuf - len(self.input))
            if size > 0 and not self._dead:
                self.input += remote.outbox[:size]
                del remote.outbox[:size]
                self._arrived_at = self._kernel.now
                self.wake(IN)
        if remote.fin_sent and not remote.outbox and not self.fin_came and not self._dead:
            self.fin_came = self.shut_in = True
            self.wake()

    def swallow(self) -> None:
        """The peer reads for as long as something comes."""
        self.remote.inbox.clear()
        while self.output and not (self.stalled or self.lost or self._dead):
            capacity, self.remote.capacity = self.remote.capacity, 1 << 30
            self.pump()
            self.remote.capacity = capacity
            self.remote.inbox.clear()

    def widen(self) -> None:
        self.stalled = False
        self._sndbuf = self._rcvbuf = self.remote.capacity = 1 << 20
        if self.fd >= 0 and self._nospace and not self._dead:
            self.wake(OUT)
        self.pump()

    def reset(self) -> None:
        if self._dead:
            return
        if self.fin_came and self._shut_out and self._fin_left:
            self._dead = True  # Both ends of stream were exchanged: nothing is left to be reset.
            return
        self._die(errno.EPIPE if self.fin_came else errno.ECONNRESET)

    def _die(self, number: int) -> None:
        self._error = number
        self._dead = self.shut_in = self._shut_out = True
        self.output.clear()
        self.wake()

    def time_out(self) -> None:
        """A peer that does not acknowledge for too long is gone."""
        if self._dead or not (self.lost or self.output):
            return
        since = self._moved_at if self.output else max(self._moved_at, self._arrived_at)
        if self._kernel.now - since >= USER_TIMEOUT_S:
            self._die(errno.ETIMEDOUT)


class Listener(Description):
    def __init__(self, kernel: Kernel, port: int) -> None:
        super().__init__()
        self._kernel = kernel
        self.port = port
        self.waiting: deque[Tcp] = deque()
        self.fd = kernel.open(self)

    def events(self) -> int:
        return IN if self.waiting else 0

    def fileno(self) -> int:
        return self.fd

    def detach(self) -> int:
        return self.fd

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def arrive(self, tcp: Tcp) -> None:
        self.waiting.append(tcp)
        self.wake(IN)

    def accept(self) -> Tcp:
        """accept(2): a number first, then somebody."""
        kernel = self._kernel
        kernel.called("accept", self.fd, len(self.waiting))
        if kernel.accept_errors and self.waiting:
            number = kernel.accept_errors.pop(0)
            if number == errno.ECONNABORTED:
                self.waiting.popleft().remote.got_reset = True
            raise error(number)
        if len(kernel.fds) >= kernel.most_descriptors:
            raise error(errno.EMFILE)
        if not self.waiting:
            raise error(errno.EAGAIN)
        tcp = self.waiting.popleft()
        tcp.fd = kernel.open(tcp)
        kernel.useful += 1
        kernel.accepted += 1
        return tcp

    def close(self) -> None:
        self._kernel.called("close", self.fd)
        self._kernel.close(self.fd)
        self.fd = -1
        for tcp in self.waiting:
            tcp.remote.got_reset = True
        self.waiting.clear()


def tcp_at(kernel: Kernel, fd: int) -> Tcp:
    """The connection that has this descriptor. A closed one is asked for by who kept its number too long."""
    of = kernel.fds.get(fd)
    return of if isinstance(of, Tcp) else fail(f"descriptor {fd} is no open connection")
