"""Every call that can fail fails once, with every error that is plausible of it, one run each.

One short day of a hub: people join in every way, talk, fall behind, are idle, ask for history, break off, and
all is drained. Its calls are counted; then the day is run anew for each call and each error. In each of them
all checks of the simulation hold after every turn, the hub goes on, and nobody but the one whose call failed
ends in another way than on a day without a fault.
"""

import errno
from typing import Any

import pytest

from hub.close_reasons import CloseReason
from tests.sim.errnos import PLAUSIBLE, Fault, Faults
from tests.sim.plan import Plan, Step
from tests.sim.world import World
from tests.support import PAIRS

Patch = pytest.MonkeyPatch
STRIDE = 67
"""So many faults apart are those of the quick test: a prime, so that it meets every error of a call."""
SLICES = [*((*PAIRS[1], first, 3) for first in range(3)), (*PAIRS[0], 0, 4), (*PAIRS[2], 1, 4)]
"""What the long tests share: every fault of one pair, and a quarter of those of the others."""
WIDE = (65536, 65536, 65536)
UNREACHABLE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)
EXPECTED = {
    errno.ECONNRESET: CloseReason.PEER_RESET,
    errno.EPIPE: CloseReason.PEER_CLOSED,
    **dict.fromkeys(UNREACHABLE, CloseReason.PEER_TIMEOUT),
}
"""As which reason a failed read or write counts; all others are `io_error`."""


class Day:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._peers = 0

    def connect(self, which: int, *, greedy: bool = True, sizes: tuple[int, int, int] = WIDE) -> int:
        self.steps.append(["connect", which, int(greedy), *sizes, 0])
        self._peers += 1
        return self._peers - 1

    def do(self, name: str, peer: int, *numbers: int) -> None:
        self.steps.append([name, self._peers - 1 - peer, *numbers])

    def turns(self, count: int = 1) -> None:
        self.steps += [["turn"]] * count

    def wait(self, seconds: float) -> None:
        self.steps += [["wait", seconds], ["turn"]]


def day() -> list[Step]:
    made = Day()
    ann, bob = made.connect(0), made.connect(0)
    web, viewer = made.connect(1), made.connect(2)
    made.connect(0, greedy=False, sizes=(300, 300, 50))  # It does not read.
    made.connect(0), made.connect(1)  # Two who do nothing, and are idle at the end.
    made.wait(0.1)
    for peer in (ann, bob, web, viewer):  # All say a line, so that all are announced.
        made.do("say", peer, 2, 40, 0)
    made.turns(2)
    for command in (9, 6, 0, 8, 4):  # /nick, /join attic, /who, /leave, /history
        made.do("command", ann, command)
        made.turns()
    made.do("telnet", bob, 4)
    made.wait(2.0)
    for peer in (ann, bob) * 3:
        made.do("say", peer, 30, 300, 0)
        made.wait(0.1)
    made.steps.append(["limit", 8])  # Not even the spare descriptor helps: the door is shut.
    resetting, half, long, quitting = (made.connect(0) for _ in range(4))
    made.wait(0.3)
    made.steps.append(["limit", 1 << 20])
    made.wait(0.5)
    made.do("reset", resetting)
    made.do("say", half, 1, 20, 0)
    made.do("half", half)
    made.do("unfinished", long, 1300)
    made.do("command", quitting, 17)
    made.turns(3)
    for _ in range(4):
        made.wait(2.0)
        for peer in (ann, bob, web):
            made.do("say", peer, 1, 40, 0)
    made.steps.append(["ask", 1])
    made.turns(3)
    return made.steps


def plan_of(trigger: str, read: str) -> Plan:
    settings: dict[str, Any] = {
        "max_lag_bytes": 16_000, "max_line_bytes": 600, "idle_timeout_s": 6.0, "idle_warning_s": 2.0,
        "idle_counts": "rx", "history": 3, "drain_s": 5.0, "telnet": True, "notices": True,
    }  # fmt: skip
    return Plan(
        seed=0, mode="chat", trigger=trigger, read=read, slow="disconnect", self_echo=True, mix="viewers",
        settings=settings, steps=day(),
    )  # fmt: skip


def ends_of(world: World) -> dict[str, str]:
    return {str(fields["peer"]): str(fields["reason"]) for event, fields in world.log if event == "closed"}


@pytest.fixture
def faults(monkeypatch: Patch) -> Faults:
    return Faults(monkeypatch)


def begin(faults: Faults, plan: Plan, fault: Fault | None) -> World:
    faults.hub = None
    world = World(plan)
    faults.start(world.hub, fault)
    return world


def usual(faults: Faults, plan: Plan) -> tuple[list[str], dict[str, str]]:
    world = begin(faults, plan, None)
    world.run()
    return faults.calls, ends_of(world)


def suffer(faults: Faults, plan: Plan, fault: Fault, name: str, before: dict[str, str]) -> None:
    """A day with one fault: World looks at the promises, this looks at the clients that noticed."""
    world = begin(faults, plan, fault)
    world.run()
    assert faults.calls[fault.call] == name, "the day was another one before its fault"
    ends = ends_of(world)
    others = {peer for peer in before.keys() | ends.keys() if before.get(peer) != ends.get(peer)}
    struck = {peer.name for peer in world.peers if peer.tcp is faults.struck}
    assert len(others) <= 1 and (others <= struck or not struck), (ends, before)
    for peer in struck if faults.was_open and name in ("recv", "send", "register", "modify") else others:
        # After a failed send what the peer had said before is read to its end, and may be an offence.
        offence = {before[peer]} & {CloseReason.LINE_TOO_LONG} if name == "send" else set()
        assert ends.get(peer) in allowed(name, fault.number) | offence, (peer, ends.get(peer))


def allowed(name: str, number: int) -> set[str | None]:
    """How the one may end whose call failed; None: it was never accepted."""
    if name == "accept":
        return {None} if number == errno.ECONNABORTED else {CloseReason.SERVER_FULL}
    if name in ("recv", "send"):
        reason = EXPECTED.get(number, CloseReason.IO_ERROR)
        is_end = reason in (CloseReason.PEER_CLOSED, CloseReason.PEER_RESET)
        return {reason, CloseReason.SILENT} if is_end else {reason}  # It may have said nothing by then.
    return {CloseReason.IO_ERROR} if name in ("register", "modify") else set()


def run_all(faults: Faults, plan: Plan, stride: int, first: int = 0) -> int:
    calls, before = usual(faults, plan)
    all_ = [Fault(at, number) for at, name in enumerate(calls) for number in PLAUSIBLE[name]]
    chosen = all_[first::stride]
    wrong = []
    for fault in chosen:
        name = calls[fault.call]
        try:
            suffer(faults, plan, fault, name, before)
        except Exception as failure:
            said = f"{type(failure).__name__}: {str(failure)[-400:]}"
            wrong.append(f"call {fault.call}, {name}, {errno.errorcode[fault.number]}: {said}")
    assert not wrong, f"{len(wrong)} of {len(chosen)}:\n" + "\n".join(wrong[:20])
    return len(chosen)


def test_a_day_has_all_that_can_fail_and_every_kind_of_end(faults: Faults) -> None:
    calls, ends = usual(faults, plan_of("level", "drain"))
    assert set(calls) == PLAUSIBLE.keys()
    assert len(calls) > 150
    assert set(ends.values()) >= {
        "idle", "slow_consumer", "silent", "peer_closed", "line_too_long", "quit", "server_shutdown",
    }  # fmt: skip


@pytest.mark.promise("calls-one-client")
def test_a_failed_call_costs_nobody_else_anything(faults: Faults, record_property: Any) -> None:
    count = run_all(faults, plan_of("level", "drain"), STRIDE)
    record_property("calls that failed, one run each", count)


@pytest.mark.promise("calls-one-client")
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("trigger", "read", "first", "stride"), SLICES)
def test_no_call_that_fails_costs_anybody_else_anything(
    trigger: str, read: str, first: int, stride: int, faults: Faults, record_property: Any
) -> None:
    record_property("calls that failed, one run each", run_all(faults, plan_of(trigger, read), stride, first))


@pytest.mark.promise("calls-one-client")
def test_acceptor_that_the_system_lets_accept_nobody_rests(monkeypatch: Patch) -> None:
    """EPERM leaves who waits in the backlog, so the listener stays readable (accept(2))."""
    world = World(plan_of("level", "drain").without([["connect", 0, 1, *WIDE, 0]]))
    world.kernel.accept_errors = [errno.EPERM] * 1000
    while world.kernel.now < 1002:
        world.turn()
    calls = world.hub.sockets.calls["accept"]
    assert 64 <= calls <= 64 * 10
    world.kernel.accept_errors.clear()
    while not world.hub.connections.clients:
        world.turn()
    assert world.kernel.now < 1003
