"""The closed list of reasons, and what follows from each."""

from __future__ import annotations

import pytest

from hub.close_reasons import CloseReason

NAMES = """
    peer_closed peer_reset peer_timeout quit idle line_too_long slow_consumer protocol_error wrong_protocol
    handshake_timeout invalid_utf8 server_full per_ip_limit origin_refused io_error internal_error
    server_shutdown
"""


def test_the_list_is_closed_and_in_its_order() -> None:
    assert [str(reason) for reason in CloseReason] == NAMES.split()


@pytest.mark.parametrize("reason", CloseReason)
def test_people_see_the_name_in_small_letters(reason: CloseReason) -> None:
    assert f"{reason}" == reason.value == reason.name.lower()


def test_the_other_side_and_the_network_get_no_farewell() -> None:
    by_peer = {reason.value for reason in CloseReason if reason.by_peer}
    assert by_peer == {"peer_closed", "peer_reset", "peer_timeout", "io_error"}


def test_what_is_owed_is_dropped_where_it_cannot_be_delivered() -> None:
    drops = {reason.value for reason in CloseReason if not reason.flushes}
    assert drops == {"peer_reset", "peer_timeout", "io_error", "slow_consumer", "internal_error"}


def test_a_peer_that_stopped_sending_gets_what_it_is_owed() -> None:
    assert CloseReason.PEER_CLOSED.by_peer
    assert CloseReason.PEER_CLOSED.flushes
