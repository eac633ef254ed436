"""A hub of a cluster without a loop: its chat, its clients made by hand, and a stream that the test moves."""

from typing import Any

from cluster.commons import Clocks, ClusterCommons
from cluster.envelope import Entry, Rules
from cluster.events import HeadIs, Owned, Spoke
from cluster.fold import Origin
from cluster.member import Member
from cluster.names import key_of
from cluster.presence import Answer, packed, unpacked
from hub.config.settings import Settings
from hub.control.snapshots import Summary
from hub.loop.snapshot_maker import summary
from hub.modes.chat import Chat, Rest
from hub.modes.commands import run_command
from hub.modes.elsewhere import asked
from hub.modes.facts import Facts
from hub.modes.notes import publish_notes
from hub.modes.relay import Broadcast
from hub.modes.renaming import lose
from hub.modes.sanitize import name_key
from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.client import Client, Transport
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget
from tests.unit.cluster.company import ME, a_beat
from tests.unit.cluster.link import Broker
from tests.unit.support import a_client, a_hub, receive_all

ROOM_BYTES = 1 << 17
MOST_TURNS = 1000


class Scene:
    """A hub named `me`. The link is up; nothing passes by itself, neither time nor lines."""

    def __init__(
        self, *, mode: str = "chat", self_echo: bool = True, room_bytes: int = ROOM_BYTES, **settings: Any
    ) -> None:
        given = Settings(mode=mode, **{"announce": 0, "history": 20, **settings})  # type: ignore[arg-type]
        self.now, self.wall = 100.0, 5000.0
        self.account, self.ready, self.broker = Account(), ReadySets(), Broker()
        self.broker.wall_ms = 5_000_000
        self.member = Member(ME, Rules(most_line_bytes=0, is_chat=mode == "chat"), self.broker, 0.0)
        clocks = Clocks(lambda: self.now, lambda: self.wall, lambda: self.now)
        self.commons = ClusterCommons(
            self.ready, self.member, self.broker, self.broker.events, clocks,
            room_bytes=room_bytes, history=given.history, notices=given.notices,
        )  # fmt: skip
        self.rooms = Registry(self.account, 300, self_echo=self_echo)
        self.clients: dict[int, Client] = {}
        intake = Intake(room_bytes=room_bytes)
        facts = Facts(lambda: self.now, lambda: self.now, self._totals, self.clients.get)
        self.mode: Chat | Broadcast
        if mode == "chat":
            self.mode = Chat(
                given, self.rooms, self.ready, self.commons, TurnBudget(), intake, 1 << 18, facts,
                Rest(run_command, asked, lose),
            )  # fmt: skip
        else:
            self.mode = Broadcast(self.rooms, self.ready, self.commons, intake)
        self.congested: set[str] = set()
        """The keys of rooms whose readers cannot follow."""
        self.commons.open(
            self.mode,
            lambda room, now: room.key in self.congested,
            self.rooms,
            lambda: (len(self.clients), 0, 0),
        )
        self.commons.company.is_admitted = True
        self.broker.up()
        self.turn()

    # Clients.

    def join(self, *lines: str, transport: Transport = "line") -> Client:
        """A client in the lobby that has said these lines, all of which were heard, and got its greeting."""
        client = a_client(len(self.clients) + 1, self.account, transport=transport)
        self.clients[client.id] = client
        self.mode.joined(client)
        self.say(client, *lines)
        self.settle()
        for each in self.clients.values():
            receive_all(each.outbox)
        return client

    def say(self, client: Client, *lines: str) -> None:
        """The client's lines are taken, and the turn goes on to its end."""
        client.inbox.receive([line.encode() for line in lines])
        if lines:
            self.mode.lines(client)
        self.turn()

    def leave(self, client: Client) -> None:
        """The client ends, as the loop ends it."""
        self.mode.left(client)
        client.outbox.close()

    def heard(self, client: Client) -> list[str]:
        """The lines that have come to this client since it was last asked."""
        return receive_all(client.outbox).decode().splitlines()

    # Turns.

    def turn(self, pass_s: float = 0.0) -> None:
        """After this time, what the loop does between reading and sending, and the pass of each room."""
        self.now += pass_s
        self.wall += pass_s
        self.commons.step(self.now)
        self.seal()
        self.hand_out()

    def seal(self) -> None:
        for room in self.ready.notices:
            if room.notes:
                publish_notes(room, self.commons)
        self.ready.notices.clear()
        for room in self.rooms.all():
            room.log.seal()

    def hand_out(self) -> None:
        """The pass of each room: its subscribers get what is there when they are asked for it."""
        for room in self.rooms.all():
            room.log.begin_pass()

    def settle(self) -> None:
        """All that was said is stored and heard; the time passes while nothing else does.

        The link tells now and then where the stream ends, as the real one does.
        """
        for _ in range(MOST_TURNS):
            self.broker.store()
            is_heard = not self.member.follows or self.member.fold.applied == self.broker.head
            if not self.broker.events and self.member.outbox.is_empty and is_heard:
                return
            if not self.broker.events:
                self.broker.events.append(HeadIs(self.broker.head))
            self.turn(0.0 if self.broker.published else 0.1)
        raise AssertionError("it never settles")

    def pass_s(self, seconds: float, step_s: float = 0.1) -> None:
        """Turns in steps of time."""
        for _ in range(round(seconds / step_s)):
            self.turn(step_s)

    # The other hubs.

    def elsewhere(self, *entries: Entry, **options: Any) -> None:
        """Another hub says this, and the turn goes on."""
        self.broker.says(*entries, **options)
        self.turn()

    def beat(self, origin: Origin, **changes: Any) -> None:
        """Another hub is alive."""
        self.broker.events.append(Spoke(origin, a_beat(**changes)))
        self.turn()

    def answer(self, origin: Origin, *values: str, to: int = -1) -> None:
        """Another hub answers the last question, or an earlier one, and the turn goes on."""
        said = unpacked(packed(Answer(self.broker.asked[to].number, [*values])))
        assert isinstance(said, Answer)
        self.broker.events.append(Spoke(origin, said))
        self.turn()

    def nick_is(self, nick: str, owner: Origin | None, revision: int = 1) -> None:
        """The table says whose a nick is, and the turn goes on."""
        self.broker.events.append(Owned(key_of(name_key(nick)), owner, revision))
        self.turn()

    def settled(self, nick: str) -> Client:
        """A client that has this nick."""
        client = self.join()
        self.say(client, f"/nick {nick}")
        self.nick_is(nick, ME)
        self.settle()
        self.heard(client)
        return client

    def room(self, key: str) -> Room:
        found = self.rooms.find(key)
        assert found is not None
        return found

    def balances(self) -> bool:
        """Nothing that was owed is missing, where nobody ended."""
        account, queued = self.account, sum(client.outbox.queued_bytes for client in self.clients.values())
        return account.owed + account.replayed == account.delivered + queued

    def _totals(self) -> Summary:
        with a_hub() as hub:
            return summary(hub, self.now)
