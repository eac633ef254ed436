"""A run of a cluster as data: how each hub is set up, and what happens to hubs, links, broker and clients.

As in tests/sim/plan.py a step means something whatever other steps are left out.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.sim.peers import COMMANDS
from tests.sim.plan import Plan, Step
from tests.support import PAIRS

HUBS = 3
FLOOD_EACH = 10
"""A seed in so many has a flood."""
STEPS = 110


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the protocol, smaller than they are, so that a short run comes to them; sizes in bytes."""

    outbox_bytes: int
    full_bytes: int
    message_bytes: int
    turn_bytes: int
    events: int
    """So many are taken in one turn."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """`hubs` are the plans of the single hubs, without steps."""

    seed: int
    hubs: list[Plan]
    limits: Limits
    steps: list[Step]

    @property
    def mode(self) -> str:
        return self.hubs[0].mode

    def without(self, steps: list[Step]) -> "ClusterPlan":
        return replace(self, steps=steps)


def make_plan(seed: int, count: int = STEPS) -> ClusterPlan:
    """The run of this seed."""
    rng = Random(seed)
    mode, notices = rng.choice(["chat", "chat", "broadcast"]), rng.random() < 0.85
    self_echo = rng.choice([None, None, True, False])
    hubs = [_hub(rng, seed, number, mode, notices, self_echo) for number in range(HUBS)]
    limits = Limits(
        outbox_bytes=rng.choice([3000, 24_000, 4 << 20]) if notices else 200_000,
        full_bytes=rng.choice([1000, 8000, 256 << 10]) if notices else 70_000,  # More than one read brings.
        message_bytes=rng.choice([1000, 4000, 128 << 10]),
        turn_bytes=rng.choice([500, 4000, 256 << 10]),
        events=rng.choice([2, 1024, 1024]),
    )
    steps = _steps(rng, mode, count)
    if seed % FLOOD_EACH == FLOOD_EACH // 2:
        at = rng.randrange(len(steps))
        steps[at:at] = _flood(rng)
        limits = replace(limits, message_bytes=1000, turn_bytes=256 << 10)
        hubs = [replace(hub, settings=hub.settings | {"max_lag_bytes": 16 << 10}) for hub in hubs]
    return ClusterPlan(seed=seed, hubs=hubs, limits=limits, steps=steps)


def _hub(rng: Random, seed: int, number: int, mode: str, notices: bool, self_echo: bool | None) -> Plan:
    trigger, read = rng.choice(PAIRS)
    settings: dict[str, Any] = {
        "cluster": ("nats://127.0.0.1:4222",), "hub_name": f"hub{number}", "notices": notices,
        "max_lag_bytes": rng.choice([16 << 10, 64 << 10, 1 << 20]), "max_line_bytes": 600, "telnet": True,
        "idle_timeout_s": rng.choice([0.0, 0.0, 300.0, 8.0]),
        "idle_strategy": rng.choice(["deadline", "sweep", "poll"]),
        "max_rooms": rng.choice([1000, 3]), "history": rng.choice([0, 3, 20]),
        "announce": rng.choice([0, 3, 50]), "drain_s": rng.choice([1.0, 10.0]),
    }  # fmt: skip
    if rng.random() < 0.1:
        settings["line_rate"] = rng.choice([(10, 3), (50, 200)])
    small = rng.choice([2, 5])
    budgets = {
        **dict.fromkeys(("accepts", "commands", "expiries", "closes", "rows", "sends"), small),
        "read_bytes": 1000, "client_bytes": 3000, "turn_bytes": rng.choice([1000, 8000]), "look_bytes": 64,
    }  # fmt: skip
    return Plan(
        seed=seed, mode=mode, trigger=trigger, read=read,
        slow="skip" if notices and rng.random() < 0.5 else "disconnect",
        self_echo=self_echo, mix="both", settings=settings, budgets=budgets if rng.random() < 0.4 else {},
        outbox_bytes=rng.choice([2000, 256 << 10]),
    )  # fmt: skip


_DEEDS = {
    "say": 30, "burst": 6, "command": 12, "connect": 4, "close": 1.5, "half": 1, "reset": 1, "stall": 1,
    "go": 2, "greedy": 1, "pass": 40, "cut": 4, "busy": 1.5, "outage": 0.7, "freeze": 0.8, "kill": 0.7,
    "stop": 0.5, "forget": 1.2, "nap": 0.5, "expire": 0.8,
}  # fmt: skip
_OF_ALL: dict[str, list[float]] = {
    "pass": [0.0, 0.0, 0.001, 0.004, 0.02, 0.1, 0.3, 1.2], "busy": [0.1, 1.5, 5.0],
    "outage": [0.5, 3.0, 6.0], "forget": [0], "expire": [1, 5, 1000],
}  # fmt: skip
_OF_ALL_HUBS = ["/nick n1", "/who", "/whois n1", "/join attic"]
"""Commands that are about other hubs."""
_OF_A_HUB = ("cut", "kill", "stop")


def _steps(rng: Random, mode: str, count: int) -> list[Step]:
    steps = [_connect(rng, hub) for hub in range(HUBS) for _ in range(rng.randint(1, 3))]
    steps.append(["pass", 0.1])
    names, weights = list(_DEEDS), list(_DEEDS.values())
    for name in rng.choices(names, weights, k=count):
        step = _deed(rng, name, mode)
        steps.append(step)
        if name in ("kill", "stop"):  # Its clients come back.
            steps += [_connect(rng, step[1]) for _ in range(rng.randint(1, 3))]
        if name == "nap":  # The hub is taken for dead, and somebody wants what its clients have.
            steps += [["pass", 3.3], _command((step[1] + 1) % HUBS, rng, "/nick n1"), ["pass", 2.0]]
    return steps


def _flood(rng: Random) -> list[Step]:
    """A hub stands still while on another hub more is said than a room has place for in a turn."""
    hub = rng.randrange(HUBS)
    bursts: list[Step] = [["at", (hub + 1) % HUBS, ["say", who, 30, 200, 0]] for who in (0, 1, 0, 1)]
    return [*(_connect(rng, each) for each in range(HUBS)), ["freeze", hub, 1.5], *bursts, ["pass", 1.7]]


def _connect(rng: Random, hub: int) -> Step:
    """At which hub, and as in tests/sim/plan.py."""
    out = rng.choice([300, 65536, 65536])
    sizes = [out, rng.choice([300, 65536]), rng.choice([50, 65536, 65536])]
    return ["at", hub, ["connect", rng.choice([0, 0, 1]), int(rng.random() < 0.8), *sizes, rng.randint(0, 2)]]


def _command(hub: int, rng: Random, text: str) -> Step:
    return ["at", hub, ["command", rng.randrange(6), COMMANDS.index(text)]]


def _deed(rng: Random, name: str, mode: str) -> Step:
    hub, who = rng.randrange(HUBS), rng.randrange(6)
    if name in _OF_ALL:
        return [name, rng.choice(_OF_ALL[name])]
    if name in _OF_A_HUB:
        return [name, hub]
    if name in ("freeze", "nap"):
        return ["freeze", hub, 5.0 if name == "nap" else rng.choice([0.2, 1.5])]
    if name == "connect":
        return _connect(rng, hub)
    if name == "burst":
        return ["at", hub, ["say", who, rng.choice([10, 30]), rng.choice([30, 200, 500]), 0]]
    if name == "say" or (name == "command" and mode != "chat"):
        return [
            "at",
            hub,
            ["say", who, rng.choice([1, 1, 2, 5]), rng.choice([0, 20, 80]), rng.choice([0, 0, 0, 9])],
        ]
    if name == "command":
        return _command(hub, rng, rng.choice([*_OF_ALL_HUBS, rng.choice(COMMANDS)]))
    if name == "greedy":
        return ["at", hub, ["greedy", who, rng.choice([0, 1, 1])]]
    return ["at", hub, [name, who]]
