"""What the page may see of the hub: frozen records, made on the loop's own clock.

Counters only rise; rates and pictures are the reader's business. Units stand last in a name; times are
seconds, sizes are bytes. `wall_s` fields are seconds since 1970 (UTC) and serve for display only.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all records: immutable, no garbage-collector tracking, encodable as JSON as it stands."""


R = TypeVar("R", bound=Record)


def record_of(kind: type[R], sources: Sequence[object], prefix: str = "", **told: Any) -> R:
    """A record of this kind. A field that is not told is an attribute of the first source that has it.

    The attribute's name is the prefix and the field's name, which may end in an underscore where Python has
    the word for itself.
    """
    for field in kind.__struct_fields__:
        if field in told:
            continue
        name = prefix + field.rstrip("_")
        for source in sources:
            if hasattr(source, name):
                told[field] = getattr(source, name)
                break
    return kind(**told)


class ClientCounts(Record, frozen=True, kw_only=True):
    """How many connections: open now, accepted since start, and the most that were open at once."""

    open: int
    accepted: int
    peak: int


class InOut(Record, frozen=True, kw_only=True):
    """A quantity in both directions, as the hub sees them: in from clients, out to clients."""

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
    """99 of 100 turns between the last two publications took no longer (rounded up by an eighth)."""
    turn_max_ms: float
    """The longest turn between the last two publications."""


class Account(Record, frozen=True, kw_only=True):
    """The conservation of room lines, in canonical bytes (a line and its LF).

    owed + replayed = delivered + skipped + unsent + queued at any moment. The left side is counted when
    a line is appended, the right side where bytes leave or a client ends; `queued` is worked out from
    the outboxes on request, so it is null in the once-a-second totals.
    """

    owed: int
    replayed: int
    delivered: int
    skipped: int
    unsent: int
    unsent_own: int = 0
    """The part of `unsent` that are lines which clients had said themselves: nobody missed anything."""
    queued: int | None = None


class HubRow(Record, frozen=True, kw_only=True):
    """A living hub of the cluster, as its last beat says. Totals are since its start."""

    hub: str
    is_this: bool
    """The hub that tells it."""
    beat_s: float
    """How old that beat is."""
    clients: int
    rooms: int
    lines_in: int
    lines_out: int
    ack_p50_ms: float
    ack_p99_ms: float
    """How long the stream took of late to store what the hub said, for half and for 99 % of its batches."""
    behind: int
    """Messages that the stream has and the hub did not apply yet."""
    gaps: int
    """Messages that did not come and were fetched."""
    resent: int
    """Batches that were sent once more."""
    refused_lines: int
    """Lines for which there was no place while the stream did not answer."""


class ClusterState(Record, frozen=True, kw_only=True):
    """A hub's part in its cluster. Totals are since its start."""

    hub: str
    is_linked: bool
    """The link stands, and the stream is the one that was followed."""
    unheard_s: float
    """How long the oldest line has waited since the stream last took something; 0 while none waits."""
    waiting_bytes: int
    """Lines of this hub that the stream does not have yet."""
    applied: int
    head: int
    """The last message that was applied, and the last that the stream is known to have."""
    links: int
    """How often the link came up."""
    refused_messages: int
    """Messages that were no envelope."""
    lost: int
    """Batches and messages that are in no record any more."""
    forks: int
    """How often the record went back."""
    hubs: tuple[HubRow, ...]
    """Those that are alive, this one among them, by name."""


class Summary(Record, frozen=True, kw_only=True):
    """The hub's totals, published at most once a second."""

    version: str
    build: str
    """Whether the loop runs as machine code, `compiled`, or interpreted, `pure`."""
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
    write_only_listeners: tuple[str, ...] = ()
    """The same of the port for programs that only send."""
    self_echo: bool = True
    """Whether a sender gets its own lines back from its room."""
    max_line_bytes: int = 0
    """The longest line that a client may send, without its end; 0: any."""
    max_clients: int
    clients: ClientCounts
    rooms: int
    lines: InOut
    lines_discarded: int = 0
    """Lines that nobody got: what viewers sent, and what a client could not say before its end."""
    bytes: InOut
    events: EventCounts
    syscalls: dict[str, int]
    turns: int
    loop: LoopTimes
    refused: int
    """Connections that were never let in: the part of `closed` whose reasons refuse."""
    lingering: int
    """Closed connections whose descriptors are still open for a farewell to arrive."""
    account: Account
    closed: dict[str, int]
    log_dropped: int
    cluster: ClusterState | None = None
    """None for a hub alone."""


class ClientRow(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An open client."""

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
    outbox_bytes: int
    state: str
    """Both sides in words: reading; blocked for N s (its kernel refuses bytes); paused, and why the hub
    does not read it (outbox, room, rate, cluster); opening; closing."""
    tag: str = ""
    """What a browser named itself by, so that its page knows its own row; left out of the JSON when empty."""


class RoomRow(Record, frozen=True, kw_only=True):
    """A room and what its log holds."""

    name: str
    clients: int
    lines: int
    bytes: int
    log_lines: int
    log_bytes: int


class ClosedClient(Record, frozen=True, kw_only=True):
    """An entry of the close log: a connection that has ended, and why."""

    id: int
    peer: str
    transport: str
    nick: str
    room: str
    reason: str
    detail: str
    closed_wall_s: float
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
    """Canonical bytes of others' lines that it was owed and did not get."""
    unsent_own_bytes: int = 0
    """The same of its own lines, which it was to get back."""
    unsent_outbox_bytes: int = 0
    """The same of what only it was to get: answers, notices, the farewell."""
    skipped_lines: int = 0
    skipped_bytes: int = 0
    """What it missed and was told of, in canonical bytes."""
    farewell: bool
    """Whether the whole farewell was taken by the kernel."""
