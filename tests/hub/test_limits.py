"""The figures that docs/behaviour.md tells are those that hold, and what has no figure of its own there.

That a limit does what is said of it is tried where it is kept, mostly in terms of the limit itself: these
tests would pass with any figure. Here the figures are held.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from hub.cli.health import LIMIT_S
from hub.cli.logs import LIKE_RECORDS
from hub.config.settings import DESCRIPTOR_RESERVE, Settings
from hub.config.values import show_size
from hub.loop.acceptor import SHUT_S
from hub.loop.assembly import HISTORY_LINES_A_TURN, ROOM_SHARE
from hub.loop.context import Budgets, Limits
from hub.loop.rate_limiter import CHAT_RATE, STEP_S
from hub.modes.relay import Intake
from hub.net.poller import Poller
from hub.net.sockets import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, USER_TIMEOUT_MS
from hub.protocol import ws_connection as websocket
from hub.protocol import ws_handshake as handshake
from tests.hub.test_client import a_client, a_room
from tests.support import ROOT

USUAL, TURN = Settings(), Budgets()
LIMITS = Limits(lag_bytes=USUAL.max_lag_bytes)
TEXT = " ".join((ROOT / "docs/behaviour.md").read_text().split())
FIGURE = re.compile(r"(?<![\w/-])\d(?:[\d,.]*\d)?(?: (?:s|KiB|MiB)\b)?")


def rows() -> list[str]:
    """The rows of the table of limits."""
    chapter = (ROOT / "docs/behaviour.md").read_text().partition("\n## Limits\n")[2].partition("\n## ")[0]
    return [line for line in chapter.splitlines() if line.startswith("| ")][1:]


def size(count: int) -> str:
    """`64 KiB`."""
    return re.sub(r"(\d)([KM])", r"\1 \2", show_size(count))


def seconds(value: float) -> str:
    """`2 s`."""
    return f"{value:g} s"


def ms(value: float) -> str:
    """`50 ms`."""
    return f"{value * 1000:g} ms"


TABLE: dict[str, list[str]] = {
    "a line": [size(USUAL.max_line_bytes)],
    "lag behind a room": [size(USUAL.max_lag_bytes)],
    "lines into one room": [],
    "a room most of whose": [],
    "a hearer that lags": [seconds(LIMITS.stall_s), seconds(LIMITS.patience_s), size(LIMITS.bulk_bytes)],
    "a WebSocket's": [seconds(LIMITS.handshake_s), size(handshake.MAX_REQUEST_BYTES)],
    "fragments": [str(websocket.MAX_FRAGMENTS)],
    "private output": [size(Intake(room_bytes=1).private_bytes)],
    "one that holds": [seconds(LIMITS.progress_s)],
    "one that missed": [seconds(LIMITS.skip_s)],
    "one that takes nothing": [seconds(USER_TIMEOUT_MS / 1000)],
    "clients |": [],
    "clients of one address": [str(USUAL.max_per_ip)],
    "lines of one client": [str(CHAT_RATE.count), str(CHAT_RATE.burst)],
    "rooms": [str(USUAL.max_rooms)],
    "bytes read": [size(TURN.client_bytes), size(TURN.turn_bytes)],
    "clients read": [f"{TURN.turn_bytes // TURN.look_bytes:,}", str(TURN.endings)],
    "newcomers": [str(TURN.accepts), str(TURN.starts), f"{HISTORY_LINES_A_TURN:,}"],
    "ended clients": [str(TURN.lingering), seconds(LIMITS.linger_s)],
    "socket buffers": [size(SEND_BUFFER_BYTES), size(RECEIVE_BUFFER_BYTES)],
}
"""By how a row begins, its figures in their order."""


@pytest.mark.promise("limits-documented")
def test_the_table_of_limits_has_the_figures_that_hold() -> None:
    assert len(rows()) == len(TABLE)
    for row, (beginning, figures) in zip(rows(), TABLE.items(), strict=True):
        assert row.startswith(f"| {beginning}")
        assert FIGURE.findall(row) == figures, row
    assert TURN.expiries == TURN.endings


@pytest.mark.promise("limits-documented")
@pytest.mark.parametrize(
    "said",
    [
        f"| `--max-lag`/{ROOM_SHARE} between two rounds",
        f"(reads of {size(LIMITS.bulk_bytes)} and more)",
        f"these wait until it has paused for {ms(LIMITS.pause_s)};",
        f"at its end, or {seconds(LIMITS.feed_s)} after its last byte",
        f"before its first line or {ms(LIMITS.pause_s)}",
        f"is paused at {size(Intake(room_bytes=1).private_bytes)} and ends after",
        f"and ends after {seconds(LIMITS.progress_s)}. **Gaps.**",
        f"looked at again every {ms(STEP_S)}:",
        f"than one look reports ({Poller.EVENTS_PER_WAIT:,})",
        f"{DESCRIPTOR_RESERVE} descriptors (half of them under a limit below {2 * DESCRIPTOR_RESERVE})",
        f"It has {seconds(LIMITS.linger_s)} to take its rest, "
        f"and from our end of stream {seconds(LIMITS.linger_s)} more",
        f"(those have {seconds(LIMITS.progress_s)} without a byte for their rest)",
        f"the door stays shut for {ms(SHUT_S)}",
        f"After {LIKE_RECORDS} like records in a second",
        f"- {seconds(LIMIT_S)} for all of it: name, connection",
        f"exit code 0 within `--drain`, {seconds(USUAL.drain_s)};",
        f"| {seconds(LIMITS.patience_s)} in a row, a third of the time; only time",
    ],
)
def test_a_sentence_has_the_figure_that_holds(said: str) -> None:
    assert said in TEXT
    assert LIMITS.patience_gain / (1 + LIMITS.patience_gain) == pytest.approx(1 / 3)
    assert LIMITS.feed_s == LIMITS.progress_s  # Two clocks, of which the sentence knows one.


@pytest.mark.promise("limits-documented")
def test_0_switches_every_limit_off_but_that_of_the_lag() -> None:
    limits, refused = [], []
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        parameter = get_args(hints[field.name])[1]
        if field.name.startswith("max_") or field.name in ("idle_timeout_s", "line_rate", "drain_s"):
            limits.append(field.name)
            try:
                assert "0" in parameter.converter.show(parameter.converter.read("0"))
            except ValueError:
                refused.append(field.name)
    assert len(limits) == 8
    assert refused == ["max_lag_bytes"]


# A room that catches up.


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize(("hearers", "few"), [(16, 2), (17, 2), (24, 3), (8, 1), (7, 0)])
def test_a_room_waits_for_those_that_take_bytes_but_for_an_eighth_of_it(hearers: int, few: int) -> None:
    people = [a_client(number) for number in range(1, hearers + 1)]
    room, sender = a_room(*people), a_client(99)
    room.behind = {client.id: client for client in people[: (hearers + 1) // 2]}
    room.set_pace()
    while len(room.behind) > few:
        assert room.congested_for(sender)
        del room.behind[min(room.behind)]
        room.set_pace()
    assert not room.congested_for(sender)


@pytest.mark.promise("limits-room-waits")
def test_a_room_that_catches_up_does_not_wait_for_those_that_take_nothing() -> None:
    people = [a_client(number) for number in range(1, 17)]
    room, sender = a_room(*people), a_client(99)
    room.behind = {client.id: client for client in people[:8]}
    room.set_pace()
    del room.behind[8]
    room.set_pace()
    assert room.congested_for(sender)
    room.stalled = {client.id: client for client in people[:5]}
    room.set_pace()
    assert not room.congested_for(sender)
