"""What the unit tests share: outboxes, rooms and clients without a socket, and a hub without a loop."""

import contextlib
import sys
from collections.abc import Iterable, Iterator

from hub.config.settings import Settings
from hub.loop.assembly import Hub, intake_of, limits_of
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.protocol.encoding import Encoding
from hub.protocol.line_transport import LineTransport
from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.rooms.segments import Item
from hub.session.client import Client, Transport
from hub.session.inbox import Inbox

SPEAKER = 99
"""The id of a sender that is not looked at further; 0 would be the hub itself."""
MUCH = 1 << 30


def an_outbox(
    id: int = 1,
    account: Account | None = None,
    encoding: Encoding = "lf",
    *,
    write_only: bool = False,
    owner: object = None,
) -> Outbox:
    """An outbox that belongs to nobody."""
    return Outbox(id, owner, account or Account(), encoding, write_only=write_only)


def shown(items: Iterable[Item]) -> list[tuple[object, ...]]:
    """What two lists of items are compared by: items themselves are never equal."""
    return [(i.at, i.data, i.owed, i.own, i.raw, i.lines, i.skipped, i.encoding) for i in items]


def a_client(
    id: int = 1,
    account: Account | None = None,
    encoding: Encoding = "lf",
    *,
    transport: Transport = "line",
    fd: int = -1,
    now: float = 0.0,
) -> Client:
    """An open client; without a descriptor it can do all but send and receive."""
    inbox = Inbox(LineTransport(8192, telnet=True), now)
    client = Client(id, fd, "192.0.2.1", id, "192.0.2.1", transport, inbox, now)
    client.phase, is_mute = "open", transport == "write-only"
    client.outbox = an_outbox(id, account, encoding, write_only=is_mute, owner=client)
    return client


def a_room(
    *members: Client | Outbox, account: Account | None = None, number: int = 1, self_echo: bool = True
) -> Room:
    """A room with these in it. What is owed goes on `account`, which should be that of the members."""
    room = Room("tea", "tea", account or Account(), Log(number, self_echo=self_echo))
    for member in members:
        if isinstance(member, Client):
            member.room = room
        room.join(member.outbox if isinstance(member, Client) else member)
    return room


@contextlib.contextmanager
def a_hub(settings: Settings | None = None) -> Iterator[Hub]:
    """Everything but a loop and listeners."""
    poller = Poller("level")
    log: list[str] = []
    settings = settings or Settings(mode="broadcast", web=False)
    yield Hub(
        settings, limits_of(settings), intake_of(settings), Sockets(), poller, lambda: 0.0,
        lambda event, **_: log.append(event), lambda summary: None, wall_clock=lambda: 0.0,
        steady_clock=lambda: 0.0,
    )  # fmt: skip
    poller.close()
    assert not log


def slots(kind: type) -> list[str]:
    """The names of all attributes that an object of this class has; a compiled class lists them itself."""
    found: list[str] = list(getattr(kind, "__mypyc_attrs__", ()))
    if not found:
        for base in kind.__mro__:
            names = getattr(base, "__slots__", ())
            found += [names] if isinstance(names, str) else names
    return found


def held_bytes(thing: object) -> int:
    """What the attributes of an object take, each by itself."""
    return sum(sys.getsizeof(getattr(thing, name)) for name in slots(type(thing)))


def wire(outbox: Outbox) -> bytes:
    """What the outbox would offer to the kernel next."""
    return b"".join(segment.wire for segment in outbox.segments())


def take(outbox: Outbox, count: int = MUCH) -> bytes:
    """The kernel takes at most so many bytes of the next batch; what it took."""
    segments = outbox.segments()
    taken = b"".join(segment.wire for segment in segments)[:count]
    outbox.advance(segments, len(taken), now=0.0)
    return taken


def receive_all(outbox: Outbox) -> bytes:
    """The kernel takes everything that waits; what it took."""
    got = b""
    while more := take(outbox):
        got += more
    return got
