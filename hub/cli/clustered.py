"""The way of a hub into a cluster, where --cluster says so. Only then is anything of the cluster imported."""

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from cyclopts import CycloptsError

from hub.cli.logs import LogThread, own_line, say
from hub.cli.orders import MISSING
from hub.cli.unavailable import Unavailable
from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from hub.session.commons import Commons
from hub.session.ready_sets import ReadySets


class Part(Protocol):
    """A hub's part in its cluster (cluster/join.py)."""

    name: str

    def make_commons(self, ready: ReadySets) -> Commons:
        """What the modes speak to."""

    def start(self) -> bool:
        """Connect; whether there is a link within some seconds."""

    def catch_up(self, tell: Callable[[int, int], None]) -> None:
        """Hear what was said before; `tell` gets how much of how much that is."""

    def stop(self, limit_s: float) -> None:
        """Leave, once what was said is stored."""


def joined(settings: Settings, mailbox: Mailbox, log: LogThread) -> Part | None:
    """The part of this hub in its cluster; None for a hub alone. Raises Unavailable, and CycloptsError for a
    file that cannot be used."""
    if not settings.cluster:
        return None
    if importlib.util.find_spec("nats") is None:
        raise CycloptsError(MISSING)
    from cluster.commons import Clocks
    from cluster.join import BadCredentials, Joined

    def tell(text: str) -> None:
        log.log("cluster", level="info" if text.startswith("linked") else "warning", like={}, text=text)

    clocks = Clocks(time.monotonic, time.time, partial(time.clock_gettime, time.CLOCK_BOOTTIME))
    try:
        return Joined(settings, clocks, mailbox, tell)
    except BadCredentials as bad:
        raise CycloptsError(str(bad)) from None


def enter(hub: Part, settings: Settings) -> str:
    """Up to the present, before anybody is let in; returns the line that says so. Raises Unavailable."""
    where = ",".join(settings.cluster)
    from cluster.join import NameTaken

    try:
        has_link = hub.start()
    except NameTaken as taken:
        raise Unavailable(str(taken)) from None
    if not has_link:
        return f"hub {hub.name}: no link yet to the cluster at {where}; lines wait"
    hub.catch_up(lambda heard, of: say(2, own_line(f"reading what was said: {heard} of {of} messages")))
    return f"hub {hub.name} of the cluster at {where}"
