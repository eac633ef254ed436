"""What a hub tells of itself: to the others in its beat, and to its page."""

from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Final, NamedTuple

from cluster.member import Member
from cluster.peers import Peer, Peers
from cluster.presence import ROOMS_TOLD, Beat
from hub.control.snapshots import ClusterState, HubRow, record_of
from hub.rooms.registry import Registry


class Totals(NamedTuple):
    """What a hub has; lines are since its start."""

    clients: int
    lines_in: int
    lines_out: int


HUBS_SHOWN: Final = 64
"""So many are on the page; the summary has to stay small."""
_MS: Final = 1000.0
Tell = Callable[[], Totals]


def beat_of(member: Member, totals: Totals, rooms: Registry, *, is_leaving: bool = False) -> Beat:
    """The beat of this hub now."""
    p50_s, p99_s = of_acks(member.outbox.acks)
    largest = nlargest(ROOMS_TOLD, (room for room in rooms.all() if room.size), key=lambda room: room.size)
    return Beat(
        applied=member.fold.applied, is_leaving=is_leaving,
        clients=totals.clients, lines_in=totals.lines_in, lines_out=totals.lines_out,
        ack_p50_ms=round(p50_s * _MS, 3), ack_p99_ms=round(p99_s * _MS, 3), behind=member.fold.behind,
        gaps=member.fold.gaps, resent=member.outbox.resent, refused_lines=member.outbox.refused_lines,
        rooms=len(rooms), people={room.key: room.size for room in largest},
    )  # fmt: skip


def of_acks(acks: Iterable[float]) -> tuple[float, float]:
    """Half of the last acknowledgements came within the first time, and 99 % within the second; seconds."""
    times = sorted(acks)
    return (times[len(times) // 2], times[len(times) * 99 // 100]) if times else (0.0, 0.0)


def state_of(member: Member, peers: Peers, own: Beat, links: int, now: float) -> ClusterState:
    """What the page shows of the cluster."""
    hubs = [*peers.living()[: HUBS_SHOWN - 1], Peer(member.origin, own, now)]
    return record_of(
        ClusterState,
        (member, member.fold, member.outbox),
        hub=member.origin.hub,
        is_linked=member.follows,
        unheard_s=round(member.outbox.unheard_s(now), 3),
        links=links,
        refused_messages=member.refused,
        lost=member.lost + member.gone,
        hubs=tuple(
            _row(peer, peer.origin == member.origin, now)
            for peer in sorted(hubs, key=lambda peer: peer.origin)
        ),
    )


def _row(peer: Peer, is_this: bool, now: float) -> HubRow:
    beat_s = round(now - peer.heard_at, 3)
    return record_of(HubRow, [peer.beat], hub=peer.origin.hub, is_this=is_this, beat_s=beat_s)
