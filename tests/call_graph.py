"""A graph of who may call whom in a few modules, read from their syntax trees.

The class of an object is told by annotations, constructors and assignments; a container counts as what it
holds, and a Protocol as every class that has its methods. Where no class can be told, any method of that name
is meant. A function that is mentioned counts as called there, and not where what was handed in is called.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

Classes = frozenset[str] | None
"""Qualified names; None where nothing can be told."""
Functions = dict[str, ast.FunctionDef]
NONE: Classes = frozenset()


@dataclass
class Class:
    """What is known of a class."""

    methods: Functions = field(default_factory=dict)
    held: dict[str, list[ast.expr]] = field(default_factory=dict)
    """Annotations of attributes."""
    made: dict[str, list[tuple[str, ast.expr]]] = field(default_factory=dict)
    """The values of those without, and the methods that assign them."""
    bases: list[str] = field(default_factory=list)
    is_protocol: bool = False


class Program:
    """Modules by name, and what their names mean."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self.means: dict[str, dict[str, str]] = {}
        self.classes: dict[str, Class] = {}
        self.functions: dict[str, tuple[str, str, ast.FunctionDef]] = {}
        """The module, the class and the tree of each."""
        self.aliases: dict[str, tuple[str, ast.expr]] = {}
        self._bodies: dict[str, Body] = {}
        self._assigned: dict[tuple[str, str], Classes] = {}
        for module, tree in trees.items():
            self.means[module] = dict(_names(module, tree))
        for module, tree in trees.items():
            for node in tree.body:
                self._enter(module, node)

    def body(self, full: str) -> "Body":
        """A function by its qualified name."""
        if full not in self._bodies:
            self._bodies[full] = Body(self, full)
            self._bodies[full].bind()
        return self._bodies[full]

    def assigned(self, owner: str, name: str) -> Classes:
        """What an attribute without an annotation holds; nothing, while that is being found out."""
        if (owner, name) not in self._assigned:
            self._assigned[owner, name] = NONE
            made = self.classes[owner].made[name]
            found = _either(self.body(f"{owner}.{function}").of(value) for function, value in made)
            self._assigned[owner, name] = found
        return self._assigned[owner, name]

    def _enter(self, module: str, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef):
            name = f"{module}.{node.name}"
            known = self.classes[name] = Class()
            bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
            known.bases = [self.means[module].get(base, base) for base in bases]
            known.is_protocol = "Protocol" in bases
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    self._add(module, name, part)
                elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    known.held.setdefault(part.target.id, []).append(part.annotation)
        elif isinstance(node, ast.FunctionDef):
            self._add(module, "", node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            value = node.annotation if isinstance(node, ast.AnnAssign) else node.value
            self.aliases[f"{module}.{ast.unparse(target)}"] = module, value

    def _add(self, module: str, owner: str, function: ast.FunctionDef) -> None:
        self.functions[f"{owner or module}.{function.name}"] = module, owner, function
        if not owner:
            return
        known = self.classes[owner]
        known.methods[function.name] = function
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign) and _of_self(node.target):
                known.held.setdefault(node.target.attr, []).append(node.annotation)
            elif isinstance(node, ast.Assign):
                for target, value in _pairs(node):
                    if _of_self(target):
                        known.made.setdefault(target.attr, []).append((function.name, value))

    def named(self, module: str, annotation: ast.expr | None, seen: frozenset[str] = frozenset()) -> Classes:
        """Every class that stands in an annotation."""
        if annotation is None:
            return None
        found: set[str] = set()
        for node in ast.walk(annotation):
            name = (
                node.id
                if isinstance(node, ast.Name)
                else node.value
                if isinstance(node, ast.Constant)
                else ""
            )
            full = self.means[module].get(str(name), "")
            if full in self.classes:
                found.add(full)
            elif full in self.aliases and full not in seen:
                found |= self.named(*self.aliases[full], seen | {full}) or set()
        return frozenset(found)

    def above(self, name: str) -> list[str]:
        """A class and all that it inherits from, the nearest first."""
        known = self.classes.get(name)
        return [name, *(one for base in known.bases for one in self.above(base))] if known else []

    def meant(self, name: str) -> set[str]:
        """The classes that an object may be of: those below this, or all that have what a Protocol asks."""
        known = self.classes[name]
        asked = known.methods.keys() | known.held.keys()
        return {
            other
            for other, of in self.classes.items()
            if name in self.above(other)
            or (known.is_protocol and asked and known.methods.keys() <= of.methods.keys())
        }

    def methods(self, owners: Classes, name: str) -> set[str]:
        """What `x.name` may run, where x is of one of these classes."""
        if owners is None:
            return {f"{owner}.{name}" for owner, known in self.classes.items() if name in known.methods}
        return {full for owner in owners for one in self.meant(owner) for full in self.inherited(one, name)}

    def inherited(self, owner: str, name: str) -> list[str]:
        """The method of that name that a class has of its own or from above; none or one."""
        return [f"{one}.{name}" for one in self.above(owner) if name in self.classes[one].methods][:1]


class Body:
    """A function, and what its expressions may be."""

    def __init__(self, program: Program, full: str) -> None:
        self._program = program
        self._module, self._owner, self._function = program.functions[full]
        self._full = full
        self._locals: dict[str, Classes] = {}
        inner = [node for node in ast.walk(self._function) if isinstance(node, ast.FunctionDef)][1:]
        self._recursive = {node.name for node in inner if node.name in _mentioned(node)}
        for function in ast.walk(self._function):
            if isinstance(function, ast.FunctionDef | ast.Lambda):
                self._take_arguments(function.args)

    def bind(self) -> None:
        """Find out what the local names may be."""
        for _ in range(3):  # A name may get its value from one that stands below it, in a loop.
            for node in ast.walk(self._function):
                self._bind(node)

    def _take_arguments(self, arguments: ast.arguments) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one]
        for argument in every:
            self._locals[argument.arg] = self._program.named(self._module, argument.annotation)
        if self._owner and arguments is self._function.args and arguments.args:
            self._locals[arguments.args[0].arg] = frozenset([self._owner])

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                self._set(target, self.of(value))
        elif isinstance(node, ast.AnnAssign):
            self._set(node.target, self._program.named(self._module, node.annotation))
        elif isinstance(node, ast.NamedExpr):
            self._set(node.target, self.of(node.value))
        elif isinstance(node, ast.For | ast.comprehension):
            self._set(node.target, self.of(node.iter))
        elif isinstance(node, ast.withitem) and node.optional_vars:
            self._set(node.optional_vars, self.of(node.context_expr))

    def _set(self, target: ast.expr, classes: Classes) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                before = self._locals.get(node.id, NONE)
                self._locals[node.id] = (
                    before | classes if before is not None and classes is not None else None
                )

    def of(self, node: ast.expr) -> Classes:
        """The classes an expression may have; of a call those of what it returns."""
        program = self._program
        if isinstance(node, ast.Name):
            full = program.means[self._module].get(node.id, "")
            if node.id in self._locals:
                return self._locals[node.id]
            return program.named(*program.aliases[full]) if full in program.aliases else NONE
        if isinstance(node, ast.Attribute):
            return self._held(self.of(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._returned(node)
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            return self.of(node.value)
        if isinstance(node, ast.Compare | ast.Constant | ast.Lambda | ast.JoinedStr):
            return NONE
        if isinstance(node, ast.IfExp):
            return _either([self.of(node.body), self.of(node.orelse)])
        return _either(self.of(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def _held(self, owners: Classes, name: str) -> Classes:
        """What an attribute holds; a container's is what the container holds."""
        if not owners:
            return owners
        found: list[Classes] = []
        for owner in {
            above
            for one in owners
            for meant in self._program.meant(one)
            for above in self._program.above(meant)
        }:
            known, module = self._program.classes[owner], owner.rpartition(".")[0]
            if name in known.methods:
                found.append(self._program.named(module, known.methods[name].returns))
            elif name in known.held:
                found += [self._program.named(module, annotation) for annotation in known.held[name]]
            elif name in known.made:
                found.append(self._program.assigned(owner, name))
        return _either(found) if found else owners

    def _returned(self, call: ast.Call) -> Classes:
        program = self._program
        if isinstance(call.func, ast.Attribute):
            return self.of(call.func)
        name = ast.unparse(call.func)
        full = program.means[self._module].get(name, "")
        if name in self._locals:
            return self._locals[name]
        if full in program.classes:
            return frozenset([full])
        if full in program.functions:
            module, _, function = program.functions[full]
            return program.named(module, function.returns)
        if name == "cast":
            return program.named(self._module, call.args[0])
        return _either(self.of(argument) for argument in call.args)

    def calls(self) -> Iterator[str]:
        """Every function that is called or mentioned here."""
        silent = {id(part) for of in _mere_types(self._function) for part in ast.walk(of)}
        for node in ast.walk(self._function):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield from self._targets(node) if id(node) not in silent else ()
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "len":
                yield from self._program.methods(self.of(node.args[0]), "__len__")

    def _targets(self, node: ast.Name | ast.Attribute) -> Iterable[str]:
        program = self._program
        if isinstance(node, ast.Attribute):
            if ast.unparse(node.value) == "super()":
                return [
                    full
                    for base in program.classes[self._owner].bases
                    for full in program.inherited(base, node.attr)
                ]
            return program.methods(self.of(node.value), node.attr)
        if node.id in self._recursive:
            return [self._full]
        full = program.means[self._module].get(node.id, "")
        if full in program.classes:
            return [
                one
                for name in ("__init__", "__post_init__", "__new__")
                for one in program.inherited(full, name)
            ]
        return [full] if full in program.functions and node.id not in self._locals else []


def call_graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Every function, and those that it may call."""
    program = Program(trees)
    return {full: set(program.body(full).calls()) for full in program.functions}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Functions of which each may call the next and the last the first; empty where there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def _mere_types(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Where a class is named and not called: annotations, and what isinstance and cast are told."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef) and node.returns:
            yield node.returns
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "cast"):
            yield node.args[ast.unparse(node.func) == "isinstance"]


def _names(module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What the names of a module mean: its own, and what it imports."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, f"{module}.{node.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            yield target, f"{module}.{target}"
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _mentioned(of: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(of) if isinstance(node, ast.Name)}


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target and its value; `a, b = c, d` are two."""
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _of_self(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"


def _either(found: Iterable[Classes]) -> Classes:
    """All of these; nothing can be told where nothing can be told of one."""
    every: frozenset[str] = frozenset()
    for classes in found:
        if classes is None:
            return None
        every |= classes
    return every
