"""The plan to many hubs: its formulas against its simulation, its walls, and the page that shows them."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from bench.scaling import PER_HUB, ROWS, WALLS, Load, Tree, Wall, border, main, plans, report, shown, simulate
from tests.docs import DOCS

ALL = Tree(1e7)
"""Everybody, with the code as it is."""


def hubs(count: int) -> Tree:
    """A tree of so many full hubs, each of which skips foreign rooms."""
    return Tree(count * PER_HUB, skips=True)


def first(tree: Tree) -> str:
    """The wall that the fewest people meet."""
    return min(WALLS, key=lambda wall: border(wall, tree)).name


def test_more_hubs_cost_each_hub_more_and_take_longer() -> None:
    for few, many in pairwise(Load(hubs(count)) for count in (1, 3, 14, 36, 100, 503)):
        assert few.hubs < many.hubs
        assert few.spacing_s < many.spacing_s
        assert few.p50_s() < many.p50_s()
        assert few.core_cpu < many.core_cpu
        assert few.stored < many.stored


@pytest.mark.parametrize("count", [1, 3, 36, 503])
def test_hub_hears_no_more_messages_than_it_is_meant_to(count: int) -> None:
    assert Load(hubs(count)).heard_s <= 1000.001


@pytest.mark.parametrize(
    ("tree", "tolerance"),
    [(hubs(3), 0.2), (hubs(36), 0.05), (hubs(100), 0.03), (replace(ALL, shards=8, by_room=True), 0.05)],
)
def test_paper_and_simulation_agree(tree: Tree, tolerance: float) -> None:
    paper = Load(tree)
    p50_s, p99_s, heard_s, hub_cpu = simulate(tree, 7)
    assert p50_s == pytest.approx(paper.p50_s(), rel=tolerance)
    assert heard_s == pytest.approx(paper.heard_s, rel=0.05)
    assert hub_cpu == pytest.approx(paper.hub_cpu, rel=0.05)
    assert p99_s > p50_s


@pytest.mark.parametrize(("lines_s", "p50_ms", "p99_ms"), [(1_000, 3.6, 6.2), (30_000, 5.8, 13.7)])
def test_simulation_is_below_what_two_cores_measured(lines_s: int, p50_ms: float, p99_ms: float) -> None:
    """A broker and three hubs shared two cores there, so it is below, and not by more than half."""
    tree = Tree(3 * PER_HUB, 60 * lines_s / 3 / PER_HUB, room=1, leaves=False, replicas=1)
    simulated = simulate(tree, 7)
    assert 0.5 * p50_ms < 1000 * simulated[0] < p50_ms
    assert 0.45 * p99_ms < 1000 * simulated[1] < p99_ms


def test_simulation_of_a_seed_is_reproducible() -> None:
    assert simulate(hubs(3), 7) == simulate(hubs(3), 7)
    assert simulate(hubs(3), 7) != simulate(hubs(3), 8)


def test_hubs_in_step_take_longer_than_hubs_that_are_not() -> None:
    assert simulate(hubs(36), 7, in_step=True)[0] > 1.05 * simulate(hubs(36), 7)[0]


def test_overloaded_hub_has_no_latency() -> None:
    assert Load(ALL).hub_cpu > 1
    assert Load(ALL).p50_s() == math.inf
    assert simulate(ALL, 7)[0] == math.inf


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_wall_stands_where_its_limit_is_first_exceeded(wall: Wall) -> None:
    people = border(wall, ALL)
    assert wall.value(Load(replace(ALL, people=0.98 * people))) <= wall.limit
    assert wall.value(Load(replace(ALL, people=1.02 * people))) > wall.limit


def test_wall_by_lines_is_that_of_the_lines_alone() -> None:
    wall = next(wall for wall in WALLS if wall.name == "stream, B/s")
    each = border(wall, ALL, by_lines=True)
    assert each == pytest.approx(60 * wall.limit / 78 / ALL.people, rel=0.01)


def test_wall_that_nothing_meets_is_infinite_and_one_met_is_zero() -> None:
    assert border(WALLS[0]._replace(limit=math.inf), ALL) == math.inf
    assert border(WALLS[0]._replace(limit=0.0), ALL) == 0


def test_first_wall_is_moved_by_each_step_of_the_plan() -> None:
    ways = plans(ALL, 8)
    assert first(ways["as it is"]) == "CPU of a hub"
    assert first(ways["no leaf brokers"]) == "CPU of the core broker"
    assert first(ways["8 shards"]) == "between batches, s"
    at = {name: min(border(wall, tree) for wall in WALLS) for name, tree in ways.items()}
    assert at["no leaf brokers"] < at["as it is"] < at["foreign rooms skipped"] < at["8 shards by room"]
    assert at["as it is"] < ALL.people < at["foreign rooms skipped"]


def test_shards_of_rooms_anywhere_only_slow_talk_down() -> None:
    whole, anywhere, by_room = (
        Load(replace(ALL, skips=True, shards=shards, by_room=way))
        for shards, way in ((1, False), (8, False), (8, True))
    )
    assert anywhere.followed == pytest.approx(8)
    assert anywhere.hub_cpu == pytest.approx(whole.hub_cpu, rel=0.01)
    assert by_room.p50_s() < whole.p50_s() / 5 < anywhere.p50_s()


def test_hot_room_waits_for_a_pass() -> None:
    tree = Tree(3 * PER_HUB, lines_each=60 * 100 / 3 / PER_HUB, hot_lines=100.0)
    pass_s = Load(tree).pass_s
    assert pass_s > PER_HUB * 5.74e-6
    p50_s, p99_s, _, _ = simulate(tree, 7, pass_s=pass_s)
    assert pass_s < p50_s < p99_s < 1.2 * pass_s


def test_hot_room_of_few_readers_has_a_short_pass() -> None:
    few = Load(replace(hubs(3), hot_readers=300))
    assert few.hot_here == 100
    assert few.pass_s < Load(hubs(3)).pass_s / 100


def test_report_names_the_first_wall_of_each_tree() -> None:
    told = report({"three": hubs(3), "all": ALL}, 7)
    assert "| the first wall | CPU of the core broker | CPU of a hub |" in told
    assert "| p50 ms, simulated | 4." in told and told == report({"three": hubs(3), "all": ALL}, 7)


def test_command_prints_its_seed_and_refuses_zero(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--people", "30000", "--seed", "7"])
    assert capsys.readouterr().out.startswith("Seed 7.\n\n|  | 3 hubs | 36 hubs |")
    with pytest.raises(SystemExit):
        main(["--people", "0"])
    assert "above 0" in capsys.readouterr().err


def test_page_has_what_the_formulas_have_now() -> None:
    """The simulated rows are left to the reader: a library of another machine may round otherwise."""
    page = (DOCS / "design/scaling.md").read_text()
    loads = [Load(tree) for tree in plans(ALL, 8).values()]
    rows = [shown(name, map(value, loads)) for name, value in ROWS]
    rows += [shown(wall.name, (border(wall, of.tree) for of in loads)) for wall in WALLS]
    assert [row for row in rows if f"| {' | '.join(row)} |" not in page] == []
