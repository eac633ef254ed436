"""A hub whose commons answers when the test says so: questions to other hubs, and claims of nicks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import tests.support
from hub.loop.assembly import Hub
from hub.session.commons import Commons, Told
from hub.session.ready_sets import ReadySets
from tests.loop.support import SteppedHub


class Later(Commons):
    """Hears lines at once. `releases` are the keys of nicks that are nobody's any more."""

    def __init__(self, ready: ReadySets) -> None:
        super().__init__(ready)
        self.hub = "me"
        self.asked: list[Told] = []
        self.claims: dict[int, Callable[[str], None]] = {}
        self.releases: list[str] = []

    def ask(self, what: str, arguments: list[str], then: Told) -> None:
        """Waits for the test."""
        self.asked.append(then)

    def claim(self, client: int, nick: str, then: Callable[[str], None]) -> None:
        """Waits for `settle`."""
        self.claiming.add(client)
        self.claims[client] = then

    def release(self, nick: str) -> None:
        """Noted."""
        self.releases.append(nick)

    def holds_up(self, client: int, *, at_end: bool, is_dead: bool = False) -> bool:
        """While its claim has no answer."""
        return client in self.claiming and not at_end

    def settle(self, client: int, refusal: str = "") -> None:
        """What becomes of the claim of this client."""
        self.claiming.discard(client)
        self.claims.pop(client)(refusal)


def a_later_hub(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[SteppedHub, Later]:
    """A chat hub on such a commons."""
    made: list[Later] = []

    def make(ready: ReadySets) -> Commons:
        made.append(Later(ready))
        return made[-1]

    monkeypatch.setattr(tests.support, "Hub", partial(Hub, make_commons=make))
    hub = SteppedHub(mode="chat", **{"announce": 0, **options})
    return hub, made[0]
