"""Nicks across hubs: each is a key of one table of the broker, created by the hub whose client has it.

A key is created only where there is none (compare-and-set), so of two hubs that want a nick one gets it. The
nick of a hub that is dead is free: its key is taken over, if nobody was faster. After a link that was away a
hub looks whether its keys are still its own.
"""

from collections.abc import Callable
from hashlib import blake2b
from math import inf
from typing import Final, Protocol

from cluster.events import Owned
from cluster.fold import Origin

CLAIM_S: Final = 2.0
SILENT: Final = "the cluster does not answer, so nobody can have another name now"

Then = Callable[[str], None]
"""Why the claim is refused; empty where it is not."""


class KeyStore(Protocol):
    """The table of the broker. Each answer comes back as `Owned`, or never."""

    def claim(self, key: str, revision: int) -> None:
        """Make the key ours, if its revision is still this one; 0: if there is none."""

    def release(self, key: str, revision: int) -> None:
        """Drop our key."""

    def look_up(self, key: str) -> None:
        """Whose is it?"""


class _Claim:
    def __init__(self, nick: str, then: Then, by: float) -> None:
        self.nick, self.then, self.by = nick, then, by


class Names:
    """The nicks of one hub. Times are seconds on the loop's clock, nicks are as name_key has them."""

    def __init__(self, me: Origin, store: KeyStore, is_alive: Callable[[Origin], bool]) -> None:
        self._me, self._store, self._is_alive = me, store, is_alive
        self._claims: dict[str, _Claim] = {}
        """By the key of the table."""
        self._held: dict[str, tuple[str, int]] = {}
        """Our keys, with their nick and revision."""

    def claim(self, nick: str, then: Then, now: float, *, is_linked: bool) -> None:
        """Have this nick for a client; `then` gets why not."""
        key = key_of(nick)
        if not is_linked:
            then(SILENT)
        elif key in self._claims or key in self._held:
            then(f"the nick {nick} is taken")
        else:
            self._claims[key] = _Claim(nick, then, now + CLAIM_S)
            self._store.claim(key, 0)

    def release(self, nick: str) -> None:
        """A client has another nick, or is gone; one that is no key of ours changes nothing."""
        held = self._held.pop(key_of(nick), None)
        if held is not None:
            self._store.release(key_of(nick), held[1])

    def check(self) -> None:
        """The link was away: are our keys still ours?"""
        for key in self._held:
            self._store.look_up(key)

    def owned(self, event: Owned) -> str:
        """What the store says; the nick that this hub has lost, if it has lost one."""
        key, claim = event.key, self._claims.get(event.key)
        if event.owner == self._me:
            return self._ours(event, claim)
        if key in self._held and event.owner is None:  # The table is a new one.
            self._store.claim(key, 0)
            return ""
        if key in self._held:
            return self._held.pop(key)[0]
        if claim is None:
            return ""
        if event.owner is None or not self._is_alive(event.owner):
            self._store.claim(key, event.revision)
        else:
            del self._claims[key]
            claim.then(f"the nick {claim.nick} is taken")
        return ""

    def _ours(self, event: Owned, claim: _Claim | None) -> str:
        if claim is not None:
            del self._claims[event.key]
            self._held[event.key] = claim.nick, event.revision
            claim.then("")
        elif event.key in self._held:
            self._held[event.key] = self._held[event.key][0], event.revision
        else:  # The claim was given up before its answer came.
            self._store.release(event.key, event.revision)
        return ""

    def step(self, now: float) -> None:
        """Refuse the claims whose time is over."""
        for key in [key for key, claim in self._claims.items() if now >= claim.by]:
            self._claims.pop(key).then(SILENT)

    def timeout(self, now: float) -> float:
        """Seconds until a claim ends by time alone."""
        return max(0.0, min((claim.by for claim in self._claims.values()), default=inf) - now)


def key_of(nick: str) -> str:
    """The key in the table: nicks have letters that a key may not have."""
    return blake2b(nick.encode(), digest_size=16).hexdigest()
