"""What of the product is otherwise in a simulated cluster: links, bells, limits and names of lives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import cluster.commons
import cluster.join
import cluster.outbox
from cluster.events import Event
from tests.sim.cluster.broker import SimLink
from tests.sim.cluster.plan import Limits

if TYPE_CHECKING:
    from tests.sim.cluster.node import Node


class CountedEvents(deque[Any]):
    """What a link has told, with how much of it was taken."""

    taken = 0

    def popleft(self) -> Any:
        self.taken += 1
        return super().popleft()


class SimBell(threading.Event):
    """The bell of a hub that starts or ends: its wait lets the world go on."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def wait(self, timeout: float | None = None) -> bool:
        self._node.waited()
        self._node.cluster.go_on(timeout or 0.0)
        return self.is_set()


@contextmanager
def with_own_parts(node: Node) -> Iterator[None]:
    """A hub is made meanwhile, with a link, a bell and a queue of its own."""
    world = node.cluster

    def link(servers: Any, place: Any, rules: Any, post: Callable[[Event], None], *rest: Any) -> SimLink:
        node.link = SimLink(world, place.origin, post)
        return node.link

    def events() -> CountedEvents:
        node.events = CountedEvents()
        return node.events

    world.lives += 1
    parts: dict[str, Any] = {
        "NatsLink": link, "deque": events, "threading": SimpleNamespace(Event=lambda: SimBell(node)),
        "secrets": SimpleNamespace(token_hex=lambda size, life=world.lives: f"life{life}"),
    }  # fmt: skip
    with mock.patch.multiple(cluster.join, **parts):
        yield


@contextmanager
def with_limits(limits: Limits) -> Iterator[None]:
    """The protocol has these limits meanwhile."""
    ours: dict[str, Any] = {
        "FULL_BYTES": limits.full_bytes, "LIMIT_BYTES": limits.outbox_bytes,
        "TURN_BYTES": limits.turn_bytes, "EVENTS_A_TURN": limits.events,
    }  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(cluster.outbox, MOST_BYTES=limits.message_bytes))
        stack.enter_context(mock.patch.multiple(cluster.commons, **ours))
        yield
