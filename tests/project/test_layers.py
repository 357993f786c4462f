"""The arrows of docs/architecture.md: who may import whom, and who may touch the outside world.

Each rule is one test over all files; it fails with every file that breaks it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Mapping

from tests.project.source import MODULES, Module

FLOORS = (
    "errors", "domain", "config stores trust pin", "decide", "workers context", "observe", "execute", "verbs",
    "wiring", "api", "cli",
)  # fmt: skip
"""Bottom to top. An import never runs upward, nor across between rooms of one floor."""

ARROWS: Mapping[str, set[str]] = {
    "domain": {"domain"},
    "config": {"domain", "config"},
    "pin": {"domain", "pin"},
    "stores": {"domain.reference", "stores"},
    "trust": {"domain", "trust"},
    "decide": {"domain", "decide"},
    "observe": {
        "domain", "trust.records", "context", "workers", "observe",
        "stores.port", "stores.artifact", "stores.transfer.copy",
    },
    "execute": {
        "domain", "trust", "decide", "context", "workers", "observe", "execute",
        "stores.port", "stores.artifact", "stores.transfer.copy",
    },
    "verbs": {
        "domain", "trust", "decide", "context", "workers", "observe", "execute", "verbs", "pin",
        "stores.port", "stores.artifact", "stores.transfer.copy", "stores.docker.names",
    },
    "cli": {"domain", "config", "verbs", "cli", "pin", "decide.finding", "stores.port", "context", "wiring"},
}  # fmt: skip
"""What each room may import, beside ``errors``; a package stands for all of its modules."""

BESIDE: Mapping[str, set[str]] = {
    # The names of the library: nothing that stores or the command line know by themselves.
    "__init__.py": {"api", "domain", "decide.finding", "pin.edit", "stores.port", "trust.approvals", "verbs"},
    "api.py": {"domain", "context", "decide.finding", "verbs", "wiring"},
    # Puts the house together: knows which store is which.
    "wiring.py": {"config.load", "context", "domain", "trust", "verbs", "stores"},
    "__main__.py": {"cli.main"},
    "errors.py": set(),
    "context.py": {"domain", "stores.port", "trust.signing"},
    "workers.py": set(),
    "cli/completion/known.py": {"stores.cache", "stores.layout.store"},  # asks nobody, only the disk
    "cli/report/page.py": {"stores.files"},  # files for users are replaced as those of a layout are
    "cli/initialise.py": {"stores.files"},
    "verbs/plans.py": {"stores.files"},  # so are plans, approvals and receipts
    "verbs/approve.py": {"stores.files"},
    "verbs/sources.py": {"stores.layout.store", "stores.archive.reader"},  # a SOURCE names its medium
}
"""What single files may import beside that."""

SHELVES: Mapping[str, set[str]] = {
    "manifest": set(),
    "port": {"manifest"},
    "files": set(),
    "stream": {"port"},
    "cache": {"manifest", "port", "files", "stream"},
    "artifact": {"port"},
    "transfer": {"port"},
    "registry": {"port", "stream", "artifact"},
    "layout": {"manifest", "port", "files", "stream"},
    "archive": {"port", "files", "stream", "layout", "docker"},
    "docker": {"port", "files", "stream", "archive", "registry"},
}
"""Inside stores: what each may import of the others. A medium knows no other, but an archive may be a layout in a tar
or come from a daemon, and the Docker Engine reads archives and logs in as the registry does."""

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "cryptography": ("trust/crypto.py", "trust/signing.py"),
    "docker": ("stores/docker/sdk.py",),
    "msgspec": ("config/", "stores/", "domain/records.py", "verbs/plans.py", "trust/envelope.py"),
    "rich": ("cli/",),
    "securesystemslib": ("trust/signing.py",),
    "semver": ("domain/versions/semver.py",),
    "typer": ("cli/",),
    "urllib3": ("stores/registry/", "stores/docker/sdk.py"),
    "yaml": ("config/nodes.py", "pin/"),
}
"""Where each library is known; a folder stands for all of its files. What is parsed, is parsed by msgspec there."""
VALUES = {"msgspec.Struct", "msgspec.field", "msgspec.to_builtins", "msgspec.structs", "msgspec.structs.replace"}
"""What values are made of, everywhere (docs/adr/0022-structs.md)."""

PRIVATE = {
    "typer._click": {"cli/process.py", "cli/app.py", "cli/completion/shells.py"},
}
"""Private modules of others, and the files that import them (docs/adr/0005-typer-below-0-29.md)."""

PURE = ("domain", "decide", "pin")
"""Rooms of values and of functions of values: no store, no thread, no file, no clock, no process."""
GIVEN = ("trust", "observe", "execute", "verbs")
"""Rooms that are handed clock, environment and stores."""
OUTSIDE = {"os", "sys", "time", "socket", "ssl", "random", "secrets", "http", "logging", "asyncio", "locale", "getpass"}
"""The clock, the environment, chance, the network."""
FILES = {"io", "pathlib", "shutil", "subprocess", "tempfile", "threading", "urllib", "concurrent", "fcntl", "tarfile",
         "queue", "multiprocessing", "signal", "glob"}  # fmt: skip
TOUCHES: Mapping[str, set[str]] = {
    "trust/signing.py": {"os"},
    "execute/commands.py": {"os", "time"},
    "execute/notify.py": {"http", "socket", "ssl"},
    "verbs/pin.py": {"os"},
    "verbs/worktree.py": {"os"},
}
"""Files that run the policy's commands, send its notices, or replace files of the user's."""
NOW = {"datetime.now", "datetime.today", "date.today", "datetime.utcnow", "time.time", "time.monotonic", "uuid.uuid4"}


def breaking(rule: Callable[[Module], Iterable[str]], *rooms: str) -> dict[str, list[str]]:
    """Every file, of some rooms or of all, that breaks a rule, with what it breaks it by."""
    found = {it.place: sorted(rule(it)) for it in MODULES if not rooms or it.room in rooms}
    return {place: wrong for place, wrong in found.items() if wrong}


def test_every_file_has_a_room() -> None:
    assert {module.room for module in MODULES} - {"", *ARROWS} == set()


def test_arrows() -> None:
    def forbidden(module: Module) -> Iterable[str]:
        allowed = {"errors"} | ARROWS.get(module.room, set()) | BESIDE.get(module.place, set())
        return [name for name in _own(module) if not _within(name, allowed)]

    assert breaking(forbidden) == {}


def test_no_arrow_runs_upward() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}

    def rises(module: Module) -> Iterable[str]:
        own = _room(module.name.removeprefix("tagflow."))
        if own not in floor:  # the package itself and its `python -m` stand on the roof
            return ()
        rooms = {_room(name) for name in _own(module)} - {own}
        return [room for room in rooms if floor[room] >= floor[own]]

    assert breaking(rises) == {}


def test_exceptions_are_needed() -> None:
    present = {module.place: module for module in MODULES}
    idle = {
        place: [name for name in names if not any(_within(one, {name}) for one in _own(present[place]))]
        for place, names in BESIDE.items()
    }
    assert {place: names for place, names in idle.items() if names} == {}


def test_the_port_knows_no_store() -> None:
    port = next(it for it in MODULES if it.place == "stores/port.py")
    assert set(_own(port)) == {"domain.reference", "errors", "stores.manifest"}


def test_media_know_no_other() -> None:
    assert {module.shelf for module in MODULES if module.room == "stores"} == {"__init__", *SHELVES}
    used: dict[str, set[str]] = {shelf: set() for shelf in SHELVES}
    for module in MODULES:
        if module.room == "stores" and module.shelf in used:
            inside = {name.split(".")[1] for name in _own(module) if name.startswith("stores.")}
            used[module.shelf] |= inside - {module.shelf}
    assert used == SHELVES


def test_media_are_opened_late() -> None:
    """A command on OCI layouts does not wait for the import of the Docker SDK or of urllib3."""

    def opened(module: Module) -> Iterable[str]:
        early = {it.module for it in module.imports if not it.lazy and not it.typing}
        inside = {name for name in early if name.startswith("tagflow.stores")}
        return inside - {"tagflow.stores.port"} if module.place in ("wiring.py", "verbs/sources.py") else ()

    assert breaking(opened) == {}


def test_each_library_has_its_place() -> None:
    def elsewhere(module: Module) -> Iterable[str]:
        foreign = _tops(module) - sys.stdlib_module_names - {"tagflow"}
        if _names_from(module, "msgspec") <= VALUES:
            foreign -= {"msgspec"}
        return [name for name in foreign if not module.place.startswith(LIBRARIES.get(name, ()))]

    assert breaking(elsewhere) == {}


def test_structs_are_all_struct() -> None:
    """A default of another library's would be its value, and a comparison of their own leaves them the other ones."""

    def odd(module: Module) -> Iterable[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and "Struct" in map(ast.unparse, node.bases):
                made = {it.name for it in node.body if isinstance(it, ast.FunctionDef)}
                yield from made & {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"}
                fields = any(ast.unparse(it.func) == "field" for it in ast.walk(node) if isinstance(it, ast.Call))
                if fields and "msgspec.field" not in _names_from(module, "msgspec"):
                    yield f"{node.name}: field() of another library"

    assert breaking(odd) == {}


def test_private_modules_of_others_are_known() -> None:
    used: dict[str, set[str]] = {}
    for module in MODULES:
        for name in {it.module for it in module.imports if not it.module.startswith("tagflow")}:
            parts = name.split(".")
            if private := next((n for n, part in enumerate(parts) if part.startswith("_") and part[1:2] != "_"), None):
                used.setdefault(".".join(parts[: private + 1]), set()).add(module.place)
    assert used == PRIVATE


def test_imports_run_in_no_circle() -> None:
    """Imports inside functions count: a circle is no smaller for being hidden."""
    needs = {module.name: {it.module for it in module.imports if not it.typing} for module in MODULES}
    reached = {name: _reached(name, needs) for name in needs}
    circles = {name: sorted(it for it in reached[name] if name in reached.get(it, ())) for name in needs}
    assert {name: circle for name, circle in circles.items() if circle} == {}


def test_the_pure_rooms_touch_nothing() -> None:
    def touched(module: Module) -> Iterable[str]:
        return (_tops(module) & (OUTSIDE | FILES)) | (_calls(module) & {"open", *NOW})

    assert breaking(touched, *PURE) == {}


def test_clock_and_environment_are_handed_in() -> None:
    def taken(module: Module) -> Iterable[str]:
        touched = (_tops(module) & OUTSIDE) - TOUCHES.get(module.place, set())
        environment = {"os.environ"} if "os.environ" in ast.unparse(module.tree) else set()
        return touched | environment | (_calls(module) & (NOW - {"time.monotonic", "uuid.uuid4"}))

    assert breaking(taken, *GIVEN) == {}


def test_cryptography_is_imported_late() -> None:
    """A policy with signers is loaded as fast as one without."""

    def imported(module: Module) -> Iterable[str]:
        early = {it.module.partition(".")[0] for it in module.imports if not it.lazy and not it.typing}
        return early & {"cryptography", "securesystemslib"}

    assert breaking(imported) == {}


def test_only_the_command_line_prints_and_exits() -> None:
    speaking = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "os.abort", "SystemExit"}
    streams = {"sys.stdin", "sys.stdout", "sys.stderr"}

    def speaks(module: Module) -> Iterable[str]:
        named = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        return (_calls(module) & speaking) | (named & streams) if module.room != "cli" else ()

    assert breaking(speaks) == {}


def _reached(start: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Whatever an import of a module imports in the end."""
    reached, ahead = set[str](), [start]
    while ahead:
        new = needs.get(ahead.pop(), set()) - reached
        reached |= new
        ahead += new
    return reached


def _own(module: Module) -> list[str]:
    """What it imports of tagflow, without the name of the package."""
    return [it.module.removeprefix("tagflow.") for it in module.imports if it.module.startswith("tagflow.")]


def _room(name: str) -> str:
    return name.partition(".")[0]


def _within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _tops(module: Module) -> set[str]:
    # urllib.parse takes text apart, and asks nobody.
    return {it.module.partition(".")[0] for it in module.imports if it.module != "urllib.parse"}


def _names_from(module: Module, library: str) -> set[str]:
    """What is imported of a library, by its full name."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{it.name}" for it in node.names}
    return {name for name in found if name.partition(".")[0] == library}


def _calls(module: Module) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
