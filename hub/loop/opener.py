"""From OPENING to OPEN: the client joins what its mode has, is greeted and shown the history."""

from hub.config.settings import Settings
from hub.loop.faults import Faults
from hub.loop.timer_set import TimerSet
from hub.session.client import Client, Phase
from hub.session.mode import Mode
from hub.session.ready_sets import ReadySets


class Opener:
    """Opens clients. The loop sees to it that they are not too many in one turn."""

    def __init__(
        self, settings: Settings, mode: Mode, timers: TimerSet, ready: ReadySets, faults: Faults
    ) -> None:
        self._mode = mode
        self._timers = timers
        self._ready = ready
        self._faults = faults
        self._fixes_encoding = settings.eol == "auto"

    def open(self, client: Client) -> None:
        """The client is open from here on, and its idle time starts.

        The greeting and the history go in LF unless telnet was spoken: when a client's first line end came
        must not show in what it sees.
        """
        client.phase = Phase.OPEN
        self._timers.opening.forget(client.id)
        self._timers.handshake.forget(client.id)
        self._ready.received.append(client)
        self._faults.guard(client, self._mode.joined)
        if self._fixes_encoding and client.transport != "websocket":
            client.outbox.fix_encoding()
