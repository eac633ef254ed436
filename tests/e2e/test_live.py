"""The live page's data, from a real hub in a process of its own to a tab."""

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.support import HubProcess
from tests.unit.web.support import LiveTab


@pytest.mark.promise("page-shows")
def test_a_tab_sees_who_comes_what_is_said_and_who_is_evicted() -> None:
    with HubProcess("--mode", "chat", "--max-line", "64") as hub, hub.peer() as ann, LiveTab(hub.url) as tab:
        tab.send(sort="id", order="desc")
        ann.send(b"/nick ann\nhello\n")
        row = tab.until(lambda update: "ann" in str(update["clients"]["clients"]))["clients"]["clients"][0]
        assert (row["nick"], row["room"], "tag" in row) == ("ann", "lobby", False)
        tab.until(lambda update: update["rates"]["turns"] > 0 and update["summary"]["loop"]["busy_s"] > 0)
        with hub.peer() as long:
            long.send(b"x" * 100 + b"\n")
            long.rest()
        update = tab.until(lambda update: update["closed"]["closed"])
        assert update["closed"]["closed"][0]["reason"] == "line_too_long"
        accepts = tab.until(lambda update: update["summary"]["events"]["accept"] >= 2)["summary"]
        assert accepts["loop"]["turn_p99_ms"] <= accepts["loop"]["turn_max_ms"]


def test_a_browser_that_chats_finds_its_own_row_by_its_tag() -> None:
    with HubProcess("--mode", "chat") as hub, LiveTab(hub.url) as tab:
        assert tab.hello["ws_port"] == hub.ws_port != 0
        own = Origin(hub.url.rstrip("/"))
        with connect(f"ws://127.0.0.1:{hub.ws_port}/?tag=k3j9", origin=own, proxy=None) as chat:
            chat.send("hello")
            tab.send()
            update = tab.until(lambda update: update["clients"]["clients"])
            assert [row["tag"] for row in update["clients"]["clients"]] == ["k3j9"]


@pytest.mark.promise("page-shows")
@pytest.mark.parametrize("flags", [(), ("--no-ws",)])
def test_the_last_update_tells_how_every_client_ended(flags: tuple[str, ...]) -> None:
    """Totals, list and rows are of the same moment: after the end."""
    with HubProcess("--mode", "chat", *flags) as hub, LiveTab(hub.url) as tab:
        assert tab.hello["ws_port"] == hub.ws_port
        tab.send(limit=50)
        peers = [hub.peer() for _ in range(15)]
        for peer in peers:
            peer.send(b"hello\n")
        tab.until(lambda update: update["summary"]["clients"]["open"] == 15)
        hub.process.terminate()
        for peer in peers:
            peer.rest()
            peer.close()
        last = tab.until(lambda update: update["summary"]["closed"].get("server_shutdown") == 15)
        while last["summary"]["clients"]["open"] or last["summary"]["lingering"]:
            last = tab.next()
        assert (last["trouble"], last["clients"]["clients"], last["closed"]["kept"]) == ("", [], 15)
        assert len(last["closed"]["closed"]) == 15
        assert tab.close_code() == 1001


def test_hostile_tabs_do_not_keep_the_hub_from_its_end() -> None:
    with HubProcess("--mode", "echo") as hub, hub.peer() as peer:
        tabs = [LiveTab(hub.url) for _ in range(20)]
        for number, tab in enumerate(tabs):
            tab.send(q=str(number), offset=10**14, limit=500)
            tab.ws.send("[" * 4000)
        peer.echo()
        assert hub.stop() == 0
        assert {tab.close_code() for tab in tabs} == {1001}
