"""What the tests of a hub's company share: beats, the lives of hubs, and a wire that keeps a record."""

from typing import Any

from cluster.company import Company
from cluster.events import Spoke
from cluster.fold import Origin
from cluster.presence import Answer, Beat, Question

ME, ANN, BOB, CY = (Origin(hub, "1") for hub in ("me", "ann", "bob", "cy"))
AGAIN = Origin("bob", "2")
"""Another life of the same hub."""


def a_beat(**changes: Any) -> Beat:
    """A beat of a hub in which nothing happens."""
    zeros: dict[str, Any] = dict.fromkeys(Beat.__struct_fields__, 0)
    return Beat(**(zeros | {"is_leaving": False, "people": {}} | changes))


class Wire:
    """Keeps what was asked of it; nothing arrives anywhere."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.asked: list[Question] = []
        self.answers: list[tuple[Origin, Answer]] = []
        self.claims: list[tuple[str, int]] = []
        self.releases: list[tuple[str, int]] = []
        self.looked_up: list[str] = []

    def beat(self, beat: Beat) -> None:
        self.beats.append(beat)

    def ask(self, question: Question) -> None:
        self.asked.append(question)

    def answer(self, to: Origin, answer: Answer) -> None:
        self.answers.append((to, answer))

    def claim(self, key: str, revision: int) -> None:
        self.claims.append((key, revision))

    def release(self, key: str, revision: int) -> None:
        self.releases.append((key, revision))

    def look_up(self, key: str) -> None:
        self.looked_up.append(key)


class Hub:
    """A company on such a wire, at a time that the test moves. Questions are answered with themselves."""

    def __init__(self) -> None:
        self.wire, self.now = Wire(), 100.0
        self.company = Company(ME, self.wire, a_beat, lambda what, arguments: [what, *arguments])
        self.company.is_admitted = True

    def link(self) -> None:
        """The link comes up."""
        self.company.linked(self.now)

    def hears(self, origin: Origin, said: Beat | Question | Answer) -> None:
        """Another hub speaks."""
        self.company.heard(Spoke(origin, said), self.now)

    def at(self, now: float) -> list[str]:
        """A turn at this time; who was found dead."""
        self.now = now
        return self.company.step(now)

    def pass_s(self, seconds: float, *alive: Origin) -> list[str]:
        """The time passes in steps of 100 ms, in each of which these hubs beat; who was found dead."""
        dead = list[str]()
        for _ in range(round(10 * seconds)):
            for origin in alive:
                self.hears(origin, a_beat())
            dead += self.at(self.now + 0.1)
        return dead
