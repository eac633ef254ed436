"""Every step of the hub, made around its core and introduced to those that need it."""

import traceback
from typing import Final

from mypy_extensions import mypyc_attr

from hub.config.settings import Settings
from hub.loop.acceptor import Acceptor
from hub.loop.admission import Admission
from hub.loop.closer import Closer
from hub.loop.core import Core
from hub.loop.expirer import Expirer
from hub.loop.flow_control import FlowControl
from hub.loop.input_events import InputEvents
from hub.loop.limits import Limits
from hub.loop.publisher import Publisher
from hub.loop.rate_limiter import RateLimiter
from hub.loop.reader import Reader
from hub.loop.snapshot_maker import summary
from hub.loop.writer import Writer
from hub.modes.chat import Chat, Rest
from hub.modes.commands import run_command
from hub.modes.elsewhere import asked
from hub.modes.facts import Facts
from hub.modes.relay import Broadcast, Echo
from hub.modes.renaming import lose
from hub.session.mode import Intake, Mode

ROOM_SHARE: Final = 8
"""A pass brings at most this part of the allowed lag into one room."""
PASS_BYTES: Final = 120_000
"""And no more than this: with some notices, no more than one send brings (SEND_BYTES)."""

WAIT_PROGRESS_S: Final = 60.0
"""Under --slow wait only rule 5 ends a reader, so it gets longer."""
SKIP_ALIVE_S: Final = 0.5
"""Under --slow skip a reader that stops loses lines and not its connection, so it is waited for less long."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Hub(Core):
    """All parts. Steps see only the core; the whole is for the conductor and those who look from outside."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mode = self._make_mode()
        admission = Admission(self, self.mode)
        self.flow = self.make_flow()
        self.writer = Writer(self, self.flow)
        self.acceptor = Acceptor(self, admission)
        rate_limiter, events = RateLimiter(self, self.mode), InputEvents(self, admission)
        self.reader = Reader(self, self.flow, self.writer, rate_limiter, events)
        self.expirer = Expirer(self, self.flow, admission)
        self.closer = Closer(self, self.mode, self.writer)
        self.publisher = Publisher(self, self.mode)
        self.commons.open(self.mode, self.flow.holds_up, self.rooms, self._totals, self._caught)

    def _totals(self) -> tuple[int, int, int]:
        return len(self.connections.clients), self.counters.lines_in, self.counters.lines_out

    def _caught(self) -> None:
        self.log("fault", level="error", like={}, trace=traceback.format_exc())

    def make_flow(self) -> FlowControl:
        """The step that several others share, so that a hub that is looked at may have another."""
        return FlowControl(self, self.intake.outbox_bytes)

    def _make_mode(self) -> Mode:
        if self.settings.mode == "echo":
            return Echo(self.account, self.ready)
        if self.settings.mode == "broadcast":
            return Broadcast(self.rooms, self.ready, self.commons, self.intake)
        facts = Facts(
            self.clock, self.steady_clock, lambda: summary(self, self.clock()), self.connections.clients.get
        )  # fmt: skip
        return Chat(
            self.settings, self.rooms, self.ready, self.commons, self.budget, self.intake,
            self.limits.history_bytes, facts, Rest(run_command, asked, lose),
        )  # fmt: skip


def limits_of(settings: Settings) -> Limits:
    """What one client may cost under these settings."""
    if settings.slow == "wait":
        return Limits(lag_bytes=settings.max_lag_bytes, progress_s=WAIT_PROGRESS_S)
    if settings.slow == "skip":
        return Limits(lag_bytes=settings.max_lag_bytes, skips=True, alive_s=SKIP_ALIVE_S)
    return Limits(lag_bytes=settings.max_lag_bytes)


def intake_of(settings: Settings) -> Intake:
    """How much one turn may bring under these settings."""
    return Intake(room_bytes=min((settings.max_lag_bytes or 1 << 20) // ROOM_SHARE, PASS_BYTES))
