"""Some thirty deeds in any order, on a simulated network and on real sockets, held against a model.

After each deed everything comes to rest, and then: every client that reads has heard exactly what the model
says, every other one the beginning of it; who has ended did so for the reason that the model gives; and on
the simulated network every check of checks.py held after every turn on the way.

`pytest tests/sim/test_machine.py -m long --hypothesis-seed=N` repeats a long run whose seed was printed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.sim.model import Model
from tests.sim.nets import LINE, VIEWER, WEBSOCKET, WIDE, RealNet, SimNet, in_order
from tests.support import PAIRS, until
from tests.unit.protocol.support import close, masked, more, text

IDLE_S = 30.0
MAX_LINE = 200
CLEAR_S = 0.1
"""A deadline as near as this to the end of a wait would be on either side of it."""
MOST_CLIENTS = 8
NAMES = st.sampled_from(["ann", "bob", "cy", "Ann"])
ROOMS = st.sampled_from(["attic", "cellar"])
WORDS = st.text("abc .", min_size=1, max_size=12).filter(lambda words: not words.startswith("/"))
PIPES = st.sampled_from([WIDE, WIDE, (300, 65536, 50), (40, 30, 1), (65536, 7, 65536)])
KINDS = st.sampled_from([LINE, LINE, WEBSOCKET, VIEWER])
WHO = st.integers(0, 1000)


class Hubs(RuleBasedStateMachine):
    """A hub, its clients, and the model of both."""

    net_of: ClassVar[Any] = SimNet

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
        self.net = self.net_of(
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

    def send(self, key: int, words: str) -> None:
        """Whole lines, each ended by a line feed; a browser sends them as one message."""
        if key in self.in_a_message:
            self.end_a_message(key)
        if self.kinds[key] == WEBSOCKET:
            self.net.write(key, text(words.removesuffix("\n")))
        else:
            self.net.write(key, words.encode())
        self.model.sends(key, words, self.net.now)
        self.rest()

    def command(self, who: int, words: str) -> None:
        key = self.pick(who, LINE, WEBSOCKET)
        if key is not None and self.model.mode == "chat":
            if self.model.people[key].unfinished:
                self.send(key, "\n")
            self.send(key, words + "\n")

    def end_a_message(self, key: int) -> None:
        self.in_a_message.discard(key)
        self.net.write(key, more(b"", fin=True))
        self.model.sends(key, "\n", self.net.now)
        self.rest()

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
            elif heard != wanted:
                until(lambda key=key, wanted=wanted: self._has_heard(key, wanted), 4.0)

    def _has_heard(self, key: int, wanted: list[str]) -> bool:
        heard = self.net.heard(key)
        if heard != wanted and isinstance(self.net, SimNet):
            raise AssertionError(f"client {key} heard {heard}\nin place of {wanted}")
        return heard == wanted

    def teardown(self) -> None:
        if self.net is None:
            return
        try:
            self.net.drain()
            left = {person.key for person in self.model.open()} - self.deaf
            assert {self.net.ends()[key] for key in left} <= {"server_shutdown"}
        finally:
            self.net.close()

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
        return isinstance(self.net, SimNet) and len(self.net.world.kernel.fds) >= self.net.most_descriptors

    @property
    def has_room(self) -> bool:
        return self.net is not None and len(self.model.open()) < MOST_CLIENTS

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
        self.net.is_stranger(key)
        self.net.write(key, b"GET / HTTP/1.1\r\n\r\n")
        self.model.ended[key] = "wrong_protocol"
        self.rest()

    # Talking.

    @rule(who=WHO, words=WORDS)
    def says_a_line(self, who: int, words: str) -> None:
        if (key := self.pick(who)) is not None:
            self.send(key, words + "\n")

    @rule(who=WHO, lines=st.lists(WORDS, min_size=2, max_size=6))
    def says_several_lines(self, who: int, lines: list[str]) -> None:
        if (key := self.pick(who)) is not None:
            self.send(key, "".join(f"{line}\n" for line in lines))

    @rule(who=WHO, words=WORDS)
    def says_a_part_of_a_line(self, who: int, words: str) -> None:
        key = self.pick(who)
        if key is None:
            return
        if self.kinds[key] == WEBSOCKET:
            begun = key in self.in_a_message
            self.in_a_message.add(key)
            self.net.write(key, more(words.encode(), fin=False) if begun else text(words, fin=False))
        else:
            self.net.write(key, words.encode())
        self.model.sends(key, words, self.net.now)
        self.rest()

    @rule(who=WHO)
    def says_an_empty_line(self, who: int) -> None:
        if (key := self.pick(who)) is not None:
            self.send(key, "\n")

    @rule(who=WHO, words=WORDS)
    def ends_a_line_with_both(self, who: int, words: str) -> None:
        key = self.pick(who, LINE, VIEWER)
        if key is not None:
            self.net.write(key, f"{words}\r\n".encode())
            self.model.sends(key, f"{words}\n", self.net.now)
            self.rest()

    @rule(who=WHO, words=WORDS)
    def says_a_slash(self, who: int, words: str) -> None:
        key = self.pick(who)
        if key is not None and not self.model.people[key].unfinished:
            self.send(key, f"//{words}\n")

    @rule(who=WHO)
    def asks_whether_somebody_is_there(self, who: int) -> None:
        key = self.pick(who, LINE, VIEWER)
        if key is not None:
            self.net.write(key, b"\xff\xf6")
            self.model.people[key].heard.append("* yes, hubbub is here")
            self.rest()

    @rule(who=WHO, option=st.integers(0, 40))
    def negotiates(self, who: int, option: int) -> None:
        key = self.pick(who, LINE, VIEWER)
        if key is not None:
            self.net.write(key, bytes([0xFF, 0xFD, option]))
            self.rest()

    @rule(who=WHO)
    def pings(self, who: int) -> None:
        key = self.pick(who, WEBSOCKET)
        if key is not None:
            self.net.write(key, masked(9, b"hi"))
            self.rest()

    # Commands.

    @rule(who=WHO, name=NAMES)
    def takes_a_nick(self, who: int, name: str) -> None:
        self.command(who, f"/nick {name}")

    @rule(who=WHO, room=ROOMS)
    def goes_to_a_room(self, who: int, room: str) -> None:
        self.command(who, f"/join {room}")

    @rule(who=WHO)
    def goes_back_to_the_lobby(self, who: int) -> None:
        self.command(who, "/leave")

    @rule(who=WHO, what=st.sampled_from(["waves", "sings a song"]))
    def does_something(self, who: int, what: str) -> None:
        self.command(who, f"/me {what}")

    @rule(who=WHO)
    def asks_who_is_there(self, who: int) -> None:
        self.command(who, "/who")

    @rule(who=WHO)
    def asks_for_the_rooms(self, who: int) -> None:
        self.command(who, "/rooms")

    @rule(who=WHO, name=NAMES)
    def whispers(self, who: int, name: str) -> None:
        self.command(who, f"/msg {name} psst")

    @rule(who=WHO, count=st.sampled_from([1, 2, 50]))
    def asks_what_was_said(self, who: int, count: int) -> None:
        self.command(who, f"/history {count}")

    @rule(who=WHO)
    def quits(self, who: int) -> None:
        self.command(who, "/quit")

    # Going.

    @rule(who=WHO)
    def half_closes(self, who: int) -> None:
        key = self.pick(who)
        if key is not None:
            self.net.half_close(key)
            if self.kinds[key] == VIEWER:
                self.watching.add(key)
            elif self.kinds[key] == WEBSOCKET:
                self.model.ends(key, "peer_closed")
            else:
                self.model.closes(key)
            self.rest()

    @rule(who=WHO)
    def says_goodbye(self, who: int) -> None:
        key = self.pick(who, WEBSOCKET)
        if key is not None:
            self.net.write(key, close(1000))
            self.model.ends(key, "peer_closed")
            self.rest()

    @rule(who=WHO)
    def resets(self, who: int) -> None:
        key = self.pick(who)
        if key is not None:
            self.cut_off.add(key)
            self.net.reset(key)
            self.model.ends(key, "peer_reset")
            self.rest()

    @rule(who=WHO)
    def says_too_much(self, who: int) -> None:
        key = self.pick(who, LINE)
        if key is not None:
            self.net.write(key, b"x" * (MAX_LINE + 1))
            self.model.sends(key, "x" * (MAX_LINE + 1), self.net.now)
            self.rest()

    @rule(who=WHO)
    def breaks_the_rules(self, who: int) -> None:
        key = self.pick(who)
        if key is not None:
            is_frame = self.kinds[key] == WEBSOCKET
            self.net.write(key, masked(3, b"") if is_frame else b"\xff\xfa\x18" + b"x" * 300)
            self.model.ends(key, "protocol_error")
            self.rest()

    # Time, and the page.

    @precondition(lambda self: self.net is not None)
    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.rest(seconds)

    @precondition(lambda self: self.net is not None and self.model.announce == 0)
    @rule(seconds=st.sampled_from([3.0, 70.0, 100.0]))
    def time_jumps(self, seconds: float) -> None:
        """Several may be idle at one moment: who hears of the others is not promised then."""
        while abs(self.net.now + seconds - self.model.next_end()) < CLEAR_S:
            seconds += 2 * CLEAR_S
        self.net.jump(seconds)
        self.model.time_is(self.net.now)
        self.rest()

    @precondition(lambda self: self.net is not None)
    @rule()
    def the_page_asks(self) -> None:
        rows = self.net.ask()
        assert rows == len(self.model.open())


class SimulatedHubs(Hubs):
    """And what only a simulated network can do."""

    @rule(who=WHO)
    def stops_reading(self, who: int) -> None:
        key = self.pick(who)
        if key is not None:
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
            self.rest(2.0)
            if key not in self.model.ended:
                self.deaf.discard(key)
            self.look()

    @rule(who=WHO, window=st.sampled_from([1, 50]))
    def its_window_shrinks(self, who: int, window: int) -> None:
        if (key := self.pick(who)) is not None:
            self.net.peer(key).remote.capacity = window

    @rule(who=WHO)
    def its_pipe_grows(self, who: int) -> None:
        if (key := self.pick(who)) is not None:
            self.net.peer(key).tcp.widen()
            self.rest()

    @rule(who=WHO)
    def its_link_stands_still(self, who: int) -> None:
        if (key := self.pick(who)) is not None:
            self.net.peer(key).stall(True)
            self.still.add(key)
            self.deaf.add(key)

    @rule(who=WHO)
    def its_link_moves_again(self, who: int) -> None:
        for key in sorted(self.still)[who % 3 :][:1]:
            self.still.discard(key)
            self.net.peer(key).stall(False)
            self.rest(2.0)
            if key not in self.model.ended and self.net.peer(key).greedy:
                self.deaf.discard(key)
            self.look()

    @precondition(lambda self: self.net is not None)
    @rule()
    def no_descriptor_is_left(self) -> None:
        self.net.most_descriptors = len(self.net.world.kernel.fds)
        self.net.world.do(["limit", self.net.most_descriptors])

    @precondition(lambda self: self.net is not None)
    @rule()
    def there_are_descriptors_again(self) -> None:
        self.net.most_descriptors = 1 << 20
        self.net.world.do(["limit", 1 << 20])


class RealHubs(Hubs):
    """On real sockets."""

    net_of = RealNet


FAILING_S = 900
"""What fails is made short first, for up to five minutes: a timeout meanwhile would tell nothing of it."""
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
"""All but the explanation, which traces every line that runs: here it takes minutes and explains nothing."""
QUICK = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True, phases=PHASES,
                 suppress_health_check=list(HealthCheck))  # fmt: skip
LONG = settings(QUICK, max_examples=1000, derandomize=False, print_blob=True)
REAL = settings(LONG, max_examples=100)


@pytest.mark.promise("order-model")
@pytest.mark.timeout(FAILING_S)
def test_deeds_in_any_order_give_what_the_model_says() -> None:
    run_state_machine_as_test(SimulatedHubs, settings=QUICK)


@pytest.mark.promise("order-model")
@pytest.mark.long
@pytest.mark.timeout(FAILING_S)
def test_deeds_in_a_thousand_runs_give_what_the_model_says() -> None:
    run_state_machine_as_test(SimulatedHubs, settings=LONG)


@pytest.mark.promise("order-model")
@pytest.mark.long
@pytest.mark.timeout(FAILING_S)
def test_deeds_on_real_sockets_give_what_the_model_says() -> None:
    run_state_machine_as_test(RealHubs, settings=REAL)
