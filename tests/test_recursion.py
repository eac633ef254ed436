"""No function of the compiled packages may come to call itself: machine code without an end to that has no
RecursionError, only a stack that overflows, and SIGSEGV ends the hub for all."""

import ast

import pytest

from tests.call_graph import call_graph, circle
from tests.support import ROOT
from tests.test_architecture import HUB, tree

COMPILED = ("hub.net", "hub.protocol", "hub.rooms", "hub.session", "hub.modes", "hub.loop")
"""As in hatch_build.py."""

CIRCLES = {
    "a function": "def f(x): return x and f(x - 1)",
    "two functions": "def f(): g()\ndef g(): f()",
    "a method": "class A:\n    def f(self): self.f()",
    "a method of an argument": "class A:\n    def f(self, other: 'A'): other.f()",
    "what nothing is known of": "class A:\n    def f(self, other): other.f()",
    "what lies in a container": "class A:\n    def __init__(self): self.all: list[A] = []\n"
    "    def f(self):\n        for one in self.all: one.f()",
    "what an attribute was made of": "class A:\n    def __init__(self, b: 'B'): self.b = b\n"
    "    def f(self): self.b.g()\nclass B:\n    def g(self): A(self).f()",
    "what a function returns": "class A:\n    def f(self): make().f()\ndef make() -> A: ...",
    "a constructor": "class A:\n    def __init__(self): A()",
    "a property": "class A:\n    @property\n    def f(self): return self.f",
    "an override": "class A:\n    def f(self): self.g()\n    def g(self): ...\n"
    "class B(A):\n    def g(self): self.f()",
    "a method from above": "class A:\n    def f(self): self.g()\nclass B(A):\n    def g(self): super().f()\n"
    "    def f(self): self.g()",
    "whoever has the methods": "class Can(Protocol):\n    def g(self): ...\n"
    "class A:\n    def g(self): f(self)\n"
    "def f(can: Can): can.g()",
    "a function in a function": "def f():\n    def g(): g()",
    "what is handed to another": "def f(): do(f)\ndef do(what): ...",
    "len": "class A:\n    def __len__(self): return len(self)",
}
NO_CIRCLES = {
    "another's of that name": "class A:\n    def f(self): ...\nclass B:\n"
    "    def __init__(self, a: A): self.a = a\n    def f(self): self.a.f()",
    "one that lies in a container": "class A:\n    def f(self): ...\nclass B:\n    def __init__(self):\n"
    "        self.of = {}\n        self.all = [A()]\n    def f(self):\n        for one in self.all: one.f()",
    "a container's": "class B:\n    def __init__(self): self.all: set[int] = set()\n"
    "    def add(self): self.all.add(1)",
    "the one above": "class A:\n    def f(self): ...\nclass B(A):\n    def f(self): super().f()",
    "a class that is named": "class A:\n    def __init__(self, other: 'A'): assert isinstance(other, A)",
    "nobody": "def f(): g()\ndef g(): h()\ndef h(): ...",
}


def circle_in(source: str) -> list[str]:
    return circle(call_graph({"m": ast.parse(source)}))


def test_no_function_of_the_loop_comes_to_call_itself() -> None:
    modules = [module for module in HUB if module.startswith(COMPILED)]
    graph = call_graph({module: tree(module) for module in modules})
    assert len(graph) > 400 and sum(map(len, graph.values())) > len(graph)
    assert circle(graph) == []


def test_what_is_compiled_is_what_is_looked_at() -> None:
    build = ast.parse((ROOT / "hatch_build.py").read_text())
    [packages] = [
        node.value
        for node in build.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES"
    ]
    assert [f"hub.{name}" for name in ast.literal_eval(packages)] == [*COMPILED]


@pytest.mark.parametrize("source", CIRCLES.values(), ids=CIRCLES.keys())
def test_a_circle_of_calls_is_seen(source: str) -> None:
    assert circle_in(source)


@pytest.mark.parametrize("source", NO_CIRCLES.values(), ids=NO_CIRCLES.keys())
def test_calls_without_a_circle_are_let_pass(source: str) -> None:
    assert circle_in(source) == []
