"""Nobody is closed before it could read its last lines: close(2) with unread input resets the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.session.client import Client, Phase
from tests.sim.kernel import fail

if TYPE_CHECKING:
    from tests.sim.tcp import Tcp
    from tests.sim.world import World


def watch_the_closes(world: World) -> None:
    """From now on a look at each client whose descriptor is about to be closed."""
    endings = world.loop._endings
    close = endings._close

    def watched(client: Client, now: float) -> None:
        if client.phase is not Phase.CLOSED and client.owes_nothing:  # Who is given up while it takes nothing
            _was_given_time(world, client)  # has a clock of its own.
        close(client, now)

    endings._close = watched  # type: ignore[method-assign]


def _was_given_time(world: World, client: Client) -> None:
    """The peer's end came; or it was waited for; or the drain is over, or too many linger already."""
    tcp: Tcp = client.sock  # type: ignore[assignment]
    hub, loop, now = world.hub, world.loop, world.kernel.now
    if tcp.shut_in or tcp.has_failed or (loop._drained_by is not None and now >= loop._drained_by):
        return
    lingering = sum(other.phase is Phase.LINGERING for other in hub.ended.values())
    if client.phase is not Phase.LINGERING and lingering >= hub.budgets.lingering:
        return
    if tcp.shut_at is None:
        fail(f"{client.peer} is closed right behind its last line ({client.reason})")
    waited_s = now - tcp.shut_at
    waited_s >= hub.limits.linger_s or fail(f"{client.peer} is closed after {waited_s} s ({client.reason})")
