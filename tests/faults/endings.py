"""Faults of closing, and of what is kept of clients that are gone."""

from tests.faults.edit import Edit, simulated

FAULTS = (
    simulated("lingering-never-uncounted", "A client that lingered is counted as lingering for ever.",
        Edit("hub.loop.closer", "Endings._close", "self._lingering -= 1", "pass")),
    simulated("lingering-unbounded", "Any number of clients may linger.",
        Edit("hub.loop.closer", "Endings._finish", "self._lingering >= hub.budgets.lingering", "False")),
    simulated("lingering-cut-short", "Clients that linger are closed in the next turn.",
        Edit("hub.loop.closer", "Endings.reap",
             "",
             "lingering = [one for one in self._hub.ended.values() if one.phase is Phase.LINGERING]\n"
             "self._hub.marks.given_up += lingering")),
    simulated("choked-for-ever", "A client that was not read because of its own output is never read again.",
        Edit("hub.loop.flow_control", "Pacing.relieve", "", "return")),
    simulated("address-kept", "The table of addresses keeps those from which nobody is connected.",
        Edit("hub.loop.closer", "Endings._leave_address", "not per_address[client.address]", "False")),
    simulated("nick-kept", "The nick of a client that left stays taken.",
        Edit("hub.modes.chat", "Chat.left", "self._by_nick.pop(name_key(client.nick), None)", "pass")),
    simulated("empty-room-kept", "A room stays when its last member has left.",
        Edit("hub.rooms.room", "Rooms.discard_if_empty", "", "return")),
    simulated("member-kept", "A client that was closed stays a member of its room.",
        Edit("hub.rooms.room", "Room.leave",
             "self.members.pop(client.id, None)",
             "client.reason or self.members.pop(client.id, None)")),
    simulated("descriptor-kept", "One descriptor is never closed.",
        Edit("hub.net.sockets", "Sockets.close", "", "if sock.fileno() == 9:\n    return")),
    simulated("closed-but-watched", "The poller does not tell the kernel before a close.",
        Edit("hub.net.poller", "Poller.forget", "self._epoll.unregister(fd)", "pass")),
    simulated("timer-entries-kept", "The timers keep an entry of every client that ever was.",
        Edit("hub.loop.timers", "Deadline._shed_stale_entries", "", "return"),
        violation=r"keeps \d+ entries of"),
)  # fmt: skip
