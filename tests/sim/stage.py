"""A hub on a simulated kernel whose turns the test makes, one by one, and counts.

`World` runs plans and looks at everything; here a test arranges one moment exactly: who sends what before
which call of which turn. Time moves only as far as the test allows, so a timer can be met to the millisecond.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hub.config.settings import Settings
from hub.config.values import NO_RATE
from hub.control.mailbox import Stop
from hub.loop.assembly import Hub, intake_of, limits_of
from hub.loop.event_loop import EventLoop
from hub.loop.limits import Budgets
from hub.net.poller import EVENTS_PER_WAIT
from hub.session.client import Client
from tests.conftest import SEED
from tests.fuzz.examples import QUICK_SEED
from tests.sim.counting import CountingSockets, Turn
from tests.sim.fakes import SimMailbox, SimPoller, WatchedCloser
from tests.sim.kernel import Kernel
from tests.sim.peers import Peer
from tests.support import PAIRS, queued_bytes
from tests.unit.protocol.support import request

each_pair = pytest.mark.parametrize(("trigger", "read"), PAIRS)
LINES, BROWSERS, VIEWERS, SENDERS = range(4)
"""The listeners, in the order in which the hub opens them."""
MUCH = 1 << 30
MOST_TURNS = 50_000


def quick_and_long(quick: int, many: int) -> Any:
    """So many rounds with the same seed each time; and many, in a test marked long, with a new one."""
    long = pytest.param(SEED, many, marks=[pytest.mark.long, pytest.mark.timeout(600)])
    return pytest.mark.parametrize(("seed", "rounds"), [(QUICK_SEED, quick), long], ids=["quick", "long"])


class Actor(Peer):
    """A client that sends whatever bytes it is told to, and takes all that comes as long as it `reads`."""

    def send(self, data: bytes) -> None:
        self.remote.outbox += data
        self.tcp.pump()

    @property
    def reads(self) -> bool:
        return self.remote.capacity == MUCH

    @reads.setter
    def reads(self, reading: bool) -> None:
        self.remote.capacity = MUCH if reading else 0
        self.tcp.pump()

    def takes(self, size: int) -> None:
        """A client that does not read takes so many bytes all the same."""
        self.remote.capacity = len(self.remote.inbox) + size
        self.tcp.pump()

    @property
    def got(self) -> bytes:
        return bytes(self.tcp.taken)


class Stage:
    """The hub, its kernel, and whoever came. The usual settings are a relay hub's, with few limits."""

    events_per_wait = EVENTS_PER_WAIT

    def __init__(
        self,
        *,
        budgets: Budgets | None = None,
        intake: dict[str, int] | None = None,
        **settings: Any,
    ) -> None:
        usual: dict[str, Any] = {
            "mode": "broadcast", "self_echo": True, "idle_timeout_s": 0.0, "max_per_ip": 0,
            "line_rate": NO_RATE,
        }  # fmt: skip
        given = Settings(host="127.0.0.1", web=False, read_only_port=0, **(usual | settings))
        self.kernel = Kernel()
        self.sockets = CountingSockets(self.kernel)
        self.mailbox = SimMailbox(self.kernel)
        self.poller = SimPoller(given.trigger, self.kernel, self.events_per_wait)
        self.actors: list[Actor] = []
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.allowed_s = 0.0
        """How much time may pass in waits."""
        self.clock = self.kernel.clock
        """What the hub asks for the time."""
        self.suspended_s = 0.0
        """How long the machine stood still, with the loop's clock."""
        self.before_events: Callable[[], None] = lambda: None
        """What happens at the very end of a wait."""
        self.hub = Hub(
            given,
            limits_of(given), replace(intake_of(given), **(intake or {})),
            self.sockets, self.poller, lambda: self.clock(),
            lambda event, **fields: self.log.append((event, fields)), lambda summary: None,
            wall_clock=lambda: 0.0, steady_clock=lambda: self.clock() + self.suspended_s,
            budgets=budgets or Budgets(),
        )  # fmt: skip
        self.loop = EventLoop(self.hub, self.mailbox)
        self.hub.closer = WatchedCloser(self.hub, self.kernel)
        self.kernel.on_wait = self._wait
        self.loop.listen()

    # Turns.

    def turn(self) -> Turn:
        turn = self.sockets.turn = Turn()
        before = self._counts()
        self.kernel.calls_before, self.kernel.may_close = self.kernel.calls, False
        self.loop.turn()
        turn.counted = self._counts()
        turn.counted.subtract(before)
        assert not self.faults, self.faults
        return turn

    def turns(self, count: int) -> list[Turn]:
        return [self.turn() for _ in range(count)]

    def rest(self) -> list[Turn]:
        """Turns until one finds nothing to do and would wait; that one is left out."""
        made: list[Turn] = []
        while not (made and made[-1].slept):
            made.append(self.turn())
            assert len(made) < MOST_TURNS, "it never rests"
        return made[:-1]

    def pass_time(self, seconds: float, step_s: float = math.inf) -> list[Turn]:
        """Turns until so much time has passed in waits."""
        end, made = self.kernel.now + seconds, list[Turn]()
        while (left := end - self.kernel.now) > 0:
            self.allowed_s = min(left, step_s)
            made.append(self.turn())
            assert len(made) < MOST_TURNS, "it never rests"
        self.allowed_s = 0.0
        return made + self.rest()

    def _wait(self, timeout_s: float | None) -> None:
        """Time passes while nothing is ready; epoll counts in whole milliseconds, rounded up."""
        turn, ready = self.sockets.turn, self.kernel.epoll.has_events
        turn.wait_s = math.inf if timeout_s is None else timeout_s
        turn.slept = turn.wait_s > 0 and not ready()
        if turn.slept:
            self.kernel.now += min(math.ceil(turn.wait_s * 1000) / 1000, self.allowed_s)
        self.before_events()
        turn.slept = turn.slept and not ready()

    def _counts(self) -> Counter[str]:
        counters = self.hub.counters
        names = ("accepted", "lines_in", "lines_out", "bytes_in", "bytes_out")
        counts = Counter({name: getattr(counters, name) for name in names})
        counts.update(epoll_ctl=self.poller.calls["epoll_ctl"], closed=sum(counters.closed.values()))
        return counts

    # Clients.

    def arrive(
        self,
        count: int = 1,
        *,
        listener: int = LINES,
        reads: bool = True,
        out: int = 1 << 16,
        into: int = 1 << 17,
        host: int = 0,
    ) -> list[Actor]:
        """So many connect. Buffers: ours out, ours in, in bytes."""
        made = []
        for _ in range(count):
            sizes = (out, into, MUCH if reads else 0)
            at = self.sockets.listeners[listener]
            made.append(Actor(self.kernel, at, len(self.actors), sizes=sizes, host=host))
            self.actors.append(made[-1])
            if listener == BROWSERS:
                made[-1].send(request())
        return made

    def join(self, count: int = 1, **options: Any) -> list[Actor]:
        """They connect and are let in; in chat the pause is over for which nothing is sent to them."""
        made = self.arrive(count, **options)
        self.rest()
        if self.hub.settings.mode == "chat":
            self.pass_time(2 * self.hub.limits.opening_s)
        return made

    def read_much(self) -> None:
        """From now on each client is read as one is whose reads were full: as much at a time as may be."""
        for client in self.hub.connections.clients.values():
            client.inbox.read_bytes = self.hub.budgets.read_bytes

    def client(self, actor: Actor) -> Client:
        client = self.hub.connections.by_fd.get(actor.tcp.fd)
        assert client is not None
        return client

    # What is known at the end.

    @property
    def faults(self) -> list[Any]:
        return [fields["trace"] for event, fields in self.log if event == "fault"]

    @property
    def ends(self) -> list[dict[str, Any]]:
        return [fields for event, fields in self.log if event == "closed"]

    def end_of(self, actor: Actor) -> dict[str, Any] | None:
        return next((end for end in self.ends if end["peer"] == actor.name), None)

    def settled(self, actor: Actor) -> bool:
        return actor.name not in {client.peer for client in self.hub.connections.clients.values()}

    def balances(self) -> bool:
        hub, account = self.hub, self.hub.account
        owed = account.owed + account.replayed
        queued = queued_bytes(hub.connections.by_fd.values())
        everybody = hub.counters.accepted == len(hub.connections.clients) + sum(hub.counters.closed.values())
        return everybody and owed == account.delivered + account.skipped + account.unsent + queued

    def stop(self) -> None:
        self.mailbox.post(Stop())
        while not self.loop.is_drained:
            self.allowed_s = 1.0
            self.turn()
