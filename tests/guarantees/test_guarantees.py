"""The promises name tests that are there, cover docs/behaviour.md, and the page is what is known of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.guarantees.__main__ import PAGE
from tests.guarantees.page import page
from tests.guarantees.promises import ROOT, Area, Promise, areas, is_there, named_tests
from tests.guarantees.results import Result, in_one, load, node_id, read, save

NO_PROMISE = {"Not promised"}
"""Chapters of docs/behaviour.md that say what is not."""

REPORT = """<testsuites><testsuite>
<testcase classname="tests.hub.test_text" name="test_one[a]" time="1"><properties>
<property name="lateness" value="1.5 ms"/></properties></testcase>
<testcase classname="tests.hub.test_text" name="test_one[b]" time="1"><properties>
<property name="lateness" value="12 ms"/></properties><failure message="no"/></testcase>
<testcase classname="tests.hub.test_text" name="test_two" time="1"><skipped/></testcase>
</testsuite></testsuites>"""


def test_promises_name_tests_that_are_there() -> None:
    assert [test for test in named_tests(areas()) if not is_there(test)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    here = "tests/guarantees/test_guarantees.py"
    assert is_there(f"{here}::test_a_test_that_is_not_there_is_noticed")
    assert not is_there(f"{here}::test_nothing")
    assert not is_there("tests/guarantees/test_none.py::test_nothing")
    assert not is_there(here)


def test_every_chapter_of_the_behaviour_has_promises() -> None:
    chapters = set(re.findall(r"^## (.+)$", (ROOT / "docs" / "behaviour.md").read_text(), re.MULTILINE))
    covered = {chapter for area in areas() for chapter in area.section}
    assert covered == chapters - NO_PROMISE


def test_every_promise_is_held_by_something() -> None:
    empty = [each.text for area in areas() for each in area.promise if not (each.tests or each.commands)]
    assert empty == []


def test_the_page_is_what_is_known_of_the_promises() -> None:
    assert PAGE.read_text() == page(areas(), load())


def test_a_report_is_read_over_all_parameters_of_a_test(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    found = read([report], "2026-01-02")
    assert found == {
        "tests/hub/test_text.py::test_one": Result(False, "2026-01-02", 2, {"lateness": "1.5 to 12 ms"})
    }


def test_a_test_whose_cases_ran_in_several_slices_is_one_with_all_of_them(tmp_path: Path) -> None:
    for number, case in enumerate("ab"):
        (tmp_path / f"{number}.xml").write_text(
            f'''<testsuite><testcase classname="tests.hub.test_text" name="test_one[{case}]">
            <properties><property name="lines" value="{number}"/></properties></testcase></testsuite>'''
        )
    found = read([tmp_path / "0.xml", tmp_path / "1.xml"], "2026-01-02")
    assert found == {"tests/hub/test_text.py::test_one": Result(True, "2026-01-02", 2, {"lines": "0 to 1"})}


def test_of_a_case_that_ran_twice_the_later_run_counts(tmp_path: Path) -> None:
    for name, outcome in [("first", "<failure/>"), ("later", "")]:
        (tmp_path / name).write_text(
            f'<testsuite><testcase classname="tests.hub.test_text" name="test_one">{outcome}'
            "</testcase></testsuite>"
        )
    found = read([tmp_path / "first", tmp_path / "later"], "2026-01-02")
    assert found == {"tests/hub/test_text.py::test_one": Result(True, "2026-01-02")}


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    results = {"make soak": Result(True, "2026-01-02", figures={"p99": "3 ms"})}
    save(results, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results


def test_values_of_one_unit_become_a_range_and_others_a_list() -> None:
    assert in_one(["10 ms", "9.5 ms", "9.5 ms"]) == "9.5 to 10 ms"
    assert in_one(["1,000 lines"]) == "1,000 lines"
    assert in_one(["a", "b"]) == "a; b"
    assert in_one(["1 s", "2 ms"]) == "1 s; 2 ms"


def test_a_class_of_tests_keeps_its_name() -> None:
    assert node_id("tests.hub.test_text.TestX", "test_y[1]") == "tests/hub/test_text.py::TestX::test_y"


def test_the_page_says_what_failed_and_what_was_not_run() -> None:
    promise = Promise("All | is well.", ["tests/a.py::test_all_is_well", "tests/a.py::test_b"], ["make soak"])
    known = {"tests/a.py::test_all_is_well": Result(False, "2026-01-02", 2, {"lateness": "1 ms"})}
    row = page([Area("All", ["All"], [promise])], known).splitlines()[-1]
    assert row == (
        "| All \\| is well. | [all is well](../tests/a.py)<br>[b](../tests/a.py)<br>`make soak` "
        "| **FAILS** (2 cases); lateness: 1 ms<br>not run yet<br>not run yet | not yet |"
    )


def test_what_passes_is_told_in_one_line_with_all_figures() -> None:
    promise = Promise("All is well.", ["tests/a.py::test_a", "tests/a.py::test_b"])
    known = {
        "tests/a.py::test_a": Result(True, "2026-01-02", 2, {"lateness": "1 ms"}),
        "tests/a.py::test_b": Result(True, "2026-01-03", 1, {"lines": "5"}),
    }
    row = page([Area("All", ["All"], [promise])], known).splitlines()[-1]
    assert row.endswith("| passes (3 cases); lateness: 1 ms; lines: 5 | 2026-01-02 |")
