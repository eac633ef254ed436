"""The way of one line through the hub is the one that docs/design/architecture.md tells."""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Any

from hub.rooms.outbox import Outbox
from hub.session.client import Client
from tests.loop.support import SteppedHub
from tests.support import ROOT, closing, interpreted_only

MOST_FUNCTIONS = 17


def followed(hub: SteppedHub, sender: Client, subscriber: Client) -> list[str]:
    """The functions of hub/ that are handed the sender until its line is said, then the subscriber."""
    found: list[str] = []
    ids = {sender.id}

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or f"{ROOT}/hub/" not in code.co_filename:
            return
        if code.co_qualname == "Log.seal":
            ids.clear()
            ids.add(subscriber.id)
        given = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
        if any(isinstance(one, Client | Outbox) and one.id in ids for one in given):
            found.append(code.co_qualname)

    sys.setprofile(look)
    try:
        hub.loop.turn()
    finally:
        sys.setprofile(None)
    start = found.index("Reader._serve")
    return list(dict.fromkeys(found[start : found.index("Outbox.took_chunk") + 1]))


@interpreted_only("calls of compiled functions cannot be followed")
def test_way_of_a_line_is_short_and_as_documented() -> None:
    page = (ROOT / "docs/design/architecture.md").read_text()
    told = re.findall(r"^ {4}([\w.]+)  +\w", page.partition("<!-- the way -->")[2], re.MULTILINE)
    with SteppedHub(self_echo=None) as hub, closing(hub.join(2)) as (ann, bob):
        hub.say(ann, b"the first\n")
        assert bob.line() == b"the first\n"
        hub.deliver(ann, b"hello\n")
        way = followed(hub, hub.client(ann), hub.client(bob))
        assert bob.line() == b"hello\n"
        hub.stop()
    assert way == told
    assert len(way) <= MOST_FUNCTIONS
