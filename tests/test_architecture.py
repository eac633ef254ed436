"""The rules of docs/design/architecture.md that the source shows: who imports what, and how long it is.

Everything here is read from the syntax tree, so a comment or a docstring breaks no rule. Each reader is
itself tried on a sample that breaks its rule, because a check that sees nothing passes as well.
"""

import ast
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter

import pytest

from hub.rooms.outbox import Outbox
from hub.rooms.queued import Queued
from hub.rooms.subscriber import Subscriber
from tests.support import ROOT

MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for package in ("hubbub", "hub", "web", "cluster", "bench")
    for path in (ROOT / package).rglob("*.py")
)
HUB = [name for name in MODULES if name.startswith("hub.")]
WEB = [name for name in MODULES if name.startswith("web.")]
CLUSTER = [name for name in MODULES if name.startswith("cluster.")]
BENCH = [name for name in MODULES if name.startswith("bench")]

FUNCTION_LINES = 45
MODULE_LINES = 300

LAYERS = (
    "hub.close_reasons", "hub.config", "hub.control", "hub.net", "hub.protocol", "hub.rooms", "hub.session",
    "hub.modes", "hub.loop", "hub.cli",
)  # fmt: skip
"""The packages, bottom up: an import may only point down, one for typing alone included."""
CLOCK = re.compile(
    r"(?:\w+\.)*(?:time|datetime|date)\.(?:(?:time|monotonic|perf_counter)(?:_ns)?|process_time|clock_gettime|"
    r"now|utcnow|today)"
)
OUTSIDE = re.compile(r"(?:signal|argparse|getopt)(?:\..*)?|sys\.argv|os\.(?:environb?|getenv|putenv)")
CHANGERS = {
    "append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "popleft", "appendleft",
    "remove", "discard", "clear", "sort", "reverse",
}  # fmt: skip
CONTAINERS = re.compile(
    r"(?:\w+\.)*(?:list|dict|set|bytearray|deque|defaultdict|OrderedDict|Counter|ChainMap)"
)
DISPLAYS = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
OUTPUT_STATE = {*Outbox.__slots__, *Queued.__slots__, *Subscriber.__slots__, "items"}


def source(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(source(module))


def imports(of: ast.AST) -> Iterator[str]:
    """The full name of all that is imported, wherever that stands: `from a.b import c` is `a.b.c`."""
    for node in ast.walk(of):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imported(module: str) -> set[str]:
    """Our own modules that this one imports, and all else by its full name."""
    found = {name: name.rpartition(".")[0] for name in imports(tree(module))}
    return {home if home in MODULES or home == "hub" else name for name, home in found.items()}


def packages(module: str) -> set[str]:
    """Top-level packages that this module imports."""
    return {name.partition(".")[0] for name in imported(module)}


def layer(module: str) -> str:
    """The package of LAYERS that a module belongs to; empty for hub/__init__."""
    return next((name for name in LAYERS if module == name or module.startswith(f"{name}.")), "")


def clock_reads(of: ast.AST) -> list[str]:
    """Calls that read a clock, such as time.monotonic(), and imports of what is called so."""
    calls = (ast.unparse(node.func) for node in ast.walk(of) if isinstance(node, ast.Call))
    return [name for name in (*calls, *imports(of)) if CLOCK.fullmatch(name)]


def outside_inputs(of: ast.AST) -> list[str]:
    """What reads argv, the environment or signals."""
    parts = (ast.unparse(node) for node in ast.walk(of) if isinstance(node, ast.Attribute))
    return [name for name in (*parts, *imports(of)) if OUTSIDE.fullmatch(name)]


def long_functions(of: ast.AST, most: int = FUNCTION_LINES) -> list[str]:
    """Every function of more lines, from its `def` to its end."""
    return [
        node.name
        for node in ast.walk(of)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= most
    ]


def changes(of: ast.AST) -> Iterator[ast.expr]:
    """What is assigned to in part, deleted, or changed by a method. A name that is bound is no change."""
    for node in ast.walk(of):
        targets: Sequence[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = [target for target in node.targets if not isinstance(target, ast.Name)]
        elif isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.AnnAssign) and not isinstance(node.target, ast.Name)
        ):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value] if node.func.attr in CHANGERS else []
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                while isinstance(part, ast.Subscript | ast.Starred):
                    part = part.value
                yield part


def module_state(of: ast.Module) -> set[str]:
    """Module-level names that are variables: containers not named as constants, or changed anywhere."""
    containers = set()
    for node in of.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            value, targets = node.value, node.targets if isinstance(node, ast.Assign) else [node.target]
            made = isinstance(value, ast.Call) and CONTAINERS.fullmatch(ast.unparse(value.func))
            if made or isinstance(value, DISPLAYS):
                containers |= {target.id for target in targets if isinstance(target, ast.Name)}
    found = {name for name in containers - {"__all__"} if name != name.upper()}
    found |= containers & {part.id for part in changes(of) if isinstance(part, ast.Name)}
    return found | {name for node in ast.walk(of) if isinstance(node, ast.Global) for name in node.names}


def output_changes(of: ast.AST) -> set[str]:
    """Changes of what an outbox holds, but for those of an object to itself.

    The counters of the whole hub have some of the same names.
    """
    parts = {part for part in changes(of) if isinstance(part, ast.Attribute) and part.attr in OUTPUT_STATE}
    owned = {ast.unparse(part): ast.unparse(part.value) for part in parts}
    return {name for name, owner in owned.items() if owner != "self" and not owner.endswith("counters")}


def broken(modules: Collection[str], reader: Callable[[ast.Module], object], *but: str) -> dict[str, object]:
    """What a reader finds in these modules, but for some, by module."""
    return {module: found for module in modules if module not in but and (found := reader(tree(module)))}


# The floors.


def test_there_is_something_to_check() -> None:
    assert len(HUB) > 25 and len(WEB) > 5 and len(CLUSTER) > 4 and len(BENCH) > 4


@pytest.mark.parametrize(
    ("modules", "strangers"),
    [
        ([name for name in HUB if name != "hub.cli.main"], {"web", "asyncio", "aiohttp", "jinja2"}),
        (BENCH, {"hub", "web"}),
        ([*HUB, *WEB, *CLUSTER], {"bench"}),
        ([*(name for name in HUB if name not in ("hub.cli.clustered", "hub.cli.orders")), *WEB], {"cluster"}),
        (CLUSTER, {"web"}),
    ],
)
def test_hub_page_cluster_and_load_are_apart(modules: Sequence[str], strangers: set[str]) -> None:
    assert {module: packages(module) & strangers for module in modules if packages(module) & strangers} == {}


def test_the_launcher_knows_the_command_and_nothing_else() -> None:
    assert packages("hubbub.__main__") - sys.stdlib_module_names == {"hub"}
    assert packages("hubbub.__init__") == set()


def test_cluster_knows_the_hub_only_where_it_is_its_commons() -> None:
    found = {each: {name for name in imported(each) if name.startswith("hub.")} for each in CLUSTER}
    assert {each for each, names in found.items() if names - {"hub.modes.sanitize"}} == {
        "cluster.commons", "cluster.figures", "cluster.join", "cluster.operate",
        "cluster.speakers",
    }  # fmt: skip
    assert not {layer(name) for names in found.values() for name in names} & {"hub.cli", "hub.net"}


def test_page_knows_only_records_settings_names_and_the_mailbox() -> None:
    found = {name for module in WEB for name in imported(module) if name.partition(".")[0] == "hub"}
    assert found <= {
        "hub", "hub.close_reasons", "hub.config.allowed_hosts", "hub.config.settings", "hub.control.mailbox",
        "hub.control.snapshots",
    }  # fmt: skip


def test_protocol_between_hubs_does_no_io() -> None:
    """So a simulated broker and a real one see the same member."""
    strangers = {"asyncio", "nats", "os", "queue", "random", "select", "socket", "threading", "time"}
    found = {module for module in CLUSTER if packages(module) & strangers}
    assert found == {
        "cluster.link",
        "cluster.stream",
        "cluster.beside",
        "cluster.durability",
        "cluster.join",
        "cluster.operate",
    }
    assert broken(CLUSTER, clock_reads) == {}


@pytest.mark.parametrize(
    ("packages_", "homes"),
    [
        ({"select", "selectors"}, {"hub.net.poller"}),
        ({"socket"}, {"hub.net.listeners", "hub.net.sockets"}),
    ],
)
def test_only_package_net_imports_what_asks_the_kernel(packages_: set[str], homes: set[str]) -> None:
    assert {module for module in HUB if packages(module) & packages_} == homes | {"hub.cli.terminal"}


def test_only_the_loop_reads_the_clock() -> None:
    assert broken(HUB, clock_reads, "hub.loop.event_loop", "hub.cli.logs", "hub.cli.terminal") == {}


def test_only_cli_reads_arguments_environment_and_signals() -> None:
    assert broken([*HUB, *WEB], outside_inputs, "hub.cli.main", "hub.cli.screen") == {}


def test_import_between_packages_points_down_and_in_no_circle() -> None:
    for module in HUB:
        below = LAYERS[: LAYERS.index(layer(module)) + 1] if layer(module) else LAYERS
        assert {layer(name) for name in imported(module) & {*HUB}} <= {*below, ""}, module
    list(TopologicalSorter({module: imported(module) & {*HUB} for module in HUB}).static_order())


def test_hub_has_no_import_for_types_alone() -> None:
    assert [module for module in HUB if "TYPE_CHECKING" in source(module)] == []


def test_every_module_of_the_hub_has_a_layer() -> None:
    assert [name for name in HUB if not layer(name)] == ["hub.__init__"]


def test_protocol_knows_nothing_of_the_hub() -> None:
    below = ("hub.protocol.", "hub.close_reasons", "hub.config.allowed_hosts")
    protocol = [name for name in HUB if name.startswith("hub.protocol.")]
    assert all(name.startswith(below) for each in protocol for name in imported(each) & {*HUB})


def test_only_the_outbox_writes_output_state() -> None:
    assert broken(HUB, output_changes, "hub.rooms.outbox", "hub.rooms.subscriber") == {}


# Size and shape.


def test_no_function_is_longer_than_a_screen() -> None:
    assert broken(MODULES, long_functions) == {}


def test_no_module_is_longer_than_it_can_be_read() -> None:
    assert [module for module in MODULES if len(source(module).splitlines()) > MODULE_LINES] == []


def test_no_module_keeps_state() -> None:
    assert broken(MODULES, module_state) == {}


def test_every_module_says_what_it_is() -> None:
    assert [module for module in MODULES if not ast.get_docstring(tree(module))] == []


# The readers themselves, on samples that break their rules and on some that do not.


def test_imports_are_found_wherever_they_stand() -> None:
    sample = """
import a.b, c
from d.e import f
if TYPE_CHECKING:
    import g
def function():
    try:
        import i
    except ImportError:
        from j import k
"""
    assert {*imports(ast.parse(sample))} == {"a.b", "c", "d.e.f", "g", "i", "j.k"}


@pytest.mark.parametrize(
    ("reader", "sample"),
    [
        (clock_reads, "time.time()"),
        (clock_reads, "time.monotonic()"),
        (clock_reads, "datetime.now(UTC)"),
        (clock_reads, "datetime.datetime.now()"),
        (clock_reads, "from time import time"),
        (outside_inputs, "print(sys.argv)"),
        (outside_inputs, "os.environ['HOME']"),
        (outside_inputs, "os.getenv('HOME')"),
        (outside_inputs, "import signal"),
        (outside_inputs, "from signal import SIGTERM"),
        (outside_inputs, "from os import environ"),
        (outside_inputs, "from sys import argv"),
        (module_state, "cache = {}"),
        (module_state, "seen: set[int] = set()"),
        (module_state, "queue = collections.deque()"),
        (module_state, "CACHE: Final = {}\ndef f(x): CACHE[x] = 1"),
        (module_state, "CACHE = {}\ndef f(x): del CACHE[x]"),
        (module_state, "_SEEN = []\ndef f(x): _SEEN.append(x)"),
        (module_state, "_SEEN = set()\ndef f(x):\n    global _SEEN\n    _SEEN = {x}"),
        (module_state, "COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1"),
        (module_state, "NAMES = []\ndef f(x):\n    NAMES += [x]"),
        (output_changes, "client.outbox.offset += 5"),
        (output_changes, "outbox.blocked, x = True, 1"),
        (output_changes, "box.items[0] = item"),
        (output_changes, "del client.outbox.items[:2]"),
        (output_changes, "outbox.items.append(item)"),
        (output_changes, "self.outbox.partial = None"),
        (long_functions, "@decorated\nasync def f(\n    x,\n):\n" + "    x()\n" * (FUNCTION_LINES - 2)),
    ],
)
def test_what_breaks_a_rule_is_seen(reader: Callable[[ast.Module], object], sample: str) -> None:
    assert reader(ast.parse(sample))


@pytest.mark.parametrize(
    ("reader", "sample"),
    [
        (clock_reads, "loop = Loop(time.monotonic)"),
        (clock_reads, "self.now(5)"),
        (clock_reads, "datetime.fromtimestamp(1)"),
        (module_state, "TABLE: Final = {'a': 1}\ndef f(x): return TABLE[x]"),
        (module_state, "NAMES = frozenset({'a'})"),
        (module_state, "ROWS = (1, 2)"),
        (module_state, "def f():\n    rows = []\n    rows.append(1)\n    return rows"),
        (output_changes, "self.offset = 0"),
        (output_changes, "outbox.put(b'')"),
        (output_changes, "counters.lines_out += 1"),
        (long_functions, "@decorated\ndef f(\n    x,\n):\n" + "    x()\n" * (FUNCTION_LINES - 3)),
    ],
)
def test_what_breaks_no_rule_is_let_pass(reader: Callable[[ast.Module], object], sample: str) -> None:
    assert not reader(ast.parse(sample))
