"""The rules for words that can be read from the files: how sentences begin, and how long test names are.

Each reader is itself tried on a sample that breaks its rule.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_SUBJECT = re.compile(r"(Who|Whoever|One|That one|It|Of)\b")
"""Openings that leave the reader to find out who or what is meant."""
TEST_NAME_CHARACTERS = 60

PRAGMA = re.compile(r"#\s*(type:|noqa|fmt:|pragma)")
BLOCK_BORDER = re.compile(r"\n\s*\n|\n\s*(?=[-*|] )|\n\s*(?=\d+\. )|\n(?=#)")
SENTENCE_BORDER = re.compile(r"(?<=[.!?])[\"')`*_]*\s+")
MARKUP = "#>|*_-\"'(`0123456789. \t\n"
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
JS_COMMENT = re.compile(r"/\*(.*?)\*/|(?<![:\"'`])//([^\n]*)|\{#(.*?)#\}", re.DOTALL)


def sentences(text: str) -> Iterator[str]:
    """Every sentence of a text, without the markup in front of it; a list item and a cell begin one."""
    for block in BLOCK_BORDER.split(text):
        for cell in block.split(" | ") if block.lstrip().startswith("|") else [block]:
            for sentence in SENTENCE_BORDER.split(cell):
                yield " ".join(sentence.split()).lstrip(MARKUP)


def wrong(texts: Iterable[str]) -> list[str]:
    """The sentences whose opening names nobody."""
    return [sentence for text in texts for sentence in sentences(text) if NO_SUBJECT.match(sentence)]


def docstrings(source: str) -> Iterator[str]:
    """Every string that stands by itself, those below an attribute included."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


def comments(source: str) -> Iterator[str]:
    """Every comment; lines of comment that stand below each other are one."""
    block: list[str] = []
    at = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or PRAGMA.match(token.string):
            continue
        row, column = token.start
        if at != (row - 1, column):
            yield " ".join(block)
            block = []
        block.append(token.string.lstrip("# "))
        at = (row, column)
    yield " ".join(block)


def script_comments(source: str) -> Iterator[str]:
    """The comments of JavaScript, CSS and templates; tags such as @param are no sentences."""
    for match in JS_COMMENT.finditer(source):
        text = next(filter(None, match.groups()), "")
        text = re.sub(r"\n\s*\* ?", "\n", text).lstrip("* ")
        yield re.split(r"@(?:type|param|returns|template|typedef|property)\b", text)[0]


def prose(folder: str) -> Iterator[str]:
    """All texts of one part of the project, each with its comments and docstrings or its paragraphs."""
    if folder == "docs":
        pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
        yield from (FENCE.sub("", path.read_text()) for path in pages)
    elif folder == "deploy":
        for path in filter(Path.is_file, (ROOT / folder).rglob("*")):
            yield "\n".join(re.findall(r"^\s*[#;] ?(.*)$", path.read_text(), re.MULTILINE))
    elif folder in ("static", "templates"):
        for path in (ROOT / folder).iterdir():
            yield from script_comments(path.read_text())
    else:
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text()
            yield from docstrings(source)
            yield from comments(source)


@pytest.mark.parametrize(
    "folder", ["hubbub", "hub", "web", "cluster", "bench", "static", "templates", "docs", "deploy"]
)
def test_sentences_name_their_subject(folder: str) -> None:
    assert wrong(prose(folder)) == []


def test_test_names_fit_sixty_characters() -> None:
    found = {path: long_names(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")}
    assert {str(path): names for path, names in found.items() if names} == {}


def long_names(source: str) -> list[str]:
    """Names of tests that no report shows whole."""
    names = re.findall(r"^ *(?:async )?def (test_\w+)", source, re.MULTILINE)
    return [name for name in names if len(name) > TEST_NAME_CHARACTERS]


def test_a_long_test_name_is_seen() -> None:
    names = ["test_" + "x" * size for size in (55, 56)]
    assert long_names("".join(f"def {name}(): ...\n" for name in names)) == names[1:]


PYTHON = '''"""Who reads this? Nobody. Whoever
does, knows. The hub's own."""
X = 1
"""It is a number. Its unit is one."""
y = 2  # One of them.
# The first line. Of
# these there are two.
z = "Who is no comment. It is text."  # noqa: E501
'''


def test_sentences_of_python_without_subject_are_seen() -> None:
    assert wrong(docstrings(PYTHON)) == ["Who reads this?", "Whoever does, knows.", "It is a number."]
    assert wrong(comments(PYTHON)) == ["One of them.", "Of these there are two."]


def test_sentences_of_pages_without_subject_are_seen() -> None:
    page = "# It\n\nThe hub.\n- **Who** comes\n- two\n\n| a | It goes | b |\n|---|---|---|\n\n```\nIt\n```\n"
    assert wrong([FENCE.sub("", page)]) == ["It", "Who** comes", "It goes"]


def test_sentences_of_scripts_without_subject_are_seen() -> None:
    script = "/* It is. */\n/** Who? @param {x} y One */\nf(); // Of two.\n"
    script += "/**\n * The.\n * One.\n */\n{# That one. #}"
    assert wrong(script_comments(script)) == ["It is.", "Who?", "Of two.", "One.", "That one."]
