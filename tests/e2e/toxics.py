"""What a bad link does to the bytes of one direction; `chaos` does it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """What a link does to the bytes of one direction; at the defaults nothing."""

    latency_s: float = 0.0
    """Everything comes so much later."""
    jitter_s: float = 0.0
    """And up to so much sooner or later than that; the order stays."""
    bytes_per_s: float = 0.0
    slice_bytes: int = 0
    """Pieces of 1 to so many bytes, each a send of its own."""
    slice_pause_s: float = 0.0
    close_delay_s: float = 0.0
    """An end of stream comes so much later than the last byte."""
    limit_bytes: int = 0
    """After so many bytes, counted from when the toxic came, the whole link ends in order."""
    stopped: bool = False
    """Nothing passes, and nothing is lost: it goes on when this toxic goes."""


CLEAR = Toxic()


@dataclass
class Way:
    """One direction of all links."""

    toxic: Toxic = CLEAR
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0
    """How often the toxic was changed; who counts bytes begins anew."""

    def change(self, toxic: Toxic) -> None:
        self.toxic = toxic
        self.count += 1
        (self.flows.clear if toxic.stopped else self.flows.set)()
