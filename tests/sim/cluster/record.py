"""The record of a cluster in the end, and what of it each hub, room and client has to have heard.

The follower of each client has compared what it got with the rooms of its own hub, byte by byte
(tests/sim/journal.py). So what is left to compare is the rooms with the record, which is the same for all.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from cluster.envelope import Batch, Kind, Rules, unpacked
from cluster.fold import Origin
from hub.rooms.registry import LOBBY
from tests.sim.cluster.node import ClusterJournal, Node
from tests.sim.journal import TAG
from tests.sim.kernel import fail
from tests.sim.peers import Peer

if TYPE_CHECKING:
    from tests.sim.cluster.scene import Cluster

_REFUSED = re.compile(rb"\* not sent: (\d+) lines?")
_WENT_BACK = b"* the record of the cluster went back"
_MISSING = (_WENT_BACK, b" messages of the cluster are ")


class Record:
    """The lines of talk by room, as the stream has them in the end, and the announcements."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rules = Rules(0, cluster.plan.mode == "chat")
        self.talk: dict[str, list[bytes]] = {}
        self.announced: list[bytes] = []
        self.numbers: dict[int, list[int]] = {}
        """By peer, the numbers of its lines, in their order."""
        self._is_whole = not cluster.has_forgotten
        last: dict[Origin, int] = {}
        for stored in cluster.broker.stored:
            batch = unpacked(stored.message, self._rules)
            is_new = batch.number > last.get(stored.origin, 0)
            if is_new or self._is_whole:  # After a fork a batch that was under way may be stored once more.
                last[stored.origin] = batch.number
                self._add_batch(batch)

    def _add_batch(self, batch: Batch) -> None:
        for entry in batch.entries:
            if entry.kind is Kind.TALK:
                self._add(entry.room.lower(), entry.data.split(b"\n")[:-1])
            elif entry.kind is Kind.ANNOUNCEMENT:
                self.announced += entry.data.split(b"\n")[:-1]

    def _add(self, room: str, lines: list[bytes]) -> None:
        self.talk.setdefault(room, []).extend(lines)
        for line in lines:
            if found := TAG.search(line):
                self.numbers.setdefault(int(found[1]), []).append(int(found[2]))

    def was_heard_by(self, node: Node) -> None:
        """Each room of a hub got one piece of the record, and one that is there now has it to its end."""
        journal = node.journal
        assert isinstance(journal, ClusterJournal)
        for number, key in journal.rooms.items():
            heard = [line for line in journal.lines.get(number, []) if not line.startswith(b"* ")]
            room = node.hub.rooms.find(key)
            if self._is_whole:
                self._is_piece(node, key, heard, is_there=room is not None and room.log.number == number)
                continue
            self._is_in_order(node, key, heard)
            if key == LOBBY:
                self._misses_nothing(node, heard)

    def _is_piece(self, node: Node, key: str, heard: list[bytes], *, is_there: bool) -> None:
        talk = self.talk.get(key, [])
        if key == LOBBY and not any(at <= node.began_at for at in self._cluster.expired_at):
            heard == talk or fail(f"{node.name}: the lobby differs: {_difference(heard, talk)}")
        elif is_there or key == LOBBY:
            rest = talk[len(talk) - len(heard) :]
            heard == rest or fail(f"{node.name}: {key} differs: {_difference(heard, rest)}")
        else:
            _is_within(heard, talk) or fail(f"{node.name}: {key} had no piece of the record: {heard[:9]}")

    def _is_in_order(self, node: Node, key: str, heard: list[bytes]) -> None:
        """After the store forgot: nothing twice, and senders in their order."""
        last: dict[bytes, int] = {}
        for found in filter(None, map(TAG.search, heard)):
            before, number = last.get(found[1], -1), int(found[2])
            before < number or fail(f"{node.name}: {key} heard {found[0]!r} behind number {before}")
            last[found[1]] = number

    def _misses_nothing(self, node: Node, heard: list[bytes]) -> None:
        """After the store forgot: a lobby has all that the record has, and who misses more was told."""
        if any(at <= node.began_at for at in self._cluster.expired_at):
            return
        missed = set(self.talk.get(LOBBY, ())) - set(heard)
        not missed or fail(f"{node.name}: the lobby never heard {sorted(missed)[:5]}, which the record has")
        lobbies = [line for other in self._cluster.alive() for line in _lobby(other) if TAG.search(line)]
        elsewhere = sorted(set(lobbies) - set(heard))
        for peer in self._first(node) if elsewhere else ():
            _is_told_of_misses(node, peer) or fail(
                f"{node.name}: the lobby never heard {elsewhere[:5]}, and {peer.name} was not told"
            )

    def _first(self, node: Node) -> list[Peer]:
        """The clients that were here before the store forgot something, and can be told."""
        forgot_at = self._cluster.forgot_at[0]
        found = [peer for peer in node.staying() if node.came_at[peer] < forgot_at]
        return found if node.hub.settings.notices else []

    def was_shown_by(self, node: Node) -> None:
        """A history is a piece of the record, but for a newcomer's own lines where it gets none of these."""
        journal = node.journal
        assert isinstance(journal, ClusterJournal)
        if not self._is_whole:
            return
        for key, peer, shown in journal.shown:
            talk = self.talk.get(key, [])
            if not node.hub.settings.hears_itself:
                number = next(other.number for other in node.peers if other.name == peer)
                own = b"p%d." % number
                talk, shown = [[line for line in lines if own not in line] for lines in (talk, shown)]
            shown = [line.removesuffix(b"\n") for line in shown]
            _is_within(shown, talk) or fail(f"{peer} of {node.name} is shown {shown} of {key}")

    def is_kept_by(self, node: Node) -> None:
        """The last of what was said is the history of each room, here or kept for when it is here again."""
        settings, hub = node.hub.settings, node.hub
        if not self._is_whole or node.plan.mode != "chat" or self._cluster.expired_at:
            return
        for key, talk in self.talk.items():
            history = hub.rooms.hearing(key, key).history
            last = [said[0] for said in history.last(settings.history, hub.limits.history_bytes)]
            wanted = _last(talk, settings.history, hub.limits.history_bytes)
            last == wanted or fail(f"{node.name} keeps of {key} {_difference(last, wanted)}")

    def has_lines_of(self, peer: Peer, node: Node) -> None:
        """What a client said is in the record, each line once and in order, or was refused to its face."""
        numbers = self.numbers.get(peer.number, [])
        numbers == sorted(set(numbers)) or fail(f"peer {peer.number} of {node.name} is heard as {numbers}")
        if peer.read_only or not peer.spotless or peer.unread_bytes:
            return
        missing = len(peer.said) - len(numbers)
        told = sum(int(found[1]) for line in peer.follower.private if (found := _REFUSED.fullmatch(line)))
        deeds = node.asked.get(peer, Counter())["/me"]  # They are refused as lines are.
        is_so = missing <= told <= missing + deeds if self._is_whole else told <= missing + deeds
        is_so or fail(f"peer {peer.number} of {node.name} misses {missing} lines, and was told of {told}")
        if missing > told and node.hub.settings.notices:
            _is_told_of_misses(node, peer) or fail(
                f"peer {peer.number} of {node.name} misses {missing} lines in silence"
            )

    def has_lines_of_leavers(self, node: Node) -> None:
        """What a client said that ended in order is in the record, unless there was no place for it."""
        outbox = node.joined.member.outbox
        if not self._is_whole or outbox.refused_lines or not outbox.is_empty:
            return
        ends = {fields["peer"]: fields["reason"] for event, fields in node.log if event == "closed"}
        for peer in node.peers:
            if ends.get(peer.name) == "peer_closed" and peer.tcp.fin_came and peer.spotless:
                numbers, said = self.numbers.get(peer.number, []), len(peer.said)
                numbers == list(range(said)) or fail(
                    f"peer {peer.number} of {node.name} said {said} lines and left; heard are {numbers}"
                )

    def tells_of_forks(self) -> None:
        """A record that went back is announced to everybody, through the record."""
        forks = sum(node.joined.member.forks for node in self._cluster.alive())
        if not (forks and self._cluster.forgot_at):
            return
        told = [line for line in self.announced if line.startswith(_WENT_BACK)]
        told or fail(f"{forks} forks were seen, and the record tells of none")
        for node in self._cluster.alive():
            for peer in self._first(node):
                _is_told_of_misses(node, peer) or fail(f"{peer.name} of {node.name} was told of no fork")


def _is_told_of_misses(node: Node, peer: Peer) -> bool:
    """The client was in a room that was told."""
    journal = node.journal
    return any(
        part in line
        for stay in journal.stays.get(peer.name, ())
        for line in journal.lines.get(stay.room, [])[stay.start : stay.stop]
        for part in _MISSING
    )


def _lobby(node: Node) -> list[bytes]:
    lines = node.journal.lines.get(node.hub.rooms.lobby.log.number, [])
    return [line for line in lines if not line.startswith(b"* ")]


def _last(talk: list[bytes], lines: int, size: int) -> list[bytes]:
    """The last lines, at most so many and so many bytes."""
    start = len(talk)
    while start and len(talk) - start < lines and (size := size - len(talk[start - 1]) - 1) >= 0:
        start -= 1
    return talk[start:]


def _is_within(part: list[bytes], whole: list[bytes]) -> bool:
    size = len(part)
    return not part or any(whole[at : at + size] == part for at in range(len(whole) - size + 1))


def _difference(heard: list[bytes], wanted: list[bytes]) -> str:
    at = next((at for at, pair in enumerate(zip(heard, wanted, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(heard), len(wanted)) if at is None else at
    shown = [[line[:30] for line in lines[at : at + 3]] for lines in (heard, wanted)]
    return f"{len(heard)} lines of {len(wanted)}, from {at} on {shown[0]}, and not {shown[1]}"
