"""Nicks across hubs: each is a key of one table of the broker, created by the hub whose client has it.

A key is created only where there is none (compare-and-set), so of two hubs that want a nick one gets it. The
nick of a hub that is dead is free: its key is taken over, if nobody was faster. After a link that was away a
hub looks whether its keys are still its own.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from itertools import islice
from math import inf
from typing import Final, Protocol

from cluster.events import Owned
from cluster.fold import Origin

CLAIM_S: Final = 2.0
DROPPED: Final = 4096
"""So many keys that were ours are remembered, the last ones."""
LOOK_S: Final = 1.0
LOOKS: Final = 16
"""So many keys of ours are looked at each second, in turn, and as many that may not be free."""
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
        """Our keys, with their nick and revision; those that were looked at last stand last."""
        self._doubted: dict[str, Owned] = {}
        """What was said of a key of ours and is older than what we know; said twice, it is believed."""
        self._dropped: OrderedDict[str, int] = OrderedDict()
        """Keys that we want no more, with the revision at which we had them: answers may be older."""
        self._unsure: set[str] = set()
        """Those of them that the table may still say are ours."""
        self._look_at = -inf

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
        key = key_of(nick)
        held = self._held.pop(key, None)
        if held is not None:
            self._drop(key, held[1])
            self._store.release(key, held[1])

    def check(self) -> None:
        """The link was away: are our keys still ours, and those that we dropped not?"""
        for key in (*self._held, *self._unsure):
            self._store.look_up(key)

    def owned(self, event: Owned) -> str:
        """What the store says; the nick that this hub has lost, if it has lost one."""
        key, claim, held = event.key, self._claims.get(event.key), self._held.get(event.key)
        if event.owner == self._me:
            self._ours(event, claim)
        elif held is not None:
            return self._not_ours(event, *held)
        else:
            self._unsure.discard(key)
            if claim is not None and (event.owner is None or not self._is_alive(event.owner)):
                self._store.claim(key, event.revision)
            elif claim is not None:
                del self._claims[key]
                claim.then(f"the nick {claim.nick} is taken")
        return ""

    def _ours(self, event: Owned, claim: _Claim | None) -> None:
        key, is_old = event.key, event.revision <= self._dropped.get(event.key, 0)
        if claim is not None and is_old:  # Perhaps it was ours then, and is another's now.
            self._store.claim(key, event.revision)
        elif claim is not None:
            del self._claims[key]
            self._unsure.discard(key)
            self._held[key] = claim.nick, event.revision
            claim.then("")
        elif key in self._held:
            self._doubted.pop(key, None)
            self._held[key] = self._held[key][0], max(event.revision, self._held[key][1])
        elif not is_old or key in self._unsure:  # A claim that was given up, or a release that was lost.
            self._drop(key, event.revision)
            self._store.release(key, event.revision)

    def _not_ours(self, event: Owned, nick: str, revision: int) -> str:
        """A key that we hold is said to be another's, or nobody's, as in a table that is a new one.

        An older answer may have been overtaken; in a table that went back its revision is lower and true.
        """
        if event.owner is None:
            self._store.claim(event.key, 0)
        elif event.revision > revision or self._doubted.pop(event.key, None) == event:
            del self._held[event.key]
            return nick
        else:
            self._doubted[event.key] = event
            self._store.look_up(event.key)
        return ""

    def _drop(self, key: str, revision: int) -> None:
        self._dropped[key] = max(revision, self._dropped.pop(key, 0))
        self._unsure.add(key)
        if len(self._dropped) > DROPPED:
            oldest, _ = self._dropped.popitem(last=False)
            self._unsure.discard(oldest)

    def step(self, now: float) -> None:
        """Refuse the claims whose time is over, and look at keys that may be ours though nobody has them."""
        for key in [key for key, claim in self._claims.items() if now >= claim.by]:
            self._drop(key, 0)
            self._claims.pop(key).then(SILENT)
        if (self._unsure or self._held) and now >= self._look_at:
            self._look_at = now + LOOK_S
            for key in [*islice(self._unsure, LOOKS), *islice(self._held, LOOKS)]:
                self._store.look_up(key)
                if key in self._held:
                    self._held[key] = self._held.pop(key)

    def timeout(self, now: float) -> float:
        """Seconds until a claim ends by time alone, or a key is to be looked at."""
        claims = (claim.by for claim in self._claims.values())
        look_at = self._look_at if self._unsure or self._held else inf
        return max(0.0, min([*claims, look_at]) - now)


def key_of(nick: str) -> str:
    """The key in the table: nicks have letters that a key may not have."""
    return blake2b(nick.encode(), digest_size=16).hexdigest()
