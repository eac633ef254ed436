"""Faults of opening and closing, and of what is kept of clients that are gone."""

from tests.faults.edit import Edit, simulated

FAULTS = (
    # Opening.
    simulated("greeted-twice", "A client that opens late is greeted and made a member twice.",
        Edit("hub.loop.admission", "Admission.open",
             "", "if client.transport == 'line':\n    self._mode.joined(client)")),
    simulated("opened-too-early", "A client is a member before it is known to speak lines.",
        Edit("hub.loop.admission", "Admission._let_in",
             "self._timers.opening.touch(client.id, now)",
             "phase = client.phase\nself.open(client)\nclient.phase = phase")),
    simulated("never-opened", "A client that says nothing is never opened.",
        Edit("hub.loop.expirer", "Expirer._open", "", "return")),
    # Closing.
    simulated("lingering-never-uncounted", "A client that lingered is counted as lingering for ever.",
        Edit("hub.loop.closer", "Closer.close", "self._lingering -= 1", "pass")),
    simulated("lingering-unbounded", "Any number of clients may linger.",
        Edit("hub.loop.closer", "Closer._finish", "self._lingering >= self._budgets.lingering", "False")),
    simulated("lingering-cut-short", "Clients that linger are closed in the next turn.",
        Edit("hub.loop.closer", "Closer.slice",
             "",
             "closing = self._connections.closing.values()\n"
             "self._ready.abort += [one for one in closing if one.phase == 'lingering']")),
    simulated("viewer-closed-at-its-end", "The end of a viewer's stream closes the viewer.",
        Edit("hub.loop.reader", "Reader._end_of_input",
             'client.transport == "read-only"', "False")),
    # What is kept.
    simulated("address-kept", "The table of addresses keeps those from which nobody is connected.",
        Edit("hub.loop.connections", "Connections.settle", "not self.per_address[client.address]", "False")),
    simulated("nick-kept", "The nick of a client that left stays taken.",
        Edit("hub.modes.nicks", "Nicks.free", "self.chosen.pop(name_key(person.nick), None)", "pass")),
    simulated("empty-room-kept", "A room stays when its last member has left.",
        Edit("hub.rooms.registry", "Registry.discard_if_empty", "", "return")),
    simulated("member-kept", "A client that was closed stays a member of its room.",
        Edit("hub.rooms.room", "Room.leave",
             "self.unsubscribed.pop(outbox.id, None)",
             "outbox.owner.close.reason or self.unsubscribed.pop(outbox.id, None)")),
    simulated("descriptor-kept", "One descriptor is never closed.",
        Edit("hub.net.sockets", "Sockets.close", "", "if fd == 9:\n    return")),
    simulated("closed-but-watched", "The poller does not tell the kernel before a close.",
        Edit("hub.net.poller", "Poller.forget", "self._epoll.unregister(fd)", "pass")),
    simulated("timer-entries-kept", "The timers keep an entry of every client that ever was.",
        Edit("hub.loop.timer_set", "TimerSet.forget", "self.idle.forget(client)", "pass"),
        violation="the idle timer has"),
)  # fmt: skip
