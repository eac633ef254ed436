"""The figures that the docs tell are those that hold.

That a limit does what is said of it is tried where it is kept, mostly in terms of the limit itself: these
tests would pass with any figure. Here the figures are held.
"""

import re
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from hub.cli.health import LIMIT_S
from hub.cli.logs import LIKE_RECORDS, QUEUE_RECORDS
from hub.config.settings import DESCRIPTOR_RESERVE, PAGE_CONNECTIONS, Settings
from hub.config.values import show_size
from hub.loop.acceptor import MOST_VANISHED, PAUSE_S
from hub.loop.admission import MESSAGE_BYTES
from hub.loop.assembly import PASS_BYTES, ROOM_SHARE, WAIT_PROGRESS_S
from hub.loop.close_log import KEPT, STRANGERS_KEPT
from hub.loop.core import HISTORY_LINES_A_SLICE
from hub.loop.flow_control import SENDERS_A_TURN
from hub.loop.limits import Budgets, Limits
from hub.loop.timer_set import CHAT_RATE, STEP_S
from hub.modes.queries import HISTORY_BYTES, NAMES_SHOWN, ROOMS_SHOWN
from hub.net.listeners import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, USER_TIMEOUT_MS
from hub.protocol import ws_connection as websocket
from hub.protocol import ws_handshake as handshake
from hub.rooms.subscriber import LOGS_REMEMBERED
from hub.session.mode import Intake
from tests.support import ROOT

USUAL, TURN = Settings(), Budgets()
LIMITS = Limits(lag_bytes=USUAL.max_lag_bytes)
PAGE = (ROOT / "docs/operate/limits.md").read_text()
TEXT = " ".join(" ".join(path.read_text() for path in sorted((ROOT / "docs").glob("*/*.md"))).split())
FIGURE = re.compile(r"(?<![\w/-])\d(?:[\d,.]*\d)?(?: (?:s|KiB|MiB)\b)?")


def rows() -> list[str]:
    """The rows of all tables of limits."""
    found = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in found if not row.startswith("| what |")]


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
    "an input line": [size(USUAL.max_line_bytes)],
    "a telnet sub-negotiation": ["256"],
    "a WebSocket handshake": [seconds(LIMITS.handshake_s), size(handshake.MAX_REQUEST_BYTES)],
    "a WebSocket message": [size(MESSAGE_BYTES), f"{websocket.MAX_FRAGMENTS:,}"],
    "outbox": [size(Intake(room_bytes=1).outbox_bytes)],
    "lag": [size(USUAL.max_lag_bytes)],
    "holding others up": [seconds(LIMITS.progress_s), seconds(WAIT_PROGRESS_S)],
    "taking nothing": [seconds(USER_TIMEOUT_MS / 1000)],
    "lines per time": [str(CHAT_RATE.count), str(CHAT_RATE.burst)],
    "socket buffers": [size(SEND_BUFFER_BYTES), size(RECEIVE_BUFFER_BYTES)],
    "its log": [],
    "lines of one pass": [f"{PASS_BYTES:,}"],
    "history at a join": [size(LIMITS.kept_bytes)],
    "notices of joins": [str(USUAL.announce)],
    "clients |": [str(USUAL.max_clients)],
    "clients of one address": [str(USUAL.max_per_ip)],
    "rooms": [str(USUAL.max_rooms)],
    "lingering clients": [str(TURN.lingering), seconds(LIMITS.linger_s)],
    "close log": [f"{KEPT:,}", str(STRANGERS_KEPT)],
    "log queue": [f"{QUEUE_RECORDS:,}"],
    "HTTP connections": [str(PAGE_CONNECTIONS), "64", "503"],
}
"""By how a row begins, its figures in their order."""


@pytest.mark.promise("limits-documented")
def test_the_table_of_limits_has_the_figures_that_hold() -> None:
    assert len(rows()) == len(TABLE)
    for row, (beginning, figures) in zip(rows(), TABLE.items(), strict=True):
        assert row.startswith(f"| {beginning}")
        assert FIGURE.findall(row) == figures, row
    assert ROOM_SHARE == 8


@pytest.mark.promise("limits-documented")
@pytest.mark.parametrize(
    "said",
    [
        f"or after {ms(LIMITS.opening_s)}. An end of stream without a byte",
        f"A turn reads at most {size(TURN.client_bytes)} of a client, {size(TURN.turn_bytes)} in all and "
        f"{TURN.turn_bytes // TURN.look_bytes:,} clients.",
        f"An echo is sent at once and costs {size(TURN.echo_bytes)} of that",
        f"{TURN.accepts} accepts at one port; {TURN.expiries} decisions of each timer, or {TURN.starts} "
        f"greetings with {HISTORY_LINES_A_SLICE:,} history lines in all; {TURN.sends} sends; "
        f"{TURN.closes} closes.",
        f"for {ms(TURN.turn_s)} and for {TURN.rounds} rounds at most.",
        f"it looks at {SENDERS_A_TURN} waiting senders of each room.",
        f"looks again every {ms(STEP_S)},",
        f"keeps {DESCRIPTOR_RESERVE} descriptors (half of them under a limit below {2 * DESCRIPTOR_RESERVE})",
        f"after {MOST_VANISHED} failed accepts in a row, the hub accepts nobody for {ms(PAUSE_S)}",
        f"Each half has {seconds(LIMITS.linger_s)}, at a drain",
        f"own last line while it takes a byte every {seconds(LIMITS.progress_s)}.",
        f"The log takes {LIKE_RECORDS} such records of one reason in a second",
        f"answers in one line within {seconds(LIMIT_S)}.",
        f"exits with 0 within `--drain` ({seconds(USUAL.drain_s)};",
        f"for at most `--patience` ({seconds(USUAL.patience_s)};",
        f"must take a byte within {seconds(LIMITS.progress_s)},",
        f"After {seconds(LIMITS.ping_s)} without a byte from the client the hub pings; "
        f"after {seconds(LIMITS.ping_s)} more",
        f"/history N` shows them again, its own included, up to {size(HISTORY_BYTES)}",
        f"`/who` names {NAMES_SHOWN} clients, `/rooms` {ROOMS_SHOWN} rooms",
        f"known of the last {LOGS_REMEMBERED} rooms",
    ],
)
def test_a_sentence_has_the_figure_that_holds(said: str) -> None:
    assert said in TEXT


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
