"""The accept step: let in those who come, a few in a slice, or refuse them with a line.

With no descriptor left a failed accept consumes nothing, so the listener stays readable and a loop that
only tries again spins. A spare descriptor is given up for one accept, to tell that peer so; where even
that fails, the listeners are left alone for a moment. (libuv and redis guard themselves in the same way.)
"""

from math import inf
from typing import Final

from hub.loop.admission import Admission, Listener
from hub.loop.core import Core, Step
from hub.net.sockets import NotAccepted
from hub.session.client import Transport

PAUSE_S: Final = 0.25
"""How long nobody is accepted when no descriptor can be had."""
MOST_VANISHED: Final = 64
"""So many failed accepts in a row are no peers that went away: the system lets nobody in (EPERM, say), and
leaves those who wait in the backlog, so that trying on would spin."""


class CannotListen(Exception):
    """Lines of this transport cannot be heard; the error has the address in its message."""

    def __init__(self, transport: Transport, error: OSError) -> None:
        super().__init__(transport, error)
        self.transport = transport
        self.error = error


class Acceptor(Step):
    """The listeners, and those who wait there."""

    def __init__(self, core: Core, admission: Admission) -> None:
        super().__init__(core)
        self._admission = admission
        self.listeners: dict[int, Listener] = {}
        self.waiting: dict[int, None] = {}
        """Listeners at which somebody waits."""
        self._lost: list[Listener] = []
        self.spare = core.sockets.spare()
        self.resumes_at = inf
        """When the listeners are looked at again; infinite while they are."""
        self._vanished = 0

    def open(self) -> None:
        """Bind and listen. Raises CannotListen."""
        settings = self._settings
        ports: dict[Transport, int | None] = {
            "line": settings.port, "websocket": settings.ws_port if settings.ws else None,
            "read-only": settings.read_only_port, "write-only": settings.write_only_port,
        }  # fmt: skip
        for transport, port in ports.items():
            if port is None:
                continue
            try:
                bound = self._sockets.listen(settings.host, port)
            except OSError as error:
                raise CannotListen(transport, error) from error
            for sock, _ in bound:
                self.listeners[sock.fileno()] = Listener(sock, transport, sock.getsockname()[1])
                self._poller.watch(sock.fileno())
            self._status.addresses[transport] = tuple(address for _, address in bound)

    def close(self) -> None:
        """Accept no more. A peer that still waits in the backlog is reset by the kernel."""
        for listener in (*self.listeners.values(), *self._lost):
            self._poller.forget(listener.sock.fileno())
            self._sockets.close(listener.sock.detach())
        self.listeners.clear()
        self.waiting.clear()
        self.resumes_at = inf
        self.spare.release()

    def timeout(self, now: float) -> float:
        """Seconds until the listeners are looked at again, infinite while they are."""
        return max(0.0, self.resumes_at - now)

    def step(self, now: float) -> None:
        """Look at the listeners again when the time has come and a descriptor is there."""
        if now < self.resumes_at:
            return
        try:
            if self.spare.refill():
                for fd in self.listeners:
                    self._poller.watch(fd)
                self.resumes_at = inf
                return
        except OSError:  # epoll_ctl(2) has no memory: later, perhaps.
            pass
        self._pause(now)

    def _pause(self, now: float) -> None:
        """Look at no listener for a moment; those who come wait in the backlog."""
        self.waiting.clear()
        for fd in self.listeners:
            self._poller.forget(fd)
        self.resumes_at = now + PAUSE_S

    def slice(self, now: float) -> None:
        """Take a few of those who wait at one listener; the listeners take turns."""
        for fd in self.waiting:
            del self.waiting[fd]
            if self._accept(fd, now):
                self.waiting[fd] = None
            return

    def _accept(self, fd: int, now: float) -> bool:
        """Take a few; whether more may wait here."""
        listener = self.listeners[fd]
        for _ in range(self._budgets.accepts):
            accepted = self._sockets.accept(listener.sock)
            self._vanished = self._vanished + 1 if accepted is NotAccepted.VANISHED else 0
            if isinstance(accepted, tuple):
                self._admission.admit(*accepted, listener, now)
            elif accepted is NotAccepted.VANISHED:
                if self._vanished == MOST_VANISHED:
                    self._vanished = 0
                    self._pause(now)
                    return False
            elif accepted is NotAccepted.NO_LISTENER:
                self._lose(fd)
                return False
            elif accepted is NotAccepted.NOBODY or not self._refuse_with_spare(listener, now):
                return False
        return True

    def _lose(self, fd: int) -> None:
        """The kernel would report it in every wait, for good. Its number stays taken: nothing closes here."""
        listener = self.listeners.pop(fd)
        self._lost.append(listener)
        self._poller.forget(fd)
        self._log("listener_lost", level="warning", transport=listener.transport, port=listener.port)

    def _refuse_with_spare(self, listener: Listener, now: float) -> bool:
        """Tell the next peer that there is no room; False when there is none, or the listeners are left
        alone."""
        self.spare.release()
        accepted = self._sockets.accept(listener.sock)
        if isinstance(accepted, tuple):
            self._admission.admit(*accepted, listener, now, limit="descriptors")
        if self.spare.refill() and accepted is not NotAccepted.NO_RESOURCES:
            return accepted is not NotAccepted.NOBODY  # accept(2) says EMFILE before it looks who waits.
        self._pause(now)
        return False
