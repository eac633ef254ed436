"""Faults of lines and of the account of them."""

from tests.faults.edit import Edit, simulated

FAULTS = (
    simulated("line-lost", "One subscriber does not receive one line.",
        Edit("hub.loop.writer", "Writer._hand",
             "",
             "if outbox.id == 2 and outbox.next_line == 5:\n"
             "    outbox.go_to_head(room.log)\n"
             "    return"),
        violation="^owed and replayed"),
    simulated("line-lost-but-counted", "One line that counts as delivered is not sent.",
        Edit("hub.loop.writer", "Writer._hand",
             "",
             "if outbox.id == 2 and outbox.next_line == 5:\n"
             "    outbox.took_chunk(chunk, 0)\n"
             "    return"),
        violation="^(delivered .* kernels took|.* in place of)"),
    simulated("chunks-out-of-order", "Chunks that are handed out as one change their order.",
        Edit("hub.rooms.chunk", "Chunk._join",
             '[part._own("crlf") for part in parts]',
             '[part._own("crlf") for part in reversed(parts)]')),
    simulated("line-said-twice", "A room stores one line twice.",
        Edit("hub.rooms.room", "Room.extend",
             "",
             "if self.log.next_line == 7:\n    text, count = 2 * text, 2 * count")),
    simulated("lines-out-of-order", "Room lines that become items are reversed.",
        Edit("hub.rooms.log", "pieces",
             "if found:", "found.reverse()\nif found:")),
    simulated("gap-not-told", "A client that missed lines is not told.",
        Edit("hub.rooms.queued", "Queued._report_skips", "", "self.losing.unreported_lines = 0\nreturn")),
    simulated("log-never-trimmed", "A room keeps every line.",
        Edit("hub.rooms.log", "Log.trim", "", "return")),
    simulated("own-lines-owed", "A sender is owed its own lines, and does not get them.",
        Edit("hub.rooms.room", "Room.extend", "self._account.owed -= size", "pass")),
    simulated("own-lines-echoed", "A sender gets its own lines back where it must not.",
        Edit("hub.rooms.room", "Room.extend",
             "note(log.runs, sender, log.head - size, log.head, count)", "pass")),
    simulated("owed-miscounted", "The account of owed bytes is one short for each append.",
        Edit("hub.rooms.room", "Room.extend", "", "self._account.owed -= 1")),
    simulated("delivered-miscounted", "One byte too many counts, as delivered and as owed.",
        Edit("hub.rooms.outbox", "Outbox.advance",
             "",
             "self._account.delivered += self.partial is not None\n"
             "self._account.owed += self.partial is not None")),
    simulated("skipped-miscounted", "One byte too many counts as skipped.",
        Edit("hub.rooms.queued", "Queued.skip",
             "self._account.skipped += size", "self._account.skipped += size + 1")),
    simulated("unsent-miscounted", "The account of unsent bytes is one short.",
        Edit("hub.rooms.queued", "Queued._lose",
             "self._account.unsent += owed", "self._account.unsent += owed - (owed > 0)")),
    simulated("close-miscounted", "A reset is not counted among the closes.",
        Edit("hub.loop.closer", "Closer._settle",
             "self._counters.closed[name] += 1",
             "self._counters.closed[name] += reason is not CloseReason.PEER_RESET"),
        violation=r"^accepted \d+, open \d+, closed \d+"),
)  # fmt: skip
