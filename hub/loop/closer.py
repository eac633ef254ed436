"""The reap step: settle whoever got a reason, and close what is finished. Nothing is closed anywhere else.

Closing is a state. close(2) with unread input makes the kernel reset the connection, and the farewell is
lost (20 of 20 when measured); so a farewell goes out at a line border, our side is shut down, input is
discarded, and the descriptor is closed at the peer's end of stream or after two seconds. The client
counts as closed, leaves its room and frees its nick at the decision; its descriptor counts until the close.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from hub.close_reasons import CloseReason
from hub.loop.close_log import ending_of
from hub.loop.context import Hub
from hub.loop.flow_control import Pacing
from hub.loop.writer import Sender
from hub.rooms.outbox import rest_for
from hub.session.client import Client, Phase, Piece

if TYPE_CHECKING:
    from hub.protocol.ws_connection import WebSocket


class Endings:
    """From a recorded reason to a closed descriptor."""

    def __init__(self, hub: Hub, pacing: Pacing, sender: Sender) -> None:
        self._hub = hub
        self._pacing = pacing
        self._sender = sender
        self._lingering = 0

    @property
    def has_work(self) -> bool:
        """Somebody waits to be settled or closed."""
        marks = self._hub.marks
        return bool(marks.ended or marks.finished or marks.given_up)

    def reap(self, now: float) -> None:
        """Settle those who got a reason, close those who are finished, of each as many as the budget has."""
        marks, budget = self._hub.marks, self._hub.budgets.endings
        if marks.given_up:  # Who took its rest at the last moment has still to read it.
            marks.given_up = [client for client in marks.given_up if client.id not in marks.finished]
        if marks.ended:
            for client in list(islice(marks.ended.values(), budget)):
                del marks.ended[client.id]
                self._settle(client, now)
        if marks.finished:
            for client in list(islice(marks.finished.values(), budget)):
                del marks.finished[client.id]
                self._finish(client, now)
        while marks.given_up:
            self._close(marks.given_up.pop(), now)

    def _settle(self, client: Client, now: float) -> None:
        """The decision: out of the room, out of the tables, one farewell on its way."""
        hub, reason, room = self._hub, client.reason, client.room
        assert reason is not None
        client.phase = Phase.FLUSHING
        client.ended_at = now
        client.last_room = room.name if room else ""
        hub.counters.closed[reason] += 1
        hub.ended[client.id] = hub.clients.pop(client.id)
        self._leave_address(client)
        client.timed = client.choked = client.fresh = False
        hub.timers.forget(client.id)
        hub.marks.readable.pop(client.id, None)
        pieces = self._still_owed(client, reason)
        hub.guarded(client, hub.mode.left)
        if client.room is not None:  # The mode failed.
            client.room.leave(client)
        client.private = pieces
        client.private_bytes = sum(len(piece.data) for piece in pieces)
        if room is not None:
            self._pacing.release(room)
        self._say_farewell(client, reason)
        self._start_flush(client, reason, now)

    def _leave_address(self, client: Client) -> None:
        per_address = self._hub.per_address
        per_address[client.address] -= 1
        if not per_address[client.address]:
            del per_address[client.address]

    def _still_owed(self, client: Client, reason: CloseReason) -> list[Piece]:
        """What it is still to get, free of the room; what it is not to get is counted as unsent."""
        if not reason.flushes or client.gone:
            heard = not (client.deaf or client.gone)
            # A WebSocket is told even that it is taken for gone, and not in the middle of a frame.
            told = heard and (client.websocket is not None or not reason.by_peer)
            self._hub.drop_output(client, keep_rest=told)
        return rest_for(client)

    def _say_farewell(self, client: Client, reason: CloseReason) -> None:
        """One line that says why; none to who is gone, or was answered in a language of its own."""
        if client.deaf or client.gone:
            return
        if client.websocket is not None:
            self._say_close(client, client.websocket, reason)
            return
        silent = reason.by_peer or reason is CloseReason.WRONG_PROTOCOL
        if not silent and self._hub.settings.notices:
            detail = f" {client.detail}" if client.detail else ""
            client.put(f"* bye reason={reason}{detail}\n".encode(), farewell=True)

    def _say_close(self, client: Client, websocket: WebSocket, reason: CloseReason) -> None:
        """A WebSocket has a farewell of its own: the Close frame says the reason, or echoes the peer's."""
        close = websocket.close_frame(reason, client.detail)
        if close:
            client.put(close, raw=True, farewell=not reason.by_peer)

    def _start_flush(self, client: Client, reason: CloseReason, now: float) -> None:
        hub = self._hub
        if client.owes_nothing or client.gone:
            self._finish(client, now)
            return
        self._sender.flush(client, now)
        if client.id in hub.marks.finished:
            return
        if reason is CloseReason.SLOW_CONSUMER:  # Its pipe is full: it had its one try.
            hub.drop_output(client)
            self._finish(client, now)
            return
        if reason is CloseReason.PEER_CLOSED:
            self._pacing.must_progress(client, now)
        elif reason is not CloseReason.SERVER_SHUTDOWN:  # The drain has a limit of its own.
            hub.timers.closing.touch(client.id, now)
        hub.interest(client)

    def _finish(self, client: Client, now: float) -> None:
        """Nothing more is to be sent: close, or shut our side down and wait for the peer's end."""
        hub = self._hub
        pointless = client.eof or client.gone is not None or client.phase is Phase.LINGERING
        if pointless or self._lingering >= hub.budgets.lingering:
            self._close(client, now)
            return
        client.phase = Phase.LINGERING
        client.blocked = False
        self._lingering += 1
        hub.sockets.shutdown_write(client.sock)
        hub.timers.forget(client.id)
        hub.timers.closing.touch(client.id, now)
        hub.marks.readable[client.id] = client
        hub.interest(client)

    def _close(self, client: Client, now: float) -> None:
        """The one place where a client's descriptor is closed: mark, tell the poller, close."""
        hub = self._hub
        if client.phase is Phase.CLOSED:
            return
        if client.phase is Phase.LINGERING:
            self._lingering -= 1
        client.phase = Phase.CLOSED
        hub.drop_output(client)
        hub.timers.forget(client.id)
        for marks in (hub.marks.readable, hub.marks.flush, hub.marks.finished):
            marks.pop(client.id, None)
        del hub.by_fd[client.fd], hub.ended[client.id]
        hub.poller.forget(client.fd)
        hub.sockets.close(client.sock)
        if client.websocket is not None:
            client.websocket.stop()
        hub.record(ending_of(client, hub.wall_s(now), now))
