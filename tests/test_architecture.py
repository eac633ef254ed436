"""The rules of docs/design/architecture.md that the source shows: who imports what, and how long it is.

Everything here is read from the syntax tree, so a comment or a docstring breaks no rule. Each reader is
itself tried on a sample that breaks its rule, because a check that sees nothing passes as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.rooms.outbox import Outbox
from hub.rooms.subscriber import Subscriber

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for package in ("hub", "web", "bench")
    for path in (ROOT / package).rglob("*.py")
)
HUB = [name for name in MODULES if name.startswith("hub.")]
WEB = [name for name in MODULES if name.startswith("web.")]
BENCH = [name for name in MODULES if name.startswith("bench")]

FUNCTION_LINES = 45
MODULE_LINES = 300

LAYERS = (
    "hub.close_reasons", "hub.config", "hub.control", "hub.net", "hub.protocol", "hub.rooms", "hub.session",
    "hub.modes", "hub.loop", "hub.cli",
)  # fmt: skip
"""The packages, bottom up: an import may only point down, one for typing alone included."""
CLOCKS = {
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "clock_gettime", "now", "utcnow", "today",
}  # fmt: skip
CHANGERS = {
    "append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "popleft", "appendleft",
    "remove", "discard", "clear", "sort", "reverse",
}  # fmt: skip
OUTPUT_STATE = {*Outbox.__slots__, *Subscriber.__slots__}
CONTAINERS = {
    "list",
    "dict",
    "set",
    "bytearray",
    "deque",
    "defaultdict",
    "OrderedDict",
    "Counter",
    "ChainMap",
}


class Import(NamedTuple):
    """An imported module; `for_types` when it stands under TYPE_CHECKING."""

    module: str
    for_types: bool


def source(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    return (path.with_suffix(".py") if not path.is_dir() else path / "__init__.py").read_text()


def tree(module: str) -> ast.Module:
    return ast.parse(source(module))


def imports(of: ast.AST, for_types: bool = False) -> Iterator[Import]:
    """Every import, wherever it stands; `from hub import x` counts as hub.x."""
    for node in ast.iter_child_nodes(of):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            inside = node.module in ("hub", "web", "bench")
            names = [f"{node.module}.{alias.name}" if inside else str(node.module) for alias in node.names]
            yield from (Import(name, for_types) for name in names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.body, []), True)
            yield from imports(ast.Module(node.orelse, []), for_types)
        else:
            yield from imports(node, for_types)


def imported(module: str, *, types_too: bool = True) -> set[str]:
    """The names of the modules that this one imports."""
    return {found.module for found in imports(tree(module)) if types_too or not found.for_types}


def layer(module: str) -> str:
    """The package of LAYERS that a module belongs to; empty for the two modules of hub itself."""
    return next((name for name in LAYERS if module == name or module.startswith(f"{name}.")), "")


def circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Every module that leads back to itself, with the way."""
    for start in graph:
        ways, seen = [[start]], set[str]()
        while ways:
            way = ways.pop()
            for after in graph.get(way[-1], ()):
                if after == start:
                    yield [*way, start]
                elif after not in seen:
                    seen.add(after)
                    ways.append([*way, after])


def packages(module: str) -> set[str]:
    """Top-level packages that this module imports."""
    return {name.partition(".")[0] for name in imported(module)}


def importers(package: str, *, types_too: bool = True) -> set[str]:
    """The modules of the hub that import this package."""
    return {
        module
        for module in HUB
        if package in {name.partition(".")[0] for name in imported(module, types_too=types_too)}
    }


def clock_calls(of: ast.AST) -> list[str]:
    """Calls that read a clock, such as time.monotonic()."""
    owners = {"time", "datetime", "date"}
    found = []
    for node in ast.walk(of):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            owner = ast.unparse(node.func.value).rpartition(".")[2]
            found += [ast.unparse(node)] if owner in owners else []
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [alias.name for alias in node.names if alias.name in CLOCKS]
    return found


def outside_inputs(of: ast.AST) -> list[str]:
    """What reads argv, the environment or signals."""
    found = [
        ast.unparse(node)
        for node in ast.walk(of)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"sys.argv", "os.environ", "os.environb", "os.getenv", "os.putenv"}
    ]
    names = [found.module for found in imports(of)]
    found += [name for name in names if name in {"signal", "argparse", "getopt"}]
    for node in ast.walk(of):
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "sys"}:
            found += [alias.name for alias in node.names if alias.name in {"argv", "environ", "getenv"}]
    return found


def functions(of: ast.AST) -> Iterator[tuple[str, int]]:
    """Every function with its length in lines."""
    for node in ast.walk(of):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def containers(of: ast.Module) -> set[str]:
    """Names at module level that stand for a list, a dict, a set or the like."""
    found = set()
    for node in of.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if _is_container(node.value):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _is_container(value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in CONTAINERS


def changed(of: ast.AST) -> Iterator[str]:
    """Names whose contents something in the module changes, and names that `global` rebinds."""
    for node in ast.walk(of):
        target: ast.expr | None = None
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            target = node.value
        elif isinstance(node, ast.AugAssign):
            target = node.target
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value if node.func.attr in CHANGERS else None
        if isinstance(target, ast.Name):
            yield target.id


def module_state(of: ast.Module) -> set[str]:
    """Module-level names that are variables: containers not named as constants, or changed anywhere."""
    found = {name for name in containers(of) if name.lstrip("_") != name.lstrip("_").upper()}
    found |= containers(of) & set(changed(of))
    return found | {name for node in ast.walk(of) if isinstance(node, ast.Global) for name in node.names} - {
        "__all__"
    }


def output_changes(of: ast.AST) -> set[str]:
    """Assignments to what an outbox holds, and calls that change it, but for those of an object to itself.

    The counters of the whole hub have some of the same names.
    """
    found = set()
    for node in ast.walk(of):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value] if node.func.attr in CHANGERS else []
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                while isinstance(part, ast.Subscript | ast.Starred):
                    part = part.value
                if isinstance(part, ast.Attribute) and part.attr in OUTPUT_STATE:
                    owner = ast.unparse(part.value)
                    if owner != "self" and not owner.endswith("counters"):
                        found.add(ast.unparse(part))
    return found


# The floors.


def test_there_is_something_to_check() -> None:
    assert len(HUB) > 25
    assert len(WEB) > 5
    assert len(BENCH) > 4


@pytest.mark.parametrize("module", HUB)
def test_the_hub_never_imports_the_page_or_what_the_page_runs_on(module: str) -> None:
    if module != "hub.cli.main":
        assert not packages(module) & {"web", "asyncio", "aiohttp", "jinja2"}


@pytest.mark.parametrize("module", WEB)
def test_page_knows_only_records_settings_names_and_the_mailbox(module: str) -> None:
    hub = {name for name in imported(module) if name.partition(".")[0] == "hub"}
    assert hub <= {
        "hub.control.snapshots",
        "hub.config.settings",
        "hub.control.mailbox",
        "hub.config.allowed_hosts",
        "hub.__version__",
    }


@pytest.mark.parametrize("module", BENCH)
def test_load_and_made_up_clients_know_a_hub_only_from_outside(module: str) -> None:
    assert not packages(module) & {"hub", "web"}


@pytest.mark.parametrize("module", [*HUB, *WEB])
def test_the_hub_imports_no_load(module: str) -> None:
    assert "bench" not in packages(module)


def test_only_the_poller_imports_select() -> None:
    assert importers("select") | importers("selectors") == {"hub.net.poller", "hub.cli.terminal"}


def test_only_sockets_imports_socket() -> None:
    assert importers("socket", types_too=False) == {"hub.net.sockets", "hub.cli.terminal"}
    assert importers("socket") <= {
        "hub.net.sockets",
        "hub.cli.terminal",
        "hub.loop.acceptor",
        "hub.session.client",
    }


@pytest.mark.parametrize("module", HUB)
def test_only_the_loop_reads_the_clock(module: str) -> None:
    if module not in ("hub.loop.event_loop", "hub.cli.logs", "hub.cli.terminal"):
        assert clock_calls(tree(module)) == []


@pytest.mark.parametrize("module", [*HUB, *WEB])
def test_only_cli_reads_arguments_environment_and_signals(module: str) -> None:
    if module != "hub.cli.main":
        assert outside_inputs(tree(module)) == []


@pytest.mark.parametrize("module", HUB)
def test_import_between_packages_points_down(module: str) -> None:
    home, found = layer(module), {layer(name) for name in imported(module) if name.startswith("hub.")}
    assert {other for other in found if other and home and LAYERS.index(other) > LAYERS.index(home)} == set()


def test_imports_of_the_hub_form_no_circle() -> None:
    graph = {module: sorted(imported(module) & set(HUB)) for module in HUB}
    assert list(circles(graph)) == []


def test_hub_has_no_import_for_types_alone() -> None:
    assert [module for module in HUB if "TYPE_CHECKING" in source(module)] == []


def test_every_module_of_the_hub_has_a_layer() -> None:
    assert [name for name in HUB if not layer(name)] == ["hub.__init__", "hub.__main__"]


@pytest.mark.parametrize("module", [name for name in HUB if name.startswith("hub.protocol.")])
def test_protocol_knows_nothing_of_the_hub(module: str) -> None:
    below = ("hub.protocol.", "hub.close_reasons", "hub.config.allowed_hosts")
    assert all(name.startswith(below) for name in imported(module) if name.startswith("hub"))


@pytest.mark.parametrize("module", HUB)
def test_only_the_outbox_writes_output_state(module: str) -> None:
    if module not in ("hub.rooms.outbox", "hub.rooms.subscriber"):
        assert output_changes(tree(module)) == set()


# Size and shape.


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_screen(module: str) -> None:
    assert [(name, lines) for name, lines in functions(tree(module)) if lines > FUNCTION_LINES] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_it_can_be_read(module: str) -> None:
    assert len(source(module).splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("module", MODULES)
def test_no_module_keeps_state(module: str) -> None:
    assert module_state(tree(module)) == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(module))


# The readers themselves, on samples that break their rules.


def test_imports_are_found_wherever_they_stand() -> None:
    sample = """
import a.b, c
from d.e import f
from hub.loop import event_loop
if TYPE_CHECKING:
    import g
else:
    import h
def function():
    try:
        import i
    except ImportError:
        from j import k
"""
    found = set(imports(ast.parse(sample)))
    assert {name for name, for_types in found if for_types} == {"g"}
    assert {name for name, for_types in found if not for_types} == {
        "a.b", "c", "d.e", "hub.loop", "h", "i", "j"
    }  # fmt: skip


@pytest.mark.parametrize(
    "sample",
    [
        "time.time()",
        "time.monotonic()",
        "datetime.now(UTC)",
        "datetime.datetime.now()",
        "from time import time",
    ],
)
def test_a_look_at_the_clock_is_seen(sample: str) -> None:
    assert clock_calls(ast.parse(sample))


@pytest.mark.parametrize(
    "sample", ["loop = Loop(time.monotonic)", "self.now(5)", "datetime.fromtimestamp(1)"]
)
def test_a_clock_that_is_handed_on_is_not_read(sample: str) -> None:
    assert clock_calls(ast.parse(sample)) == []


@pytest.mark.parametrize(
    "sample",
    [
        "print(sys.argv)",
        "os.environ['HOME']",
        "os.getenv('HOME')",
        "import signal",
        "from signal import SIGTERM",
        "from os import environ",
        "from sys import argv",
    ],
)
def test_input_from_outside_is_seen(sample: str) -> None:
    assert outside_inputs(ast.parse(sample))


@pytest.mark.parametrize(
    "sample",
    [
        "cache = {}",
        "seen: set[int] = set()",
        "queue = collections.deque()",
        "CACHE: Final = {}\ndef f(x): CACHE[x] = 1",
        "CACHE = {}\ndef f(x): del CACHE[x]",
        "_SEEN = []\ndef f(x): _SEEN.append(x)",
        "_SEEN = set()\ndef f(x):\n    global _SEEN\n    _SEEN = {x}",
        "COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1",
        "NAMES = []\ndef f(x):\n    NAMES += [x]",
    ],
)
def test_state_at_module_level_is_seen(sample: str) -> None:
    assert module_state(ast.parse(sample))


@pytest.mark.parametrize(
    "sample",
    [
        "TABLE: Final = {'a': 1}\ndef f(x): return TABLE[x]",
        "NAMES = frozenset({'a'})",
        "ROWS = (1, 2)",
        "def f():\n    rows = []\n    rows.append(1)\n    return rows",
    ],
)
def test_constants_and_local_lists_are_no_state(sample: str) -> None:
    assert module_state(ast.parse(sample)) == set()


def test_a_circle_of_imports_is_found() -> None:
    assert list(circles({"a": ["b"], "b": ["c"], "c": ["b"]})) == [["b", "c", "b"], ["c", "b", "c"]]


def test_length_of_a_function_counts_from_def_to_its_last_line() -> None:
    assert list(functions(ast.parse("@decorated\ndef f(\n    x,\n):\n    return x\n"))) == [("f", 4)]


@pytest.mark.parametrize(
    "sample",
    [
        "client.outbox.offset += 5",
        "outbox.blocked, x = True, 1",
        "box.items[0] = item",
        "del client.outbox.items[:2]",
        "outbox.items.append(item)",
        "self.outbox.partial = None",
    ],
)
def test_change_of_output_state_is_seen(sample: str) -> None:
    assert output_changes(ast.parse(sample))


@pytest.mark.parametrize("sample", ["self.offset = 0", "outbox.put(b'')", "counters.lines_out += 1"])
def test_own_state_and_verbs_of_an_outbox_are_no_change(sample: str) -> None:
    assert not output_changes(ast.parse(sample))
