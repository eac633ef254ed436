"""Every part of the hub, made from the settings and introduced to one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hub.config.settings import Settings
from hub.loop.context import Budgets, Hub, Limits, Log, Timers
from hub.loop.counters import summary
from hub.loop.rate_limiter import line_rate, refill_s
from hub.loop.timers import Deadline, Never, make_expiry
from hub.modes.chat import Chat
from hub.modes.queries import Facts
from hub.modes.relay import Broadcast, Echo, Intake, Mode
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.rooms.accounting import Account
from hub.rooms.room import Rooms
from hub.session.ready_sets import Marks

ROOM_SHARE = 8
"""A turn brings at most this part of the allowed lag into one room."""

HISTORY_LINES_A_TURN = 16_384
"""Newcomers of one turn are shown about so many: 5 ms, where each line had a turn of its own."""


def make_hub(
    settings: Settings,
    sockets: Sockets,
    poller: Poller,
    log: Log,
    clock: Callable[[], float],
    wall_s: float,
    log_dropped: Callable[[], int],
    budgets: Budgets,
) -> Hub:
    """The hub as it is before anybody came. `wall_s` is the time of day at this moment."""
    account, marks, limits = Account(), Marks(), Limits(lag_bytes=settings.max_lag_bytes)
    rooms = Rooms(account, settings.max_rooms, self_echo=settings.self_echo)
    intake = Intake(room_bytes=(settings.max_lag_bytes or 1 << 20) // ROOM_SHARE)
    facts = Facts(clock, lambda: summary(hub, clock()))
    hub = Hub(
        settings=settings,
        limits=limits,
        intake=intake,
        budgets=_within(budgets, settings),
        sockets=sockets,
        poller=poller,
        mode=_make_mode(settings, limits, account, rooms, marks, intake, facts),
        rooms=rooms,
        marks=marks,
        timers=_make_timers(settings, limits),
        log=log,
        account=account,
        started_at=clock(),
        started_wall_s=wall_s,
        log_dropped=log_dropped,
    )
    return hub


def _within(budgets: Budgets, settings: Settings) -> Budgets:
    """A newcomer's history is work for each of its lines, where each had a turn of its own."""
    lines = settings.history if settings.mode == "chat" else 0
    most = max(1, HISTORY_LINES_A_TURN // max(1, lines))
    return replace(budgets, accepts=min(budgets.accepts, most), starts=min(budgets.starts, most))


def _make_mode(
    settings: Settings,
    limits: Limits,
    account: Account,
    rooms: Rooms,
    marks: Marks,
    intake: Intake,
    facts: Facts,
) -> Mode:
    if settings.mode == "echo":
        return Echo(account, marks)
    if settings.mode == "broadcast":
        return Broadcast(rooms, marks, intake)
    return Chat(
        rooms,
        marks,
        intake,
        history=settings.history,
        history_bytes=limits.history_bytes,
        announce=settings.announce,
        greeting=settings.greeting,
        notices=settings.notices,
        facts=facts,
    )


def _make_timers(settings: Settings, limits: Limits) -> Timers:
    """Poll cannot warn: it knows of nobody in particular. Without notices, and in relay modes, none does."""
    strategy, timeout_s = settings.idle_strategy, settings.idle_timeout_s
    rate = line_rate(settings)
    tells = settings.mode == "chat" and settings.notices and strategy != "poll"
    warns = tells and 0 < settings.idle_warning_s < timeout_s
    warn_after_s = timeout_s - settings.idle_warning_s if warns else 0.0
    return Timers(
        idle=make_expiry(strategy, timeout_s, settings.sweep_interval_s),
        warning=make_expiry(strategy, warn_after_s, settings.sweep_interval_s),
        closing=Deadline(limits.linger_s),
        progress=Deadline(limits.progress_s),
        pause=Deadline(limits.pause_s),
        rate=Deadline(refill_s(rate)) if rate else Never(),
        stall=Deadline(limits.stall_s),
        skip=Deadline(limits.skip_s),
        handshake=Deadline(limits.handshake_s),
        ping=Deadline(limits.ping_s),
    )
