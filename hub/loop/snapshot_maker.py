"""How the frozen records that the page sees are made of the hub's parts."""

from hub import BUILD, __version__
from hub.control import snapshots
from hub.control.snapshots import record_of
from hub.loop.congestion import last_sign
from hub.loop.core import Core
from hub.protocol.ws_connection import WebSocket
from hub.rooms.room import Room
from hub.session.client import Client


def summary(core: Core, now: float) -> snapshots.Summary:
    """The hub's totals at this moment. They cost the same however many clients there are."""
    counters, status, times = core.counters, core.status, core.turn_times
    return record_of(
        snapshots.Summary,
        (counters, core.settings, status),
        version=__version__,
        build=BUILD,
        uptime_s=round(now - status.started_at, 3),
        started_wall_s=round(status.started_wall_s, 3),
        taken_s=now,
        listeners=status.addresses.get("line", ()),
        ws_listeners=status.addresses.get("websocket", ()),
        read_only_listeners=status.addresses.get("read-only", ()),
        write_only_listeners=status.addresses.get("write-only", ()),
        self_echo=core.settings.hears_itself,
        clients=record_of(snapshots.ClientCounts, [counters], open=len(core.connections.clients)),
        rooms=len(core.rooms),
        lines=record_of(snapshots.InOut, [counters], prefix="lines_"),
        bytes=record_of(snapshots.InOut, [counters], prefix="bytes_"),
        events=record_of(snapshots.EventCounts, [counters], prefix="events_"),
        syscalls={**core.poller.calls, **core.sockets.calls},
        loop=snapshots.LoopTimes(
            busy_s=round(times.busy_s, 6),
            turn_p99_ms=round(times.p99_s * 1000, 3),
            turn_max_ms=round(times.max_s * 1000, 3),
        ),
        refused=sum(count for reason, count in counters.closed.items() if reason.refuses),
        lingering=len(core.connections.closing),
        account=record_of(snapshots.Account, [core.account]),
        closed={str(reason): count for reason, count in counters.closed.items()},
        log_dropped=core.log_dropped(),
        cluster=core.commons.state(now),
    )


def client_row(client: Client, nick: str, now: float) -> snapshots.ClientRow:
    """An open client as the page shows it.

    A row is made for every client once a second while somebody watches, so times are cut to milliseconds in
    whole numbers: round() to three digits goes by way of decimal text, and two of them were a third of this.
    """
    inbox, outbox, transport = client.inbox, client.outbox, client.inbox.transport
    return snapshots.ClientRow(
        id=client.id,
        peer=client.peer,
        transport=client.transport,
        nick=nick,
        room=client.room.name if client.room else "",
        age_s=int((now - client.accepted_at) * 1000) / 1000,
        idle_s=int(max(0.0, now - client.active_at) * 1000) / 1000,
        lines_in=inbox.lines_in,
        lines_out=outbox.lines_out,
        bytes_in=inbox.bytes_in,
        bytes_out=outbox.bytes_out,
        lag_bytes=outbox.lag_bytes,
        outbox_bytes=outbox.item_bytes,
        state=state(client, now),
        tag=transport.tag if isinstance(transport, WebSocket) else "",
    )


def state(client: Client, now: float) -> str:
    """Both sides of a client in words, the more telling side first."""
    if client.phase == "opening":
        return "opening"
    if not client.is_alive or client.close.reason is not None:
        return "closing"
    names, blocked = client.gate.names(), client.outbox.blocked
    sides = [f"blocked for {int(now - last_sign(client.outbox))} s"] if blocked else []
    if names:
        sides.append(f"paused: {', '.join(names)}")
    return ", ".join(sides) or "reading"


def room_row(room: Room) -> snapshots.RoomRow:
    """A room and what its log holds."""
    log = room.log
    first_line, start = (
        (log.chunks[0].first_line, log.chunks[0].start) if log.chunks else (log.next_line, log.head)
    )
    return snapshots.RoomRow(
        name=room.name,
        clients=room.size,
        lines=log.next_line,
        bytes=log.head,
        log_lines=log.next_line - first_line,
        log_bytes=log.head - start,
    )
