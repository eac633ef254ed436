"""How much one turn may do, and what one client may cost. Sizes are bytes, times are seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """How much one turn may do, so that no client waits for any other.

    First a turn reads, within budgets of bytes. Then it goes round the steps that accept, expire, write and
    close: each does a slice, and another round begins while there is work and the turn has time.
    """

    turn_s: float = 0.001
    """A turn begins rounds for so long. The first one it makes in any case, so no step waits for good."""
    rounds: int = 16
    """At most so many rounds are in a turn, should its clock stand still."""
    accepts: int = 8
    """A slice of accepting, at one listener."""
    starts: int = 8
    """A slice of greeting. These clients are shown the history: fewer where that is long (loop/core)."""
    expiries: int = 16
    """A slice of each kind of timer."""
    sends: int = 64
    """A slice of writing."""
    closes: int = 8
    """A slice of closing: so many ends are settled, and so many descriptors are closed."""
    commands: int = 256
    """Questions of the page."""
    read_bytes: int = 64 * 1024
    """A single read."""
    frame_bytes: int = 512
    """A WebSocket frame costs as much as reading so many bytes."""
    telnet_bytes: int = 128
    """The same of a telnet command: 64 KiB of them take 40 ms."""
    client_bytes: int = 64 * 1024
    """All reads of one client."""
    turn_bytes: int = 1024 * 1024
    """All reads of all clients."""
    start_bytes: int = 16 * 1024
    """The same of greeting a client, which is done in the read step for one that speaks first."""
    history_line_bytes: int = 128
    """The same of a line of history that such a client is shown."""
    look_bytes: int = 1024
    """A look at a client costs at least so much: ten thousand that said a byte are ten turns, not one, and
    twenty in echo."""
    echo_bytes: int = 2 * 1024
    """The same of sending an echo back, which is done in the read step."""
    discard_bytes: int = 16 * 1024
    """Input thrown away of one lingering client."""
    rows: int = 128
    """Made for the page in one turn, at about 2 us each: ten thousand clients take it eighty turns."""
    lingering: int = 256
    """Closing clients whose peer is waited for."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client may cost, worked out from the settings. 0 is no limit."""

    lag_bytes: int
    skips: bool = False
    """Whether a subscriber that is too far behind skips lines, and is not closed or waited for."""
    linger_s: float = 2.0
    alive_s: float = 2.0
    """A subscriber that took no byte for so long is not waited for (rules 2 and 3); 0.5 under --slow skip."""
    progress_s: float = 10.0
    """How long a client that holds others up may take nothing; 60 under --slow wait."""
    patience_gain: float = 16.0
    """Seconds of patience that come back in a second without waiting. Equal readers that read once a second
    make a room wait up to nine tenths of the time, a slow one nearly all (docs/design/flow-control.md)."""
    kept_bytes: int = 256 * 1024
    """So much of what was said in a room is shown to those who come later."""
    handshake_s: float = 5.0
    ping_s: float = 20.0
    """How long a WebSocket client may say nothing before it is asked, and then how long until it is gone."""
    opening_s: float = 0.05
    """How long a line client in chat may say nothing before it is taken for a person and greeted."""

    @property
    def history_bytes(self) -> int:
        """What those who come are shown: at most half of the lag that is allowed."""
        return min(self.kept_bytes, self.lag_bytes // 2) if self.lag_bytes else self.kept_bytes

    @property
    def limit_bytes(self) -> int:
        """Lag beyond which a subscriber is closed or skips; the latter two passes before --max-lag,
        so that no room keeps more than that."""
        return self.lag_bytes * 3 // 4 if self.skips else self.lag_bytes

    @property
    def lagging_bytes(self) -> float:
        """Lag beyond which a blocked subscriber is lagging."""
        return self.lag_bytes / 2 if self.lag_bytes else float("inf")

    @property
    def near_bytes(self) -> float:
        """Lag at which a subscriber is near the limit: two more passes could bring it past."""
        return self.limit_bytes - self.lag_bytes / 4 if self.lag_bytes else float("inf")
