"""The closed list of reasons, and what follows from each."""

from __future__ import annotations

import re

import pytest

from hub.close_reasons import CloseReason
from tests.support import ROOT

NAMES = """
    peer_closed peer_reset peer_timeout quit idle line_too_long slow_consumer protocol_error wrong_protocol
    handshake_timeout invalid_utf8 rate_limited server_full per_ip_limit denied origin_refused auth_failed
    tls_error kicked io_error internal_error handed_over server_shutdown
"""


def test_the_list_is_closed_and_in_its_order() -> None:
    assert [str(reason) for reason in CloseReason] == NAMES.split()


@pytest.mark.parametrize("reason", CloseReason)
def test_people_see_the_name_in_small_letters(reason: CloseReason) -> None:
    assert f"{reason}" == reason.value == reason.name.lower()


def test_the_other_side_and_the_network_get_no_farewell() -> None:
    by_peer = {reason.value for reason in CloseReason if reason.by_peer}
    assert by_peer == {"peer_closed", "peer_reset", "peer_timeout", "io_error"}


def test_what_is_owed_is_dropped_where_it_cannot_or_must_not_be_delivered() -> None:
    drops = {reason.value for reason in CloseReason if not reason.flushes}
    assert drops == {"peer_reset", "peer_timeout", "io_error", "slow_consumer", "internal_error"}


def test_a_peer_that_only_stopped_sending_still_gets_what_it_is_owed() -> None:
    assert CloseReason.PEER_CLOSED.by_peer
    assert CloseReason.PEER_CLOSED.flushes


@pytest.mark.promise("close-reasons-listed")
def test_the_table_of_reasons_has_those_that_the_hub_gives_and_the_others_are_for_later() -> None:
    table = (
        (ROOT / "docs/behaviour.md").read_text().partition("\n| reason | when |\n")[2].partition("\n\n")[0]
    )
    told = [reason for row in table.splitlines() for reason in re.findall(r"`(\w+)`", row.split("|")[1])]
    sources = [path.read_text() for path in (ROOT / "hub").rglob("*.py") if path.stem != "close_reasons"]
    given = r"CloseReason\.([A-Z_0-9]+)\b(?!: \d)"  # The close code of a reason gives it to nobody.
    named = {name.lower() for text in sources for name in re.findall(given, text)}
    assert sorted(told) == sorted(named)
