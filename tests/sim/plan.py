"""A run as data: how the hub is set up, and what happens to it. Both come from one seed, and fit into JSON.

What happens is a list of steps that knows nothing of how the hub answers, so that any step may be left out
and the rest still means something; that is how a failing run is made shorter (`shrink`).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from hub.config.settings import Settings
from hub.config.values import NO_RATE, Rate
from hub.loop.limits import Budgets
from tests.support import PAIRS

VISITS_EACH = 200
"""A seed in so many begins with a crowd of short visits, so that what is kept of the gone adds up."""
Step = list[Any]
"""The name of a deed, whom it concerns, and numbers that say how."""

MIXES = ["line", "websocket", "both", "viewers", "senders"]
"""Which listeners there are clients of; `senders` has those of all four ports."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    seed: int
    mode: str
    trigger: str
    read: str
    slow: str
    self_echo: bool | None
    """None: as the mode has it."""
    mix: str
    settings: dict[str, Any] = field(default_factory=dict)
    budgets: dict[str, int] = field(default_factory=dict)
    outbox_bytes: int = 256 * 1024
    descriptors: int = 1 << 20
    steps: list[Step] = field(default_factory=list)

    def of_hub(self) -> Settings:
        """What the hub runs with. Lags are smaller than a user may set them."""
        given = dict(self.settings)
        rate = given.pop("line_rate", None)
        return Settings(
            host="127.0.0.1",
            web=False,
            read_only_port=0 if self.mix in ("viewers", "senders") else None,
            write_only_port=0 if self.mix == "senders" and self.mode != "echo" else None,
            mode=self.mode,  # type: ignore[arg-type]
            trigger=self.trigger,  # type: ignore[arg-type]
            read=self.read,  # type: ignore[arg-type]
            slow=self.slow,  # type: ignore[arg-type]
            self_echo=self.self_echo,
            line_rate=NO_RATE if rate is None else Rate(rate[0], "s", rate[1]),
            **given,
        )

    def of_turns(self) -> Budgets:
        first = {"look_bytes": 1, "echo_bytes": 0} if self.budgets else {}  # Runs that were kept lack these.
        return Budgets(**(first | self.budgets))

    def without(self, steps: list[Step]) -> Plan:
        return replace(self, steps=steps)

    def save(self, path: Path) -> None:
        head = {name: value for name, value in asdict(self).items() if name != "steps"}
        steps = ",\n  ".join(json.dumps(step) for step in self.steps)
        path.write_text(f'{{"plan": {json.dumps(head)},\n "steps": [\n  {steps}\n]}}\n')


def load(path: Path) -> Plan:
    kept = json.loads(path.read_text())
    return Plan(**kept["plan"], steps=kept["steps"])


def make_plan(seed: int, turns: int = 60, **fixed: Any) -> Plan:
    """The run of this seed. `fixed` are fields that are not left to chance."""
    rng = Random(seed)
    trigger, read = rng.choice(PAIRS)
    mode = rng.choice(["broadcast", "chat", "chat", "broadcast", "echo"])
    chosen: dict[str, Any] = {
        "mode": mode,
        "trigger": trigger,
        "read": read,
        "slow": rng.choice(["disconnect", "skip", "wait"] if mode == "broadcast" else ["disconnect", "skip"]),
        "self_echo": rng.choice([True, True, False, None]),
        "mix": rng.choice(MIXES),
    }
    chosen |= {name: value for name, value in fixed.items() if value is not None}
    if chosen["mode"] == "echo" and chosen["self_echo"] is False:
        chosen["self_echo"] = True
    plan = Plan(
        seed=seed,
        **chosen,
        settings=_settings(rng, chosen),
        budgets=_budgets(rng),
        outbox_bytes=rng.choice([300, 2000, 256 * 1024]),
        descriptors=rng.choice([12, 16, 1 << 20, 1 << 20]),
    )
    steps = _steps(rng, plan, turns)
    return plan.without(_visits(rng) + steps if seed % VISITS_EACH == VISITS_EACH - 1 else steps)


def _settings(rng: Random, chosen: dict[str, Any]) -> dict[str, Any]:
    lag = rng.choice([1200, 4000, 1 << 16, 1 << 20])
    settings: dict[str, Any] = {
        "max_lag_bytes": lag, "max_line_bytes": min(rng.choice([100, 600, 8192]), lag // 2),
        "idle_timeout_s": rng.choice([0.0, 5.0, 20.0, 300.0]),
        "idle_strategy": rng.choice(["deadline", "sweep", "poll"]),
        "idle_counts": rng.choice(["rx+tx", "rx"]), "idle_warning_s": rng.choice([0.0, 2.0, 30.0]),
        "sweep_interval_s": rng.choice([0.5, 5.0]), "eol": rng.choice(["auto", "auto", "lf", "crlf"]),
        "telnet": rng.random() < 0.8, "notices": chosen["slow"] == "skip" or rng.random() < 0.8,
        "max_clients": rng.choice([10_000, 10_000, 4]), "max_per_ip": rng.choice([0, 0, 2]),
        "max_rooms": rng.choice([1000, 2]), "history": rng.choice([0, 3, 20]),
        "announce": rng.choice([0, 3, 50]), "drain_s": rng.choice([0.0, 1.0, 10.0]),
        "patience_s": rng.choice([0.0, 0.5, 4.0]),
    }  # fmt: skip
    if rng.random() < 0.3:
        settings["line_rate"] = rng.choice([(10, 3), (50, 200), (5, 1)])
    return settings


def _budgets(rng: Random) -> dict[str, int]:
    if rng.random() < 0.3:
        return {}
    small = rng.choice([1, 2, 5])
    sizes = rng.choice([16, 100, 1000])
    return {
        **dict.fromkeys(("accepts", "commands", "expiries", "closes", "rows"), small),
        "read_bytes": sizes, "client_bytes": sizes * rng.choice([1, 3]),
        "turn_bytes": sizes * rng.choice([1, 2, 8]), "look_bytes": sizes // 16, "echo_bytes": sizes // 8,
        "frame_bytes": rng.choice([1, 512]), "sends": small, "rounds": rng.choice([1, 3]),
        "discard_bytes": rng.choice([4, 1000]),
        "lingering": rng.choice([1, 256]),
    }  # fmt: skip


# What happens.

_DEEDS = {
    "say": 30, "burst": 5, "push": 8, "read": 10, "greedy": 5, "command": 7, "telnet": 3, "blank": 1,
    "control": 2, "spoil": 1, "unfinished": 1, "half": 2, "close": 2, "reset": 3, "vanish": 1, "stall": 4,
    "go": 6, "wait": 8, "jump": 1, "ask": 1, "errno": 1, "connect": 6, "meanwhile": 6, "crlf": 1, "limit": 1,
}  # fmt: skip
_OF_NOBODY: dict[str, Sequence[float]] = {
    "wait": [0.01, 0.06, 0.5, 2.0, 5.0, 11.0],
    "jump": [0.2, 3.0, 70.0, 4000.0],
    "errno": [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM],
    "limit": [8, 12, 1 << 20],
}


def _steps(rng: Random, plan: Plan, turns: int) -> list[Step]:
    steps: list[Step] = []
    for _ in range(rng.randint(2, 6)):
        steps.append(_connect(rng, plan))
    names, weights = list(_DEEDS), list(_DEEDS.values())
    for _ in range(turns):
        for name in rng.choices(names, weights, k=rng.choice([0, 1, 1, 2, 3, 6])):
            step = _deed(rng, plan, name)
            if name == "meanwhile":
                step = ["meanwhile", rng.randint(1, 12), _deed(rng, plan, rng.choice(names[:20]))]
            steps.append(step)
        steps.append(["turn"])
    if rng.random() < 0.2:
        steps.insert(rng.randrange(len(steps) // 2, len(steps)), ["stop"])
    return steps


def _visits(rng: Random) -> list[Step]:
    """Clients one after another that come, say something and go, until nobody is left."""
    steps: list[Step] = []
    for _ in range(rng.randint(80, 120)):
        steps += [["connect", 0, 1, 65536, 65536, 65536, rng.randint(0, 2)], ["turn"], ["say", 0, 1, 20, 0]]
        steps += [["turn"], [rng.choice(["close", "reset", "half"]), 0], ["turn"]]
    return steps


def _connect(rng: Random, plan: Plan) -> Step:
    """Which listener, whether it reads by itself, buffers (ours out, ours in, its own in), which host."""
    which = {"line": [0], "websocket": [1], "both": [0, 1],
             "viewers": [0, 0, 1, 2],
             "senders": [0, 0, 1, 2, 3, 3]}[plan.mix]  # fmt: skip
    out = rng.choice([40, 300, 65536])
    sizes = [out, rng.choice([30, 300, 65536]), rng.choice([1, 50, 500, 65536])]
    if plan.mode == "echo":
        which = [each for each in which if each != 3]
    return ["connect", rng.choice(which), int(rng.random() < 0.6), *sizes, rng.randint(0, 2)]


def _deed(rng: Random, plan: Plan, name: str) -> Step:
    if name == "connect":
        return _connect(rng, plan)
    who, largest = rng.randrange(12), plan.settings["max_line_bytes"]
    if name in ("say", "burst"):
        return _talk(rng, name, who, largest)
    numbers: dict[str, Sequence[int]] = {
        "push": [0, 1, 3, 40, 1000], "read": [0, 1, 3, 40, 1000], "greedy": [0, 1, 1],
        "unfinished": [5, largest, largest + 1, 2 * largest],
        "command": range(1000), "telnet": range(1000), "control": range(1000),
    }  # fmt: skip
    if name in numbers:
        return [name, who, rng.choice(numbers[name])]
    if name == "spoil":
        return [name, who, rng.randrange(1 << 20), rng.choice([1, 5, 60])]
    return [name, rng.choice(_OF_NOBODY[name])] if name in _OF_NOBODY else [name, who]


def _talk(rng: Random, name: str, who: int, largest: int) -> Step:
    if name == "burst":
        return ["say", who, rng.choice([10, 40]), min(rng.choice([20, 90, 400]), largest), 0]
    size = rng.choice([0, 20, min(80, largest)])
    return ["say", who, rng.choice([1, 1, 2, 5]), size, rng.choice([0, 0, 0, 1, 9])]
