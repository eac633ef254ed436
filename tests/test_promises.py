"""Every promise is held by a test or a command, and docs/guarantees.md is what the markers say."""

from __future__ import annotations

from pathlib import Path

from tests.promises import HERE, PAGE, Promises, load, marked, marks, page

FEW = Promises(
    {"Lines": {"lines-whole": "A line is whole."}, "Soak": {"soak": "All is well."}}, {"soak": "make soak"}
)


def test_promises_are_all_held_by_a_test_or_a_command() -> None:
    assert set(load().ids()) - marked().keys() - load().commands.keys() == set()


def test_marker_ids_and_command_ids_are_all_promises() -> None:
    assert (marked().keys() | load().commands.keys()) - set(load().ids()) == set()


def test_promise_ids_are_unique_over_all_areas() -> None:
    ids = load().ids()
    assert len(ids) == len(set(ids))


def test_guarantees_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(load(), marked()), "run `make guarantees`"


def test_marks_are_found_on_functions_among_other_decorators() -> None:
    source = '@pytest.mark.promise("a")\n@pytest.mark.long\n@pytest.mark.promise("b")\ndef test_x(): ...\n'
    assert sorted(marks(source)) == ["a", "b"]
    assert list(marks('"""pytest.mark.promise("a")"""  # pytest.mark.promise("b")')) == []


def test_marked_modules_are_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    module = tmp_path / "hub" / "test_x.py"
    module.write_text('@pytest.mark.promise("lines-whole")\ndef test_x(): ...\n')
    assert marked(tmp_path) == {"lines-whole": {module}}


def test_page_rows_link_the_modules_and_name_the_commands() -> None:
    rows = page(FEW, {"lines-whole": {HERE / "hub" / "test_x.py"}}).splitlines()
    assert "| A line is whole. | [hub/x](../tests/hub/test_x.py) |" in rows
    assert rows[-1] == "| All is well. | `make soak` |"
