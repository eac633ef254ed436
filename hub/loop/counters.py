"""Counters on the loop's thread, and how frozen records are made of them.

Counters only rise; gauges are worked out when a record is made. The page derives rates.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub import __version__
from hub.control import snapshots as records
from hub.rooms.accounting import Account
from hub.session.client import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.loop.context import Hub
    from hub.loop.turn_histogram import TurnTimes
    from hub.rooms.room import Room
    from hub.session.client import Client


@dataclass(slots=True)
class Counters:
    """What happened since start."""

    accepted: int = 0
    peak: int = 0
    refused: int = 0
    turns: int = 0
    lines_in: int = 0
    lines_out: int = 0
    lines_discarded: int = 0
    """What viewers sent, and nobody got."""
    bytes_in: int = 0
    bytes_out: int = 0
    events_in: int = 0
    events_out: int = 0
    events_rdhup: int = 0
    events_hup: int = 0
    events_err: int = 0
    events_accept: int = 0
    closed: Counter[str] = field(default_factory=Counter)


def queued_bytes(clients: Iterable[Client]) -> int:
    """Canonical bytes that these connections are still owed, worked out from their positions."""
    return sum(
        client.owed_bytes + client.rest_owed + sum(len(piece.data) for piece in client.private if piece.owed)
        for client in clients
    )


def account_record(account: Account, queued: int | None = None) -> records.Account:
    """The account as it stands."""
    return records.Account(
        owed=account.owed,
        replayed=account.replayed,
        delivered=account.delivered,
        skipped=account.skipped,
        unsent=account.unsent,
        queued=queued,
    )


def summary(hub: Hub, now: float) -> records.Summary:
    """The hub's totals at this moment; its cost does not depend on the number of clients."""
    counters, settings = hub.counters, hub.settings
    return records.Summary(
        version=__version__,
        uptime_s=round(now - hub.started_at, 3),
        started_wall_s=hub.started_wall_s,
        taken_s=now,
        mode=settings.mode,
        trigger=settings.trigger,
        read=settings.read,
        idle_strategy=settings.idle_strategy,
        idle_timeout_s=settings.idle_timeout_s,
        draining=hub.draining,
        listeners=hub.addresses,
        ws_listeners=hub.ws_addresses,
        read_only_listeners=hub.read_only_addresses,
        max_clients=settings.max_clients,
        clients=records.ClientCounts(open=len(hub.clients), accepted=counters.accepted, peak=counters.peak),
        rooms=len(hub.rooms),
        lines=records.InOut(in_=counters.lines_in, out=counters.lines_out),
        lines_discarded=counters.lines_discarded,
        bytes=records.InOut(in_=counters.bytes_in, out=counters.bytes_out),
        events=records.EventCounts(
            in_=counters.events_in,
            out=counters.events_out,
            rdhup=counters.events_rdhup,
            hup=counters.events_hup,
            err=counters.events_err,
            accept=counters.events_accept,
        ),
        syscalls={**hub.poller.calls, **hub.sockets.calls},
        turns=counters.turns,
        loop=_loop_times(hub.turn_times),
        refused=counters.refused,
        lingering=len(hub.by_fd) - len(hub.clients),
        account=account_record(hub.account),
        closed={str(reason): count for reason, count in counters.closed.items()},
        log_dropped=hub.log_dropped(),
    )


def _loop_times(times: TurnTimes) -> records.LoopTimes:
    return records.LoopTimes(
        busy_s=round(times.busy_s, 6),
        turn_p99_ms=round(times.p99_s * 1000, 3),
        turn_max_ms=round(times.max_s * 1000, 3),
    )


def client_row(client: Client, now: float) -> records.ClientRow:
    """One open client as the page shows it.

    Made for every client once a second while somebody watches, so times are cut to milliseconds in whole
    numbers: round() to three digits goes by way of decimal text, and two of them were a third of all this.
    """
    return records.ClientRow(
        id=client.id,
        peer=client.peer,
        transport=client.transport,
        nick=client.nick,
        room=client.room.name if client.room else "",
        age_s=int((now - client.joined_at) * 1000) / 1000,
        idle_s=int(max(0.0, now - client.active_at) * 1000) / 1000,
        lines_in=client.lines_in,
        lines_out=client.lines_out,
        bytes_in=client.bytes_in,
        bytes_out=client.bytes_out,
        lag_bytes=client.lag_bytes,
        private_bytes=client.private_bytes,
        state=_state(client),
        tag=client.tag,
    )


def _state(client: Client) -> str:
    if client.deaf:
        return "feed"
    if client.choked or client.held or client.phase is not Phase.OPEN:
        return "paused"
    return "throttled" if client.throttled else "reading"


def room_row(room: Room) -> records.RoomRow:
    """One room and what its log holds."""
    return records.RoomRow(
        name=room.name,
        clients=len(room.members),
        lines=room.head,
        bytes=room.end,
        log_lines=sum(chunk.count for chunk in room.chunks),
        log_bytes=sum(len(chunk.lf) for chunk in room.chunks),
    )
