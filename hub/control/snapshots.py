"""What the page may see of the hub: frozen records, made on the loop's own clock.

Counters only rise; rates and pictures are the reader's business. Units stand last in a name; times are
seconds, sizes are bytes. `wall_s` fields are seconds since 1970 (UTC) and serve for display only.
"""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all records: immutable, no garbage-collector tracking, encodable as JSON as it stands."""


class ClientCounts(Record, frozen=True, kw_only=True):
    """How many connections: open now, accepted since start, and the most that were open at once."""

    open: int
    accepted: int
    peak: int


class InOut(Record, frozen=True, kw_only=True):
    """One quantity in both directions, as the hub sees them: in from clients, out to clients."""

    in_: int = msgspec.field(name="in")
    out: int


class EventCounts(Record, frozen=True, kw_only=True):
    """How often epoll reported each kind of readiness (epoll_ctl(2)).

    `accept` is IN on a listener; all the others are of clients' descriptors.
    """

    in_: int = msgspec.field(name="in")
    out: int
    rdhup: int
    hup: int
    err: int
    accept: int


class LoopTimes(Record, frozen=True, kw_only=True):
    """How busy the loop is: all time but what it spends waiting in epoll_wait(2)."""

    busy_s: float
    """Since start."""
    turn_p99_ms: float
    """Of the turns between the last two publications, 99 of 100 took no longer (rounded up by an eighth)."""
    turn_max_ms: float
    """The longest turn between the last two publications."""


class Account(Record, frozen=True, kw_only=True):
    """The conservation of room lines, in canonical bytes (a line and its LF).

    owed + replayed = delivered + skipped + unsent + queued at any moment. The left side is counted when
    a line is appended, the right side where bytes leave or a client ends; `queued` is worked out from
    the positions on request, so it is null in the once-a-second totals.
    """

    owed: int
    replayed: int
    delivered: int
    skipped: int
    unsent: int
    queued: int | None = None


class Summary(Record, frozen=True, kw_only=True):
    """The hub's totals, published at most once a second."""

    version: str
    uptime_s: float
    started_wall_s: float
    taken_s: float
    """When this was taken, on the loop's monotonic clock."""
    mode: str
    trigger: str
    read: str
    idle_strategy: str
    idle_timeout_s: float
    draining: bool
    listeners: tuple[str, ...]
    ws_listeners: tuple[str, ...] = ()
    """The same of the port for browsers; empty where there is none."""
    read_only_listeners: tuple[str, ...] = ()
    """The same of the port for viewers."""
    max_clients: int
    clients: ClientCounts
    rooms: int
    lines: InOut
    lines_discarded: int = 0
    """What viewers sent, in lines; they do not count as lines in."""
    bytes: InOut
    events: EventCounts
    syscalls: dict[str, int]
    turns: int
    loop: LoopTimes
    refused: int
    """Connections turned away at the door; they count as accepted and closed as well."""
    lingering: int
    """Ended connections whose descriptors are still open for a farewell to arrive."""
    account: Account
    closed: dict[str, int]
    log_dropped: int


class ClientRow(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One open client."""

    id: int
    peer: str
    transport: str
    nick: str
    room: str
    age_s: float
    idle_s: float
    lines_in: int
    lines_out: int
    bytes_in: int
    bytes_out: int
    lag_bytes: int
    private_bytes: int
    state: str
    """reading, paused (the hub does not read it for now), throttled (the same, for --line-rate) or feed (it
    sends and takes nothing)."""
    tag: str = ""
    """What a browser named itself by, so that its page knows its own row; left out of the JSON when empty."""


class RoomRow(Record, frozen=True, kw_only=True):
    """One room and what its log holds."""

    name: str
    clients: int
    lines: int
    bytes: int
    log_lines: int
    log_bytes: int


class Ending(Record, frozen=True, kw_only=True):
    """One line of the ledger: a connection that has ended, and why."""

    id: int
    peer: str
    transport: str
    nick: str
    room: str
    reason: str
    detail: str
    ended_wall_s: float
    age_s: float
    due_s: float | None
    """When a timer decided: the moment it was due, on the loop's clock, and when it was decided."""
    decided_s: float | None
    lateness_ms: float | None
    lines_in: int
    lines_out: int
    bytes_in: int
    bytes_out: int
    unsent_bytes: int
    """Canonical bytes of lines that it was owed and did not get."""
    unsent_private_bytes: int = 0
    """The same of what only it was owed: answers, notices, the farewell."""
    skipped_lines: int = 0
    skipped_bytes: int = 0
    """What it missed and was told of, in canonical bytes."""
    farewell: bool
    """Whether the whole farewell was taken by the kernel."""
