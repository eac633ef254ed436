"""A listening socket in memory."""

from __future__ import annotations

import errno
from collections import deque

from tests.sim.kernel import IN, Description, Kernel, error
from tests.sim.tcp import Tcp


class Listener(Description):
    """A listening socket; `address` is what the hub sees of itself."""

    def __init__(self, kernel: Kernel, port: int) -> None:
        super().__init__()
        self._kernel = kernel
        self.port = port
        self.waiting: deque[Tcp] = deque()
        self.fd = kernel.open(self)

    def events(self) -> int:
        """Readable while somebody waits."""
        return IN if self.waiting else 0

    def fileno(self) -> int:
        """Its number."""
        return self.fd

    def getsockname(self) -> tuple[str, int]:
        """Loopback."""
        return ("127.0.0.1", self.port)

    def arrive(self, tcp: Tcp) -> None:
        """A handshake is done."""
        self.waiting.append(tcp)
        self.wake(IN)

    def accept(self) -> tuple[Tcp, tuple[str, int]]:
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
        return tcp, tcp.address

    def close(self) -> None:
        """Peers that still wait are reset."""
        self._kernel.called("close", self.fd)
        self._kernel.close(self.fd)
        for tcp in self.waiting:
            tcp.remote.got_reset = True
        self.waiting.clear()
