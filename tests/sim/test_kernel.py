"""The simulated kernel is held against the real one: the same script gives the same transcript on both.

What each verb of a script (scripts.py) answers is the transcript: bytes, errors as the hub understands them,
event masks. How many bytes fit into a buffer is the kernel's own business: that is told as all, some or none.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from contextlib import ExitStack, suppress
from typing import Any, Protocol, cast

import pytest

from hub.net.poller import Poller
from hub.net.sockets import NotAccepted, PeerGone, Sockets
from tests.loop.support import no_descriptor_left
from tests.sim.fakes import SimPoller, SimSockets
from tests.sim.kernel import Kernel
from tests.sim.listening import Listener
from tests.sim.scripts import HELLO, SCRIPTS, Script
from tests.sim.tcp import Remote, Tcp
from tests.support import PATIENCE_S

QUIET_S = 0.03
"""So long a real network may take to bring what a simulated one brings at once."""
TRIES = 3
"""What the real network brings late, one time in thousands, changes a transcript and proves nothing."""
BULK = b"x" * (1 << 16)


class Peer(Protocol):
    """The other end."""

    def say(self, data: bytes) -> None: ...
    def fin(self) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...
    def drain(self) -> str: ...


class RealPeer:
    """A plain socket."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def fin(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def drain(self) -> str:
        """Read until nothing comes: what was seen, and how it ended."""
        got, end = b"", "open"
        self.sock.settimeout(QUIET_S)
        try:
            while data := self.sock.recv(1 << 20):
                got += data
            end = "eof"
        except TimeoutError:
            pass
        except OSError as error:
            end = errno.errorcode[error.errno or 0]
        return f"{shown(got)} {end}"


class SimPeer:
    """A simulated kernel."""

    def __init__(self, kernel: Kernel, listener: Listener) -> None:
        self._remote = Remote(1 << 18)
        self._tcp = Tcp(kernel, self._remote, ("127.0.0.1", 5), 1 << 17, 1 << 17)
        listener.arrive(self._tcp)

    def say(self, data: bytes) -> None:
        self._remote.outbox += data
        self._tcp.pump()

    def fin(self) -> None:
        self._remote.fin_sent = True
        self._tcp.pump()

    def reset(self) -> None:
        self._remote.closed = True
        self._tcp.reset()

    def close(self) -> None:
        if self._remote.inbox:
            self.reset()
        else:
            self.fin()
            self._remote.closed = True

    def drain(self) -> str:
        got = b""
        while self._remote.inbox:
            got += self._remote.inbox
            self._remote.inbox.clear()
            self._tcp.pump()
        end = "ECONNRESET" if self._remote.got_reset else "eof" if self._remote.got_fin else "open"
        return f"{shown(got)} {end}"


def shown(data: bytes) -> str:
    return repr(data) if len(data) < 100 else "much"


class Scene:
    """A listener, a connection, a poller, on either kernel."""

    def __init__(self, trigger: str, stack: ExitStack, *, real: bool) -> None:
        self._stack, self._real = stack, real
        self._kernel = Kernel()
        self._sockets: Sockets = Sockets() if real else SimSockets(self._kernel)
        self._poller = Poller(trigger) if real else SimPoller(trigger, self._kernel)
        stack.callback(self._poller.close)
        self._listener = self._sockets.listen("127.0.0.1", 0)[0][0]
        self._sock: Any = None
        self._peer: Peer = cast(Peer, None)
        self._numbers: list[int] = []
        if real:
            stack.callback(self._listener.close)

    def do(self, verb: str, *args: Any, **keywords: bool) -> Any:
        """Do a verb; what it answers."""
        try:
            return getattr(self, verb)(*args, **keywords)
        except PeerGone as gone:
            return str(gone.reason)

    def connect(self) -> None:
        if self._real:
            peer = RealPeer(self._listener.getsockname()[1])
            self._stack.callback(peer.sock.close)
            self._peer = peer
        else:
            self._peer = SimPeer(self._kernel, cast(Listener, self._listener))

    def accept(self) -> str:
        end = time.monotonic() + QUIET_S
        accepted = self._sockets.accept(self._listener)
        while self._real and accepted is NotAccepted.NOBODY and time.monotonic() < end:
            accepted = self._sockets.accept(self._listener)
        if isinstance(accepted, NotAccepted):
            return accepted.name
        self._sock = accepted[0]
        self._numbers.append(self._sock.fileno())
        if self._real:
            self._stack.callback(self._sock.close)
        return "accepted"

    def want(self, *, reading: bool = True, writing: bool = False) -> None:
        self._poller.want(self._sock.fileno(), reading=reading, writing=writing)

    def quiet(self) -> None:
        self._poller.quiet(self._sock.fileno())

    def events(self) -> list[str]:
        """What one wait reports; a real one gets a moment, for what is still on its way."""
        return [hex(mask) for _, mask in self._poller.wait(QUIET_S if self._real else 0.0)]

    def receive(self, size: int = 1 << 20) -> bytes | None:
        return self._sockets.receive(self._sock, size)

    def has_input(self) -> bool:
        return self._sockets.has_input(self._sock)

    def send(self, data: bytes) -> str:
        taken = self._sockets.send(self._sock, data)
        return "all" if taken == len(data) else "some" if taken else "none"

    def fill(self) -> str:
        """Until the kernel refuses, and goes on refusing."""
        refusals = 0
        for _ in range(1000):
            refusals = 0 if self._sockets.send_many(self._sock, [BULK, BULK]) else refusals + 1
            if refusals > 3:
                return "full"
            if refusals and self._real:
                room = select.poll()
                room.register(self._sock, select.POLLOUT)
                room.poll(1000 * QUIET_S)
        return "never full"

    def shutdown(self) -> None:
        self._sockets.shutdown_write(self._sock)

    def close(self) -> None:
        self._poller.forget(self._sock.fileno())
        self._sockets.close(self._sock)

    def same_number(self) -> bool:
        """Whether the last two connections had the same descriptor."""
        return self._numbers[-1] == self._numbers[-2]

    def exhaust(self) -> None:
        if self._real:
            self._stack.enter_context(no_descriptor_left(not_even_a_spare=True))
        else:
            self._kernel.most_descriptors = 0

    def peer(self, verb: str, *args: Any) -> Any:
        """Something at the other end. Loopback brings it before the call returns, nearly always."""
        with suppress(BrokenPipeError, ConnectionResetError):
            return getattr(self._peer, verb)(*args)
        return "refused"


def transcript(script: Script, trigger: str, *, real: bool) -> list[Any]:
    with ExitStack() as stack:
        scene = Scene(trigger, stack, real=real)
        told = []
        for verb, *args in HELLO + script:
            keywords = args.pop() if args and isinstance(args[-1], dict) else {}
            told.append((verb, *args, scene.do(verb, *args, **keywords)))
        return told


@pytest.mark.promise("simulation-kernel")
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_simulation_answers_as_the_kernel_does(name: str, trigger: str) -> None:
    simulated = transcript(SCRIPTS[name], trigger, real=False)
    for _ in range(TRIES):
        real = transcript(SCRIPTS[name], trigger, real=True)
        if real == simulated:
            return
    assert simulated == real


@pytest.mark.promise("simulation-kernel")
def test_a_transcript_has_something_in_it() -> None:
    told = transcript(SCRIPTS["data and end of stream are one event"], "edge", real=False)
    assert ("events", ["0x2001"]) in told
