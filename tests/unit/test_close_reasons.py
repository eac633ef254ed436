"""The closed list of reasons, and what follows from each."""

import ast
import re
from pathlib import Path

import pytest

import hub
from hub.close_reasons import CloseReason, told, told_to_people

NAMES = """
    peer_closed peer_reset silent peer_timeout quit idle line_too_long slow_consumer protocol_error
    wrong_protocol handshake_timeout invalid_utf8 server_full per_ip_limit origin_refused io_error
    internal_error server_shutdown
"""


def test_list_is_closed_in_its_order_and_shown_in_small_letters() -> None:
    assert [str(reason) for reason in CloseReason] == NAMES.split()
    assert [f"{reason}" for reason in CloseReason] == [reason.name.lower() for reason in CloseReason]


def test_the_other_side_and_the_network_get_no_farewell() -> None:
    by_peer = {str(reason) for reason in CloseReason if reason.by_peer}
    assert by_peer == {"peer_closed", "peer_reset", "silent", "peer_timeout", "io_error"}


def test_what_is_owed_is_dropped_where_it_cannot_be_delivered() -> None:
    """A peer that stopped sending still gets what it is owed."""
    drops = {str(reason) for reason in CloseReason if not reason.flushes}
    assert drops == {"peer_reset", "peer_timeout", "io_error", "slow_consumer", "internal_error"}


@pytest.mark.promise("close-sentence")
@pytest.mark.parametrize("reason", CloseReason)
def test_every_reason_has_one_short_sentence_of_its_own(reason: CloseReason) -> None:
    assert 0 < len(reason.sentence) <= 60 and reason.sentence.isascii() and reason.sentence.isprintable()
    assert [other for other in CloseReason if other.sentence == reason.sentence] == [reason]


@pytest.mark.promise("close-sentence")
def test_programs_read_what_stands_before_the_dash() -> None:
    assert told(CloseReason.QUIT, "") == "reason=quit"
    assert told(CloseReason.IDLE, "after=5s limit=5s") == "reason=idle after=5s limit=5s"
    said = told_to_people(CloseReason.IDLE, "after=5s limit=5s")
    assert said == "reason=idle after=5s limit=5s - nothing came from you for too long"


def details_in(path: Path) -> list[str]:
    """The texts in a module that begin as a detail does, `key=`, with an X for each value put in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in parts)
        found += (
            [text] if isinstance(node, ast.JoinedStr | ast.Constant) and re.match(r"[a-z]+=\w", text) else []
        )
    return found


@pytest.mark.promise("close-sentence")
def test_every_detail_is_words_that_a_program_splits_at_blanks() -> None:
    home = Path(hub.__file__).parent
    paths = [path for part in ("loop", "net", "protocol", "session") for path in (home / part).rglob("*.py")]
    details = [detail for path in paths for detail in details_in(path)]
    assert len(details) > 20
    assert [text for text in details if not re.fullmatch(r"([a-z]+=\S*( |$))+", text)] == []
