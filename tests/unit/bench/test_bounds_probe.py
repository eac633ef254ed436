"""What a part of a prober's run comes to."""

import math

import pytest

from bench.bounds.probe import Probed, probe
from tests.support import ThreadHub

TIMES_S = [0.001, 0.002, 0.009, 0.004, 0.001]
LATENESS_S = [0.0, 0.001, 0.008, 0.0, 0.0]


def test_lines_planned_in_a_window_are_judged_alone() -> None:
    probed = Probed(100.0, 0.5, TIMES_S, LATENESS_S)
    part = probed.between(100.5, 102.0)
    assert (part.start_s, part.times_s) == (100.5, [0.002, 0.009, 0.004])
    assert probed.between(0.0, 100.5).times_s == [0.001]
    assert probed.between(102.0, 500.0).times_s == [0.001]
    assert probed.between(200.0, 201.0).times_s == []


def test_own_lateness_of_the_prober_is_told_apart() -> None:
    figures = Probed(0.0, 0.5, TIMES_S, LATENESS_S).figures()
    assert figures["worst ms"] == pytest.approx(9)
    assert figures["worst net ms"] == pytest.approx(4)
    assert figures["prober late ms"] == pytest.approx(8)


def test_a_line_without_an_answer_is_the_worst() -> None:
    assert Probed(0.0, 0.5, [0.001, math.inf], [0.0, 0.0]).figures()["worst ms"] == math.inf


def test_a_window_without_a_line_is_no_result() -> None:
    with pytest.raises(SystemExit, match="no line of the prober"):
        Probed(0.0, 0.5, [], []).figures()


def test_the_prober_of_a_chat_is_in_a_room_of_its_own() -> None:
    with ThreadHub(mode="chat") as hub:
        probed = probe(f"127.0.0.1:{hub.port}", 0.01, 0.2)
        assert len(probed.times_s) == 20 and max(probed.times_s) < math.inf
        assert hub.ending()["room"] == "the-prober"
