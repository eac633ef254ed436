"""What must be true of a cluster once all has been well for a while. Each function looks at one promise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.names import key_of
from hub.modes.chat import Chat
from hub.session.read_gate import COMMONS
from tests.sim.cluster.node import Node
from tests.sim.cluster.record import Record
from tests.sim.kernel import fail
from tests.sim.peers import Peer

if TYPE_CHECKING:
    from tests.sim.cluster.scene import Cluster

TURNS_AT_REST = 32
"""In two seconds: beats of three hubs, what is published, looks at the stream, a sweep and a poll."""
SPUN_S = 1.0
"""A hub that hears much may do so for a while without a wait."""
_SILENT, _AGAIN = b"* the cluster does not answer; lines wait", b"* the cluster answers again"
_ANSWERS = {
    "/who": re.compile(rb"\* in \S+ \(\d+\): "),
    "/rooms": re.compile(rb"\* rooms \(\d+\): "),
    "/nick": re.compile(
        rb"\* (you are now (?!in )|the nick |you are \S+ already|the cluster does not answer, )"
    ),
    "/whois": re.compile(rb"\* (.+ is in .+, by|nobody here is called )"),
}


def judge(cluster: Cluster, turns: list[int]) -> None:
    """All promises; `turns` is what each hub made in the last seconds, in which nothing happened."""
    record = Record(cluster)
    for node in cluster.gone + cluster.alive():
        record.has_lines_of_leavers(node)
    for node in cluster.alive():
        record.was_heard_by(node)
        record.was_shown_by(node)
        record.is_kept_by(node)
        nobody_hangs(node)
        for peer in node.staying():
            record.has_lines_of(peer, node)
            got_answers(peer, node)
    record.tells_of_forks()
    for name, check in CHECKS.items():
        name in cluster.but or check(cluster, turns)


def nobody_hangs(node: Node) -> None:
    commons = node.joined.commons
    not commons.claiming or fail(f"{node.name}: claims of {commons.claiming} hang")
    for client in node.hub.connections.clients.values():
        not client.gate.has(COMMONS) or fail(f"{node.name}: {client.peer} is held for ever")


def got_answers(peer: Peer, node: Node) -> None:
    """A client knows that the cluster answers, and has an answer to each question."""
    private = peer.follower.private
    news = [line for line in private if line.startswith((_SILENT, _AGAIN))]
    not news or news[-1].startswith(_AGAIN) or fail(f"peer {peer.number} of {node.name} still hears: {news}")
    if not (peer.spotless and node.hub.settings.notices) or peer.write_only or peer.unread_bytes:
        return
    for word, answer in _ANSWERS.items():
        asked = node.asked.get(peer, Counter())[word]
        told = sum(answer.match(line) is not None for line in private)
        if word == "/whois":
            asked, told = asked, min(asked, told)  # A /msg to nobody is answered as a /whois is.
        asked == told or fail(f"peer {peer.number} of {node.name} asked {word} {asked} times, and got {told}")


def _chosen(node: Node) -> set[str]:
    """The nicks that clients of a hub chose; one that lost its nick is a guest, which no table has."""
    mode = node.hub.mode
    chosen = mode.nicks.chosen if isinstance(mode, Chat) else ()
    return {nick for nick in chosen if not nick.startswith("guest-")}


def nicks_are_owned(cluster: Cluster, turns: list[int]) -> None:
    """The nicks of a hub are keys of the table that are its own."""
    for node in cluster.alive():
        origin = node.joined.member.origin
        for nick in _chosen(node):
            owner = cluster.broker.table.get(key_of(nick), (None, 0))[0]
            owner == origin or fail(f"{node.name} has the nick {nick}, and the table says {owner}")


def nicks_have_one_owner(cluster: Cluster, turns: list[int]) -> None:
    """Nobody is called what somebody on another hub is called."""
    counts = Counter(nick for node in cluster.alive() for nick in _chosen(node))
    twice = [nick for nick, count in counts.items() if count > 1]
    not twice or fail(f"{twice} are had on several hubs")


def nicks_are_used(cluster: Cluster, turns: list[int]) -> None:
    """A hub that is alive keeps no key of the table that nobody there is called by; a table that went back
    may say what was true before."""
    if cluster.has_forgotten:
        return
    used = {key_of(nick): node.name for node in cluster.alive() for nick in _chosen(node)}
    alive = {node.joined.member.origin for node in cluster.alive()}
    kept = [
        owner.hub for key, (owner, _) in cluster.broker.table.items() if owner in alive and key not in used
    ]
    not kept or fail(f"{kept} keep nicks that nobody there has")


def loops_rest(cluster: Cluster, turns: list[int]) -> None:
    """A loop with nothing to do waits."""
    for node, count in zip(cluster.alive(), turns, strict=True):
        count <= TURNS_AT_REST or fail(f"{node.name} makes {count} turns in two seconds of rest")


def heads_are_true(cluster: Cluster, turns: list[int]) -> None:
    """A hub that has applied the whole record knows that."""
    for node in cluster.alive():
        behind = node.joined.member.fold.behind
        not behind or fail(f"{node.name} takes itself for {behind} messages behind")


def forks_are_true(cluster: Cluster, turns: list[int]) -> None:
    """A hub finds no more forks than there were, and misses nothing where there was none."""
    for node in cluster.alive():
        member = node.joined.member
        most = sum(at >= node.began_at for at in cluster.forgot_at)
        member.forks <= most or fail(f"{node.name} found {member.forks} forks of {most}")
        if not cluster.has_forgotten:
            found = member.lost, member.gone, member.refused
            found == (0, 0, 0) or fail(f"{node.name} misses {found}, and nothing was forgotten")


def company_is_known(cluster: Cluster, turns: list[int]) -> None:
    """Each hub knows who else is alive, and how many people are where."""
    for node in cluster.alive() if cluster.is_still else ():
        commons, others = node.joined.commons, [other for other in cluster.alive() if other is not node]
        known = {peer.origin for peer in commons.company.peers.living()}
        alive = {other.joined.member.origin for other in others}
        known == alive or fail(f"{node.name} takes {known} for alive, and {alive} are")
        for key in {room.key for other in others for room in other.hub.rooms.all()}:
            rooms = [room for other in others if (room := other.hub.rooms.find(key))]
            people, told = sum(room.size for room in rooms), commons.people_elsewhere(key)
            told == people or fail(f"{node.name}: {told} people elsewhere are in {key}, and {people} are")


def starts_wait(cluster: Cluster, turns: list[int]) -> None:
    """A hub that starts or ends waits where it can do nothing."""
    cluster.spun_s < SPUN_S or fail(f"hubs that start or end spin, for {cluster.spun_s:g} s")


CHECKS: dict[str, Callable[[Cluster, list[int]], None]] = {
    "nicks-owned": nicks_are_owned, "nicks-one-owner": nicks_have_one_owner, "nicks-used": nicks_are_used,
    "rest": loops_rest, "starts": starts_wait, "heads": heads_are_true, "forks": forks_are_true,
    "company": company_is_known,
}  # fmt: skip
"""Those that may be left out by name, so that the others are seen where one is known to fail."""
