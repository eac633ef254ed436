"""The company: the other hubs, as the loop of this one sees them. Beats, questions and nicks, without I/O."""

from collections.abc import Callable
from typing import Final, Protocol

from cluster.events import Owned, Spoke
from cluster.fold import Origin
from cluster.names import KeyStore, Names
from cluster.peers import DEAD_S, Peers
from cluster.presence import Answer, Beat, Question
from cluster.questions import Questions, Then

BEAT_S: Final = 1.0
SETTLED_S: Final = DEAD_S + BEAT_S
"""So long after a link has come up it is known who is alive."""

TWIN: Final = "twin"
"""Asks for a hub of the same name; no other answers."""
AnswerIt = Callable[[str, list[str]], list[str]]


class Wire(KeyStore, Protocol):
    """What a company asks of its link. All of it may be lost."""

    def beat(self, beat: Beat) -> None:
        """Tell all hubs that this one is alive."""

    def ask(self, question: Question) -> None:
        """Ask all hubs."""

    def answer(self, to: Origin, answer: Answer) -> None:
        """Answer the hub that asked."""


class Company:
    """Times are seconds on the loop's clock."""

    def __init__(self, me: Origin, wire: Wire, beat: Callable[[], Beat], answer: AnswerIt) -> None:
        self._me, self.peers, self.questions = me, Peers(me), Questions()
        self.is_admitted = False
        """This hub beats: it has seen that nobody else has its name."""
        self.names = Names(me, wire, self._may_be_alive)
        self._wire, self._make_beat, self._answer = wire, beat, answer
        self._linked_at: float | None = None
        self._beat_at = self._now = 0.0

    def linked(self, now: float) -> None:
        """The link came up."""
        self._linked_at, self._beat_at, self._now = now, now, now
        self._wire.ask(Question(0, TWIN, []))
        self.names.check()

    def unlinked(self) -> None:
        """The link is gone: nobody is known to be alive, or dead."""
        self._linked_at = None

    def heard(self, event: Spoke, now: float) -> None:
        """Another hub spoke. If it has this hub's name, it is told at once that the name is taken."""
        if event.origin.hub == self._me.hub and not isinstance(event.said, Beat):
            self._wire.beat(self._make_beat())
            return
        match event.said:
            case Beat():
                self.peers.heard(event.origin, event.said, now)
            case Question(what=what) if what != TWIN:
                values = self._answer(event.said.what, event.said.arguments)
                self._wire.answer(event.origin, Answer(event.said.number, values))
            case Answer():
                self.questions.answered(event.origin, event.said)

    def ask(self, what: str, arguments: list[str], then: Then, now: float) -> None:
        """Ask the living hubs; `then` is called once, perhaps at once."""
        hubs = [peer.origin for peer in self.peers.living()] if self._linked_at is not None else []
        question = self.questions.ask(what, arguments, hubs, then, now)
        if question is not None:
            self._wire.ask(question)

    def claim(self, nick: str, then: Callable[[str], None], now: float) -> None:
        """Have a nick for a client here; `then` gets why not."""
        self.names.claim(nick, then, now, is_linked=self._linked_at is not None)

    def owned(self, event: Owned) -> str:
        """What the table of nicks says; the nick that is lost, if one is."""
        return self.names.owned(event)

    def step(self, now: float) -> list[str]:
        """Beat, and end what has had its time; the hubs that have just been found dead."""
        if now > self._now + DEAD_S - BEAT_S:  # This hub stood still, and the others may have called it dead.
            self.names.check()
        self._now = now
        self.questions.step(now)
        self.names.step(now)
        if self._linked_at is None:
            return []
        if self.is_admitted and now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._wire.beat(self._make_beat())
        return self.peers.died(now) if now >= self._linked_at + SETTLED_S else []

    def leave(self, last: Beat) -> None:
        """Tell the others that this hub ends."""
        self._wire.beat(last)

    def timeout(self, now: float) -> float:
        """Seconds until there is something to do by time alone."""
        waits_s = min(self.questions.timeout(now), self.names.timeout(now))
        if self._linked_at is None or not self.is_admitted:
            return waits_s
        return min(waits_s, max(0.0, self._beat_at - now))

    def _may_be_alive(self, origin: Origin) -> bool:
        """Nobody is called dead before there was time for a beat."""
        if origin.hub == self._me.hub:
            return False  # An earlier life of this hub.
        is_settled = self._linked_at is not None and self._now >= self._linked_at + SETTLED_S
        return not is_settled or self.peers.is_alive(origin)
