"""Faults of lines and of the account of them."""

from tests.faults.edit import Edit, simulated

_LOST = (
    "if client.id == 2 and chunk.first == 5:\n"
    "    client.position, client.offset = client.position + chunk.count, chunk.end\n"
)

FAULTS = (
    simulated("line-lost", "One subscriber does not receive one line.",
        Edit("hub.loop.writer", "Sender._hand", "", f"{_LOST}    return"),
        violation="^owed and replayed"),
    simulated("line-lost-but-counted", "One line that counts as delivered is not sent.",
        Edit("hub.loop.writer", "Sender._hand",
             "",
             f"{_LOST}    self._hub.account.delivered += len(chunk.lf)\n    return"),
        violation="^(delivered .* kernels took|.* in place of)"),
    simulated("line-said-twice", "A room stores one line twice.",
        Edit("hub.rooms.room", "Room.extend",
             "",
             "if self.head == 7:\n    lines, size = [*lines] * 2, 2 * size")),
    simulated("lines-out-of-order", "Room lines that become private output are reversed.",
        Edit("hub.rooms.room", "Room.lines_between", "_joined(found)", "_joined(found[::-1])")),
    simulated("gap-not-told", "A client that missed lines is not told.",
        Edit("hub.rooms.skipping", "tell_skipped", "", "client.untold_lines = 0\nreturn")),
    simulated("log-never-trimmed", "A room keeps every line.",
        Edit("hub.rooms.room", "Room.trim", "", "return")),
    simulated("owed-miscounted", "The account of owed bytes is one short for each append.",
        Edit("hub.rooms.room", "Room.extend",
             "self.account.owed += size",
             "self.account.owed -= 1\nself.account.owed += size")),
    simulated("delivered-miscounted", "One byte too many counts, as delivered and as owed.",
        Edit("hub.rooms.outbox", "take",
             "del client.private[:whole_pieces]",
             "del client.private[:whole_pieces]\n"
             "account.delivered += bool(client.rest)\n"
             "account.owed += bool(client.rest)")),
    simulated("skipped-miscounted", "One byte too many counts as skipped.",
        Edit("hub.rooms.skipping", "skip", "account.skipped += size", "account.skipped += size + 1")),
    simulated("unsent-miscounted", "The account of unsent bytes is one short.",
        Edit("hub.loop.context", "Hub.drop_output",
             "self.account.unsent += owed",
             "self.account.unsent += owed - (owed > 0)")),
    simulated("close-miscounted", "A reset is not counted among the closes.",
        Edit("hub.loop.closer", "Endings._settle",
             "hub.counters.closed[reason] += 1",
             "hub.counters.closed[reason] += reason is not CloseReason.PEER_RESET"),
        violation=r"^accepted \d+, open \d+, closed \d+"),
)  # fmt: skip
