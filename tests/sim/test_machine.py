"""Some forty deeds in any order on a simulated network, held against a model.

After each deed everything comes to rest, and then: every client that reads has heard exactly what the model
says, every other one the beginning of it; who has ended did so for the reason that the model gives; and every
check of checks.py held after every turn on the way.

`pytest tests/sim/test_machine.py -m long --hypothesis-seed=N` repeats a long run whose seed was printed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from tests.sim.model import Model
from tests.sim.nets import LINE, VIEWER, WEBSOCKET, WIDE, SimNet, in_order
from tests.support import PAIRS
from tests.unit.protocol.support import close, masked, more, text

IDLE_S = 30.0
MAX_LINE = 200
CLEAR_S = 0.1
"""A deadline as near as this to the end of a wait would be on either side of it."""
MOST_CLIENTS = 8
WORDS = st.text("abc .", min_size=1, max_size=12).filter(lambda words: not words.startswith("/"))
PIPES = st.sampled_from([WIDE, WIDE, (300, 65536, 50), (40, 30, 1), (65536, 7, 65536)])
KINDS = st.sampled_from([LINE, LINE, WEBSOCKET, VIEWER])
WHO = st.integers(0, 1000)


def one(*kinds: int, **given: Any) -> Callable[[Any], Any]:
    """A rule of a client that is open, perhaps of some kinds only; then all comes to rest."""

    def decorate(deed: Callable[..., None]) -> Any:
        def do(self: Hubs, who: int, **drawn: Any) -> None:
            if (key := self.pick(who, *kinds)) is not None:
                deed(self, key, **drawn)
                self.rest()

        do.__name__ = deed.__name__
        return rule(who=WHO, **given)(do)

    return decorate


def a_command(*lines: str) -> Any:
    """A rule: somebody types one of these."""

    def types(self: Hubs, key: int, line: str) -> None:
        if self.model.mode == "chat":
            if self.model.people[key].unfinished:
                self.send(key, "\n")
            self.send(key, line + "\n")

    return one(LINE, WEBSOCKET, line=st.sampled_from(lines))(types)


class Hubs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.net: Any = None

    @initialize(pair=st.sampled_from(PAIRS), mode=st.sampled_from(["chat", "chat", "chat", "broadcast"]),
                kept=st.sampled_from([(1000, 50), (0, 50), (3, 0)]),
                first=st.lists(KINDS, min_size=2, max_size=4), together=st.booleans())  # fmt: skip
    def a_hub(
        self, pair: tuple[str, str], mode: str, kept: tuple[int, int], first: list[int], together: bool
    ) -> None:
        history, announce = kept
        self.net = SimNet(
            *pair, mode, history=history, announce=announce, idle_timeout_s=IDLE_S, idle_warning_s=0.0,
            idle_counts="rx", idle_strategy="deadline", max_line_bytes=MAX_LINE, drain_s=10.0,
        )  # fmt: skip
        self.model = Model(mode, history=history, announce=announce, max_line=MAX_LINE, idle_s=IDLE_S)
        self.kinds: list[int] = []
        self.deaf: set[int] = set()
        """Clients that do not read, or whose link stands still."""
        self.still: set[int] = set()
        self.in_a_message: set[int] = set()
        self.cut_off: set[int] = set()
        """Clients that reset, vanished or were none: what they heard is not looked at."""
        self.refused: set[int] = set()
        self.watching: set[int] = set()
        """Viewers that sent their end of stream, and go on receiving."""
        for key, kind in enumerate(first):
            self.come(kind, WIDE)
            if mode == "chat" and kind != VIEWER:
                self.send(key, f"/nick {['ann', 'bob', 'cy', 'dee'][key]}\n")
                if together:
                    self.send(key, "/join attic\n")

    # Which client, and what is known of it.

    def pick(self, who: int, *kinds: int) -> int | None:
        """A client that is open, and whose link moves; where hardly any is left, another comes first."""
        if len(self.model.open()) < 2:
            self.come(kinds[0] if kinds else LINE, WIDE)
        able = [p.key for p in self.model.open() if p.key not in self.still | self.watching]
        able = [key for key in able if not kinds or self.kinds[key] in kinds]
        return able[who % len(able)] if able else None

    def write(self, key: int, data: bytes, words: str) -> None:
        self.net.write(key, data)
        self.model.sends(key, words, self.net.now)
        self.rest()

    def send(self, key: int, words: str) -> None:
        """Whole lines, each ended by a line feed; a browser sends them as one message."""
        if key in self.in_a_message:
            self.in_a_message.discard(key)
            self.write(key, more(b"", fin=True), "\n")
        is_frame = self.kinds[key] == WEBSOCKET
        self.write(key, text(words.removesuffix("\n")) if is_frame else words.encode(), words)

    def rest(self, seconds: float = 0.25) -> None:
        """Let it come to rest, with a look before and after each moment at which somebody will be idle."""
        end = self.net.now + seconds
        while (due := self.model.next_end()) < end + CLEAR_S:
            if due - CLEAR_S > self.net.now:
                self.net.run(due - CLEAR_S - self.net.now)
                self.look()
            self.net.run(max(due + CLEAR_S - self.net.now, 0.001))
            self.model.time_is(self.net.now)
            self.look()
            end = max(end, self.net.now)
        self.net.run(max(end - self.net.now, 0.001))
        self.look()

    # What must be so.

    def look(self) -> None:
        ends = self.net.ends()
        for key, reason in ends.items():
            if key in self.deaf and reason in ("slow_consumer", "peer_timeout"):
                self.model.ends(key, reason)
                self.model.ended[key] = reason
        expected = self.model.ended | dict.fromkeys(self.refused, "server_full")
        for key in {key for key, reason in ends.items() if reason == "silent"} - self.net.wrote:
            if expected.get(key) in ("peer_closed", "peer_reset"):
                expected[key] = "silent"
        assert ends == {
            key: reason for key, reason in expected.items() if key in ends or key not in self.deaf
        }
        for key, person in self.model.people.items():
            if key in self.cut_off:
                continue
            wanted = in_order(person.heard)
            heard = self.net.heard(key)
            if key in self.deaf:
                assert in_order(person.heard[: len(heard)]) == heard
            else:
                assert heard == wanted, f"client {key} heard {heard}\nin place of {wanted}"

    def teardown(self) -> None:
        if self.net is None:
            return
        self.net.world.end()
        left = {person.key for person in self.model.open()} - self.deaf
        assert {self.net.ends()[key] for key in left} <= {"server_shutdown"}

    # Coming.

    def come(self, which: int, pipe: tuple[int, int, int]) -> None:
        is_full = self.is_full
        key = self.net.connect(which, pipe)
        self.kinds.append(which)
        if is_full:
            self.refused.add(key)
        else:
            self.model.joins(key, key + 1, self.net.now, listens_only=which == VIEWER)
        self.rest()

    @property
    def is_full(self) -> bool:
        kernel = self.net.world.kernel
        return len(kernel.fds) >= kernel.most_descriptors

    @property
    def has_room(self) -> bool:
        return len(self.model.open()) < MOST_CLIENTS

    @precondition(lambda self: self.has_room)
    @rule(which=KINDS, pipe=PIPES)
    def somebody_comes(self, which: int, pipe: tuple[int, int, int]) -> None:
        self.come(which, pipe)

    @precondition(lambda self: self.has_room)
    @rule()
    def a_browser_comes_to_the_wrong_port(self) -> None:
        if self.is_full:
            return
        key = self.net.connect(LINE, WIDE)
        self.kinds.append(LINE)
        self.cut_off.add(key)
        self.net.peer(key).follower.refused = True
        self.net.write(key, b"GET / HTTP/1.1\r\n\r\n")
        self.model.ended[key] = "wrong_protocol"
        self.rest()

    # Talking.

    @one(words=WORDS)
    def says_a_line(self, key: int, words: str) -> None:
        self.send(key, words + "\n")

    @one(lines=st.lists(WORDS, min_size=2, max_size=6))
    def says_several_lines(self, key: int, lines: list[str]) -> None:
        self.send(key, "".join(f"{line}\n" for line in lines))

    @one(words=WORDS)
    def says_a_part_of_a_line(self, key: int, words: str) -> None:
        if self.kinds[key] == WEBSOCKET:
            begun = key in self.in_a_message
            self.in_a_message.add(key)
            self.write(key, more(words.encode(), fin=False) if begun else text(words, fin=False), words)
        else:
            self.write(key, words.encode(), words)

    @one()
    def says_an_empty_line(self, key: int) -> None:
        self.send(key, "\n")

    @one(LINE, VIEWER, words=WORDS)
    def ends_a_line_with_both(self, key: int, words: str) -> None:
        self.write(key, f"{words}\r\n".encode(), f"{words}\n")

    @one(words=WORDS)
    def says_a_slash(self, key: int, words: str) -> None:
        if not self.model.people[key].unfinished:
            self.send(key, f"//{words}\n")

    @one(LINE, VIEWER)
    def asks_whether_somebody_is_there(self, key: int) -> None:
        self.net.write(key, b"\xff\xf6")
        self.model.people[key].heard.append("* yes, hubbub is here")

    @one(LINE, VIEWER, option=st.integers(0, 40))
    def negotiates(self, key: int, option: int) -> None:
        self.net.write(key, bytes([0xFF, 0xFD, option]))

    @one(WEBSOCKET)
    def pings(self, key: int) -> None:
        self.net.write(key, masked(9, b"hi"))

    takes_a_nick = a_command("/nick ann", "/nick bob", "/nick cy", "/nick Ann")
    goes_to_a_room = a_command("/join attic", "/join cellar")
    goes_back_to_the_lobby = a_command("/leave")
    does_something = a_command("/me waves", "/me sings a song")
    asks_who_is_there = a_command("/who")
    asks_for_the_rooms = a_command("/rooms")
    whispers = a_command("/msg ann psst", "/msg bob psst", "/msg cy psst", "/msg Ann psst")
    asks_what_was_said = a_command("/history 1", "/history 2", "/history 50")
    quits = a_command("/quit")

    # Going.

    @one()
    def half_closes(self, key: int) -> None:
        self.net.peer(key).half_close()
        if self.kinds[key] == VIEWER:
            self.watching.add(key)
        elif self.kinds[key] == WEBSOCKET:
            self.model.ends(key, "peer_closed")
        else:
            self.model.closes(key)

    @one(WEBSOCKET)
    def says_goodbye(self, key: int) -> None:
        self.net.write(key, close(1000))
        self.model.ends(key, "peer_closed")

    @one()
    def resets(self, key: int) -> None:
        self.cut_off.add(key)
        self.net.peer(key).reset()
        self.model.ends(key, "peer_reset")

    @one(LINE)
    def says_too_much(self, key: int) -> None:
        self.write(key, b"x" * (MAX_LINE + 1), "x" * (MAX_LINE + 1))

    @one()
    def breaks_the_rules(self, key: int) -> None:
        is_frame = self.kinds[key] == WEBSOCKET
        self.net.write(key, masked(3, b"") if is_frame else b"\xff\xfa\x18" + b"x" * 300)
        self.model.ends(key, "protocol_error")

    # Time, and the page.

    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.rest(seconds)

    @precondition(lambda self: self.model.announce == 0)
    @rule(seconds=st.sampled_from([3.0, 70.0, 100.0]))
    def time_jumps(self, seconds: float) -> None:
        """Several may be idle at one moment: who hears of the others is not promised then."""
        while abs(self.net.now + seconds - self.model.next_end()) < CLEAR_S:
            seconds += 2 * CLEAR_S
        self.net.world.do(["jump", seconds])
        self.model.time_is(self.net.now)
        self.rest()

    @rule()
    def the_page_asks(self) -> None:
        assert self.net.ask() == len(self.model.open())

    # What only a simulated network can do.

    @one()
    def stops_reading(self, key: int) -> None:
        self.net.peer(key).greedy = False
        self.deaf.add(key)

    @rule(who=WHO, size=st.sampled_from([1, 30, 1000]))
    def reads_a_little(self, who: int, size: int) -> None:
        if self.deaf:
            self.net.peer(sorted(self.deaf)[who % len(self.deaf)]).read(size)
            self.rest()

    @rule(who=WHO)
    def reads_on(self, who: int) -> None:
        for key in sorted(self.deaf - self.still)[who % 3 :][:1]:
            self.net.peer(key).greedy = True
            self.hears_again(key)

    @one(window=st.sampled_from([1, 50]))
    def its_window_shrinks(self, key: int, window: int) -> None:
        self.net.peer(key).remote.capacity = window

    @one()
    def its_pipe_grows(self, key: int) -> None:
        self.net.peer(key).tcp.widen()

    @one()
    def its_link_stands_still(self, key: int) -> None:
        self.net.peer(key).stall(True)
        self.still.add(key)
        self.deaf.add(key)

    @rule(who=WHO)
    def its_link_moves_again(self, who: int) -> None:
        for key in sorted(self.still)[who % 3 :][:1]:
            self.still.discard(key)
            self.net.peer(key).stall(False)
            self.hears_again(key)

    def hears_again(self, key: int) -> None:
        self.rest(2.0)
        if key not in self.model.ended and self.net.peer(key).greedy:
            self.deaf.discard(key)
        self.look()

    @rule()
    def no_descriptor_is_left(self) -> None:
        self.net.world.do(["limit", len(self.net.world.kernel.fds)])

    @rule()
    def there_are_descriptors_again(self) -> None:
        self.net.world.do(["limit", 1 << 20])


FAILING_S = 900
"""What fails is made short first, for up to five minutes: a timeout meanwhile would tell nothing of it."""
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
"""All but the explanation, which traces every line that runs: here it takes minutes and explains nothing."""
QUICK = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True, phases=PHASES,
                 suppress_health_check=list(HealthCheck))  # fmt: skip
LONG = settings(QUICK, max_examples=1000, derandomize=False, print_blob=True)


@pytest.mark.promise("order-model")
@pytest.mark.timeout(FAILING_S)
@pytest.mark.parametrize("how", [QUICK, pytest.param(LONG, marks=pytest.mark.long)], ids=["quick", "long"])
def test_deeds_in_any_order_give_what_the_model_says(how: settings) -> None:
    run(Hubs, settings=how)
