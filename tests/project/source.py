"""The source of tagflow as syntax trees, for tests that read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tagflow"


@dataclass(frozen=True)
class Import:
    """One module that is imported. ``lazy``: inside a function; ``typing``: only for the type checker."""

    module: str
    lazy: bool
    typing: bool


@dataclass(frozen=True)
class Module:
    """One file of the package, by its dotted name."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.path.read_text())

    @property
    def place(self) -> str:
        """The path below src/tagflow."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def room(self) -> str:
        """``domain``, ``stores``, ``flows``, ``config``, ``cli``; empty for what stands beside them."""
        return self.place.partition("/")[0] if "/" in self.place else ""

    @property
    def shelf(self) -> str:
        """Inside stores: the medium's folder, or the file's name."""
        return self.place.removeprefix("stores/").partition("/")[0].removesuffix(".py")

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Everything that it imports; of ``from package import name`` the name too where it is a module."""
        return tuple(_imports(self.tree, lazy=False, typing=False))


def modules() -> list[Module]:
    """Every module of tagflow."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("tagflow", *path.relative_to(PACKAGE).with_suffix("").parts)
        found.append(Module(".".join(parts).removesuffix(".__init__"), path))
    return found


MODULES = modules()
_NAMES = {module.name for module in MODULES}


def _imports(node: ast.AST, *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy, typing) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            package = str(child.module)
            inner = [f"{package}.{alias.name}" for alias in child.names]
            yield from (Import(name, lazy, typing) for name in {n if n in _NAMES else package for n in inner})
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from _imports(child, lazy=lazy, typing=True)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.Lambda)
            yield from _imports(child, lazy=lazy or inside, typing=typing)
