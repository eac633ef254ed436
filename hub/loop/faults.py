"""Faults of our own: an exception while something is done for one client costs that client only."""

import traceback
from collections.abc import Callable
from typing import Protocol

from hub.close_reasons import CloseReason
from hub.session.client import Client
from hub.session.ready_sets import ReadySets


class Log(Protocol):
    """Where structured records go. Never blocks."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Faults:
    """Logs the trace and ends the client."""

    def __init__(self, log: Log, ready: ReadySets) -> None:
        self._log = log
        self._ready = ready

    def guard(self, client: Client, do: Callable[[Client], None]) -> None:
        """Let the mode do something for a client."""
        try:
            do(client)
        except Exception:
            self.caught(client)

    def caught(self, client: Client) -> None:
        """The exception being handled is a fault of ours."""
        self._log("fault", id=client.id, peer=client.peer, trace=traceback.format_exc())
        self._ready.end(client, CloseReason.INTERNAL_ERROR)
