"""What can be asked for, over real HTTP, with a stand-in hub behind it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hub import __version__
from hub.control.snapshots import ClientCounts
from tests.unit.web.support import Clock, StandInHub, ask, make_closed, make_room, make_row, make_summary
from web.app import find_files, read_assets
from web.handlers import ALIVE_WITHIN_S
from web.thread import WebThread

PATHS = [
    "/",
    "/static/hubbub.css",
    "/api/summary",
    "/api/clients",
    "/api/clients/1",
    "/api/closed",
    "/api/rooms",
]
PAYLOAD = "<script>alert(1)</script>"


def test_the_summary_has_the_promised_fields(url: str) -> None:
    answer = ask(url, "/api/summary")
    summary = answer.json()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert {"version", "uptime_s", "mode", "trigger", "idle_strategy", "turns", "closed"} <= summary.keys()
    assert summary["clients"] == {"open": 3, "accepted": 1234567, "peak": 40}
    assert summary["lines"] == {"in": 100, "out": 300}
    assert summary["bytes"] == {"in": 5000, "out": 15000}
    assert summary["events"] == {"in": 101, "out": 11, "rdhup": 5, "hup": 4, "err": 1, "accept": 9}
    assert summary["closed"] == {"idle": 3, "quit": 8}


def test_the_summary_before_the_first_publication_is_unavailable(page: WebThread) -> None:
    answer = ask(page.start(), "/api/summary")
    assert answer.status == 503
    assert "not published" in answer.json()["error"]


def test_clients_are_filtered_sorted_and_paged(url: str, hub: StandInHub) -> None:
    hub.rows = [
        make_row(number, lag_bytes=number % 7, room="red" if number % 2 else "blue") for number in range(40)
    ]
    answer = ask(url, "/api/clients?q=RED&sort=lag_bytes&order=desc&limit=3&offset=1").json()
    clients = answer.pop("clients")
    assert answer == {"total": 40, "matched": 20, "offset": 1, "limit": 3}
    assert [client["id"] for client in clients] == [27, 5, 19]


def test_a_row_has_the_promised_fields(url: str, hub: StandInHub) -> None:
    hub.rows = [make_row(1)]
    (row,) = ask(url, "/api/clients").json()["clients"]
    assert row.keys() >= {
        "id", "peer", "transport", "nick", "room", "age_s", "idle_s",
        "lines_in", "lines_out", "bytes_in", "bytes_out", "lag_bytes",
    }  # fmt: skip


def test_ten_thousand_clients_are_answered_by_the_page(url: str, hub: StandInHub) -> None:
    hub.rows = [make_row(number, lag_bytes=number * 7919 % 10_007) for number in range(10_000)]
    answer = ask(url, "/api/clients?sort=lag_bytes&order=desc&limit=50")
    assert len(answer.body) < 25_000
    expected = sorted(range(10_000), key=lambda number: number * 7919 % 10_007, reverse=True)[:50]
    assert [client["id"] for client in answer.json()["clients"]] == expected


def test_one_client_is_found_by_its_id(url: str, hub: StandInHub) -> None:
    hub.rows = [make_row(4), make_row(5, nick="five")]
    assert ask(url, "/api/clients/5").json()["nick"] == "five"


def test_a_client_that_is_gone_is_not_found(url: str, hub: StandInHub) -> None:
    answer = ask(url, "/api/clients/6")
    assert answer.status == 404
    assert "6" in answer.json()["error"]


@pytest.mark.parametrize("client_id", ["x", "-1", "1.0", "1" * 400, "%31%00", "%D9%A3"])
def test_an_id_that_is_no_number_is_a_bad_value(url: str, client_id: str) -> None:
    answer = ask(url, f"/api/clients/{client_id}")
    assert answer.status == 400
    assert answer.json()["error"].startswith("id=")


def test_closed_clients_come_newest_first_in_pages(url: str, hub: StandInHub) -> None:
    hub.closed = [make_closed(number) for number in range(30, 0, -1)]
    answer = ask(url, "/api/closed?limit=2&offset=1").json()
    assert answer["kept"] == 30
    assert [entry["id"] for entry in answer["closed"]] == [29, 28]
    assert answer["closed"][0]["reason"] == "idle"


def test_rooms_come_in_pages(url: str, hub: StandInHub) -> None:
    hub.rooms = [make_room("lobby", 9), make_room("red", 2), make_room("blue", 1)]
    answer = ask(url, "/api/rooms?limit=1&offset=1").json()
    assert answer["total"] == 3
    assert [room["name"] for room in answer["rooms"]] == ["red"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/summary?x=1",
        "/api/clients?x=1",
        "/api/clients?sort=fd",
        "/api/clients?order=down",
        "/api/clients?limit=0",
        "/api/clients?limit=1&limit=2",
        "/api/clients?offset=-1",
        "/api/clients/1?x=1",
        "/api/closed?sort=id",
        "/api/closed?limit=1001",
        "/api/rooms?q=x",
        "/livez?x",
        "/readyz?x=",
    ],
)
def test_bad_queries_say_what_is_wrong_and_what_is_allowed(url: str, path: str) -> None:
    answer = ask(url, path)
    assert answer.status == 400
    assert ": allowed is " in answer.json()["error"]


@pytest.mark.parametrize("path", [*PATHS, "/livez", "/readyz", "/no/such/page"])
def test_head_gives_the_headers_of_get_without_the_body(url: str, hub: StandInHub, path: str) -> None:
    hub.rows = [make_row(1)]
    get, head = ask(url, path), ask(url, path, "HEAD")
    assert head.body == b""
    assert head.status == get.status
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.promise("page-rows")
def test_a_hub_that_does_not_answer_is_503_where_it_is_asked(page: WebThread) -> None:
    page.gateway.publish(make_summary())
    url = page.start()
    paths = ["/api/clients", "/api/clients/1", "/api/closed", "/api/rooms"]
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(lambda path: ask(url, path), paths))
    assert [answer.status for answer in answers] == [503] * len(paths)
    assert all("the hub does not answer" in answer.json()["error"] for answer in answers)
    assert ask(url, "/api/summary").status == 200


@pytest.mark.promise("health-states")
def test_livez_turns_bad_when_publications_stop_and_good_again(
    page: WebThread, url: str, clock: Clock
) -> None:
    clock.now_s += ALIVE_WITHIN_S - 0.1
    answer = ask(url, "/livez")
    assert answer.status == 200
    assert answer.json() == {"alive": True, "turns": 7, "age_s": pytest.approx(2.9)}
    clock.now_s += 0.1
    assert ask(url, "/livez").status == 503
    assert ask(url, "/livez").json()["alive"] is False
    page.gateway.publish(make_summary(turns=8))
    assert ask(url, "/livez").json() == {"alive": True, "turns": 8, "age_s": 0.0}


def test_before_the_first_publication_nothing_is_live_or_ready(page: WebThread) -> None:
    url = page.start()
    assert ask(url, "/livez").status == 503
    assert ask(url, "/livez").json() == {"alive": False, "turns": 0, "age_s": None}
    assert ask(url, "/readyz").status == 503


@pytest.mark.promise("health-states")
def test_readyz_is_bad_while_draining_though_livez_is_good(page: WebThread, url: str) -> None:
    assert ask(url, "/readyz").json() == {"ready": True, "alive": True, "draining": False}
    page.gateway.publish(make_summary(draining=True))
    assert ask(url, "/readyz").status == 503
    assert ask(url, "/readyz").json() == {"ready": False, "alive": True, "draining": True}
    assert ask(url, "/livez").status == 200


@pytest.mark.promise("health-states")
def test_readyz_is_good_of_a_hub_that_is_full(page: WebThread, url: str) -> None:
    full = ClientCounts(open=3, accepted=7, peak=3)
    page.gateway.publish(make_summary(max_clients=3, clients=full, refused=4, closed={"server_full": 4}))
    assert ask(url, "/readyz").json() == {"ready": True, "alive": True, "draining": False}


def test_readyz_is_bad_when_publications_stop(url: str, clock: Clock) -> None:
    clock.now_s += ALIVE_WITHIN_S
    assert ask(url, "/readyz").json() == {"ready": False, "alive": False, "draining": False}


@pytest.mark.parametrize("published", [True, False])
def test_the_shell_comes_whatever_the_hub_does(page: WebThread, published: bool) -> None:
    if published:
        page.gateway.publish(make_summary())
    answer = ask(page.start(), "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert __version__ in answer.body.decode()


def test_nothing_that_clients_wrote_is_in_the_shell(url: str, hub: StandInHub) -> None:
    before = ask(url, "/").body
    hub.rows = [make_row(1, nick=PAYLOAD, room=PAYLOAD)]
    hub.closed = [make_closed(1, nick=PAYLOAD, room=PAYLOAD, detail=PAYLOAD, peer=PAYLOAD)]
    assert ask(url, "/").body == before


def test_hostile_names_are_whole_in_the_json(url: str, hub: StandInHub) -> None:
    hub.rows = [make_row(1, nick=PAYLOAD)]
    assert ask(url, "/api/clients").json()["clients"][0]["nick"] == PAYLOAD


def test_the_style_sheet_is_served_as_css(url: str) -> None:
    answer = ask(url, "/static/hubbub.css")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"color-scheme: light dark" in answer.body


@pytest.mark.promise("page-cache")
def test_only_an_asset_under_its_own_version_is_kept_for_ever(url: str) -> None:
    version = read_assets(find_files("static"))["hubbub.css"].version
    kept = {
        query: ask(url, f"/static/hubbub.css{query}").headers["Cache-Control"]
        for query in (f"?v={version}", "?v=0", "", f"?v={version}0", "?v=")
    }
    assert "immutable" in kept.pop(f"?v={version}")
    assert set(kept.values()) == {"no-store"}


def test_an_unknown_path_says_what_there_is(url: str) -> None:
    answer = ask(url, "/nowhere")
    assert answer.status == 404
    assert "/api/summary" in answer.json()["error"]
