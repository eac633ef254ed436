"""How the frozen records that the page sees are made of the hub's parts."""

from collections.abc import Iterable

from hub import __version__
from hub.control import snapshots
from hub.loop.congestion import last_sign
from hub.loop.core import Core, Step
from hub.loop.counters import Counters
from hub.loop.turn_histogram import TurnHistogram
from hub.net.poller import Poller
from hub.protocol.ws_connection import WebSocket
from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.client import Client, Phase


class SnapshotMaker(Step):
    """Makes records. The totals cost the same however many clients there are."""

    def __init__(
        self,
        core: Core,
        poller: Poller,
        rooms: Registry,
        account: Account,
        turn_times: TurnHistogram,
    ) -> None:
        super().__init__(core)
        self._poller = poller
        self._rooms = rooms
        self._account = account
        self._turn_times = turn_times

    def summary(self, now: float) -> snapshots.Summary:
        """The hub's totals at this moment."""
        counters, settings, status = self._counters, self._settings, self._status
        return snapshots.Summary(
            version=__version__,
            uptime_s=round(now - status.started_at, 3),
            started_wall_s=status.started_wall_s,
            taken_s=now,
            mode=settings.mode,
            trigger=settings.trigger,
            read=settings.read,
            idle_strategy=settings.idle_strategy,
            idle_timeout_s=settings.idle_timeout_s,
            draining=status.draining,
            listeners=status.addresses.get("line", ()),
            ws_listeners=status.addresses.get("websocket", ()),
            read_only_listeners=status.addresses.get("read-only", ()),
            write_only_listeners=status.addresses.get("write-only", ()),
            self_echo=settings.hears_itself,
            max_clients=settings.max_clients,
            clients=self._client_counts(),
            rooms=len(self._rooms),
            lines=snapshots.InOut(in_=counters.lines_in, out=counters.lines_out),
            lines_discarded=counters.lines_discarded,
            bytes=snapshots.InOut(in_=counters.bytes_in, out=counters.bytes_out),
            events=_events(counters),
            syscalls={**self._poller.calls, **self._sockets.calls},
            turns=counters.turns,
            loop=_loop_times(self._turn_times),
            refused=counters.refused,
            lingering=len(self._connections.closing),
            account=account_record(self._account),
            closed={str(reason): count for reason, count in counters.closed.items()},
            log_dropped=status.log_dropped(),
        )

    def _client_counts(self) -> snapshots.ClientCounts:
        counters = self._counters
        return snapshots.ClientCounts(
            open=len(self._connections.clients), accepted=counters.accepted, peak=counters.peak
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
    if client.phase is Phase.OPENING:
        return "opening"
    if not client.is_alive or client.close.reason is not None:
        return "closing"
    names = client.gate.names()
    paused = f"paused: {', '.join(names)}" if names else ""
    if not client.outbox.blocked:
        return paused or "reading"
    blocked = f"blocked for {int(now - last_sign(client.outbox))} s"
    return f"{blocked}, {paused}" if paused else blocked


def queued_bytes(clients: Iterable[Client]) -> int:
    """Canonical bytes that these clients are still owed, worked out from their outboxes."""
    return sum(client.outbox.queued_bytes for client in clients)


def account_record(account: Account, queued: int | None = None) -> snapshots.Account:
    """The account as it stands."""
    return snapshots.Account(
        owed=account.owed,
        replayed=account.replayed,
        delivered=account.delivered,
        skipped=account.skipped,
        unsent=account.unsent,
        queued=queued,
    )


def room_row(room: Room) -> snapshots.RoomRow:
    """A room and what its log holds."""
    log = room.log
    first_line, start = (
        (log.chunks[0].first_line, log.chunks[0].start) if log.chunks else (log.next_line, log.head)
    )
    return snapshots.RoomRow(
        name=room.name,
        clients=len(room.members),
        lines=log.next_line,
        bytes=log.head,
        log_lines=log.next_line - first_line,
        log_bytes=log.head - start,
    )


def _events(counters: Counters) -> snapshots.EventCounts:
    return snapshots.EventCounts(
        in_=counters.events_in,
        out=counters.events_out,
        rdhup=counters.events_rdhup,
        hup=counters.events_hup,
        err=counters.events_err,
        accept=counters.events_accept,
    )


def _loop_times(times: TurnHistogram) -> snapshots.LoopTimes:
    return snapshots.LoopTimes(
        busy_s=round(times.busy_s, 6),
        turn_p99_ms=round(times.p99_s * 1000, 3),
        turn_max_ms=round(times.max_s * 1000, 3),
    )
