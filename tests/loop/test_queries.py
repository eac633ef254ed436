"""The commands that ask: what they tell to whom, and that an answer is bounded whatever there is."""

import re
from collections.abc import Iterator

import pytest

from hub.modes import nicks
from hub.modes.past import span
from hub.modes.queries import HISTORY_BYTES, NAMES_SHOWN, NO_HISTORY, ROOMS_SHOWN
from hub.modes.sanitize import NAME_LENGTH, name_key
from hub.rooms.outbox import Outbox
from hub.session.client import Client
from hub.session.mode import Intake
from tests.loop.support import SteppedHub, take_all
from tests.support import closing, interpreted_only
from tests.unit.modes.test_chat import Talk

MARKS = "\N{COMBINING GRAVE ACCENT BELOW}\N{COMBINING ACUTE ACCENT}"


def asked(talk: Talk, client: Client, line: str) -> list[str]:
    """What this client hears after it typed this."""
    talk.heard(client)
    talk.say(client, line)
    return talk.heard(client)


# /who


def test_who_lists_the_people_in_the_room_in_order() -> None:
    talk = Talk()
    _, ann, bob = talk.join("cy"), talk.join("ann"), talk.join("bob")
    talk.say(bob, "/join tea")
    assert asked(talk, ann, "/who") == ["* in lobby (2): ann, cy"]
    assert asked(talk, bob, "/who") == ["* in tea (1): bob"]


@pytest.mark.promise("chat-lists")
def test_who_among_a_thousand_looks_at_a_hundred() -> None:
    talk = Talk(announce=0, history=0)
    ann = talk.join("ann")
    for _ in range(999):
        talk.come()
    members = talk.rooms.lobby.subscribers = CountingMembers(talk.rooms.lobby.subscribers)
    (line,) = asked(talk, ann, "/who")
    assert line.startswith("* in lobby (1000): ann, ") and line.endswith(" and 900 more")
    assert NAMES_SHOWN <= members.looked_at <= NAMES_SHOWN + 1


class CountingMembers(dict[int, Outbox]):
    """Members that count how many of them are looked at."""

    looked_at = 0

    def values(self) -> Iterator[Outbox]:  # type: ignore[override]
        for outbox in super().values():
            self.looked_at += 1
            yield outbox


# /rooms


def test_rooms_are_listed_by_size_and_then_by_name() -> None:
    talk = Talk(announce=0)
    people = [talk.join(nick) for nick in ("ann", "bob", "cy", "di", "ed", "flo")]
    for client, room in zip(people, ("tea", "Tea", "zoo", "tea", "Bar"), strict=False):
        talk.say(client, f"/join {room}")
    assert asked(talk, people[-1], "/rooms") == ["* rooms (4): tea 3, Bar 1, lobby 1, zoo 1"]


@pytest.mark.promise("chat-lists")
def test_rooms_beyond_fifty_are_counted() -> None:
    talk = Talk(announce=0, max_rooms=0)
    ann = talk.join("ann")
    for number in range(200):
        talk.say(talk.join(), f"/join {'r' * 28}{number:04}")
    (line,) = asked(talk, ann, "/rooms")
    assert line.startswith("* rooms (201): lobby 1, ") and line.endswith(" and 151 more")
    assert line.count("rrrr0") == ROOMS_SHOWN - 1 == 49
    assert len(line) < 2048


@pytest.mark.promise("chat-queries")
def test_cost_of_rooms_grows_with_the_number_of_rooms() -> None:
    costs = []
    for rooms in (1, 640):
        talk = Talk(announce=0, max_rooms=0, intake=Intake(room_bytes=1 << 17))
        ann = talk.join("ann")
        for number in range(rooms - 1):
            talk.rooms.find_or_make(f"r{number}", f"r{number}")
        talk.budget.left = 0
        talk.take_lines(ann, *["/rooms"] * 100)
        done = 100 - ann.inbox.waiting
        costs.append((done, -talk.budget.left // done))
    few, many = costs
    assert many[1] == 11 * few[1]
    assert few[0] > 10 * many[0] > 0


# /history


@pytest.mark.promise("chat-lists")
def test_history_shows_the_last_lines_to_its_asker_only() -> None:
    talk = Talk(history=3)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, *(f"line {number}" for number in range(9)))
    talk.say(bob, "/nick rob")
    talk.heard(bob)
    talk.now_s += 3600
    shown, end = ["<ann> line 6", "<ann> line 7", "<ann> line 8"], "* end of history"
    age = "the newest 1 h 0 min old"
    assert asked(talk, ann, "/history") == [f"* history: 3 lines of lobby, {age}", *shown, end]
    assert asked(talk, ann, "/history 1") == [f"* history: 1 line of lobby, {age}", shown[-1], end]
    assert asked(talk, ann, "/history 100") == asked(talk, ann, f"/history {'9' * 5000}")
    assert talk.heard(bob) == []
    talk.say(bob, "one", "/history 2", "two")
    assert talk.heard(bob) == [
        *("<rob> one", "* history: 2 lines of lobby, the newest 0 s old", shown[-1], "<rob> one", end),
        "<rob> two",
    ]
    talk.assert_account_balances(ann, bob)


@pytest.mark.promise("chat-lists")
def test_history_without_notices_is_the_lines_alone() -> None:
    talk = Talk(notices=False)
    ann = talk.join("ann")
    talk.say(ann, "hello")
    assert asked(talk, ann, "/history") == ["<ann> hello"]


@pytest.mark.parametrize("typed", ["0", "-1", "x", "1.5", "\u0663", "1e3", "000000000009"])
def test_history_of_no_number_of_lines_is_refused(typed: str) -> None:
    talk = Talk(announce=0)
    ann = talk.join("ann")
    talk.say(ann, "hello")
    assert asked(talk, ann, f"/history {typed}") == ["* usage: /history [N], N lines from 1 on"]


@pytest.mark.parametrize("said", [0, 3])
def test_history_where_nothing_is_kept_says_so(said: int) -> None:
    talk = Talk(history=20 if not said else 0, announce=0)
    ann = talk.join("ann")
    talk.say(ann, *["hello"] * said)
    assert asked(talk, ann, "/history 5") == [f"* {NO_HISTORY}"]


@pytest.mark.promise("chat-lists")
def test_history_is_whole_lines_of_at_most_64_kib() -> None:
    talk = Talk(history=1000, announce=0)
    ann = talk.join("ann")
    for number in range(100):
        talk.say(ann, f"{number:03} " + "x" * 1000)
        talk.heard(ann)
    header, *lines, end = asked(talk, ann, "/history 1000")
    assert HISTORY_BYTES == 64 * 1024
    size = sum(len(line) + 1 for line in lines)
    assert HISTORY_BYTES - 1100 < size <= HISTORY_BYTES
    assert header == f"* history: {len(lines)} lines of lobby, the newest 0 s old"
    assert end == "* end of history"
    assert [line[6:9] for line in lines] == [f"{number:03}" for number in range(100 - len(lines), 100)]


# /whois


@pytest.mark.promise("chat-queries")
def test_whois_says_how_and_since_when_and_not_from_where() -> None:
    talk = Talk(announce=0)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(bob, "/join tea")
    bob.accepted_at, bob.inbox.heard_at, talk.now_s = 100.0, 150.0, 3760.5
    bob.inbox.lines_in, bob.outbox.lines_out, bob.transport = 7, 9, "websocket"
    (line,) = asked(talk, ann, "/whois BOB")
    assert line == (
        "* bob is in tea, by websocket; here for 1 h 1 min, silent for 1 h 0 min; lines: 7 in, 9 out"
    )
    assert bob.peer not in line and bob.address not in line


def test_whois_of_an_unknown_name_says_so() -> None:
    talk = Talk(announce=0)
    (line,) = asked(talk, talk.join("ann"), "/whois " + "x" * 500)
    assert line.startswith(f"* nobody here is called {'x' * 32}; /who lists")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1.0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min 0 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (90_061.0, "1 d 1 h"),
        (86_400.0 * 400, "400 d 0 h"),
    ],
)
def test_span_of_time_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


# /stats


@pytest.mark.promise("chat-queries")
def test_stats_are_the_totals_and_the_lag_of_the_asker() -> None:
    with SteppedHub(mode="chat", announce=0) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann)
        hub.say(ann, b"/stats\n/whois guest-2\n/rooms\n")
        got = take_all(ann).decode()
        assert "* closed: none" in got
        assert "127.0.0.1" not in got and str(bob.sock.getsockname()[1]) not in got
        hub.say(bob, b"hello\n/quit\n")
        hub.turns_until(lambda: hub.hub.counters.closed)
        hub.now_s += 3700
        take_all(ann)
        hub.deliver(ann, b"one\n/stats\n")
        hub.turns(3)
        said, up, *lines = take_all(ann).decode().splitlines()
    assert said == "<guest-1> one"
    assert re.fullmatch(r"\* up 1 h 1 min, \d+ turns", up)
    assert lines[:3] == [
        *("* clients: 1 open, 2 at a time at most, 2 accepted", "* rooms: 1", "* lines: 7 in, 14 out")
    ]
    assert re.fullmatch(r"\* bytes: 52 in, \d+ out", lines[3])
    assert lines[4:] == ["* closed: quit 1", f"* you are {len(said) + 1} bytes behind your room"]


@interpreted_only("a compiled function cannot be replaced by one that counts")
@pytest.mark.parametrize("command", ["/whois", "/msg"])
def test_name_that_nobody_can_have_is_not_normalised(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four thousand marks take 20 ms, and a turn may have a hundred commands."""
    looked_at: list[str] = []
    monkeypatch.setattr(nicks, "name_key", lambda name: looked_at.append(name) or name_key(name))
    talk = Talk()
    ann = talk.join("ann")
    assert asked(talk, ann, f"{command} a{2000 * MARKS} hello")[-1].startswith("* nobody here is called a")
    assert max(map(len, looked_at)) <= 4 * NAME_LENGTH


@pytest.mark.promise("chat-queries")
@pytest.mark.parametrize("command", ["/history", "/join tea", "/leave"])
def test_cost_of_looking_back_grows_with_the_history(command: str) -> None:
    taken = []
    for history in (20, 10_000):
        talk = Talk(history=history)
        ann = talk.join("ann")
        talk.take_lines(ann, *[command] * 100)
        taken.append(100 - ann.inbox.waiting)
    assert taken == [32, 2]
