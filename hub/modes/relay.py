"""The two relay modes, echo and broadcast: lines pass verbatim.

A mode appends to rooms, queues what single clients get, and marks; it never calls upward and knows no socket.
"""

from bisect import bisect_right
from itertools import accumulate
from sys import maxsize

from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.client import Client
from hub.session.commons import Commons
from hub.session.mode import Intake, TakeText
from hub.session.ready_sets import ReadySets


class Relay:
    """What both relay modes have: nobody has a name, and a client may be in a room."""

    opens_late = False

    def __init__(self, ready: ReadySets, *, sends_back: bool) -> None:
        self._ready, self.sends_back = ready, sends_back
        self.text: TakeText | None = None

    def heard(self, room: Room, lines: list[bytes], sender: int, said_at: float) -> None:
        """What was said is owed to everyone in the room."""
        self._heard(room, b"\n".join([*lines, b""]), len(lines), sender)

    def asked(self, what: str, arguments: list[str]) -> list[str]:
        """Nobody asks about anybody."""
        return []

    def lost_nick(self, key: str) -> None:
        """Nobody has a nick."""

    def _heard(self, room: Room, text: bytes, count: int, sender: int) -> None:
        room.extend(text, count, sender)
        self._ready.rooms[room] = None

    def left(self, client: Client) -> None:
        """The room forgets the client, if it was in one."""
        if client.room is not None:
            client.room.leave(client.outbox)
            client.room = None

    def nick(self, client: Client) -> str:
        """Nobody has a name."""
        return ""


class Echo(Relay):
    """A line goes back to its sender only, verbatim, in the encoding that the sender uses."""

    def __init__(self, account: Account, ready: ReadySets) -> None:
        super().__init__(ready, sends_back=True)
        self._account = account

    def joined(self, client: Client) -> None:
        """An echo client is in no room and gets no greeting."""

    def lines(self, client: Client, most: int = maxsize) -> None:
        """The lines that were read go back as one item: one copy and one send, however many they are.

        The messages of a WebSocket are frames already, ready to go back as they came.
        """
        lines = client.inbox.take(most)
        count, is_raw = len(lines), client.outbox.encoding == "frames"
        if not is_raw:
            lines.append(b"")
        echo = (b"" if is_raw else b"\n").join(lines)
        self._account.owed += len(echo)
        self._ready.put(client, echo, owed=True, own=True, raw=is_raw, lines=count)


class Broadcast(Relay):
    """A line goes to everyone in the one room, verbatim; to its sender too under --self-echo. No history."""

    def __init__(self, rooms: Registry, ready: ReadySets, commons: Commons, intake: Intake) -> None:
        super().__init__(ready, sends_back=False)
        self._lobby = rooms.lobby
        self._commons = commons
        self._intake = intake
        if commons.is_alone:
            self.text = self._say_text

    def joined(self, client: Client) -> None:
        """Everyone is in the lobby."""
        client.room = self._lobby
        self._lobby.join(client.outbox)

    def lines(self, client: Client, most: int = maxsize) -> None:
        """As many lines as fit into this turn of the room, in one step."""
        room, inbox = self._lobby, client.inbox
        space = self._intake.room_bytes - room.log.intake
        waiting = inbox.first(most)
        count, size = len(waiting), sum(map(len, waiting)) + len(waiting)
        if size > space:
            sizes = list(accumulate(len(line) + 1 for line in waiting))
            count = bisect_right(sizes, space)
            if count == 0 and room.log.intake:
                return
            count = max(1, count)
        self._commons.say(room, inbox.take(count), client.id, 0.0)

    def _say_text(self, client: Client, text: bytes, count: int) -> bool:
        """So many lines go to everyone as they came, where this turn of the room has space for all."""
        room = self._lobby
        if room.log.intake + len(text) > self._intake.room_bytes:
            return False
        self._heard(room, text, count, client.id)
        return True
