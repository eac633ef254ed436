"""The cluster on the page: the link in words, and a row for each living hub; nothing for a hub alone."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from hub.control.snapshots import HubRow
from tests.cluster.support import Broker, a_broker
from tests.page.support import NARROW, PATIENCE_MS, WIDE, Served, Tab, open_tab
from tests.page.test_looks import CUT, SIZES, serious
from tests.support import HubProcess, closing, until
from tests.unit.web.support import make_cluster, make_hub, make_row

pytestmark = pytest.mark.browser

COLUMNS = {
    "clients": "12 345", "rooms": "4", "rate": "–", "ack_p50_ms": "0.8 ms", "ack_p99_ms": "1.3 s",
    "behind": "7", "gaps": "8", "resent": "9", "refused_lines": "1 000", "beat_s": "1 s",
}  # fmt: skip
WAITS: dict[str, Any] = {"unheard_s": 3.0, "waiting_bytes": 10}
DOWN: dict[str, Any] = {
    "is_linked": False,
    "waiting_bytes": 3500,
    "lost": 2,
    "refused_messages": 3,
    "forks": 1,
}


def cell(tab: Tab, hub: str, key: str) -> Locator:
    return tab[f'#hubs tr[data-hub="{hub}"] [data-key="{key}"] bdi']


def wait_for(tab: Tab, hub: str, key: str, text: str) -> None:
    expect(cell(tab, hub, key)).to_have_text(text, timeout=PATIENCE_MS)


def six() -> list[HubRow]:
    return [make_hub(name, is_this=name == "b", lines_in=10**9, behind=10**6) for name in "abcdef"]


def test_a_hub_alone_shows_nothing_of_a_cluster(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    expect(tab["#cluster"]).to_be_hidden()
    assert "luster" not in tab["body"].inner_text()
    assert tab["section.sockets"].evaluate("it => getComputedStyle(it).gridRow") == "3 / 5"
    served.publish(cluster=make_cluster())
    expect(tab["#cluster"]).to_be_visible(timeout=PATIENCE_MS)
    expect(tab['footer a[href="api/cluster"]']).to_be_visible()
    served.publish()
    expect(tab["#cluster"]).to_be_hidden(timeout=PATIENCE_MS)
    expect(tab["#hubs tbody tr"]).to_have_count(0)


def test_each_living_hub_has_a_row_and_this_one_is_marked(tab: Tab, served: Served) -> None:
    told = {"clients": 12_345, "rooms": 4, "ack_p99_ms": 1_250, "behind": 7, "gaps": 8, "resent": 9}
    rows = [make_hub(name, beat_s=1.2, refused_lines=1000, **told) for name in ("a", "c")]
    silent = make_hub("b", is_this=True, beat_s=2.0, ack_p50_ms=0.0, ack_p99_ms=0.0)
    served.publish(cluster=make_cluster(rows[0], silent, rows[1]))
    tab.open(served.url)
    expect(tab.page.get_by_role("table", name="Cluster").get_by_role("rowheader")).to_have_count(3)
    expect(tab["#hubs tbody th bdi"]).to_have_text(["a", "b", "c"])
    for key, text in COLUMNS.items():
        for hub in ("a", "c"):
            wait_for(tab, hub, key, text.replace(" ", "\u202f"))
    assert [cell(tab, "b", key).inner_text() for key in ("ack_p50_ms", "ack_p99_ms")] == ["–", "–"]
    expect(tab["#hubs .you:visible"]).to_have_count(1)
    expect(tab['#hubs tr[data-hub="b"] .you']).to_have_text("this hub")
    expect(tab["#hubs tr.own.late"]).to_have_attribute("data-hub", "b")
    expect(tab["#cluster-alive"]).to_have_text("3 hubs")


def test_lines_a_second_are_counted_from_beat_to_beat(tab: Tab, served: Served) -> None:
    def beat(lines_in: int, clients: int, **changed: Any) -> None:
        own = make_hub("a", is_this=True, beat_s=0.0, lines_in=50 * clients)
        served.publish(
            cluster=make_cluster(own, make_hub("b", lines_in=lines_in, clients=clients, **changed))
        )
        wait_for(tab, "b", "clients", str(clients))

    tab.open(served.url)
    beat(1_000, 1)
    wait_for(tab, "b", "rate", "–")
    beat(1_200, 2)
    wait_for(tab, "b", "rate", "200")
    wait_for(tab, "a", "rate", "50")
    beat(1_200, 3, beat_s=1.4)
    wait_for(tab, "b", "rate", "200")
    beat(1_800, 4)
    wait_for(tab, "b", "rate", "300")
    beat(10, 5)
    wait_for(tab, "b", "rate", "–")
    beat(30, 6)
    wait_for(tab, "b", "rate", "20")


def test_a_hub_that_vanished_is_forgotten(tab: Tab, served: Served) -> None:
    own, other = make_hub("b", is_this=True), make_hub("a")
    served.publish(cluster=make_cluster(own))
    tab.open(served.url)
    for lines_in, rate in ((1_000, "–"), (1_500, "500"), (None, ""), (9_000, "–")):
        rows = [make_hub("a", lines_in=lines_in), own] if lines_in else [own]
        served.publish(cluster=make_cluster(*rows))
        expect(tab["#hubs tbody th bdi"]).to_have_text([row.hub for row in rows], timeout=PATIENCE_MS)
        if lines_in:
            wait_for(tab, other.hub, "rate", rate)
    expect(tab["#cluster-alive"]).to_have_text("2 hubs")


@pytest.mark.parametrize(
    ("state", "link", "words"),
    [
        ({}, "linked", "linked"),
        ({"waiting_bytes": 262_143, "unheard_s": 0.9}, "linked", "linked"),
        ({"waiting_bytes": 262_144}, "waiting", "linked · lines wait: 256 KiB"),
        (
            {"waiting_bytes": 100, "unheard_s": 1.0},
            "waiting",
            "linked · no answer for 1 s · lines wait: 100 B",
        ),
        ({"is_linked": False, "unheard_s": 9.0}, "down", "no link"),
        ({"is_linked": False, "waiting_bytes": 3500}, "down", "no link · lines wait: 3.4 KiB"),
    ],
)
def test_the_link_is_told_in_words(
    tab: Tab, served: Served, state: dict[str, Any], link: str, words: str
) -> None:
    served.publish(cluster=make_cluster(**state))
    tab.open(served.url)
    expect(tab["#cluster-link"]).to_have_text(re.compile("^" + words.replace(" ", r"\s") + "$"))
    expect(tab["#cluster-link"]).to_have_attribute("data-state", link)
    expect(tab["#cluster-faults"]).to_be_hidden()


def test_the_page_says_how_long_there_has_been_no_link(tab: Tab, served: Served) -> None:
    pill, spoken = tab["#cluster-link"], tab["[role=status]"]

    def tell(words: str, **state: Any) -> None:
        served.publish(cluster=make_cluster(**state))
        expect(pill).to_have_text(words, timeout=PATIENCE_MS)

    served.publish(cluster=make_cluster(is_linked=False))
    tab.open(served.url)
    tell("no link for over 1\u202fs", is_linked=False)
    expect(spoken).to_have_text("no link to the cluster")
    tell("linked")
    expect(spoken).to_have_text("the cluster answers again")
    tell("no link for 0\u202fs", is_linked=False)
    tell("no link for 1\u202fs", is_linked=False)
    expect(spoken).to_have_text("no link to the cluster")
    tell("linked · no answer for 2\u202fs", unheard_s=2.0)
    expect(spoken).to_have_text("the cluster does not answer, lines wait")


def test_what_should_never_be_is_told_where_it_was(tab: Tab, served: Served) -> None:
    served.publish(cluster=make_cluster(lost=2, refused_messages=3, forks=1))
    tab.open(served.url)
    faults = "in no record any more: 2 · unreadable messages: 3 · record went back: 1"
    expect(tab["#cluster-faults"]).to_have_text(faults)


# For everybody.


@pytest.mark.promise("page-usable")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious_in_a_cluster(
    browser: Browser, served: Served, size: tuple[int, int], scheme: str
) -> None:
    with open_tab(browser, size=size, color_scheme=scheme) as tab:
        tab.open(served.url)
        for link, state in (("linked", {}), ("waiting", WAITS), ("down", DOWN)):
            served.publish(cluster=make_cluster(*six(), **state))
            expect(tab["#cluster-link"]).to_have_attribute("data-state", link, timeout=PATIENCE_MS)
            assert serious(tab) == []
            assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.promise("page-usable")
def test_a_wide_screen_shows_a_cluster_and_all_else_at_once(tab: Tab, served: Served) -> None:
    served.hub.rows = [make_row(number) for number in range(1, 61)]
    served.publish(cluster=make_cluster(*six(), **DOWN))
    tab.open(served.url)
    expect(tab["#hubs tbody tr"]).to_have_count(6)
    assert tab.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    boxes = [tab[name].bounding_box() for name in (".panels", ".cluster", ".closed", ".chat", "footer")]
    edges = [edge for box in boxes if box for edge in (box["y"], box["y"] + box["height"])]
    assert len(edges) == 10 and edges == sorted(edges)
    scroll = tab[".cluster .scroll"]
    scroll.focus()
    tab.page.keyboard.press("End")
    expect(tab['#hubs tr[data-hub="f"]']).to_be_in_viewport(timeout=PATIENCE_MS)


@pytest.mark.promise("page-print")
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_on_paper_every_hub_is_there(browser: Browser, served: Served, size: tuple[int, int]) -> None:
    served.publish(cluster=make_cluster(*six(), **DOWN))
    with open_tab(browser, size=size) as tab:
        tab.open(served.url)
        expect(tab["#hubs tbody tr"]).to_have_count(6)
        tab.page.emulate_media(media="print")
        tab.page.set_viewport_size({"width": 1047, "height": 718})
        assert tab.page.evaluate(CUT) == []
        last, below = tab['#hubs tr[data-hub="f"]'].bounding_box(), tab["section.sockets"].bounding_box()
        assert last and below and last["y"] + last["height"] <= below["y"]


# On a real stream.


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with a_broker(tmp_path) as started:
        yield started


@pytest.fixture
def hubs(broker: Broker) -> Iterator[list[HubProcess]]:
    """Three hubs of one cluster, by the names a to c."""
    with ExitStack() as stack:
        names = [["--cluster", broker.url, "--hub-name", name] for name in "abc"]
        yield [stack.enter_context(HubProcess(*flags)) for flags in names]


def test_three_real_hubs_are_seen_as_they_come_and_go(
    broker: Broker, hubs: list[HubProcess], tab: Tab
) -> None:
    shown = tab["#hubs tbody th bdi"]
    tab.open(hubs[0].url)
    expect(shown).to_have_text(["a", "b", "c"], timeout=PATIENCE_MS)
    expect(tab["#cluster-link"]).to_have_text("linked", timeout=PATIENCE_MS)
    expect(tab["#hubs tr.own"]).to_have_attribute("data-hub", "a")
    with closing([hub.peer() for hub in hubs for _ in range(2)]) as peers:
        for hub in "abc":
            wait_for(tab, hub, "clients", "2")

        def is_heard() -> bool:
            peers[-1].send(b"hello\n")
            return cell(tab, "c", "rate").inner_text() not in ("–", "0")

        until(is_heard)
        expect(cell(tab, "c", "ack_p99_ms")).to_contain_text("ms")
        hubs[1].process.kill()
        expect(shown).to_have_text(["a", "c"], timeout=PATIENCE_MS)
        broker.kill()
        peers[0].send(b"who hears this?\n")
        expect(tab["#cluster-link"]).to_contain_text("lines wait:", timeout=PATIENCE_MS)
        expect(tab["#cluster-link"]).to_contain_text("no link for")
        health = hubs[0].get("/readyz")
        assert (health["ready"], health["degraded"]) == (True, True)
        broker.start()
        expect(tab["#cluster-link"]).to_have_text("linked", timeout=PATIENCE_MS)
        until(lambda: not hubs[0].get("/readyz")["degraded"])
