"""What can be asked for, over real HTTP, with a stand-in hub behind it."""

import pytest

import web.hub_gateway
from hub import BUILD, __version__
from hub.control.snapshots import ClientCounts
from tests.unit.web.support import Served, ask, make_closed, make_room, make_row
from web.app import find_files, read_assets
from web.handlers import ALIVE_WITHIN_S

ASKING = ["/api/clients", "/api/clients/1", "/api/closed", "/api/rooms"]
PATHS = [
    "/", "/static/hubbub.css", "/api/summary", "/api/cluster", *ASKING, "/livez", "/readyz", "/no/such/page",
]  # fmt: skip
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


def test_a_client_is_found_by_its_id_until_it_is_gone(served: Served) -> None:
    served.hub.rows = [make_row(4), make_row(5, nick="five")]
    assert ask(served.url, "/api/clients/5").json()["nick"] == "five"
    answer = ask(served.url, "/api/clients/6")
    assert (answer.status, answer.json()["error"]) == (404, "no open client has the id 6")


@pytest.mark.parametrize("client_id", ["x", "-1", "1.0", "1" * 400, "%31%00", "%D9%A3"])
def test_an_id_that_is_no_number_is_a_bad_value(url: str, client_id: str) -> None:
    answer = ask(url, f"/api/clients/{client_id}")
    assert answer.status == 400
    assert answer.json()["error"].startswith("id=")


def test_closed_clients_and_rooms_come_in_pages(served: Served) -> None:
    served.hub.closed = [make_closed(number) for number in range(30, 0, -1)]
    served.hub.rooms = [make_room("lobby", 9), make_room("red", 2), make_room("blue", 1)]
    answer = ask(served.url, "/api/closed?limit=2&offset=1").json()
    assert (answer["kept"], [entry["id"] for entry in answer["closed"]]) == (30, [29, 28])
    assert answer["closed"][0]["reason"] == "idle"
    answer = ask(served.url, "/api/rooms?limit=1&offset=1").json()
    assert (answer["total"], [room["name"] for room in answer["rooms"]]) == (3, ["red"])


@pytest.mark.parametrize(
    "path",
    [
        "/api/summary?x=1", "/api/clients?x=1", "/api/clients?sort=fd", "/api/clients?order=down",
        "/api/clients?limit=0", "/api/clients?limit=1&limit=2", "/api/clients?offset=-1",
        "/api/clients/1?x=1", "/api/closed?sort=id", "/api/closed?limit=1001", "/api/rooms?q=x",
        "/api/cluster?x=1",
    ],
)  # fmt: skip
def test_bad_queries_say_what_is_wrong_and_what_is_allowed(url: str, path: str) -> None:
    answer = ask(url, path)
    assert answer.status == 400
    assert ": allowed is " in answer.json()["error"]


@pytest.mark.parametrize("query", ["verbose", "t=1&t=2", "x="])
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_may_carry_any_query(served: Served, path: str, query: str) -> None:
    for age_s, status in ((0, 200), (4, 503)):
        served.clock.now_s += age_s
        assert ask(served.url, f"{path}?{query}").status == status


@pytest.mark.parametrize("path", PATHS)
def test_head_gives_the_headers_of_get_without_the_body(served: Served, path: str) -> None:
    served.hub.rows = [make_row(1)]
    get, head = ask(served.url, path), ask(served.url, path, "HEAD")
    assert head.body == b""
    assert head.status == get.status
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.promise("page-rows")
def test_a_hub_that_does_not_answer_is_503_where_it_is_asked(
    fresh: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.hub_gateway, "ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr(fresh.hub, "answer_all", lambda: fresh.mailbox.take(64))
    for path in ASKING:
        answer = ask(fresh.url, path)
        assert answer.status == 503
        assert "the hub does not answer" in answer.json()["error"]
    assert ask(fresh.url, "/api/summary").status == 200


@pytest.mark.promise("health-states")
def test_health_turns_bad_when_publications_stop_and_good_again(served: Served) -> None:
    served.clock.now_s += ALIVE_WITHIN_S - 0.1
    answer = ask(served.url, "/livez")
    assert answer.status == 200
    assert answer.json() == {"alive": True, "turns": 7, "age_s": pytest.approx(2.9)}
    served.clock.now_s += 0.1
    assert ask(served.url, "/livez").status == 503
    assert ask(served.url, "/livez").json()["alive"] is False
    assert ask(served.url, "/readyz").json() == {"ready": False, "alive": False, "draining": False}
    served.publish(turns=8)
    assert ask(served.url, "/livez").json() == {"alive": True, "turns": 8, "age_s": 0.0}


def test_before_the_first_publication_there_is_but_the_shell() -> None:
    with Served() as silent:
        for path in ("/livez", "/readyz", "/api/summary", "/api/cluster"):
            assert ask(silent.url, path).status == 503
        assert ask(silent.url, "/livez").json() == {"alive": False, "turns": 0, "age_s": None}
        assert "not published" in ask(silent.url, "/api/summary").json()["error"]
        assert ask(silent.url, "/").status == 200


@pytest.mark.promise("health-states")
def test_readyz_is_bad_while_draining_and_not_when_full(served: Served) -> None:
    full = ClientCounts(open=3, accepted=7, peak=3)
    served.publish(max_clients=3, clients=full, refused=4, closed={"server_full": 4})
    assert ask(served.url, "/readyz").json() == {"ready": True, "alive": True, "draining": False}
    served.publish(draining=True)
    assert ask(served.url, "/readyz").status == 503
    assert ask(served.url, "/readyz").json() == {"ready": False, "alive": True, "draining": True}
    assert ask(served.url, "/livez").status == 200


def test_the_shell_has_nothing_that_clients_wrote(served: Served) -> None:
    before = ask(served.url, "/")
    assert before.headers["Content-Type"] == "text/html; charset=utf-8"
    assert before.headers["Cache-Control"] == "no-cache"
    assert __version__ in before.body.decode() and f">{BUILD}<" in before.body.decode()
    served.hub.rows = [make_row(1, nick=PAYLOAD, room=PAYLOAD)]
    served.hub.closed = [make_closed(1, nick=PAYLOAD, room=PAYLOAD, detail=PAYLOAD, peer=PAYLOAD)]
    assert ask(served.url, "/").body == before.body


@pytest.mark.promise("page-cache")
def test_only_an_asset_under_its_own_version_is_kept_for_ever(url: str) -> None:
    version = read_assets(find_files("static"))["hubbub.css"].version
    queries = (f"?v={version}", "?v=0", "", f"?v={version}0", "?v=")
    answers = [ask(url, f"/static/hubbub.css{query}") for query in queries]
    for answer in answers:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
        assert b"color-scheme: light dark" in answer.body
    kept, *others = [answer.headers["Cache-Control"] for answer in answers]
    assert "immutable" in kept
    assert set(others) == {"no-store"}


def test_an_unknown_path_says_what_there_is(url: str) -> None:
    answer = ask(url, "/nowhere")
    assert answer.status == 404
    assert "/api/summary" in answer.json()["error"]
