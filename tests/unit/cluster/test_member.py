"""Three members on a model of a broker that loses, delays, refuses, forgets and begins anew."""

import random

from tests.unit.cluster.model import World, failures

SEED = random.randrange(1 << 30)
SEEDS = 120
"""About 3 s. `python -m tests.unit.cluster.model --seeds 0-5000` tries more."""


def test_members_hear_one_sequence_whatever_happens() -> None:
    print(f"seeds {SEED} to {SEED + SEEDS - 1}")
    assert list(failures(range(SEED, SEED + SEEDS))) == []


def test_a_run_has_all_that_may_happen() -> None:
    worlds = [World(seed) for seed in range(20)]
    for world in worlds:
        world.run()
    members = [member for world in worlds for member in world.members.values()]
    assert any(world.has_forgotten for world in worlds) and any(world.killed for world in worlds)
    assert min(sum(member.forks for member in members), sum(member.lost for member in members)) > 0
    assert min(sum(member.outbox.resent for member in members), sum(m.fold.gaps for m in members)) > 0
