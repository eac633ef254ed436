"""The data that every step of a turn works on; what else a step needs is handed to it."""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from mypy_extensions import mypyc_attr

from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control.snapshots import Summary
from hub.loop.close_log import CloseLog, Log
from hub.loop.connections import Connections
from hub.loop.limits import Budgets, Limits
from hub.loop.timer_set import TimerSet
from hub.loop.turn_histogram import TurnHistogram
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.rooms.accounting import Account
from hub.rooms.registry import MakeRoom, Registry
from hub.rooms.room import Room
from hub.session.client import Client, Transport
from hub.session.commons import Commons
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget

HISTORY_LINES_A_SLICE: Final = 1024
"""Clients that are greeted in one slice are shown about so many: 0.3 ms, where each line had a turn of its
own."""

_BOOT_CLOCK: Final = partial(time.clock_gettime, time.CLOCK_BOOTTIME)  # clock_gettime(2)
WALL_TOLERANCE_S: Final = 0.5
"""So much may the time of the start be off, so that it does not change with every slew of the wall clock."""


class Counters:
    """Totals of the hub since its start, which only rise. The page derives rates."""

    __slots__ = (
        "accepted", "bytes_in", "bytes_out", "closed", "events_accept", "events_err", "events_hup",
        "events_in", "events_out", "events_rdhup", "lines_discarded", "lines_in", "lines_out", "peak",
        "turns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = self.peak = self.turns = 0
        self.lines_in = self.lines_out = self.bytes_in = self.bytes_out = 0
        self.lines_discarded = 0
        """Lines that nobody got: what viewers sent, and what a client could not say before its end."""
        self.events_in = self.events_out = self.events_rdhup = self.events_hup = self.events_err = 0
        self.events_accept = 0
        self.closed: Counter[CloseReason] = Counter()


class Status:
    """What is true of the hub as a whole.

    The wall clock may be set, and the loop's clock stands still while the machine is suspended. So a moment
    is kept on a clock that does neither, and is turned into wall time when somebody asks: the wall clock of
    now, less the age.
    """

    def __init__(
        self, now: float, wall_clock: Callable[[], float], steady_clock: Callable[[], float]
    ) -> None:
        self._wall_clock, self.steady_clock = wall_clock, steady_clock
        self.started_at = now
        """Seconds on the loop's clock."""
        self._started_steady_s, self._started_wall_s = steady_clock(), wall_clock()
        self.addresses: dict[Transport, tuple[str, ...]] = {}
        """Where the hub listens, for each transport that has a port."""
        self.page_port = 0
        """Where the page is served, once it is; 0: nowhere."""
        self.draining = False

    @property
    def hint(self) -> str:
        """A line for a client that speaks the wrong protocol."""
        return f"Its page is on port {self.page_port}." if self.page_port else "Try telnet."

    def wall_s(self, steady_s: float) -> float:
        """Seconds since 1970 at a moment of the steady clock, as far as the wall clock is right now."""
        return self._wall_clock() - (self.steady_clock() - steady_s)

    @property
    def started_wall_s(self) -> float:
        """When the hub started, in seconds since 1970. Another value only where the wall clock was set."""
        wall_s = self.wall_s(self._started_steady_s)
        if abs(wall_s - self._started_wall_s) > WALL_TOLERANCE_S:
            self._started_wall_s = wall_s
        return self._started_wall_s


@mypyc_attr(allow_interpreted_subclasses=True)
@dataclass(eq=False, repr=False)
class Core:
    """Settings and limits, the tables of clients and rooms, and what the steps leave for one another."""

    settings: Settings
    limits: Limits
    intake: Intake
    sockets: Sockets
    poller: Poller
    clock: Callable[[], float]
    log: Log
    on_summary: Callable[[Summary], None]
    log_dropped: Callable[[], int] = lambda: 0
    """How many log records could not be written."""
    wall_clock: Callable[[], float] = time.time
    steady_clock: Callable[[], float] = _BOOT_CLOCK
    """As the loop's clock, but time passes on it while the machine is suspended."""
    budgets: Budgets = field(default_factory=Budgets)
    make_room: MakeRoom = Room
    make_commons: Callable[[ReadySets], Commons] = Commons

    def __post_init__(self) -> None:
        settings = self.settings
        self.history = settings.history if settings.mode == "chat" else 0
        """How many lines those who come are shown: work for each of them, if each had its own turn."""
        most = max(1, HISTORY_LINES_A_SLICE // max(1, self.history))
        self.budgets = replace(self.budgets, starts=min(self.budgets.starts, most))
        self.account, self.ready, self.counters = Account(), ReadySets(), Counters()
        self.turn_times, self.budget = TurnHistogram(), TurnBudget()
        self.status = Status(self.clock(), self.wall_clock, self.steady_clock)
        self.timers = TimerSet(settings, self.limits)
        self.rooms = Registry(
            self.account, settings.max_rooms, self_echo=settings.hears_itself, make_room=self.make_room
        )
        self.commons = self.make_commons(self.ready)
        self.connections = Connections(self.poller, self.ready, self.timers)
        self.close_log = CloseLog(self.log, self.status)


@mypyc_attr(allow_interpreted_subclasses=True)
class Step:
    """A step of a turn, or what several steps share, with the core at hand."""

    def __init__(self, core: Core) -> None:
        self._settings, self._limits, self._budgets = core.settings, core.limits, core.budgets
        self._sockets, self._poller, self._connections = core.sockets, core.poller, core.connections
        self._ready, self._timers, self._turn_budget = core.ready, core.timers, core.budget
        self._counters, self._status = core.counters, core.status
        self._log, self._close_log = core.log, core.close_log

    def guard(self, client: Client, do: Callable[[Client], None]) -> None:
        """Let the mode do something for a client."""
        try:
            do(client)
        except Exception:
            self.caught(client)

    def caught(self, client: Client) -> None:
        """The exception being handled is a fault of ours: it costs this client only."""
        self._log(
            "fault", level="error", like={}, id=client.id, peer=client.peer, trace=traceback.format_exc()
        )
        self._ready.end(client, CloseReason.INTERNAL_ERROR)
