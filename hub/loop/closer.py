"""The close step: settle every recorded close reason, and close what is finished. Nothing is closed
elsewhere.

Closing is a state. close(2) with unread input makes the kernel reset the connection, and the farewell is
lost (20 of 20 when measured); so a farewell goes out at a line border, our side is shut down, input is
discarded, and the descriptor is closed at the peer's end of stream or after two seconds. The client
counts as closed, leaves its room and frees its nick at the decision; its descriptor counts until the close.
"""

from itertools import islice
from typing import Final

from mypy_extensions import mypyc_attr

from hub.close_reasons import CloseReason, told_to_people
from hub.loop.core import Core, Step
from hub.loop.writer import Writer
from hub.protocol.sniff import reply_to
from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client
from hub.session.mode import Mode

_OFFENCES: Final = (CloseReason.LINE_TOO_LONG, CloseReason.PROTOCOL_ERROR, CloseReason.INVALID_UTF8)
"""What ends those that send garbage: with its first input such a connection is no client."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Closer(Step):
    """From a recorded reason to a closed descriptor."""

    def __init__(self, core: Core, mode: Mode, writer: Writer) -> None:
        super().__init__(core)
        self._mode, self._writer, self._lingering = mode, writer, 0

    @property
    def has_work(self) -> bool:
        """Somebody waits to be settled or closed."""
        return bool(self._ready.closing or self._ready.finished or self._ready.abort)

    def slice(self, now: float) -> None:
        """Close a few whose time is over, settle a few with a reason, and close a few that are finished."""
        ready, few = self._ready, self._budgets.closes
        for _ in range(min(few, len(ready.abort))):
            client = ready.abort.pop()
            if client.id not in ready.finished:  # A client whose output is finished lingers normally.
                self.close(client, now)
        if ready.closing:
            for client in list(islice(ready.closing.values(), few)):
                del ready.closing[client.id]
                self._settle(client, now)
        if ready.finished:
            for client in list(islice(ready.finished.values(), few)):
                del ready.finished[client.id]
                self._finish(client, now)

    def close(self, client: Client, now: float) -> None:
        """The one place where a client's descriptor is closed: mark, tell the poller, close."""
        if client.phase == "closed":
            return
        if client.phase == "lingering":
            self._lingering -= 1
        client.phase = "closed"
        client.outbox.close()
        self._timers.forget(client)
        for marked in (self._ready.readable, self._ready.writable):
            marked.pop(client, None)
        self._ready.finished.pop(client.id, None)
        self._connections.remove(client)
        self._sockets.close(client.fd)
        client.fd = -1  # Its number may be another client's from here on.
        transport = client.inbox.transport
        if isinstance(transport, WebSocket):
            transport.stop()
        self._close_log.record(client, now)
        client.outbox.release()

    def _settle(self, client: Client, now: float) -> None:
        """The decision: out of the room, out of the tables, one farewell on its way."""
        close, reason, was_open = client.close, client.close.reason, client.phase == "open"
        assert reason is not None
        name = self._name_of(client, reason)
        client.phase = "flushing"
        close.room = client.room.name if client.room else ""
        close.nick = self._mode.nick(client)
        self._counters.closed[name] += 1
        self._counters.lines_discarded += client.inbox.waiting
        self._connections.settle(client)
        self._timers.forget(client)
        self._ready.readable.pop(client, None)
        if not reason.flushes or close.peer_error:
            hears = not (client.outbox.closed or close.peer_error)
            # A WebSocket is told even that it is taken for gone, and not in the middle of a frame.
            client.outbox.drop(keep_partial=hears and (client.transport == "websocket" or not reason.by_peer))
        if was_open:
            self.guard(client, self._mode.left)
        if client.room is not None:  # The mode failed.
            client.room.leave(client.outbox)
            client.room = None
        self._say_farewell(client, reason)
        self._start_flush(client, reason, now)

    def _name_of(self, client: Client, reason: CloseReason) -> CloseReason:
        """Note whether this was a stranger, and the reason under which the end is known from here on.

        The end itself goes on as what it was: in order, or by reset. A stop is no stranger's doing.
        """
        close, has_said_something = client.close, client.has_said_something
        took_no_part = not (has_said_something or self._has_heard(client))
        is_garbage = reason in _OFFENCES and not has_said_something
        is_strange = took_no_part or is_garbage or reason.refuses
        close.is_stranger = is_strange and reason is not CloseReason.SERVER_SHUTDOWN
        is_silent = took_no_part and not client.inbox.bytes_in
        is_over = reason in (CloseReason.PEER_CLOSED, CloseReason.PEER_RESET)
        close.reason = CloseReason.SILENT if is_silent and is_over else reason
        return close.reason

    def _has_heard(self, client: Client) -> bool:
        """The client's kernel took a byte of what was said in its room: more than all else that went out.

        A probe may have read the greeting, and end as a line goes out to it. Bytes of the encoding (CR, the
        heads of frames) count as something else; they are few.
        """
        handed = client.handed_bytes
        return handed > 0 and self._sockets.acknowledged(client.fd) > client.outbox.bytes_out - handed

    def _say_farewell(self, client: Client, reason: CloseReason) -> None:
        """Say why in a line; none to a client that is gone.

        A WebSocket has a farewell of its own: the Close frame says the reason, or echoes the peer's. A client
        of another protocol gets its reply, under --no-notices as well.
        """
        if client.outbox.closed or client.close.peer_error:
            return
        transport, detail = client.inbox.transport, client.close.detail
        if isinstance(transport, WebSocket):
            frame = transport.close_frame(reason, detail)
            if frame:
                client.outbox.put(frame, raw=True, farewell=not reason.by_peer)
        elif reason is CloseReason.WRONG_PROTOCOL and transport.foreign is not None:
            client.outbox.put(reply_to(transport.foreign, self._status.hint), raw=True)
        elif self._settings.notices and not reason.by_peer:
            client.outbox.put(f"* bye {told_to_people(reason, detail)}\n".encode(), farewell=True)

    def _start_flush(self, client: Client, reason: CloseReason, now: float) -> None:
        if client.outbox.is_empty or client.close.peer_error:
            self._finish(client, now)
            return
        self._writer.write(client, now)
        if client.id in self._ready.finished:
            return
        if reason is CloseReason.SLOW_CONSUMER:  # Its pipe is full: it had its one try.
            client.outbox.drop()
            self._finish(client, now)
            return
        if reason is CloseReason.PEER_CLOSED:
            self._timers.progress.touch(client.id, now)
        elif reason is not CloseReason.SERVER_SHUTDOWN:  # The drain has a limit of its own.
            self._timers.closing.touch(client.id, now)
        self._connections.watch(client)

    def _finish(self, client: Client, now: float) -> None:
        """Nothing more is to be sent: close, or shut our side down and wait for the peer's end."""
        is_over = client.inbox.eof or client.close.peer_error is not None or client.phase == "lingering"
        if is_over or self._lingering >= self._budgets.lingering:
            self.close(client, now)
            return
        client.phase = "lingering"
        client.outbox.accepted()
        self._lingering += 1
        self._sockets.shutdown_write(client.fd)
        self._timers.forget(client)
        self._timers.closing.touch(client.id, now)
        self._ready.readable[client] = None
        self._connections.watch(client)
