"""What a link tells its member: what comes, what became of what was asked, and whether the link stands."""

from typing import NamedTuple

from cluster.fold import Name, Origin, Stored
from cluster.fork import Seen
from cluster.presence import Answer, Beat, Order, Question


class Up(NamedTuple):
    """The link stands: live messages come, and this is the stream."""

    seen: Seen


class Down(NamedTuple):
    """The link is gone; nothing that was asked will be answered."""


class Acked(NamedTuple):
    """The stream has our batch of this number."""

    number: int
    sequence: int


class Denied(NamedTuple):
    """The stream did not store it: our subject does not stand where it was expected to, or it is busy."""

    is_busy: bool


class Fetched(NamedTuple):
    """What was asked for by `fetch`; `from_` is the first message that the stream has at all."""

    first: int
    last: int
    found: list[Stored]
    from_: int


class HeadIs(NamedTuple):
    """The stream has this message, as a look at it says."""

    sequence: int


class Looked(NamedTuple):
    """What `look` found; None for nothing."""

    sequence: int
    found: Name | None


class OursIs(NamedTuple):
    """What `look_at_ours` found; 0 and 0 for nothing."""

    number: int
    sequence: int


class Owned(NamedTuple):
    """Whose a key is, and its revision; nobody's has None and 0."""

    key: str
    owner: Origin | None
    revision: int


class Spoke(NamedTuple):
    """Another hub said something beside the stream."""

    origin: Origin
    said: Beat | Question | Answer


class Ordered(NamedTuple):
    """An operator wants something of this hub, or of all."""

    order: Order
    is_for_all: bool


class Garbled(NamedTuple):
    """A message beside the stream that could not be read."""


Event = (
    Spoke
    | Owned
    | Ordered
    | Garbled
    | Up
    | Down
    | Stored
    | HeadIs
    | Acked
    | Denied
    | Fetched
    | Looked
    | OursIs
)
