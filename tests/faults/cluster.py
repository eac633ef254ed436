"""Bugs of the protocol between hubs, each of which loses or doubles lines without a word."""

from tests.faults.edit import Edit, Fault

SAME_SEQUENCE = ("tests/unit/cluster/test_member.py::test_members_hear_one_sequence_whatever_happens",)

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
)  # fmt: skip
