"""The simulated kernel is held against the real one: the same script gives the same transcript on both.

What each verb of a script answers is the transcript: bytes, errors as the hub understands them, event masks.
How many bytes fit into a buffer is the kernel's own business: that is told as all, some or none.
"""

import errno
import select
import time
from contextlib import ExitStack, suppress
from typing import Any, cast

import pytest

from hub.net.poller import Poller
from hub.net.sockets import NotAccepted, PeerGone, Sockets
from tests import support
from tests.loop.support import no_descriptor_left
from tests.sim.fakes import SimPoller, SimSockets
from tests.sim.kernel import Kernel
from tests.sim.stage import Actor
from tests.sim.tcp import Listener

QUIET_S = 0.03
"""So long a real network may take to bring what a simulated one brings at once."""
TRIES = 3
"""What the real network brings late, one time in thousands, changes a transcript and proves nothing."""
BULK = b"x" * (1 << 16)
HELLO = "connect; accept; want reading; "
SCRIPTS = """\
data is told again in level mode only: events; peer send abc; events; events; receive 2; events; receive;
    receive; events
each arrival is an edge: peer send a; events; peer send b; events; events; receive
arrivals before a wait are one event: peer send a; peer send b; events; receive; events
data and end of stream are one event: peer send a; peer half_close; events; receive; receive; receive;
    events
what was read before the wait is no event: peer send a; receive; events
an end of stream: peer half_close; events; receive; events; send x; peer drain
a reset behind data: peer send abc; peer reset; events; receive 2; receive; receive; receive; events;
    send x; send x
a reset that a send finds: peer reset; send x; send x; receive; events
a reset that a look for input finds: peer reset; has_input; has_input; receive
a look takes no input: peer send ab; has_input; receive; has_input; peer half_close; has_input
a send to who has closed: peer close; events; send x; events; receive; send x; receive; events
a peer that closes with something unread resets: send x; peer send last; peer close; events; receive;
    receive; receive
a full pipe and room again: fill; want reading writing; events; peer drain; events; events; want reading;
    events
a full pipe and a reset: fill; want reading writing; peer reset; events; send x; events
write interest where there is room: want reading writing; events; events
write interest comes along with data: want reading writing; events; peer send a; events; events
no interest, and a reset all the same: want; peer send a; events; peer reset; events; events
no interest, and an end of stream is not told: want; peer half_close; events
quiet is told once more at most: peer reset; events; quiet; events; events
a change of the mask looks anew: peer send a; events; want; events; want reading; events; events
both ends shut down: shutdown; events; peer drain; peer half_close; events; receive; events
shut down, and the peer talks on: shutdown; peer send a; events; receive; send x; peer drain
close with something unread resets: send bye; peer send a; close; peer drain
close with nothing unread is an end of stream: send bye; close; peer drain
numbers are used again at once: connect; close; accept; same_number
nobody waits: accept
a peer that is gone before the accept: connect; peer reset; accept; want reading; events; receive; receive
no descriptor, and nobody waits: exhaust; accept
"""
"""Of one connection: verbs of the hub's end, and behind `peer` those of the other."""


class RealPeer(support.Peer):
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


class SimPeer(Actor):
    def drain(self) -> str:
        got = b""
        while self.remote.inbox:
            got += self.remote.inbox
            self.remote.inbox.clear()
            self.tcp.pump()
        end = "ECONNRESET" if self.remote.got_reset else "eof" if self.remote.got_fin else "open"
        return f"{shown(got)} {end}"


def shown(data: bytes) -> str:
    return repr(data) if len(data) < 100 else "much"


class Scene:
    """A listener, a connection, a poller, on either kernel. A verb is a method, its words are arguments."""

    def __init__(self, trigger: str, stack: ExitStack, *, real: bool) -> None:
        self._stack, self._real = stack, real
        self._kernel = Kernel()
        self._sockets: Sockets = Sockets() if real else SimSockets(self._kernel)
        self._poller = Poller(trigger) if real else SimPoller(trigger, self._kernel)
        stack.callback(self._poller.close)
        self._listener = self._sockets.listen("127.0.0.1", 0)[0][0]
        self._fd = -1
        self._peer: Any = None
        self._numbers: list[int] = []
        self._open: set[int] = set()
        if real:
            stack.callback(self._listener.close)
            stack.callback(self._close_all)

    def do(self, verb: str, *words: str) -> Any:
        try:
            return getattr(self, verb)(*words)
        except PeerGone as gone:
            return str(gone.reason)

    def connect(self) -> None:
        if self._real:
            self._peer = self._stack.enter_context(RealPeer(self._listener.getsockname()[1]))
        else:
            sizes = (1 << 17, 1 << 17, 1 << 18)
            self._peer = SimPeer(self._kernel, cast(Listener, self._listener), 0, sizes=sizes, host=0)

    def accept(self) -> str:
        end = time.monotonic() + QUIET_S
        accepted = self._sockets.accept(self._listener)
        while self._real and accepted is NotAccepted.NOBODY and time.monotonic() < end:
            accepted = self._sockets.accept(self._listener)
        if isinstance(accepted, NotAccepted):
            return accepted.name
        self._fd = accepted[0]
        self._numbers.append(self._fd)
        self._open.add(self._fd)
        return "accepted"

    def want(self, *what: str) -> None:
        self._poller.want(self._fd, reading="reading" in what, writing="writing" in what)

    def quiet(self) -> None:
        self._poller.quiet(self._fd)

    def events(self) -> list[str]:
        """What one wait reports; a real one gets a moment, for what is still on its way."""
        return [hex(mask) for _, mask in self._poller.wait(QUIET_S if self._real else 0.0)]

    def receive(self, size: str = "1000") -> bytes | None:
        return self._sockets.receive(self._fd, int(size))

    def has_input(self) -> bool:
        return self._sockets.has_input(self._fd)

    def send(self, words: str) -> str:
        taken = self._sockets.send(self._fd, words.encode())
        return "all" if taken == len(words) else "some" if taken else "none"

    def fill(self) -> str:
        """Until the kernel refuses, and goes on refusing."""
        refusals = 0
        for _ in range(1000):
            refusals = 0 if self._sockets.send_many(self._fd, [BULK, BULK]) else refusals + 1
            if refusals > 3:
                return "full"
            if refusals and self._real:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                room.poll(1000 * QUIET_S)
        return "never full"

    def shutdown(self) -> None:
        self._sockets.shutdown_write(self._fd)

    def close(self) -> None:
        self._poller.forget(self._fd)
        self._open.remove(self._fd)
        self._sockets.close(self._fd)

    def _close_all(self) -> None:
        for fd in self._open:
            self._sockets.close(fd)

    def same_number(self) -> bool:
        return self._numbers[-1] == self._numbers[-2]

    def exhaust(self) -> None:
        if self._real:
            self._stack.enter_context(no_descriptor_left(not_even_a_spare=True))
        else:
            self._kernel.most_descriptors = 0

    def peer(self, verb: str, *words: str) -> Any:
        """Something at the other end. Loopback brings it before the call returns, nearly always."""
        with suppress(BrokenPipeError, ConnectionResetError):
            return getattr(self._peer, verb)(*map(str.encode, words))
        return "refused"


def transcript(script: str, trigger: str, *, real: bool) -> list[Any]:
    with ExitStack() as stack:
        scene = Scene(trigger, stack, real=real)
        return [(step, scene.do(*step.split())) for step in (HELLO + script).split("; ")]


@pytest.mark.promise("simulation-kernel")
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize(
    "line", SCRIPTS.replace("\n    ", " ").splitlines(), ids=lambda line: line.split(":")[0]
)
def test_the_simulation_answers_as_the_kernel_does(line: str, trigger: str) -> None:
    script = line.split(": ")[1]
    simulated = transcript(script, trigger, real=False)
    assert any(answer is not None for _, answer in simulated)
    for _ in range(TRIES):
        real = transcript(script, trigger, real=True)
        if real == simulated:
            return
    assert simulated == real
