"""Faults of events, budgets, flow control and clocks."""

from tests.faults.edit import Edit, simulated

FAULTS = (
    # Events.
    simulated("writable-never-asked", "The poller never asks when a full descriptor is writable again.",
        Edit("hub.net.poller", "Poller.want", "if writing:", "if False:")),
    simulated("hang-up-ignored-while-paused", "A client that is not read and whose peer died is left alone.",
        Edit("hub.loop.event_loop", "Loop._peer_died_unread", "", "return")),
    simulated("edge-forgotten", "A client leaves the readable set when its budget ends.",
        Edit("hub.loop.reader", "Reader._leave_set", "", "drained = True")),
    simulated("short-read-taken-for-the-end", "A drain stops at a short read though the peer hung up.",
        Edit("hub.loop.reader", "Reader._receive", "", "client.read_on = False")),
    simulated("eof-left-armed", "The read interest stays armed after the end of input.",
        Edit("hub.session.client", "Client.reading",
             "", "return self.phase is Phase.OPEN and not self.paused")),
    simulated("broken-pipe-taken-for-full", "A send that fails counts as one that was refused.",
        Edit("hub.net.sockets", "Sockets.send", "raise _gone(error) from None", "return 0")),
    simulated("error-escapes", "A send that fails raises what the system call raised.",
        Edit("hub.net.sockets", "Sockets.send", "raise _gone(error) from None", "raise")),
    # Budgets and flow control.
    simulated("no-send-budget", "A turn sends until nothing is left to send.",
        Edit("hub.loop.event_loop", "Loop._flush", "left > 0 and ", "")),
    simulated("no-turn-budget-of-reads", "A turn reads every readable client, however much that brings.",
        Edit("hub.loop.reader", "Reader.step", "budget <= 0", "False")),
    simulated("held-for-ever", "Senders that waited for a room are never read again.",
        Edit("hub.loop.flow_control", "Pacing.release", "", "return")),
    simulated("never-cut", "A client may fall behind without end.",
        Edit("hub.loop.flow_control", "Pacing.cut", "", "return"),
        Edit("hub.loop.flow_control", "Pacing.judge", "", "return")),
    # Clocks.
    simulated("decided-late", "What a clock decides is noted 20 ms after it was decided.",
        Edit("hub.session.ready_sets", "Marks.end", "= decided", "= decided and decided + 0.02"),
        violation="s late as"),
    simulated("decided-early", "What a clock decides is noted 20 ms before it was decided.",
        Edit("hub.session.ready_sets", "Marks.end", "= decided", "= decided and decided - 0.02"),
        violation="s early as"),
    simulated("turn-for-nothing", "The loop now and then does not wait though nothing is to be done.",
        Edit("hub.loop.event_loop", "Loop._timeout",
             "", "if self.hub.counters.turns % 100 > 95:\n    return 0.0"),
        violation="^two waits of no time"),
    simulated("woken-late", "The wait for a deadline is 0.3 s too long.",
        Edit("hub.loop.timers", "Deadline.timeout",
             "self._heap[0][0] - now", "self._heap[0][0] - now + 0.3")),
    simulated("shut-door-forgotten", "The wait does not end when the door is to be opened again.",
        Edit("hub.loop.acceptor", "Door.timeout", "", "return math.inf")),
    simulated("idle-too-early", "Half of all input does not count as activity.",
        Edit("hub.loop.event_loop", "Loop._touch",
             "", "clients = [one for one in clients if one.lines_in % 2]")),
    simulated("clock-stops-in-sleep", "The clock stands still while the machine sleeps.",
        Edit("hub.loop.expirer", "Expirer.step",
             "",
             "gap, self.at = now - getattr(self, 'at', now), now\n"
             "self.slept = getattr(self, 'slept', 0.0) + max(0.0, gap - 1.5)\n"
             "until, now = until - self.slept, now - self.slept")),
)  # fmt: skip
