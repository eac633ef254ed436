"""The closed list of reasons, and what follows from each."""

from hub.close_reasons import CloseReason

NAMES = """
    peer_closed peer_reset peer_timeout quit idle line_too_long slow_consumer protocol_error wrong_protocol
    handshake_timeout invalid_utf8 server_full per_ip_limit origin_refused io_error internal_error
    server_shutdown
"""


def test_list_is_closed_in_its_order_and_shown_in_small_letters() -> None:
    assert [str(reason) for reason in CloseReason] == NAMES.split()
    assert [f"{reason}" for reason in CloseReason] == [reason.name.lower() for reason in CloseReason]


def test_the_other_side_and_the_network_get_no_farewell() -> None:
    by_peer = {str(reason) for reason in CloseReason if reason.by_peer}
    assert by_peer == {"peer_closed", "peer_reset", "peer_timeout", "io_error"}


def test_what_is_owed_is_dropped_where_it_cannot_be_delivered() -> None:
    """A peer that stopped sending still gets what it is owed."""
    drops = {str(reason) for reason in CloseReason if not reason.flushes}
    assert drops == {"peer_reset", "peer_timeout", "io_error", "slow_consumer", "internal_error"}
