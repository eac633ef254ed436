"""Three whole hubs on a simulated broker: sixty runs, and thousands where there is time.

A run that fails prints its seed; `python -m tests.sim.cluster --seed N` shows it.
"""

import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.sim.__main__ import Progress
from tests.sim.cluster.__main__ import failure_of
from tests.sim.cluster.plan import make_plan
from tests.sim.cluster.scene import Cluster
from tests.sim.kernel import Violation

SEEDS = 60
LONG_SEEDS = 5000
LONG_S = float(os.environ.get("SIM_SECONDS", "150"))
SLICES = 4


def test_hubs_of_a_cluster_keep_their_promises() -> None:
    found = {seed: failure for seed in range(SEEDS) if (failure := failure_of(make_plan(seed)))}
    assert found == {}, f"python -m tests.sim.cluster --seed {min(found)}"


def test_cluster_runs_have_all_that_may_happen() -> None:
    clusters = [Cluster(make_plan(seed)) for seed in range(20)]
    for cluster in clusters:
        with suppress(Violation):  # What goes wrong is told by the test above.
            cluster.run()
    members = [node.joined.member for cluster in clusters for node in cluster.gone + cluster.alive()]
    outboxes = [member.outbox for member in members]
    assert any(cluster.forgot_at for cluster in clusters) and any(cluster.killed for cluster in clusters)
    assert min(sum(member.forks for member in members), sum(member.fold.gaps for member in members)) > 0
    assert min(sum(box.resent for box in outboxes), sum(box.refused_lines for box in outboxes)) > 0


def test_cluster_seed_is_the_same_run_again() -> None:
    runs = [Cluster(make_plan(3)) for _ in range(2)]
    for cluster in runs:
        cluster.run()
    first, again = ([node.kernel.trace for node in cluster.gone] for cluster in runs)
    assert first == again and len(set(first)) == len(first)


@pytest.mark.long
@pytest.mark.timeout(LONG_S + 120)
@pytest.mark.parametrize("slice_", range(SLICES))
def test_hubs_of_a_cluster_in_five_thousand_runs(
    slice_: int, record_property: Callable[[str, object], None]
) -> None:
    """In slices, each with a bound of its own (SIM_SECONDS); SIM_FROM begins at another seed."""
    progress, found = Progress(), []
    first = int(os.environ.get("SIM_FROM", "0"))
    for seed in range(first + slice_, first + LONG_SEEDS, SLICES):
        failure = failure_of(make_plan(seed))
        progress.count += 1
        if failure is not None:
            found.append(f"python -m tests.sim.cluster --seed {seed}: {failure!r}")
        if progress.seconds > LONG_S or len(found) == 3:
            break
    record_property("a slice ran", f"{progress.count:,} seeds")
    record_property("a second", f"{progress.per_s:.1f} seeds")
    assert not found, "\n".join(found)
