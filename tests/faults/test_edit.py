"""How edits find their place, and that every fault of the catalogue has one."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.faults.__main__ import main
from tests.faults.catalogue import FAULTS, PLANTED, listing, misfits
from tests.faults.edit import DoesNotApply, Edit, Fault, edited_sources, put_in_place, write

SAMPLE = '''"""A module for edits."""

class Base:
    def size(self):
        return 1


class Box(Base):
    def size(self):
        """Documented."""
        if self:
            self.touched = True
            return super().size()

    @property
    def label(self):
        return "box"


def outer(x):
    return x + 10 + x
'''


def fault_of(*edits: tuple[str, str, str]) -> Fault:
    return Fault(id="sample", bug="", edits=tuple(Edit("sample", *edit) for edit in edits))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sample.py").write_text(SAMPLE)
    return tmp_path


# The catalogue.


@pytest.mark.promise("planted-caught")
def test_catalogue_of_these_sources_has_no_misfits() -> None:
    assert [misfit for fault in FAULTS.values() for misfit in misfits(fault)] == []


def test_catalogue_asks_a_check_for_every_fault() -> None:
    assert len(PLANTED) == 17
    for fault in FAULTS.values():
        assert fault.edits and (fault.tests or fault.violation is not None), fault.id
        assert fault.bug in listing()


def test_fault_whose_tests_are_missing_or_long_is_a_misfit(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.write_text("import pytest\n\n@pytest.mark.long\ndef test_long():\n    pass\n")
    missing, other, long = f"{tmp_path}/test_b.py", f"{file}::test_other", f"{file}::test_long"
    assert list(misfits(Fault(id="x", bug="", edits=(), tests=(missing, other, long, str(file))))) == [
        f"x: there is no {missing}",
        f"x: there is no {other}",
        f"x: not a quick test: {long}",
    ]


def test_command_line_with_an_unknown_id_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["no-such-fault"])
    assert "no planted fault has the id no-such-fault" in capsys.readouterr().err


# Edits.


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (("outer", "+ 10", "- 10"), "x + 10", "x - 10"),
        (("Base.size", "return 1", "pass\nreturn 2"), "return 1", "pass\n        return 2"),
        (
            ("Box.size", "self.touched = True\nreturn super().size()", "return 3"),
            "self.touched = True\n            return super().size()",
            "return 3",
        ),
        (("Box.size", "", "if 1:\n    pass"), "  if self", "  if 1:\n            pass\n        if self"),
    ],
)
def test_edit_of_a_function_found_by_name_is_written(
    edit: tuple[str, str, str], old: str, new: str, root: Path
) -> None:
    write(fault_of(edit), root)
    assert (root / "sample.py").read_text() == SAMPLE.replace(old, new)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (("Box.none", "a", "b"), "sample: sample:Box.none: there is no such function"),
        (("Base.size", "return 4", "pass"), "sample:Base.size: the snippet occurs 0 times"),
        (("outer", "x", "y"), "sample:outer: the snippet occurs 3 times"),
        (("Box.size", "touched", "lost"), "the snippet occurs 0 times"),
        (("outer", "return x", "return return"), "sample:outer: invalid syntax"),
    ],
)
def test_edit_without_its_one_place_does_not_apply(edit: tuple[str, str, str], why: str, root: Path) -> None:
    with pytest.raises(DoesNotApply) as raised:
        edited_sources(fault_of(edit), root)
    assert why in str(raised.value)


def test_edits_of_one_function_are_applied_together(root: Path) -> None:
    source = edited_sources(fault_of(("outer", "10", "20"), ("outer", "", "x = 5")), root)["sample"]
    assert source == SAMPLE.replace("    return x + 10", "    x = 5\n    return x + 20")


def test_edit_put_in_place_holds_until_undone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample: Any = ModuleType("sample")
    sample.__file__ = str(root / "sample.py")
    exec(SAMPLE, sample.__dict__)
    monkeypatch.setitem(sys.modules, "sample", sample)
    fault = fault_of(
        ("Base.size", "1", "2"),
        ("Box.size", "return super().size()", "return 10 * super().size()"),
        ("Box.label", "box", "edited"),
        ("outer", "10", "20"),
    )
    box, outer = sample.Box(), sample.outer
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(fault, patch, root)
        assert (box.size(), box.label, outer(1)) == (20, "edited", 22)
    assert (box.size(), box.label, outer(1)) == (1, "box", 12)
    sample.Base.size = len
    with pytest.raises(DoesNotApply, match="has no code object"):
        put_in_place(fault, monkeypatch, root)
