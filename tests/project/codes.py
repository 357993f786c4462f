"""The error codes in the source of tagflow, each with the exit status of the class that carries it."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache

from tagflow import errors
from tests.project.source import MODULES, Module

STATUS = {
    name: kind.exit_status
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.TagflowError)
}
"""Exit status by the name of the error class."""
CODED = {name for name in STATUS if "code" not in inspect.signature(getattr(errors, name)).parameters}
"""Classes that know their code themselves: it is read where they hand it to their base."""

FACTORIES = {
    "Verdict": errors.Refused.exit_status,
    "failing": errors.StoreError.exit_status,
    "AccessDenied": errors.StoreError.exit_status,
    "UnreadableManifest": errors.StoreError.exit_status,
}
"""What makes an error of a code, beside the classes: a rule's verdict; a failure of the Docker Engine; a class of a
store."""


def raised() -> dict[str, set[int]]:
    """The codes in the source, each with the exit statuses that it comes with."""
    found: dict[str, set[int]] = defaultdict(set)
    for module in MODULES:
        for code, status in _codes(module):
            found[code].add(status)
    return dict(found)


def _codes(module: Module) -> Iterator[tuple[str, int]]:
    constants = _constants(module)
    errors_known = STATUS.keys() if module.name == errors.__name__ else _imported(module, errors.__name__)
    bases = {
        call: base.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in STATUS
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    }
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        made = bases.get(call) or ast.unparse(call.func)
        status = STATUS.get(made) if made in errors_known else FACTORIES.get(made)
        first = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "code"), None)
        if status is None or first is None or made in CODED:
            continue
        codes = list(_literals(first, constants))
        assert codes or _is_passed_on(module, first), f"{module.place}:{call.lineno}: which code is it?"
        yield from ((code, status) for code in codes)


def _imported(module: Module, source: str) -> set[str]:
    """The names that a module imports from another."""
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and node.module == source]
    return {alias.name for node in nodes for alias in node.names}


def _is_passed_on(module: Module, first: ast.expr) -> bool:
    """Whether an error repeats the code of another, or a factory gives on what it was given."""
    repeated = isinstance(first, ast.Attribute) and first.attr == "code"
    return repeated or (module.place, ast.unparse(first)) == ("stores/docker/events.py", "code")


def _constants(module: Module) -> dict[str, object]:
    """The texts that names stand for: assigned in the module, or imported from one that assigns them."""
    assigned = _assignments()
    found = dict(assigned[module.name])
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module in assigned:
            known = assigned[node.module]
            found |= {alias.asname or alias.name: known[alias.name] for alias in node.names if alias.name in known}
    return found


@cache
def _assignments() -> dict[str, dict[str, object]]:
    """What the names of each module are assigned, by the module."""
    return {it.name: _assigned(it) for it in MODULES}


def _assigned(module: Module) -> dict[str, object]:
    return {
        target.id: node.value.value
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _literals(node: ast.expr, constants: Mapping[str, object]) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body, constants)
        yield from _literals(node.orelse, constants)
    value = constants.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
    if isinstance(value, str):
        yield value
