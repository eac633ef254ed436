"""A room: a log, and the clients that are in it.

A room knows no transport and never calls upward: it appends, and the loop looks.
"""

from collections.abc import Iterable, Iterator

from mypy_extensions import mypyc_attr

from hub.rooms.accounting import Account
from hub.rooms.history import History, Said
from hub.rooms.log import Log
from hub.rooms.outbox import Outbox
from hub.rooms.sender_runs import note


@mypyc_attr(allow_interpreted_subclasses=True)
class Room:
    """A log, its members and its subscribers. `key` is what the name is unique by."""

    __slots__ = (
        "_account", "changes", "history", "key", "log", "name", "notes", "subscribers", "trailing",
        "unsubscribed",
    )  # fmt: skip

    def __init__(self, name: str, key: str, account: Account, log: Log) -> None:
        self.name = name
        self.key = key
        self.log = log
        self.history = History()
        """What was said, for those who come later: the mode decides what is kept."""
        self.subscribers: dict[int, Outbox] = {}
        """The members that are owed lines, by id of the client. Nearly all are, so no table has all."""
        self.unsubscribed: dict[int, Outbox] = {}
        """The other members: nothing goes out to them."""
        self.trailing: dict[int, Outbox] = {}
        """Subscribers that the last pass did not bring up to date, so only they can hold the log back."""
        self.notes: list[tuple[str, str]] = []
        """Notices of this turn, (who, did what), to become one line."""
        self.changes = 0
        """Rises whenever a subscriber comes or goes, or a member goes, so that flow control looks again."""
        self._account = account

    @property
    def size(self) -> int:
        """How many clients are in the room."""
        return len(self.subscribers) + len(self.unsubscribed)

    def members(self) -> Iterator[Outbox]:
        """Everyone in the room: the subscribers in the order in which they joined, and then the others."""
        yield from self.subscribers.values()
        yield from self.unsubscribed.values()

    def append(self, line: bytes, sender: int) -> None:
        """Add one line, content without its end. `sender` is the id of its client, 0 for the hub itself."""
        self.extend(line + b"\n", 1, sender)

    def extend(self, text: bytes, count: int, sender: int) -> None:
        """Add so many canonical lines of one sender, which are this text. Every subscriber of now is owed
        them."""
        log, subscribers, size = self.log, self.subscribers, len(text)
        log.extend(text, count, sender)
        self._account.owed += size * len(subscribers)
        mine = subscribers.get(sender)
        if mine is None:
            return
        if log.runs is None:
            mine.said_to_itself(log.head - size, log.head)
        else:
            self._account.owed -= size
            note(log.runs, sender, log.head - size, log.head, count)
            mine.said(count, size)

    def missed(self, outbox: Outbox, lines: int, size: int) -> list[Said]:
        """What of the last lines a client that joins is shown: none that it was there for, and none of its
        own where a sender does not get its own lines."""
        if outbox.closed:
            return []
        since, but = outbox.left_at(self.log), 0 if self.log.runs is None else outbox.id
        return [said for said in self.history.last(lines, size) if said[2] >= since and said[1] != but]

    def join(self, outbox: Outbox, history: Iterable[bytes] = ()) -> None:
        """Make a client a member, and a subscriber unless nothing goes out to it; `history` comes first."""
        if outbox.closed:
            self.unsubscribed[outbox.id] = outbox
            return
        outbox.join(self.log, history)
        self.subscribers[outbox.id] = outbox
        self.changes += 1
        if outbox.blocked:
            self.trailing[outbox.id] = outbox

    def leave(self, outbox: Outbox) -> None:
        """Forget the client; what it is still owed becomes items of its outbox."""
        self.unsubscribe(outbox)
        self.unsubscribed.pop(outbox.id, None)
        self.changes += 1
        outbox.leave()

    def unsubscribe(self, outbox: Outbox) -> None:
        """From the next line on the client is owed nothing; it stays a member."""
        self.trailing.pop(outbox.id, None)
        if self.subscribers.pop(outbox.id, None) is not None:
            self.unsubscribed[outbox.id] = outbox
            self.changes += 1

    def trim(self, reached: int) -> None:
        """Drop what no subscriber needs: all but the trailing ones have got to offset `reached`."""
        if not self.trailing:
            self.log.trim(reached)
            return
        self.log.trim(min(reached, min(outbox.offset for outbox in self.trailing.values())))
        self.log.compact(reached)
