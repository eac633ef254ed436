"""The idle strategies on a simulated table of a million clients: the longest work of a turn.

No hub runs here. The text below is run by the interpreter of the hub that is measured, so that this package
imports nothing of the hub, and a compiled build measures its own timers. `turn` is all that the expire step
asks of a timer in one turn, `touch` and `forget` are one call. Times are of the thread's processor time, so
what else the machine does is not in them, but for cold caches and interrupts.
"""

import json
from typing import Final

from bench.bounds.children import child
from bench.bounds.scenarios import Setup

CLIENTS: Final = 1_000_000

SCRIPT: Final = """
import gc, json, random, re, sys, time
from hubbub import __main__ as launcher
launcher.claim(launcher.PACKAGES)
from hub.loop.timers import make_expiry
from hub.session.timed import Timed

COUNT, BUDGET, TIMEOUT_S, WARN_AFTER_S, TURN_S = int(sys.argv[-1]), 256, 300.0, 270.0, 0.005
SOME = max(1, COUNT // 2000)
LINKS_BYTES = 3 * 8  # What stands in the client itself: two neighbours and a moment.

def rss_bytes():
    return 1024 * int(re.search("^Rss: *([0-9]+)", open("/proc/self/smaps_rollup").read(), re.MULTILINE)[1])

class Life:
    def __init__(self, strategy):
        self.timer = make_expiry(strategy, TIMEOUT_S, 5.0, WARN_AFTER_S)
        self.clients = [Timed(id, 0.0) for id in range(COUNT)]
        self.now, self.here, self.left, self.longest = 1000.0, bytearray(COUNT), 0, {}
        gc.collect()
        gc.freeze()  # The clients are the hub's own; a collection that looks at them is no work of a timer.

    def call(self, what, function, *arguments):
        began = time.thread_time_ns()
        result = function(*arguments)
        took = time.thread_time_ns() - began
        self.longest[what] = max(self.longest.get(what, 0), took)
        return result

    def touch(self, some):
        for client in some:
            self.left += not self.here[client.id]
            self.here[client.id] = True
            self.now += 1e-9  # Every activity has a moment of its own.
            self.call("touch", self.timer.touch, client, self.now)

    def forget(self, some):
        for client in some:
            self.gone(client.id)
            self.call("forget", self.timer.forget, client)

    def gone(self, id):
        self.left -= self.here[id]
        self.here[id] = False

    def work(self):
        if self.timer.timeout(self.now) > 0:
            return ()
        gone = self.timer.expired(self.now, BUDGET)
        self.timer.warned(self.now, BUDGET)
        return gone

    def turn(self, passed_s):
        self.now += passed_s
        for id, due in self.call("turn", self.work):
            self.gone(id)

    def live(self):
        dice, everybody, before = random.Random(1), self.clients, rss_bytes()
        for first in range(0, COUNT, SOME):  # All come.
            self.touch(everybody[first : first + SOME])
            self.turn(TURN_S)
        bytes_a_client = LINKS_BYTES + (rss_bytes() - before) / COUNT
        for _ in range(round(1.2 * TIMEOUT_S / 0.02)):  # Some are active, the others are warned and expire.
            self.touch([client for client in dice.choices(everybody, k=100) if self.here[client.id]])
            self.turn(0.02)
        for first in range(0, COUNT, SOME):  # The hub is full again, and all are active within one second.
            self.touch(everybody[first : first + SOME])
            self.turn(SOME / COUNT)
        gone = dice.sample(everybody, COUNT // 2)
        for first in range(0, len(gone), BUDGET):  # Half of them leave.
            self.forget(gone[first : first + BUDGET])
            self.turn(TURN_S / 100)
        self.now += TIMEOUT_S
        while self.left:  # The others expire at once.
            self.turn(TURN_S)
        return {f"{what} ms": took / 1e6 for what, took in self.longest.items()} | {"bytes": bytes_a_client}

told = {}
for strategy in ("deadline", "sweep"):
    told |= {f"{strategy} {what}": figure for what, figure in Life(strategy).live().items()}
print(json.dumps(told))
"""


def timers(setup: Setup) -> dict[str, float]:
    """The longest of each, in milliseconds, and what a client costs in bytes."""
    count = str(setup.count(CLIENTS))
    with child([*setup.contestant.script(SCRIPT), count], setup.hub_cpu) as process:
        assert process.stdout is not None
        if not (said := process.stdout.read()):
            raise SystemExit("the timers of this build could not be measured")
    told: dict[str, float] = json.loads(said)
    return told
