"""The arrows of docs/architecture.md: who may import whom, and who may touch the outside world."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

import pytest

from tests.project.source import MODULES, Module

ARROWS = {
    "domain": {"tagflow.errors", "tagflow.domain"},
    "config": {"tagflow.errors", "tagflow.domain", "tagflow.config"},
    "pin": {"tagflow.errors", "tagflow.domain", "tagflow.pin"},
    "stores": {"tagflow.errors", "tagflow.domain.reference", "tagflow.stores"},
    "flows": {
        "tagflow.errors",
        "tagflow.domain",
        "tagflow.flows",
        "tagflow.stores.port",
        "tagflow.stores.artifact",
        "tagflow.stores.transfer.copy",
        "tagflow.stores.docker.names",
    },
    "cli": {
        "tagflow.errors",
        "tagflow.domain",
        "tagflow.config",
        "tagflow.flows",
        "tagflow.cli",
        "tagflow.stores.port",
        "tagflow.wiring",
    },
}
"""What each room may import; a package stands for all of its modules."""

BESIDE = {
    # The names of the library: nothing that stores or the command line know by themselves.
    "__init__.py": {"tagflow.api", "tagflow.errors", "tagflow.domain.plan", "tagflow.flows"},
    "api.py": {"tagflow.domain", "tagflow.flows", "tagflow.wiring"},
    # Puts the house together: knows which store is which.
    "wiring.py": {"tagflow.config.load", "tagflow.domain", "tagflow.flows", "tagflow.stores"},
    "__main__.py": {"tagflow.cli.main"},
    "errors.py": set[str](),
    "cli/completion/known.py": {"tagflow.stores.cache", "tagflow.stores.layout.store"},  # asks nobody, only the disk
    "cli/files.py": {"tagflow.stores.files"},  # files for users are replaced as those of a layout are
    # A SOURCE names its medium.
    "flows/sources.py": {"tagflow.stores.layout.store", "tagflow.stores.archive.reader"},
}
"""What single files may import beside that."""

SHELVES = {
    "manifest": set[str](),
    "port": {"manifest"},
    "files": set[str](),
    "stream": {"port"},
    "cache": {"port", "files", "stream"},
    "artifact": {"port"},
    "transfer": {"port"},
    "registry": {"port", "stream", "artifact"},
    "layout": {"port", "files", "stream"},
    "archive": {"port", "stream", "layout", "docker"},
    "docker": {"port", "files", "stream", "archive", "registry"},
}
"""Inside stores: what each may import of the others. A medium knows no other, but an archive may be a layout in a tar
or come from a daemon, and the Docker Engine reads archives and logs in as the registry does."""

LIBRARIES = {
    "docker": ("stores/docker/sdk.py",),
    "msgspec": ("config/", "stores/", "flows/records.py", "flows/apply.py"),
    "rich": ("cli/",),
    "semver": ("domain/versions/semver.py",),
    "typer": ("cli/",),
    "urllib3": ("stores/registry/", "stores/docker/sdk.py"),
    "yaml": ("config/nodes.py", "pin/"),
}
"""Where each library is known; a folder stands for all of its files."""

OUTSIDE = {"os", "sys", "time", "socket", "ssl", "random", "secrets", "http", "logging", "asyncio", "locale", "getpass"}
"""The clock, the environment, chance, the network: flows are given them, the domain does not know them."""
TOUCHES = {"flows/commands.py": {"os", "time"}, "flows/notify.py": {"http"}, "flows/records.py": {"time"}}
"""Flows that run the policy's commands, send its notices, or wait a moment before a write is tried again."""
FILES = {"io", "pathlib", "shutil", "subprocess", "tempfile", "threading", "urllib", "concurrent", "fcntl", "tarfile"}


def of(*rooms: str) -> list[pytest.param]:  # type: ignore[valid-type]
    """The modules of some rooms, as parameters of a test."""
    return [pytest.param(module, id=module.place) for module in MODULES if module.room in rooms]


def test_every_file_has_a_room() -> None:
    assert {module.room for module in MODULES} == {"", *ARROWS}


@pytest.mark.parametrize("module", of("", *ARROWS))
def test_arrows(module: Module) -> None:
    allowed = ARROWS.get(module.room, set()) | BESIDE.get(module.place, set())
    own = [it.module for it in module.imports if it.module.startswith("tagflow.")]
    assert [name for name in own if not _within(name, allowed)] == []


@pytest.mark.parametrize("place", BESIDE)
def test_exceptions_are_needed(place: str) -> None:
    module = next(it for it in MODULES if it.place == place)
    own = [it.module for it in module.imports]
    assert [name for name in BESIDE[place] if not any(_within(one, {name}) for one in own)] == []


def test_the_port_knows_no_store() -> None:
    port = next(it for it in MODULES if it.place == "stores/port.py")
    assert {it.module for it in port.imports if it.module.startswith("tagflow")} == {
        "tagflow.domain.reference",
        "tagflow.errors",
        "tagflow.stores.manifest",
    }


@pytest.mark.parametrize("shelf", SHELVES)
def test_media_know_no_other(shelf: str) -> None:
    inside = {
        it.module.split(".")[2]
        for module in MODULES
        if module.room == "stores" and module.shelf == shelf
        for it in module.imports
        if it.module.startswith("tagflow.stores.")
    }
    assert inside - {shelf} == SHELVES[shelf]


def test_every_medium_has_a_shelf() -> None:
    assert {module.shelf for module in MODULES if module.room == "stores"} == {"__init__", *SHELVES}


@pytest.mark.parametrize("place", ["wiring.py", "flows/sources.py"])
def test_media_are_opened_late(place: str) -> None:
    """A command on OCI layouts does not wait for the import of the Docker SDK or of urllib3."""
    module = next(it for it in MODULES if it.place == place)
    early = {it.module for it in module.imports if not it.lazy and not it.typing}
    assert {name for name in early if name.startswith("tagflow.stores")} <= {"tagflow.stores.port"}


@pytest.mark.parametrize("module", of("", *ARROWS))
def test_each_library_has_its_place(module: Module) -> None:
    foreign = {it.module.partition(".")[0] for it in module.imports} - sys.stdlib_module_names - {"tagflow"}
    assert [name for name in foreign if not module.place.startswith(LIBRARIES.get(name, ()))] == []


def test_imports_run_in_no_circle() -> None:
    early = {
        module.name: {it.module for it in module.imports if not it.lazy and not it.typing} - {module.name}
        for module in MODULES
    }
    free: set[str] = set()
    while nxt := {name for name, needs in early.items() if name not in free and not (needs & early.keys()) - free}:
        free |= nxt
    assert sorted(early.keys() - free) == []


@pytest.mark.parametrize("module", of("domain", "pin"))
def test_the_domain_is_pure(module: Module) -> None:
    assert _tops(module) & (OUTSIDE | FILES) == set()
    assert _calls(module) & {"open", "datetime.now", "datetime.today", "date.today", "datetime.utcnow"} == set()


@pytest.mark.parametrize("module", of("flows"))
def test_flows_are_given_clock_and_environment(module: Module) -> None:
    assert _tops(module) & OUTSIDE <= TOUCHES.get(module.place, set())
    assert "os.environ" not in ast.unparse(module.tree)
    assert _calls(module) & {"datetime.now", "datetime.today", "date.today", "datetime.utcnow", "time.time"} == set()


@pytest.mark.parametrize("module", of("", "domain", "config", "pin", "stores", "flows"))
def test_only_the_command_line_prints_and_exits(module: Module) -> None:
    speaking = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "os.abort", "SystemExit"}
    assert _calls(module) & speaking == set()
    streams = {"sys.stdin", "sys.stdout", "sys.stderr"}
    assert {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)} & streams == set()


def _within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _tops(module: Module) -> set[str]:
    return {it.module.partition(".")[0] for it in module.imports}


def _calls(module: Module) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
