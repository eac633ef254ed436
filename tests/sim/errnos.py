"""Each call that the hub makes may fail: which errors are plausible of which, and a way to have one fail.

The errors are those that the manual pages name and that the kernel can give to a socket, an epoll or an
eventfd that is in order. EINTR is not among them: Python makes the call again (PEP 475). Nor is EAGAIN where
it is no failure. EPOLL_CTL_DEL, which needs no memory whatever epoll_ctl(2) allows, and the reading and
ringing of an eventfd that does not block cannot fail.
"""

import errno as e
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from hub.loop.assembly import Hub
from tests.sim.fakes import SimSpare
from tests.sim.kernel import Epoll, error
from tests.sim.tcp import Listener, Tcp

PLAUSIBLE: dict[str, tuple[int, ...]] = {
    # accept(2), "Error handling": network errors that were pending; EPERM of a firewall or security module.
    "accept": (
        e.EMFILE, e.ENFILE, e.ENOBUFS, e.ENOMEM, e.ECONNABORTED, e.EPROTO, e.ENETDOWN,
        e.EHOSTUNREACH, e.EPERM,
    ),
    # recv(2), and tcp(7) and ip(7): what came in by ICMP or was found out by a timer stands in SO_ERROR.
    "recv": (e.ECONNRESET, e.ETIMEDOUT, e.EHOSTUNREACH, e.ENETUNREACH, e.ENOMEM, e.ENOBUFS, e.EIO),
    # send(2), likewise; EPERM of a firewall, EACCES of a security module.
    "send": (
        e.ECONNRESET, e.EPIPE, e.ETIMEDOUT, e.EHOSTUNREACH, e.ENETDOWN, e.ENOBUFS, e.ENOMEM, e.EPERM,
        e.EACCES,
    ),
    # shutdown(2): the other end was quicker.
    "shutdown": (e.ENOTCONN, e.ENOBUFS),
    # close(2): gives the descriptor back whatever it reports.
    "close": (e.EIO, e.EINTR, e.ECONNRESET),
    # epoll_ctl(2): ENOSPC is /proc/sys/fs/epoll/max_user_watches.
    "register": (e.ENOMEM, e.ENOSPC),
    "modify": (e.ENOMEM,),
    # open(2), of the descriptor that is kept back.
    "spare": (e.EMFILE, e.ENFILE, e.ENOMEM),
}  # fmt: skip
"""What a call may fail with while the hub runs, by its name here."""


class Fault(NamedTuple):
    """The number of a call among all that may fail, from 0 on, and what it fails with."""

    call: int
    number: int


class Faults:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fault: Fault | None = None
        self.struck: Any = None
        """Whose call failed."""
        self.was_open = False
        """The owner was a client with no close reason yet."""
        self.hub: Hub | None = None
        """Where it is none, nothing is counted: it is being made."""
        for owner, name in (
            (Tcp, "recv"), (Tcp, "send"), (Tcp, "shutdown"), (Tcp, "close"), (Listener, "accept"),
            (Epoll, "register"), (Epoll, "modify"),
        ):  # fmt: skip
            patch.setattr(owner, name, self._failing(name, getattr(owner, name)))
        refill = SimSpare.refill
        patch.setattr(SimSpare, "refill", lambda spare: self._refill(spare, refill))

    def start(self, hub: Hub, fault: Fault | None) -> None:
        self.calls, self.fault, self.struck, self.was_open = [], fault, None, False
        self.hub = hub

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def perhaps(owner: Any, *args: Any, **options: Any) -> Any:
            # A call on epoll names the descriptor that it is about.
            whom = owner.kernel.open_at(args[0]) if isinstance(owner, Epoll) else owner
            number = self._strikes(name, whom)
            if number and name == "close":
                call(owner)
            if number == e.ECONNABORTED and owner.waiting:
                owner.waiting.popleft().remote.got_reset = True
            if number:
                raise error(number)
            return call(owner, *args, **options)

        return perhaps

    def _refill(self, spare: SimSpare, refill: Callable[[SimSpare], bool]) -> bool:
        return refill(spare) if spare.held or not self._strikes("spare", spare) else False

    def _strikes(self, name: str, owner: object) -> int:
        """With what this call fails, 0 when it does not."""
        if self.hub is None:
            return 0
        self.calls.append(name)
        if self.fault is None or self.fault.call != len(self.calls) - 1:
            return 0
        self.struck = owner
        if isinstance(owner, Tcp):
            owner.has_failed = True
        client = self.hub.connections.by_fd.get(getattr(owner, "fd", -1))
        self.was_open = client is not None and not (
            client.close.reason or client.close.pending or client.close.peer_error
        )
        return self.fault.number
