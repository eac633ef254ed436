"""Chat without a socket: clients made by hand, their lines put into their inbox, their output read back."""

import re
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control.snapshots import Summary
from hub.loop.snapshot_maker import summary
from hub.modes.chat import Chat, Rest
from hub.modes.commands import run_command
from hub.modes.elsewhere import asked
from hub.modes.facts import Facts
from hub.modes.notes import publish_notes
from hub.modes.renaming import lose, rename
from hub.modes.sanitize import NameRefused
from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from hub.session.client import Client, Transport
from hub.session.commons import Commons
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget
from tests.unit.support import a_client, a_hub, a_room, receive_all, take, wire


class Talk:
    """A chat, and the little of a turn that it needs: take lines, publish notices, seal, hand all over."""

    def __init__(self, *, max_rooms: int = 10, intake: Intake | None = None, **settings: Any) -> None:
        self.account, self.ready, self.budget = Account(), ReadySets(), TurnBudget()
        self.commons = Commons(self.ready)
        self._clients: dict[int, Client] = {}
        self.rooms, intake = Registry(self.account, max_rooms), intake or Intake(room_bytes=1 << 17)
        facts = Facts(lambda: self.now_s, lambda: self.now_s, self._totals, self._clients.get)
        self.chat = Chat(
            Settings(mode="chat", **settings), self.rooms, self.ready, self.commons, self.budget, intake,
            1 << 18, facts, Rest(run_command, asked, lose),
        )  # fmt: skip
        self.commons.open(self.chat, lambda room, now: False, self.rooms, lambda: (0, 0, 0))
        self.now_s = 0.0
        self._next_id = 1

    def come(self, transport: Transport = "line") -> Client:
        """A client joins, and has said nothing yet."""
        client = a_client(self._next_id, self.account, transport=transport)
        self._next_id += 1
        self._clients[client.id] = client
        self.chat.joined(client)
        return client

    def join(self, nick: str = "") -> Client:
        """A client joins, has given a command, and has received its greeting; nobody is owed a notice."""
        client = self.come()
        if nick:
            rename(self.chat, client, nick)
        self.say(client, "/who")
        for member in self.rooms.lobby.members():
            receive_all(member)
        return client

    def take_lines(self, client: Client, *lines: str | bytes) -> None:
        """The chat takes these lines of the client; the turn goes on."""
        client.inbox.receive([line.encode() if isinstance(line, str) else line for line in lines])
        self.chat.lines(client)

    def say(self, client: Client, *lines: str | bytes) -> None:
        """A turn in which this client's lines are taken."""
        self.take_lines(client, *lines)
        self.turn()

    def turn(self) -> None:
        """What the loop does between reading and sending."""
        for room in self.ready.notices:
            if room.notes:
                publish_notes(room, self.commons)
        self.ready.notices.clear()
        for room in self.rooms.all():
            room.log.seal()

    def heard(self, client: Client) -> list[str]:
        """The lines that have come to this client since it was last asked."""
        return receive_all(client.outbox).decode().splitlines()

    def nick(self, client: Client) -> str:
        return self.chat.nick(client)

    def _totals(self) -> Summary:
        with a_hub() as hub:
            return summary(hub, self.now_s)

    def assert_account_balances(self, *clients: Client) -> None:
        """Nothing that was owed is missing, where nobody ended."""
        account, queued = self.account, sum(client.outbox.queued_bytes for client in clients)
        assert account.owed + account.replayed == account.delivered + queued


# Coming and going.


def test_guest_is_named_greeted_and_put_into_the_lobby() -> None:
    talk = Talk()
    ann = talk.come()
    talk.turn()
    assert talk.heard(ann) == [
        "* welcome to hubbub - you are guest-1 in lobby, with nobody else; /help lists commands"
    ]
    assert ann.room is talk.rooms.lobby
    assert talk.chat.nicks.find("GUEST-1") is ann


def test_greeting_is_the_one_that_was_set_and_counts_the_others() -> None:
    talk = Talk(greeting="hello at the harbour")
    for company in ("nobody else", "1 other", "2 others"):
        late = talk.come()
        where = f"you are {talk.nick(late)} in lobby, with {company}; /help lists commands"
        assert talk.heard(late) == [f"* hello at the harbour - {where}"]


@pytest.mark.promise("lines-no-notices")
def test_hub_without_notices_says_nothing_of_its_own() -> None:
    talk = Talk(notices=False)
    ann, bob = talk.come(), talk.come()
    talk.say(ann, "/nick ann", "/who", "/nothing", "/join tea", "/leave", "hello")
    assert talk.heard(bob) == ["<ann> hello"]
    assert talk.heard(ann) == ["<ann> hello"]


@pytest.mark.promise("chat-past")
def test_history_is_marked_as_past_and_comes_with_the_room() -> None:
    talk = Talk(history=2, announce=0)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "one", "two", "three", "/join tea", "four")
    talk.now_s += 305
    assert talk.heard(talk.come())[1:] == [
        *("* history: 2 lines of lobby, the newest 5 min 5 s old", "<ann> two", "<ann> three"),
        "* end of history",
    ]
    talk.heard(bob)
    talk.say(bob, "/join tea", "five")
    assert talk.heard(bob) == [
        *("* you are now in tea, with 1 other", "* history: 1 line of tea, the newest 5 min 5 s old"),
        *("<ann> four", "* end of history", "<bob> five"),
    ]


@pytest.mark.promise("chat-past")
def test_history_where_nothing_was_missed_has_no_marks() -> None:
    talk = Talk(announce=0)
    ann = talk.join("ann")
    talk.say(ann, "one", "/join tea", "/join lobby")
    assert not [line for line in talk.heard(ann) if "history" in line]


@pytest.mark.promise("chat-past")
def test_notices_are_no_history_and_push_no_talk_out() -> None:
    talk = Talk(history=3)
    ann = talk.join("ann")
    talk.say(ann, "one", "two", "three")
    for number in range(20):
        bob = talk.come()
        talk.say(bob, "" if number % 2 else f"/nick b{number}")
        talk.chat.left(bob)
        talk.turn()
    talk.chat.left(ann)
    shown = ["<ann> one", "<ann> two", "<ann> three"]
    late = talk.come()
    assert talk.heard(late)[2:] == [*shown, "* end of history"]
    talk.say(late, "/history")
    assert [line for line in talk.heard(late) if line[0] == "<"] == shown


@pytest.mark.promise("close-leaves-room")
def test_left_client_is_out_of_its_room_and_its_nick_is_free() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.chat.left(ann)
    talk.turn()
    assert talk.heard(bob) == ["* ann left"]
    assert ann.room is None
    talk.say(bob, "/nick ann")
    assert talk.nick(bob) == "ann"


# Talking.


@pytest.mark.promise("chat-me")
def test_two_slashes_are_said_as_one_and_an_empty_line_is_not() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "", "//quit", "// a comment", "///")
    assert talk.heard(ann) == ["<ann> /quit", "<ann> / a comment", "<ann> //"]
    assert ann.close.reason is None


def test_rooms_do_not_hear_one_another() -> None:
    talk = Talk(announce=0)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join tea", "in the room")
    talk.say(bob, "in the lobby")
    assert talk.heard(ann) == ["* you are now in tea, with nobody else", "<ann> in the room"]
    assert talk.heard(bob) == ["<bob> in the lobby"]


@pytest.mark.promise("chat-clean")
@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=6))
def test_bytes_of_a_client_reach_nobody_uncleaned(lines: list[bytes]) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, *lines, *[b"/" + line for line in lines], *[b"/msg bob " + line for line in lines])
    for client in (ann, bob):
        shown = wire(client.outbox).decode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
        mark = r"\* |<(ann|guest-1)> |<(ann|guest-1) to you> |<you to \w+> "
        assert all(re.match(mark, line) for line in shown.split("\n")[:-1])


@pytest.mark.promise("chat-no-forgery")
def test_line_of_a_client_looks_like_nobody_elses() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "* bye reason=idle", "<bob> I am a fool")
    assert talk.heard(bob) == ["<ann> * bye reason=idle", "<ann> <bob> I am a fool"]


# Nicks.


@pytest.mark.promise("chat-no-forgery")
@pytest.mark.parametrize("name", ["guest-1", "Guest-99", "ＧＵＥＳＴ-7", "hubbub", "HUBBUB", "You"])
def test_reserved_name_may_be_that_of_a_room_and_no_nick(name: str) -> None:
    talk = Talk()
    talk.join()
    other = talk.join()
    with pytest.raises(NameRefused, match="kept for the hub"):
        rename(talk.chat, other, name)
    talk.say(other, f"/join {name}", "hello")
    said = ["* guest-2 joined", "<guest-2> hello"]
    assert talk.heard(other) == [f"* you are now in {normalize('NFKC', name)}, with nobody else", *said]


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize("nick", ["ann", "ANN", "Ａｎｎ"])
def test_nick_is_taken_whatever_its_case_or_width(nick: str) -> None:
    talk = Talk()
    talk.join("ann")
    other = talk.join("bob")
    with pytest.raises(NameRefused, match="is taken"):
        rename(talk.chat, other, nick)
    assert talk.nick(other) == "bob"


def test_own_nick_may_change_its_case() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/nick Ann")
    assert talk.nick(ann) == "Ann"
    assert talk.chat.nicks.find("ann") is ann


def test_new_nick_holds_for_later_lines_and_the_old_one_is_free() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "one", "/nick anna", "two")
    assert talk.heard(bob) == ["<ann> one", "* ann is now anna", "<anna> two"]
    talk.say(bob, "/nick ann")
    assert talk.chat.nicks.find("ann") is bob


# Notices.


@pytest.mark.promise("chat-announce")
def test_joined_notice_stands_before_the_first_line_only() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.come()
    talk.turn()
    assert talk.heard(ann) == []
    talk.say(bob, "hello", "again")
    assert talk.heard(ann) == ["* guest-2 joined", "<guest-2> hello", "<guest-2> again"]
    talk.chat.left(bob)
    talk.turn()
    assert talk.heard(ann) == ["* guest-2 left"]


@pytest.mark.promise("chat-announce")
def test_client_that_sent_no_line_is_announced_nowhere() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.chat.left(talk.come())
    talk.turn()
    assert talk.heard(ann) == []
    assert list(talk.rooms.lobby.members()) == [ann.outbox]


@pytest.mark.promise("chat-announce")
@pytest.mark.parametrize("first", ["/who", "/nothing", "\ufeff/who"])
def test_any_first_command_announces_its_client(first: str) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.come()
    talk.say(bob, first)
    assert talk.heard(ann) == ["* guest-2 joined"]


@pytest.mark.promise("chat-unseen-line")
@pytest.mark.parametrize(
    "line",
    ["", " \t", "\ufeff", "\x0b\x0c", "\0\0", "\u3000\u2800", "x\b", "\x1b[A", "\u0301", " /who"],
    ids=ascii,
)
def test_line_without_anything_seen_is_heard_by_nobody(line: str) -> None:
    talk = Talk(history=9)
    ann, bob = talk.join("ann"), talk.come()
    talk.say(bob, line, line)
    talk.say(ann, line)
    talk.chat.left(bob)
    talk.turn()
    assert not [heard for heard in talk.heard(ann) if "nothing was said" not in heard]
    assert not talk.rooms.lobby.history.last(9, 999)


@pytest.mark.parametrize(
    "line", ["\U0010fffd", "\U000e1000", "\ufdd0", b"\xef\xf0\xe8", "\ufeffa", "."], ids=ascii
)
def test_line_with_anything_drawn_is_heard(line: str | bytes) -> None:
    """A private or new character, be it as a box, and bytes that are no UTF-8."""
    talk = Talk()
    ann, bob = talk.join("ann"), talk.come()
    talk.say(bob, line)
    joined, said = talk.heard(ann)
    assert joined == "* guest-2 joined" and said.startswith("<guest-2> ")


@pytest.mark.promise("chat-announce")
def test_notices_of_a_turn_are_one_line() -> None:
    talk = Talk()
    ann, bob, cy = talk.join("ann"), talk.join("bob"), talk.join("cy")
    talk.heard(ann)
    for name in ("dan", "eve"):
        talk.take_lines(talk.come(), f"/nick {name}")
    talk.chat.left(bob)
    talk.chat.left(cy)
    talk.turn()
    assert talk.heard(ann) == [
        "* guest-4 joined; guest-4 is now dan; guest-5 joined; guest-5 is now eve; bob, cy left"
    ]
    assert not talk.rooms.lobby.log.chunks[-1].talk, "they keep nobody alive"


@pytest.mark.promise("chat-announce")
@pytest.mark.parametrize(
    ("lines", "heard"),
    [
        ("/join q|/leave|/join q", ["* bob left; bob joined; bob left"]),
        ("/join q|/leave", ["* bob left; bob joined"]),
        ("/join q|/join lobby|/nick ben|/join q", ["* bob left; bob joined; bob is now ben; ben left"]),
        ("/join q|/leave|hello|/join q", ["* bob left; bob joined", "<bob> hello", "* bob left"]),
    ],
)
def test_notices_of_a_turn_tell_what_happened_in_order(lines: str, heard: list[str]) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.heard(ann)
    talk.say(bob, *lines.split("|"))
    assert talk.heard(ann) == heard


@pytest.mark.promise("chat-announce")
def test_nick_that_changed_hands_within_a_turn_left_twice() -> None:
    talk = Talk()
    ann, bob, cy = talk.join("ann"), talk.join("bob"), talk.join("cy")
    talk.heard(ann)
    talk.chat.left(bob)
    talk.take_lines(cy, "/nick bob")
    talk.chat.left(cy)
    talk.turn()
    assert talk.heard(ann) == ["* bob left; cy is now bob; bob left"]


@pytest.mark.promise("chat-announce")
def test_only_small_rooms_announce() -> None:
    talk = Talk(announce=3)
    people = [talk.come() for _ in range(3)]
    for client in people:
        talk.take_lines(client, "/nothing")
    talk.turn()
    assert {talk.heard(client)[-1] for client in people} == {"* guest-1, guest-2, guest-3 joined"}
    talk.say(talk.come(), "/nothing")
    assert talk.heard(people[0]) == []
    talk.say(people[0], "/nick ann")
    assert talk.heard(people[1]) == []
    talk.chat.left(people[0])
    talk.turn()
    assert talk.heard(people[1]) == ["* ann left"], "with three of them it is small again"


@pytest.mark.promise("chat-announce")
def test_long_notice_names_twenty_and_counts_the_rest() -> None:
    room = a_room()
    room.notes = [(f"guest-{number}", "joined") for number in range(50)]
    publish_notes(room, Commons(ReadySets()))
    room.log.seal()
    line = room.log.chunks[-1].lf.decode()
    assert line.startswith("* guest-0, guest-1, ")
    assert line.endswith(", guest-19 and 30 more joined\n")
    assert not room.notes


# Rooms.


def test_join_makes_a_room_and_leave_goes_back_to_the_lobby() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join Tea")
    assert talk.heard(ann) == ["* you are now in Tea, with nobody else", "* ann joined"]
    assert talk.heard(bob) == ["* ann left"]
    talk.say(bob, "/join TEA", "/join tea")
    assert talk.heard(ann) == ["* bob joined"]
    assert {"* you are now in Tea, with 1 other", "* you are in Tea already"} < {*talk.heard(bob)}
    talk.say(ann, "/leave")
    assert ann.room is talk.rooms.lobby


@pytest.mark.promise("chat-room-limit")
def test_room_goes_with_its_last_member_and_the_lobby_stays() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/join tea")
    assert len(talk.rooms) == 2
    talk.say(ann, "/join den")
    assert [room.name for room in talk.rooms.all()] == ["lobby", "den"]
    talk.chat.left(ann)
    assert talk.rooms.all() == [talk.rooms.lobby]
    assert not talk.ready.notices, "nobody is there to be told"


@pytest.mark.promise("chat-room-limit")
def test_join_past_the_limit_of_rooms_moves_nobody() -> None:
    talk = Talk(max_rooms=2)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join tea")
    talk.say(bob, "/join den")
    assert talk.heard(bob)[-1] == "* there are as many rooms as this hub allows; join one of them"
    assert bob.room is talk.rooms.lobby
    talk.say(bob, "/join tea")
    assert bob.room is ann.room


@pytest.mark.promise("chat-rooms")
def test_joining_keeps_what_the_old_room_still_owed() -> None:
    talk = Talk(announce=0)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(bob, "one", "two")
    assert take(ann.outbox, 3) == b"<bo"
    talk.say(ann, "/who", "three", "/join tea", "four")
    assert talk.heard(ann) == [
        "b> one",
        "<bob> two",
        "* in lobby (2): ann, bob",
        "<ann> three",
        "* you are now in tea, with nobody else",
        "<ann> four",
    ]
    talk.assert_account_balances(ann, bob)


@pytest.mark.promise("chat-rooms")
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["hello", "/join tea", "/join den", "/leave", "/who", "/msg guest-1 psst"]),
            st.integers(0, 60),
        ),
        max_size=25,
    )
)
def test_walking_about_loses_nothing_and_the_account_balances(steps: list[tuple[int, str, int]]) -> None:
    talk = Talk(history=3)
    people = [talk.join() for _ in range(3)]
    for who, line, taken in steps:
        talk.say(people[who], line)
        for client in people:
            take(client.outbox, taken)
        talk.assert_account_balances(*people)
    for client in people:
        talk.heard(client)
    assert all(client.outbox.is_empty for client in people)
    talk.assert_account_balances()


def test_write_only_client_is_obeyed_and_owed_nothing() -> None:
    talk = Talk()
    ann, meter = talk.join("ann"), talk.come("write-only")
    talk.say(meter, "/nick meter", "12 C", "/join tea", "13 C", "/who")
    assert talk.heard(ann) == ["* guest-2 joined; guest-2 is now meter", "<meter> 12 C", "* meter left"]
    assert meter.outbox.is_empty and meter.room is not None
    talk.say(ann, "/join tea")
    assert talk.heard(ann)[2:] == ["<meter> 13 C", "* end of history", "* ann joined"]
    talk.assert_account_balances(ann, meter)


# Whispering.


def test_whisper_reaches_its_target_in_any_room_and_the_sender() -> None:
    talk = Talk(announce=0)
    ann, bob, cy = talk.join("ann"), talk.join("bob"), talk.join("cy")
    talk.say(bob, "/join tea")
    talk.heard(bob)
    talk.say(ann, "/msg BOB  two  blanks")
    assert talk.heard(bob) == ["<ann to you> two  blanks"]
    assert talk.heard(ann) == ["<you to bob> two  blanks"]
    assert talk.heard(cy) == []
    assert talk.account.owed == talk.account.delivered > 0


@pytest.mark.promise("chat-whisper")
@pytest.mark.parametrize("why", ["write-only", "full"])
def test_whisper_to_a_client_that_does_not_read_is_refused(why: str) -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, outbox_bytes=1000), announce=0)
    ann, bob = talk.join("ann"), talk.come("line" if why == "full" else "write-only")
    receive_all(bob.outbox)
    if why == "full":
        talk.ready.put(bob, b"x" * 1000 + b"\n")
    before = list(bob.outbox.items)
    talk.say(ann, "/msg guest-2 hello")
    assert list(bob.outbox.items) == before
    assert talk.heard(ann) == ["* guest-2 is not reading now; nothing was sent"]


# The share of a turn.


def test_turn_takes_only_so_many_lines_of_one_client() -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, client_lines=3))
    ann = talk.join("ann")
    talk.say(ann, *"abcde")
    assert talk.heard(ann) == ["<ann> a", "<ann> b", "<ann> c"]
    assert ann.inbox.waiting == 2
    talk.chat.lines(ann, 1)
    assert ann.inbox.waiting == 1
    talk.say(ann)
    assert talk.heard(ann) == ["<ann> d", "<ann> e"]


def test_command_weighs_more_than_a_line_in_a_turn() -> None:
    intake = Intake(room_bytes=1 << 17, client_lines=10, command_lines=4, line_bytes=100)
    talk = Talk(intake=intake)
    ann = talk.join("ann")
    talk.budget.left = 5000
    talk.take_lines(ann, "one", "/who", "two", "/who", "three", "four")
    assert (ann.inbox.waiting, talk.budget.left) == (2, 4000), "1 + 4 + 1 + 4 lines"
    talk.chat.lines(ann)
    assert (ann.inbox.waiting, talk.budget.left) == (0, 3800)


def test_turn_takes_only_so_much_into_one_room_but_one_line() -> None:
    talk = Talk(intake=Intake(room_bytes=40), announce=0)
    ann, room = talk.join("ann"), talk.rooms.lobby
    talk.say(ann, "x" * 100, "next")
    assert talk.heard(ann) == [f"<ann> {'x' * 100}"]
    room.log.intake = 0
    talk.chat.lines(ann)
    assert not ann.inbox.has_lines


def test_unread_answers_stop_the_commands() -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, outbox_bytes=2000))
    ann = talk.join("ann")
    talk.say(ann, *["/help"] * 500)
    assert ann.inbox.has_lines
    one_answer = len(ann.outbox.items[0].data)
    assert 2000 < ann.outbox.item_bytes <= 2000 + one_answer


def test_lines_behind_a_quit_are_not_taken() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "before", "/quit", "after")
    assert ann.close.reason is CloseReason.QUIT
    assert talk.heard(bob) == ["<ann> before"]


def test_lines_of_a_dead_client_are_said_its_commands_ignored() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    ann.ending.peer_error = CloseReason.PEER_RESET
    talk.say(ann, "before", "/quit", "after")
    assert ann.close.reason is None
    assert talk.heard(bob) == ["<ann> before", "<ann> after"]


# Many lines at once.


def test_lines_taken_at_once_are_said_as_those_taken_one_by_one() -> None:
    lines = [
        "one",
        "two",
        "/me waves",
        "three",
        "",
        " ",
        "\tfour",
        "caf\u00e9",
        "//five",
        "six\x1b[2J",
        "/nick x",
        "7",
    ]
    heard, kept = [], []
    for turns in ([lines], [[line] for line in lines]):
        talk = Talk(history=5, announce=0)
        ann, bob = talk.join("ann"), talk.join("bob")
        for turn in turns:
            talk.say(ann, *turn)
        heard.append([talk.heard(bob), talk.heard(ann)])
        kept.append([said[:3] for said in talk.rooms.lobby.history.last(5, 1000)])
    assert heard[0] == heard[1] and kept[0] == kept[1]
    assert [line for line in heard[0][0] if not line.startswith("* ")] == [
        *("<ann> one", "<ann> two", "<ann> *waves*", "<ann> three", "<ann> \tfour", "<ann> caf\u00e9"),
        *("<ann> /five", "<ann> six\ufffd[2J", "<x> 7"),
    ]


def test_lines_taken_at_once_stop_where_the_room_is_full() -> None:
    taken = []
    for most in (1, 100):
        talk = Talk(intake=Intake(room_bytes=150), announce=0)
        ann = talk.join("ann")
        ann.inbox.receive([b"0123456789"] * 20)
        talk.rooms.lobby.log.intake, before = 0, -1
        while before != (before := ann.inbox.waiting):
            talk.chat.lines(ann, most)
        taken.append(20 - ann.inbox.waiting)
    assert taken == [9, 9]
