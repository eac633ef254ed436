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
    closer = world.loop.hub.closer
    close = closer.close

    def watched(client: Client, now: float) -> None:
        # A client that is given up while it takes nothing has a timer of its own.
        if client.phase is not Phase.CLOSED and client.outbox.is_empty:
            _was_given_time(world, client)
        close(client, now)

    closer.close = watched  # type: ignore[method-assign]


def _was_given_time(world: World, client: Client) -> None:
    """The peer's end came; or it was waited for; or the drain is over, or too many linger already."""
    tcp: Tcp = client.sock  # type: ignore[assignment]
    hub, loop, now = world.hub, world.loop, world.kernel.now
    if tcp.shut_in or tcp.has_failed or (loop.drained_by is not None and now >= loop.drained_by):
        return
    lingering = sum(other.phase is Phase.LINGERING for other in hub.connections.closing.values())
    if client.phase is not Phase.LINGERING and lingering >= hub.budgets.lingering:
        return
    if tcp.shut_at is None:
        fail(f"{client.peer} is closed right behind its last line ({client.close.reason})")
    waited_s = now - tcp.shut_at
    waited_s >= hub.limits.linger_s or fail(
        f"{client.peer} is closed after {waited_s} s ({client.close.reason})"
    )
