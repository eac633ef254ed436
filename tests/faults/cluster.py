"""Bugs of hubs in a cluster: those of the protocol lose or double lines, the others hold senders or rooms."""

from tests.faults.edit import Edit, Fault

WHOLE_HUBS = ("tests/sim/test_cluster.py::test_hubs_of_a_cluster_keep_their_promises",)
SAME_SEQUENCE = (
    "tests/unit/cluster/test_member.py::test_members_hear_one_sequence_whatever_happens",
    *WHOLE_HUBS,
)

FAULTS = (
    Fault(
        id="retry-as-a-new-batch",
        bug="A batch that was not acknowledged in time is published again under the next number.",
        seen="When the broker is slow, or a link breaks, lines are said twice.",
        edits=(Edit("cluster.outbox", "Outbox.next", "self.resent += 1",
                    "self._number += 1\n"
                    "entries = [said.entry for said in self._flight]\n"
                    "self._message = packed(Batch(self._number, wall_ms, entries))"),),
        tests=SAME_SEQUENCE,
    ),
    Fault(
        id="at-or-below-is-a-double",
        bug="What the stream numbers at or below the last applied is dropped, whatever stream it is.",
        seen="After the broker was restored from an older copy, some hubs miss what is said next.",
        links=("nats-io/nats-server/issues/7564",),
        edits=(Edit("cluster.member", "Member._up", "ForkCheck(list(self.fold.names), self.fold.applied",
                    "ForkCheck([], self.fold.applied"),
               Edit("cluster.member", "Member._up", "same_stream)", "True)")),
        tests=SAME_SEQUENCE,
    ),
    Fault(
        id="own-line-heard-twice",
        bug="A hub shows a line to its own clients at once, and once more when the stream brings it.",
        seen="People on one hub see what they say twice, and in another order than people on others.",
        edits=(Edit("cluster.commons", "ClusterCommons.say",
                    "", "self.audience.heard(room, lines, sender, now)"),),
        tests=WHOLE_HUBS,
    ),
    Fault(
        id="held-senders-forgotten",
        bug="A client that waits for its nick stays held up when the answer has come.",
        seen="After /nick nothing that the client says is heard.",
        edits=(Edit("cluster.commons", "ClusterCommons.claim", "self.claiming.discard(client)", "pass"),),
        tests=WHOLE_HUBS,
    ),
    Fault(
        id="heard-without-place",
        bug="A hub hears all that the stream brings in one turn, whether its rooms have place for it or not.",
        seen="After an outage readers on other hubs are closed as slow.",
        edits=(Edit("cluster.commons", "ClusterCommons._wait_s", "", "return None"),),
        tests=WHOLE_HUBS,
    ),
)  # fmt: skip
