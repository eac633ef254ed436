"""Chat without a socket: clients made by hand, their lines put into their backlog, their output read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.close_reasons import CloseReason
from hub.control.snapshots import Summary
from hub.loop.counters import queued_bytes, summary
from hub.modes.chat import Chat, announcement
from hub.modes.queries import Facts
from hub.modes.relay import Intake
from hub.modes.sanitize import NameRefused
from hub.rooms.accounting import Account
from hub.rooms.outbox import next_parts, rest_for, take
from hub.rooms.room import Rooms
from hub.session.client import Client
from hub.session.ready_sets import Marks
from tests.hub.test_client import a_client
from tests.hub.test_delivery import a_hub


class Talk:
    """A chat, and the little of a turn that it needs: take lines, announce, seal, hand everything over."""

    def __init__(
        self,
        *,
        history: int = 20,
        announce: int = 50,
        greeting: str = "",
        notices: bool = True,
        max_rooms: int = 10,
        intake: Intake | None = None,
    ) -> None:
        self.account, self.marks = Account(), Marks()
        self.rooms = Rooms(self.account, max_rooms)
        self.chat = Chat(
            self.rooms,
            self.marks,
            intake or Intake(room_bytes=1 << 17),
            history=history,
            history_bytes=1 << 18,
            announce=announce,
            greeting=greeting,
            notices=notices,
            facts=Facts(lambda: self.now_s, self._totals),
        )
        self.now_s = 0.0
        self._next_id = 1

    def join(self, nick: str = "", *, quiet: bool = True) -> Client:
        """Somebody comes; `quiet` takes the greeting and the announcements away."""
        client = a_client(self._next_id)
        self._next_id += 1
        self.chat.joined(client)
        if nick:
            self.chat.rename(client, nick)
        if quiet:
            self.turn()
            for member in (client, *self.rooms.lobby.members.values()):
                self.heard(member)
        return client

    def say(self, client: Client, *lines: str | bytes) -> None:
        """A turn in which this client's lines are taken."""
        client.backlog = [line.encode() if isinstance(line, str) else line for line in lines]
        client.backlog_at = 0
        self.chat.lines(client)
        self.turn()

    def turn(self) -> None:
        """What the loop does between reading and sending."""
        for room in self.marks.noted:
            notes, room.notes = room.notes, []
            room.append(announcement(notes), speaker=0)
        self.marks.noted.clear()
        for room in self.rooms.all():
            room.seal()

    def heard(self, client: Client) -> list[str]:
        """The lines that have come to this client since it was last asked."""
        got = b""
        while parts := next_parts(client):
            wire = b"".join(part.wire for part in parts)
            take(client, parts, len(wire), self.account)
            got += wire
        return got.decode().splitlines()

    def _totals(self) -> Summary:
        with a_hub() as hub:
            return summary(hub, self.now_s)

    def assert_books_balance(self, *clients: Client) -> None:
        """Nothing that was owed is missing, where nobody ended."""
        books = self.account
        assert books.owed + books.replayed == books.delivered + queued_bytes(clients)


# Coming and going.


def test_a_guest_is_named_greeted_and_put_into_the_lobby() -> None:
    talk = Talk()
    ann = talk.join(quiet=False)
    talk.turn()
    assert talk.heard(ann) == [
        "* welcome to hubbub - you are guest-1 in lobby, with nobody else; /help lists commands",
        "* guest-1 joined",
    ]
    assert ann.room is talk.rooms.lobby
    assert talk.chat.find("GUEST-1") is ann


@pytest.mark.parametrize(("there", "company"), [(1, "with 1 other;"), (2, "with 2 others;")])
def test_the_greeting_counts_the_others(there: int, company: str) -> None:
    talk = Talk(greeting="hello at the harbour")
    for _ in range(there):
        talk.join()
    late = talk.join(quiet=False)
    greeting = talk.heard(late)[0]
    assert greeting.startswith(f"* hello at the harbour - you are {late.nick} in lobby, ")
    assert company in greeting


@pytest.mark.promise("lines-no-notices")
def test_without_notices_the_hub_says_nothing_of_its_own() -> None:
    talk = Talk(notices=False)
    ann, bob = talk.join(quiet=False), talk.join(quiet=False)
    talk.say(ann, "/nick ann", "/who", "/nothing", "/join tea", "/leave", "hello")
    assert talk.heard(bob) == ["<ann> hello"]
    assert talk.heard(ann) == ["<ann> hello"]


def test_history_comes_with_the_room() -> None:
    talk = Talk(history=2, announce=0)
    ann = talk.join("ann")
    talk.say(ann, "one", "two", "three")
    bob = talk.join(quiet=False)
    assert talk.heard(bob)[1:] == ["<ann> two", "<ann> three"]


@pytest.mark.promise("close-leaves-room")
def test_who_has_left_is_out_of_its_room_and_its_nick_is_free() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.chat.left(ann)
    talk.turn()
    assert talk.heard(bob) == ["* ann left"]
    assert ann.room is None
    talk.say(bob, "/nick ann")
    assert bob.nick == "ann"


# Talking.


def test_everyone_in_the_room_sees_the_line_with_the_nick_the_sender_too() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "hello", "bob")
    assert talk.heard(ann) == talk.heard(bob) == ["<ann> hello", "<ann> bob"]


@pytest.mark.promise("chat-me")
def test_a_line_that_starts_with_two_slashes_is_said_with_one() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "//quit", "// a comment", "///")
    assert talk.heard(ann) == ["<ann> /quit", "<ann> / a comment", "<ann> //"]
    assert ann.reason is None


def test_an_empty_line_says_nothing() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "", "hello")
    assert talk.heard(ann) == ["<ann> hello"]


def test_rooms_do_not_hear_one_another() -> None:
    talk = Talk(announce=0)
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join tea", "in the room")
    talk.say(bob, "in the lobby")
    assert talk.heard(ann) == ["* you are now in tea, with nobody else", "<ann> in the room"]
    assert talk.heard(bob) == ["<bob> in the lobby"]


@pytest.mark.promise("chat-clean")
@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b"\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        (b"over\rwritten", "over\ufffdwritten"),
        (b"\xc2\x9b2J", "\ufffd2J"),
        (b"\xff\xfe\x00", "\ufffd\ufffd\ufffd"),
        ("turned \u202eround".encode(), "turned \ufffdround"),
        ("a\u2028* bye reason=idle".encode(), "a\ufffd* bye reason=idle"),
        ("Grüße, שלום, 你好, 👩‍👩‍👧".encode(), "Grüße, שלום, 你好, 👩‍👩‍👧"),
    ],
)
@pytest.mark.parametrize("way", ["said", "whispered"])
def test_hostile_text_is_cleaned_and_ordinary_text_is_not(said: bytes, seen: str, way: str) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, said if way == "said" else b"/msg bob " + said)
    assert talk.heard(bob) == [f"<ann> {seen}" if way == "said" else f"<ann to you> {seen}"]


@pytest.mark.promise("chat-clean")
@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=6))
def test_no_bytes_of_a_client_reach_anybody_uncleaned(lines: list[bytes]) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, *lines, *[b"/" + line for line in lines], *[b"/msg bob " + line for line in lines])
    for client in (ann, bob):
        wire = b"".join(part.wire for part in next_parts(client)).decode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", wire)
        mark = r"\* |<(ann|guest-1)> |<(ann|guest-1) to you> |<you to \w+> "
        assert all(re.match(mark, line) for line in wire.split("\n")[:-1])


@pytest.mark.promise("chat-no-forgery")
def test_nobody_can_write_a_line_of_the_hub_or_of_somebody_else() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "* bye reason=idle", "<bob> I am a fool")
    assert talk.heard(bob) == ["<ann> * bye reason=idle", "<ann> <bob> I am a fool"]


# Nicks.


@pytest.mark.parametrize("nick", ["ann", "Ann", "ÅNN-3", "x" * 32, "李雷", "a_b.c"])
def test_a_plain_name_of_any_script_is_a_nick(nick: str) -> None:
    talk = Talk()
    client = talk.join()
    talk.chat.rename(client, nick)
    talk.say(client, "hello")
    assert f"<{nick}> hello" in talk.heard(client)


@pytest.mark.parametrize(
    "nick",
    ["", "x" * 33, "two words", "a<b", "*", "-ann", "ann\u200b", "a\u0430", "q\u0301\u0301\u0301", "/quit"],
)
def test_what_is_no_name_is_refused_and_the_old_nick_stays(nick: str) -> None:
    talk = Talk()
    ann = talk.join("ann")
    with pytest.raises(NameRefused):
        talk.chat.rename(ann, nick)
    assert ann.nick == "ann"
    assert talk.chat.find("ann") is ann


@pytest.mark.promise("chat-no-forgery")
@pytest.mark.parametrize("nick", ["guest-1", "Guest-99", "ＧＵＥＳＴ-7", "hubbub", "HUBBUB", "You"])
def test_names_that_the_hub_uses_itself_are_reserved(nick: str) -> None:
    talk = Talk()
    talk.join()
    other = talk.join()
    with pytest.raises(NameRefused, match="kept for the hub"):
        talk.chat.rename(other, nick)


@pytest.mark.promise("chat-no-forgery")
@pytest.mark.parametrize("name", ["hubbub", "you", "guest-7"])
def test_a_name_that_is_kept_from_people_may_be_a_room(name: str) -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, f"/join {name}", "hello")
    assert ann.room is not None and ann.room.name == name
    assert talk.heard(ann)[:2] == [f"* you are now in {name}, with nobody else", "<ann> hello"]


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize("nick", ["ann", "ANN", "Ａｎｎ"])
def test_a_nick_is_taken_whatever_its_case_or_width(nick: str) -> None:
    talk = Talk()
    talk.join("ann")
    other = talk.join("bob")
    with pytest.raises(NameRefused, match="is taken"):
        talk.chat.rename(other, nick)
    assert other.nick == "bob"


def test_ones_own_nick_may_change_its_case() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/nick Ann")
    assert ann.nick == "Ann"
    assert talk.chat.find("ann") is ann


def test_the_old_nick_is_free_at_once() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/nick anna")
    talk.say(bob, "/nick ann")
    assert (ann.nick, bob.nick) == ("anna", "ann")
    assert talk.chat.find("ann") is bob


def test_lines_said_before_a_change_of_nick_keep_the_old_one() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "one", "/nick anna", "two")
    assert talk.heard(bob) == ["<ann> one", "<anna> two", "* ann is now anna"]


# Announcements.


@pytest.mark.promise("chat-announce")
def test_the_announcements_of_a_turn_are_one_line() -> None:
    talk = Talk()
    ann = talk.join("ann")
    bob, cy = talk.join("bob"), talk.join("cy")
    talk.heard(ann)
    for name in ("dan", "eve"):
        talk.chat.rename(talk.join(quiet=False), name)
    talk.chat.left(bob)
    talk.chat.left(cy)
    talk.turn()
    assert talk.heard(ann) == [
        "* guest-4, guest-5 joined; guest-4 is now dan; guest-5 is now eve; bob, cy left"
    ]


def test_announcements_are_no_talk_and_keep_nobody_alive() -> None:
    talk = Talk()
    talk.join(quiet=False)
    talk.turn()
    assert [chunk.talk for chunk in talk.rooms.lobby.chunks] == [False]


@pytest.mark.promise("chat-announce")
def test_only_small_rooms_announce() -> None:
    talk = Talk(announce=3)
    people = [talk.join(quiet=False) for _ in range(3)]
    talk.turn()
    assert {talk.heard(client)[-1] for client in people} == {"* guest-1, guest-2, guest-3 joined"}
    talk.join(quiet=False)
    talk.turn()
    assert talk.heard(people[0]) == []
    talk.say(people[0], "/nick ann")
    assert talk.heard(people[1]) == []
    talk.chat.left(people[0])
    talk.turn()
    assert talk.heard(people[1]) == ["* ann left"], "with three of them it is small again"


def test_none_announces_where_the_limit_is_0() -> None:
    talk = Talk(announce=0)
    ann = talk.join(quiet=False)
    talk.say(ann, "/nick ann", "/join tea", "/leave")
    assert not talk.marks.noted
    assert [line for line in talk.heard(ann) if "joined" in line or "left" in line] == []


@pytest.mark.promise("chat-announce")
def test_a_long_announcement_names_twenty_and_counts_the_rest() -> None:
    line = announcement([(f"guest-{number}", "joined") for number in range(50)]).decode()
    assert line.startswith("* guest-0, guest-1, ")
    assert line.endswith(", guest-19 and 30 more joined")


# Rooms.


def test_going_to_a_room_makes_it_and_leaving_goes_back_to_the_lobby() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/join Tea")
    assert ann.room is not None
    assert ann.room.name == "Tea"
    assert talk.heard(ann) == ["* you are now in Tea, with nobody else", "* ann joined"]
    talk.say(ann, "/leave")
    assert ann.room is talk.rooms.lobby


def test_a_room_is_the_same_whatever_the_case_of_its_name() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join Tea")
    talk.say(bob, "/join TEA")
    assert ann.room is bob.room
    talk.say(bob, "/join tea")
    assert talk.heard(bob)[-1] == "* you are in Tea already"


def test_a_room_tells_who_came_and_who_went() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "/join tea")
    assert talk.heard(bob) == ["* ann left"]
    talk.heard(ann)
    talk.say(bob, "/join tea")
    assert talk.heard(ann) == ["* bob joined"]


@pytest.mark.promise("chat-room-limit")
def test_an_empty_room_goes_with_its_last_member_and_the_lobby_stays() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/join tea")
    assert len(talk.rooms) == 2
    talk.say(ann, "/join den")
    assert [room.name for room in talk.rooms.all()] == ["lobby", "den"]
    talk.chat.left(ann)
    assert talk.rooms.all() == [talk.rooms.lobby]


@pytest.mark.promise("chat-room-limit")
def test_past_the_limit_of_rooms_a_new_one_is_refused_and_one_stays_where_one_is() -> None:
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
    parts = next_parts(ann)
    take(ann, parts, 3, talk.account)
    talk.say(ann, "/who", "three", "/join tea", "four")
    assert talk.heard(ann) == [
        "b> one",
        "<bob> two",
        "* in lobby (2): ann, bob",
        "<ann> three",
        "* you are now in tea, with nobody else",
        "<ann> four",
    ]
    talk.assert_books_balance(ann, bob)


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
def test_walking_about_loses_nothing_and_the_books_balance(steps: list[tuple[int, str, int]]) -> None:
    talk = Talk(history=3)
    people = [talk.join() for _ in range(3)]
    for who, line, taken in steps:
        talk.say(people[who], line)
        for client in people:
            parts = next_parts(client)
            take(client, parts, min(taken, sum(len(part.wire) for part in parts)), talk.account)
        talk.assert_books_balance(*people)
    for client in people:
        talk.heard(client)
    assert all(client.owes_nothing for client in people)
    talk.assert_books_balance()


def test_a_feed_that_changes_rooms_is_owed_nothing_there() -> None:
    """Deaf as Pacing.stop_hearing leaves it: a feed, which is still read."""
    talk = Talk(announce=0)
    feed = talk.join("feed")
    feed.deaf = True
    talk.rooms.lobby.stop_hearing(feed)
    talk.say(feed, "/join tea", "said by the feed")
    assert rest_for(feed) == feed.private
    talk.assert_books_balance(feed)


# Whispering.


def test_a_message_to_one_person_reaches_that_one_and_the_sender_only() -> None:
    talk = Talk()
    ann, bob, cy = talk.join("ann"), talk.join("bob"), talk.join("cy")
    talk.say(ann, "/msg BOB  two  blanks")
    assert talk.heard(bob) == ["<ann to you> two  blanks"]
    assert talk.heard(ann) == ["<you to bob> two  blanks"]
    assert talk.heard(cy) == []


def test_a_message_finds_people_in_other_rooms() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(bob, "/join tea")
    talk.heard(bob)
    talk.say(ann, "/msg bob hello")
    assert talk.heard(bob) == ["<ann to you> hello"]


@pytest.mark.promise("chat-whisper")
@pytest.mark.parametrize("why", ["deaf", "full"])
def test_who_does_not_read_gets_no_messages_and_the_sender_is_told(why: str) -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, private_bytes=1000))
    ann, bob = talk.join("ann"), talk.join("bob")
    if why == "deaf":
        bob.deaf = True
    else:
        talk.marks.put(bob, b"x" * 1000 + b"\n")
    before = list(bob.private)
    talk.say(ann, "/msg bob hello")
    assert bob.private == before
    assert talk.heard(ann) == ["* bob is not reading now; nothing was sent"]


# The share of a turn.


def test_a_turn_takes_only_so_many_lines_of_one_client() -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, client_lines=3))
    ann = talk.join("ann")
    talk.say(ann, *"abcde")
    assert talk.heard(ann) == ["<ann> a", "<ann> b", "<ann> c"]
    assert ann.has_backlog
    talk.chat.lines(ann)
    talk.turn()
    assert talk.heard(ann) == ["<ann> d", "<ann> e"]


def test_a_command_weighs_more_than_a_line_and_both_count_against_the_turn() -> None:
    intake = Intake(room_bytes=1 << 17, client_lines=10, command_lines=4, line_bytes=100)
    talk = Talk(intake=intake)
    ann = talk.join("ann")
    ann.backlog, ann.backlog_at = [b"one", b"/who", b"two", b"/who", b"three", b"four"], 0
    assert talk.chat.lines(ann) == 1000
    assert ann.backlog_at == 4, "1 + 4 + 1 + 4 lines"
    assert talk.chat.lines(ann) == 200
    assert not ann.has_backlog


def test_a_turn_takes_only_so_much_into_one_room_but_always_one_line() -> None:
    talk = Talk(intake=Intake(room_bytes=40), announce=0)
    ann = talk.join("ann")
    room = talk.rooms.lobby
    room.intake = 0
    talk.say(ann, "x" * 100, "next")
    assert talk.heard(ann) == [f"<ann> {'x' * 100}"]
    room.intake = 0
    talk.chat.lines(ann)
    assert not ann.has_backlog


def test_answers_that_nobody_reads_stop_the_commands() -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, private_bytes=2000))
    ann = talk.join("ann")
    talk.say(ann, *["/help"] * 500)
    assert ann.has_backlog
    one_answer = len(ann.private[0].data)
    assert 2000 < ann.private_bytes <= 2000 + one_answer


def test_nothing_more_is_taken_of_a_client_that_has_a_reason() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(ann, "before", "/quit", "after")
    assert ann.reason is CloseReason.QUIT
    assert talk.heard(bob) == ["<ann> before"]
