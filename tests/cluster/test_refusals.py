"""Lines for which there is no place: refused to their senders, and each of them counted."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.scene import PATIENT, a_scene, hubs_of
from tests.cluster.support import a_broker
from tests.support import Record

LONG_LINES = ("--max-line", "256KiB")


@pytest.mark.parametrize("mode", ["broadcast", pytest.param("chat", marks=pytest.mark.long)])
def test_lines_beyond_the_outbox_are_refused_and_counted(
    tmp_path: Path, mode: str, record_property: Record
) -> None:
    with a_broker(tmp_path) as broker, ExitStack() as stack:
        flags = (mode, *PATIENT)
        scene = a_scene(tmp_path, 3 * [broker.url], *flags, lines_per_s=2400, filler=b"." * 7000, clients=2)
        crowd = stack.enter_context(scene)
        crowd.speak(60)
        with broker.standing_still():
            crowd.speak_until(lambda: all(each.refused for each in crowd.alive))
            crowd.speak_for(0.3)  # So that some of it was not told when the broker is back.
        crowd.settle()
        refused = sum(each.refused for each in crowd.alive)
        record_property("refused", f"{refused:,} of {sum(len(each.said) for each in crowd.alive):,} lines")


def test_line_too_long_for_a_message_is_refused_and_told(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, ExitStack() as stack:
        (hub,) = stack.enter_context(hubs_of(tmp_path, [broker.url], "broadcast", *LONG_LINES))
        peer = stack.enter_context(hub.peer())
        peer.echo()
        peer.send(b"x" * 200_000 + b"\n")
        assert peer.line() in (b"x" * 200_000 + b"\n", b"* not sent: 1 line\n")
