"""The data that every step of a turn works on; what else a step needs is handed to it."""

from dataclasses import dataclass

from hub.config.settings import Settings
from hub.loop.connections import Connections
from hub.loop.counters import Counters
from hub.loop.limits import Budgets, Limits
from hub.loop.status import Status
from hub.loop.timer_set import TimerSet
from hub.net.sockets import Sockets
from hub.session.ready_sets import ReadySets


@dataclass(frozen=True)
class Core:
    """Settings and limits, the table of clients, and what the steps leave for one another."""

    settings: Settings
    limits: Limits
    budgets: Budgets
    sockets: Sockets
    connections: Connections
    ready: ReadySets
    timers: TimerSet
    counters: Counters
    status: Status


class Step:
    """A step of a turn, with the core at hand."""

    def __init__(self, core: Core) -> None:
        self._settings = core.settings
        self._limits = core.limits
        self._budgets = core.budgets
        self._sockets = core.sockets
        self._connections = core.connections
        self._ready = core.ready
        self._timers = core.timers
        self._counters = core.counters
        self._status = core.status
