"""The patches themselves: each applies to the sources as they are, and names tests that there are."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tests.planted.__main__ import PAGE, page
from tests.planted.patches import HERE, DoesNotApply, Patch, load, load_all
from tests.planted.trial import Verdict, run, verdict_of
from tests.support import ROOT

PATCHES = load_all()
SAMPLE = """Bug: A bug
Mistake: A mistake.
Famous: https://example.org/1 https://example.org/2
Seen: Nothing good.
Tests: tests/a.py tests/b.py::test_c

--- a/one.py
+++ b/one.py
@@ -1,3 +1,3 @@
 a
-b
+B

 c
"""


def decorators(tree: ast.Module, name: str) -> list[str] | None:
    """What stands above the test of this name; None where there is no such test."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [ast.unparse(decorator) for decorator in node.decorator_list]
    return None


def test_there_are_twelve() -> None:
    assert [patch.name[:2] for patch in PATCHES] == [f"{number:02}" for number in range(1, 13)]


@pytest.mark.promise("planted-caught")
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_every_patch_applies_and_what_comes_of_it_is_python(patch: Patch, tmp_path: Path) -> None:
    paths = {hunk.path for hunk in patch.hunks}
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    patch.apply(tmp_path)
    assert patch.hunks
    for path in paths:
        assert (tmp_path / path).read_text() != (ROOT / path).read_text()
        ast.parse((tmp_path / path).read_text())


@pytest.mark.promise("planted-caught")
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_every_test_that_is_named_is_a_quick_one(patch: Patch) -> None:
    assert patch.tests
    for test in patch.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        assert "pytestmark" not in ast.dump(tree)
        if name:
            above = decorators(tree, name)
            assert above is not None, f"there is no {test}"
            assert "pytest.mark.long" not in above


def test_the_page_tells_of_every_bug_and_only_its_last_line_changes() -> None:
    written = PAGE.read_text()
    for patch in PATCHES:
        assert f"| {patch.name[:2]} | **{patch.bug}.** {patch.mistake} " in written
    assert f"{len(PATCHES)} of {len(PATCHES)} caught." in written.splitlines()[-1]
    verdicts = [Verdict("tests/a.py::test_b[c]", 1.0)] * len(PATCHES)
    once, again = (page(PATCHES, verdicts, day).splitlines() for day in ("monday", "tuesday"))
    assert once[:-1] == again[:-1]


# The tools themselves.


@pytest.fixture
def sample(tmp_path: Path) -> Patch:
    path = tmp_path / "01-sample.patch"
    path.write_text(SAMPLE)
    return load(path)


def test_a_patch_says_what_it_is(sample: Patch) -> None:
    assert (sample.name, sample.bug, sample.mistake) == ("01-sample", "A bug", "A mistake.")
    assert sample.famous == ("https://example.org/1", "https://example.org/2")
    assert sample.tests == ("tests/a.py", "tests/b.py::test_c")


@pytest.mark.parametrize("text", ["a\nb\n\nc\n", "new\nlines\nabove\na\nb\n\nc\nand below\n"])
def test_a_patch_finds_its_place_wherever_that_moved(sample: Patch, tmp_path: Path, text: str) -> None:
    (tmp_path / "one.py").write_text(text)
    sample.apply(tmp_path)
    assert (tmp_path / "one.py").read_text() == text.replace("b\n", "B\n", 1)


@pytest.mark.parametrize("text", ["", "a\nb\n\nd\n", "a\nb\n\nc\na\nb\n\nc\n"])
def test_a_patch_whose_place_is_gone_or_not_the_only_one_does_not_apply(
    sample: Patch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "one.py").write_text(text)
    with pytest.raises(DoesNotApply, match="01-sample: found"):
        sample.apply(tmp_path)


def test_a_patch_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.patch").write_text(SAMPLE.replace("Seen: Nothing good.\n", ""))
    with pytest.raises(ValueError, match=r"x\.patch: has to begin with"):
        load(tmp_path / "x.patch")


SAID = """FAILED tests/a.py::test_b[x y-3] - AssertionError: FAILED tests/z.py::no
FAILED tests/c.py::test_d
"""


@pytest.mark.parametrize(
    ("code", "said", "test", "trouble"),
    [
        (0, "3 passed", "", ""),
        (1, SAID, "tests/a.py::test_b[x y-3]", ""),
        (1, "ERROR tests/a.py::test_b - OSError: at the end of its fixture\n", "tests/a.py::test_b", ""),
        (1, "nothing that can be read", "", "pytest ended with 1: nothing that can be read"),
        (2, "ERROR tests/a.py - ImportError\n", "", "pytest ended with 2: ERROR tests/a.py - ImportError\n"),
    ],
)
def test_only_a_test_that_fails_catches_anything(code: int, said: str, test: str, trouble: str) -> None:
    assert verdict_of(code, said, 1.0) == Verdict(test, 1.0, trouble)


def test_a_run_names_the_first_that_fails(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['long']\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n"
        "@pytest.mark.long\n"
        "def test_long(): assert 0\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "def test_worse(): assert 0\n"
    )
    assert run(tmp_path, ["tests/test_a.py"], 60).test == "tests/test_a.py::test_bad"


def test_a_run_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_spins():\n    while True: pass\n")
    assert run(tmp_path, ["tests/test_a.py"], 1.0).trouble == "still running after 1 s"


def test_every_patch_file_is_one_of_the_twelve() -> None:
    assert len(list(HERE.glob("*.patch"))) == len(PATCHES)
