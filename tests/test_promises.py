"""Every promise is held by a test or a command, and docs/guarantees.md is what the markers say."""

from tests.promises import HERE, PAGE, Promises, load, marked, marks, page

FEW = Promises(
    {"Lines": {"lines-whole": "A line is whole."}, "Soak": {"soak": "All is well."}}, {"soak": "make soak"}
)


def test_promises_are_those_that_a_test_or_a_command_holds() -> None:
    promises = load()
    assert sorted(promises.ids()) == sorted(marked().keys() | promises.commands.keys())


def test_guarantees_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(load(), marked()), "run `make guarantees`"


def test_marks_are_found_on_functions_among_other_decorators() -> None:
    source = '@pytest.mark.promise("a")\n@pytest.mark.long\n@pytest.mark.promise("b")\ndef test_x(): ...\n'
    assert sorted(marks(source)) == ["a", "b"]
    assert list(marks('"""pytest.mark.promise("a")"""  # pytest.mark.promise("b")')) == []


def test_page_rows_link_the_modules_and_name_the_commands() -> None:
    rows = page(FEW, {"lines-whole": {HERE / "hub" / "test_x.py"}}).splitlines()
    assert "| A line is whole. | [hub/x](../tests/hub/test_x.py) |" in rows
    assert rows[-1] == "| All is well. | `make soak` |"
