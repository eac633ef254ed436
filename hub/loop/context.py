"""What the steps of a turn share: the one place where the hub's state lives, owned by one thread.

Each step is a class of its own that gets this record and does one thing; the loop calls them in order.
Here stand only the few small deeds that more than one step needs.
"""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control.snapshots import Ending
from hub.loop.close_log import Ledger
from hub.loop.counters import Counters
from hub.loop.timers import Expiry
from hub.loop.turn_histogram import TurnTimes
from hub.modes.relay import Intake, Mode
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.protocol.encoding import Form
from hub.rooms.accounting import Account
from hub.rooms.outbox import rest_for
from hub.rooms.room import Rooms
from hub.session.client import Client, Phase
from hub.session.ready_sets import Marks

T = TypeVar("T")


class Log(Protocol):
    """Where structured records go. Never blocks."""

    def __call__(self, event: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """How much one turn may do, so that nobody waits for anybody. Sizes are bytes."""

    accepts: int = 64
    commands: int = 256
    starts: int = 256
    """Newcomers that are greeted and shown the history: fewer where that is long (hub/loop/assembly.py)."""
    expiries: int = 256
    endings: int = 256
    read_bytes: int = 64 * 1024
    """One read."""
    frame_bytes: int = 512
    """A WebSocket frame costs as much as reading so many bytes."""
    telnet_bytes: int = 128
    """The same of a telnet command: 64 KiB of them take 40 ms."""
    client_bytes: int = 64 * 1024
    """All reads of one client."""
    turn_bytes: int = 1024 * 1024
    """All reads of all clients."""
    look_bytes: int = 1024
    """A look at a client costs at least so much: ten thousand that said a byte are ten turns, not one."""
    sends_between_clock_readings: int = 64
    sends: int = 512
    discard_bytes: int = 16 * 1024
    """Input thrown away of one lingering client."""
    rows: int = 128
    """Made for the page in one turn, at about 2 us each: ten thousand clients take it eighty turns."""
    lingering: int = 256
    """Ended clients whose farewell is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost, worked out from the settings. 0 is no limit."""

    lag_bytes: int
    linger_s: float = 2.0
    stall_s: float = 1.5
    """It waits only for who takes something within this time."""
    patience_s: float = 4.0
    """How long a room waits in a row for one hearer that is about to be cut."""
    patience_gain: float = 0.5
    """Seconds of that patience that come back in a second without waiting: it waits a third of the time."""
    progress_s: float = 10.0
    """How long one that holds others up may take nothing."""
    skip_s: float = 60.0
    """How long one that skips lines may take nothing: longer, as it holds nobody up."""
    feed_s: float = 10.0
    """Who sent a line within this time and takes none is a feed: it is not cut while it sends."""

    kept_bytes: int = 256 * 1024
    """A room keeps so much for those who come later, and the rest of the chunk in which that begins."""
    bulk_bytes: int = 4096
    """A read of this size is bulk: its sender gets its own lines back when it pauses, not before."""
    handshake_s: float = 5.0
    ping_s: float = 20.0
    """How long a WebSocket client may say nothing before it is asked, and then how long until it is gone."""
    pause_s: float = 0.05
    """How long a bulk sender must have sent nothing to have paused; and a fresh client, to be greeted."""

    @property
    def history_bytes(self) -> int:
        """What those who come are shown, and so what is kept: it must not put them behind."""
        return min(self.kept_bytes, self.lag_bytes // 2) if self.lag_bytes else self.kept_bytes

    @property
    def pressed_bytes(self) -> float:
        """Lag at which a hearer is about to be cut: two more turns could bring it past the limit."""
        return self.lag_bytes * 3 / 4 if self.lag_bytes else float("inf")

    @property
    def behind_bytes(self) -> float:
        """Lag beyond which a hearer counts as behind."""
        return self.lag_bytes / 2 if self.lag_bytes else float("inf")


@dataclass(slots=True, eq=False, kw_only=True)
class Timers:
    """Clocks of one kind: who did nothing for how long. Ids are clients'."""

    idle: Expiry
    warning: Expiry
    closing: Expiry
    """Ended clients: flush, farewell and lingering together."""
    progress: Expiry
    """Those that hold others up and have to take something, and feeds that have to send something."""
    stall: Expiry
    """Those that are behind: who takes nothing for a moment is stalled."""
    pause: Expiry
    """Bulk senders: who sends nothing for a moment has paused."""
    skip: Expiry
    """Those that missed lines under --slow skip and have to take something."""
    rate: Expiry
    """Those that have said their share: from when on they may say more."""
    handshake: Expiry
    """WebSocket clients that have not finished their handshake."""
    ping: Expiry
    """The others of them: who sends nothing for so long is asked whether it is there."""

    @property
    def all(self) -> tuple[Expiry, ...]:
        """Every one of them."""
        return (
            self.idle,
            self.warning,
            self.closing,
            self.progress,
            self.stall,
            self.pause,
            self.handshake,
            self.ping,
            self.rate,
            self.skip,
        )

    def forget(self, client_id: int) -> None:
        """No clock runs for this client any more."""
        for timer in self.all:
            timer.forget(client_id)


@dataclass(slots=True, eq=False, kw_only=True)
class Hub:
    """All there is. Only the loop's thread touches it."""

    settings: Settings
    limits: Limits
    intake: Intake
    budgets: Budgets
    sockets: Sockets
    poller: Poller
    mode: Mode
    rooms: Rooms
    marks: Marks
    timers: Timers
    log: Log
    account: Account
    started_at: float
    started_wall_s: float
    log_dropped: Callable[[], int]
    counters: Counters = field(default_factory=Counters)
    turn_times: TurnTimes = field(default_factory=TurnTimes)
    ledger: Ledger = field(default_factory=Ledger)
    by_fd: dict[int, Client] = field(default_factory=dict)
    """Every connection that has a descriptor, ended or not."""
    clients: dict[int, Client] = field(default_factory=dict)
    """The open ones by id."""
    ended: dict[int, Client] = field(default_factory=dict)
    """By id, those that count as closed and still have a descriptor."""
    per_address: Counter[str] = field(default_factory=Counter)
    addresses: tuple[str, ...] = ()
    """Where lines are heard."""
    ws_addresses: tuple[str, ...] = ()
    read_only_addresses: tuple[str, ...] = ()
    page_port: int = 0
    """Where the page is served, once it is; 0: nowhere."""
    draining: bool = False

    @property
    def hint(self) -> str:
        """One line for who speaks the wrong protocol."""
        return f"Its page is on port {self.page_port}." if self.page_port else "Try telnet."

    @property
    def skips(self) -> bool:
        """Who does not keep up misses lines and is told so, instead of being cut."""
        return self.settings.slow == "skip" and self.settings.notices

    def wall_s(self, now: float) -> float:
        """Seconds since 1970 at this moment of the loop's clock; a step of the wall clock cannot move it."""
        return self.started_wall_s + now - self.started_at

    def record(self, ending: Ending) -> None:
        """Write an ending into the ledger and into the log."""
        self.ledger.add(ending)
        self.log("end", **msgspec.structs.asdict(ending))

    def guarded(self, client: Client, do: Callable[[Client], T]) -> T | None:
        """Let the mode do something for a client: a fault of ours costs that client only."""
        try:
            return do(client)
        except Exception:
            self.fault(client)
            return None

    def fault(self, client: Client) -> None:
        """The exception being handled is a fault of ours: log its trace and end the client."""
        self.log("fault", id=client.id, peer=client.peer, trace=traceback.format_exc())
        self.marks.end(client, CloseReason.INTERNAL_ERROR)

    def interest(self, client: Client) -> None:
        """Tell the poller what is wanted of this client now. No system call where nothing changed.

        A kernel may have no memory for it (epoll_ctl(2)): who cannot be watched cannot stay.
        """
        reading = client.reading or (client.phase is Phase.LINGERING and not client.eof)
        try:
            if client.gone and not reading:
                self.poller.quiet(client.fd)
            else:
                self.poller.want(client.fd, reading=reading, writing=client.blocked)
        except OSError as error:
            self._cannot_watch(client, error)

    def _cannot_watch(self, client: Client, error: OSError) -> None:
        if client.phase is Phase.OPEN:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self.marks.end(client, CloseReason.IO_ERROR, f"epoll={name}")
        else:
            self.marks.given_up.append(client)

    def resume(self, client: Client) -> None:
        """Look at it again: what came while it was paused is in the kernel or in its backlog."""
        if client.phase is Phase.OPEN and client.reason is None and not client.paused:
            self.marks.readable[client.id] = client
        self.interest(client)

    def start_output(self, client: Client) -> None:
        """It has paused, or said its first line: what waited for it may go.

        The greeting and all that waited with it go in LF, as they would have without the waiting: when a
        client's first line end came must not show in what it sees.
        """
        if client.fresh and self.settings.eol != "crlf":
            self._keep_as_it_is(client)
        client.fresh = client.bulk = False
        if client.room is not None and client.lag_bytes:  # Until it has got them, the log is kept for it.
            client.room.slow[client.id] = client
        self.timers.pause.forget(client.id)
        self.marks.flush[client.id] = client

    def _keep_as_it_is(self, client: Client) -> None:
        client.private = [piece._replace(form=Form.LF) for piece in rest_for(client)]
        client.private_bytes = sum(len(piece.data) for piece in client.private)
        client.go_to_head()
        if client.room is not None:
            client.room.slow.pop(client.id, None)

    def drop_output(self, client: Client, *, keep_rest: bool = False) -> None:
        """Count what waits for this client as unsent, and let it go; perhaps but for the line begun."""
        owed = client.owed_bytes + sum(len(piece.data) for piece in client.private if piece.owed)
        if not keep_rest:
            owed += client.rest_owed
            client.rest, client.rest_owed, client.rest_farewell = b"", 0, False
        client.unsent_bytes += owed
        client.unsent_private_bytes += sum(len(piece.data) for piece in client.private if not piece.owed)
        self.account.unsent += owed
        client.go_to_head()
        client.private = []
        client.private_bytes = 0
