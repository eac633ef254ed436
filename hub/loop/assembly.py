"""Every part of the hub, made from the settings and introduced to those that need it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hub.config.settings import Settings
from hub.control.snapshots import Summary
from hub.loop.acceptor import Acceptor
from hub.loop.client_factory import ClientFactory
from hub.loop.close_log import CloseLog
from hub.loop.closer import Closer
from hub.loop.connections import Connections
from hub.loop.core import Core
from hub.loop.counters import Counters
from hub.loop.expirer import Expirer
from hub.loop.faults import Faults, Log
from hub.loop.flow_control import FlowControl
from hub.loop.input_events import InputEvents
from hub.loop.limits import Budgets, Limits
from hub.loop.opener import Opener
from hub.loop.publisher import Publisher
from hub.loop.rate_limiter import RateLimiter
from hub.loop.reader import Reader
from hub.loop.snapshot_maker import SnapshotMaker
from hub.loop.status import Status
from hub.loop.timer_set import TimerSet
from hub.loop.turn_histogram import TurnHistogram
from hub.loop.writer import Writer
from hub.modes.chat import Chat, Facts
from hub.modes.commands import run_command
from hub.modes.relay import Broadcast, Echo
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.rooms.accounting import Account
from hub.rooms.registry import MakeRoom, Registry
from hub.rooms.room import Room
from hub.session.mode import Intake, Mode
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget

ROOM_SHARE: Final = 8
"""A pass brings at most this part of the allowed lag into one room."""

HISTORY_LINES_A_TURN: Final = 16_384
"""Clients that join in one turn are shown about so many: 5 ms, where each line had a turn of its own."""

WAIT_PROGRESS_S: Final = 60.0
"""Under --slow wait only rule 5 ends a reader, so it gets longer."""


class Hub:
    """All parts. No step gets this: it is for the conductor, and for those who look from outside."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sockets,
        poller: Poller,
        log: Log,
        clock: Callable[[], float],
        wall_s: float,
        on_summary: Callable[[Summary], None],
        log_dropped: Callable[[], int],
        budgets: Budgets,
        limits: Limits | None = None,
        intake: Intake | None = None,
        make_room: MakeRoom = Room,
    ) -> None:
        """The hub as it is before anybody came. `wall_s` is the time of day at this moment.

        A test may hand in other limits than those of the settings, and rooms that keep a journal.
        """
        self.settings, self.budgets = settings, _within(budgets, settings)
        self.limits, self.intake = limits or limits_of(settings), intake or intake_of(settings)
        self.sockets, self.poller, self.log = sockets, poller, log
        self.account, self.ready, self.counters = Account(), ReadySets(), Counters()
        self.turn_times, self.status = TurnHistogram(), Status(clock(), wall_s, log_dropped)
        self.timers = TimerSet(settings, self.limits)
        self.rooms = Registry(
            self.account, settings.max_rooms, self_echo=settings.hears_itself, make_room=make_room
        )
        self.connections = Connections(poller, self.ready, self.timers)
        self.close_log, self.faults = CloseLog(log), Faults(log, self.ready)
        self.budget = TurnBudget()
        self._make_steps(clock, on_summary)

    def _make_steps(self, clock: Callable[[], float], on_summary: Callable[[Summary], None]) -> None:
        settings, poller = self.settings, self.poller
        core = Core(
            settings, self.limits, self.budgets, self.sockets, self.connections, self.ready, self.timers,
            self.counters, self.status,
        )  # fmt: skip
        self.maker = SnapshotMaker(core, poller, self.rooms, self.account, self.turn_times)
        self.mode = self._make_mode(Facts(clock, lambda: self.maker.summary(clock())))
        opener = Opener(settings, self.mode, self.timers, self.ready, self.faults)
        self.flow = FlowControl(core, self.intake.outbox_bytes)
        events = InputEvents(core, self.budget, opener)
        rate_limiter = RateLimiter(settings, self.mode, self.connections, self.timers.rate)
        factory = ClientFactory(settings, self.account, self.status)
        self.acceptor = Acceptor(core, poller, self.mode, opener, factory, self.close_log, self.log)
        self.reader = Reader(core, self.budget, self.flow, rate_limiter, events, self.faults)
        self.expirer = Expirer(core, self.flow, opener)
        self.writer = Writer(core, self.flow)
        self.closer = Closer(core, self.mode, self.faults, self.writer, self.close_log)
        self.publisher = Publisher(
            core, self.mode, self.rooms, self.maker, self.close_log, self.turn_times, on_summary, clock()
        )

    def _make_mode(self, facts: Facts) -> Mode:
        settings = self.settings
        if settings.mode == "echo":
            return Echo(self.account, self.ready)
        if settings.mode == "broadcast":
            return Broadcast(self.rooms, self.ready, self.intake)
        return Chat(
            settings,
            self.rooms,
            self.ready,
            self.budget,
            self.intake,
            self.limits.history_bytes,
            facts,
            run_command,
        )


def limits_of(settings: Settings) -> Limits:
    """What one client may cost under these settings."""
    if settings.slow == "wait":
        return Limits(lag_bytes=settings.max_lag_bytes, progress_s=WAIT_PROGRESS_S)
    return Limits(lag_bytes=settings.max_lag_bytes)


def intake_of(settings: Settings) -> Intake:
    """How much one turn may bring under these settings."""
    return Intake(room_bytes=(settings.max_lag_bytes or 1 << 20) // ROOM_SHARE)


def _within(budgets: Budgets, settings: Settings) -> Budgets:
    """History shown to a client that joins is work for each of its lines, if each had its own turn."""
    lines = settings.history if settings.mode == "chat" else 0
    most = max(1, HISTORY_LINES_A_TURN // max(1, lines))
    return replace(budgets, accepts=min(budgets.accepts, most), starts=min(budgets.starts, most))
