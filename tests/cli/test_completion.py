"""Completion as bash, zsh and fish themselves do it, and what they are told."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from tagflow.cli.app import app
from tagflow.cli.commands import COMMANDS
from tagflow.cli.completion.quick import answer, joined
from tagflow.cli.completion.shells import Bash, Fish, Zsh
from tagflow.cli.session import Session
from tests import warm
from tests.cli.runner import Desk, surroundings
from tests.servers import RegistryServer, require
from tests.terminal import Terminal, terminal

NUMBERS = itertools.count(1)
BEGIN = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'bind "set bell-style none"; eval "$(tagflow --show-completion bash)"',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        'bindkey -e; autoload -Uz compinit; compinit -u; eval "$(tagflow --show-completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "tagflow --show-completion fish | source"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two versions, of which one is everywhere; builds to push."""
    desk = Desk(tmp_path_factory.mktemp("completion"))
    desk.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend, backend: back_end}\n"
        "environments: {dev: {}, test: {}, prod: {overrides: [soak]}}\n"
    )
    desk.through("v1.0", "dev", "test", "prod")
    desk.through("v1.1", "dev")
    (desk.path / "build" / "backend").mkdir(parents=True)
    (desk.path / "build.tar").touch()
    return desk


@pytest.fixture(scope="module", params=BEGIN)
def shell(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Terminal]:
    """A shell that has just read what `--show-completion` prints."""
    arguments, begin = BEGIN[request.param]
    require(arguments[0])
    path = warm.path()
    environ = surroundings(desk.path, {"PATH": path, "TERM": "xterm", "PS1": "$ "})
    with terminal(arguments, desk.path, environ) as opened:
        opened.type(f"{begin}; echo rea''dy\r")
        opened.wait_for(r"^ready")
        yield opened


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pro\t", "promote"),
        ("promote v1.0 --to pr\t", "promote v1.0 --to prod"),
        ("promote --to=pr\t", "promote --to=prod"),
        ("promote --dry\t", "promote --dry-run"),
        ("promote 1.1 --to prod --override s\t", "promote 1.1 --to prod --override soak"),
        ("promote front\t=v1.1\t", "promote frontend=v1.1"),
        ("rollback prod backend=v1\t1\t", "rollback prod backend=v1.1"),
        ("push v1.2 back\toci:bu\tba\t", "push v1.2 backend=oci:build/backend/"),
        ("-f promo\t tags 1.\t0\t", "-f promotion.yaml tags 1.0"),
        ("next pat\t", "next patch"),
        ("apply build.\t", "apply build.tar"),
    ],
)
def test_in_the_shell(shell: Terminal, typed: str, completed: str) -> None:
    """Tab, then `echo GOT` before the line: what was completed is what the shell gives to the command."""
    number = next(NUMBERS)
    shell.type(f"tagflow {typed}\x01echo G''OT{number} \r")
    assert shell.wait_for(rf"^GOT{number} tagflow (.*?)\s*$")[1] == completed


@pytest.fixture
def ask(desk: Desk) -> Callable[..., list[str]]:
    def words(line: str, **environ: str) -> list[str]:
        given = {"_TAGFLOW_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line, **environ}
        done = desk.tagflow(**given)
        assert (done.status, done.err) == (0, "")
        return [it.partition("\t")[0] for it in done.out.split("\n") if it]

    return words


def test_words(ask: Callable[..., list[str]]) -> None:
    assert ask("tagflow promote ") == ["v1.1", "v1.0", "frontend", "backend", "frontend=", "backend="]
    assert ask("tagflow promote backend frontend=") == ["frontend=v1.1", "frontend=v1.0"]
    assert ask("tagflow promote backend f") == ["frontend", "frontend="]
    assert ask("tagflow status v1.0 ") == ["dev", "test", "prod", "frontend", "backend", "v1.1", "v1.0"]
    assert ask("tagflow pull prod ") == ["frontend", "backend"]
    assert ask("tagflow verify p") == ["prod"]
    assert ask("tagflow tags 1") == ["1.1", "1.0"]
    assert ask("tagflow promote v1.0 --to prod --override ") == ["soak"]
    assert ask("tagflow push v2.0 backend=oci:") == ["backend=oci:build/", "backend=oci:registry/"]
    assert "backend=docker-archive:build.tar" in ask("tagflow push v2.0 backend=docker-archive:b")


def test_a_file_behind_many_others_is_found(desk: Desk, ask: Callable[..., list[str]]) -> None:
    for number in range(250):
        (desk.path / f"a{number:03}").touch()
        (desk.path / f".a{number:03}").mkdir()
    (desk.path / "zeta.tar").touch()
    (desk.path / "zone").mkdir()
    assert ask("tagflow push v2.0 backend=docker-archive:zeta") == ["backend=docker-archive:zeta.tar"]
    assert ask("tagflow push v2.0 backend=oci:z") == ["backend=oci:zone/"]
    assert "backend=oci:zone/" in ask("tagflow push v2.0 backend=oci:")
    assert len(ask("tagflow push v2.0 backend=docker-archive:a")) == 200


def test_what_is_beside_a_word_has_no_markup(desk: Desk) -> None:
    done = desk.tagflow(_TAGFLOW_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS="tagflow statu")
    assert done.out == "status\tShow which version runs where.\n"


@pytest.mark.parametrize("text", ["images: [", "version: 9", "\x00", ""])
def test_a_broken_policy_gives_nothing_and_says_nothing(tmp_path: Path, text: str) -> None:
    desk = Desk(tmp_path)
    desk.write(text)
    for line in ("tagflow promote ", "tagflow status ", "tagflow -f missing.yaml promote --to ", "tagflow push v1 a="):
        done = desk.tagflow(_TAGFLOW_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS=line)
        assert (done.status, done.err) == (0, "")
        assert {it for it in done.out.split() if not it.startswith("a=")} == set()


def test_a_policy_in_a_pipe_keeps_no_shell_waiting(desk: Desk) -> None:
    os.mkfifo(desk.path / "pipe")
    done = desk.tagflow(_TAGFLOW_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS="tagflow -f pipe promote --to ")
    assert (done.status, done.err) == (0, "")


@pytest.mark.registry
def test_versions_from_the_cache_without_the_network(tmp_path: Path, registry: RegistryServer) -> None:
    desk = Desk(tmp_path)
    repository = registry.fresh("completion")
    namespace, _, name = str(repository).rpartition("/")
    desk.write(f"version: 1\nregistry: {namespace}\nimages: {{app: {name}}}\nenvironments: {{dev: {{}}, prod: {{}}}}\n")
    from tagflow.domain.reference import Repository
    from tagflow.stores.layout.store import LayoutStore
    from tests import images

    images.index(LayoutStore(Repository(f"oci:{tmp_path}", "build")), tag="v1.0")
    assert desk.quickly("push", "v1.0", "app=oci:build:v1.0").status == 0
    before = len(registry.requests())
    done = desk.tagflow(_TAGFLOW_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS="tagflow promote app=")
    assert done.out == "app=v1.0\n"
    assert len(registry.requests()) == before


LINES = [
    "",
    "-",
    "--",
    "--ver",
    "-v ",
    "--verbose --ver",
    "-f promotion.yaml ",
    "-f ",
    "--policy=promotion.yaml -",
    "pro",
    "nonsense ",
    "nonsense -",
    "-v promote v1.1 --to prod -",
    "promote v1.1 --to prod --",
    "promote --to=prod --",
    "promote frontend=v1.1 --",
    "promote --override soak --over",
    "promote --reason -- --",
    "promote -- -",
    "promote -o json -",
    "promote -y -",
    "promote -vy -",
    "promote --to",
    "promote --to ",
    "promote --to p",
    "promote --nonsense -",
    "promote --help -",
    "promote 'a b' --",
    *(f"{name} --" for name in COMMANDS),
    *(f"{name} -" for name in COMMANDS),
]


@pytest.mark.parametrize("kind", [Bash, Zsh, Fish])
def test_what_is_known_at_once_is_what_the_commands_say(
    desk: Desk, kind: type[Bash | Zsh | Fish], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is asked first; what it does not tell is built."""
    monkeypatch.chdir(desk.path)
    monkeypatch.setenv("_TAGFLOW_COMPLETE", f"complete_{kind.name}")
    built = kind(get_command(app), {"obj": Session()}, "tagflow", "_TAGFLOW_COMPLETE")
    quick = 0
    for line in LINES:
        words = f"tagflow {line}"
        pieces = words.replace("=", " = ").split()
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", words)
        monkeypatch.setenv("COMP_WORDS", " ".join(pieces))
        monkeypatch.setenv("COMP_CWORD", str(len(pieces) - (not words.endswith(" "))))
        told = answer(os.environ)
        quick += told is not None
        # click has the names of its help in no order.
        assert told is None or sorted(told.split("\n")) == sorted(built.complete().split("\n")), line
    assert quick > len(LINES) / 2


def test_words_that_bash_cut() -> None:
    assert joined(["tagflow", "push", "v1", "a", "=", "docker", ":", "//host/a"]) == [
        "tagflow",
        "push",
        "v1",
        "a=docker://host/a",
    ]
    assert joined(["tagflow", "promote", "--to", "=", "p"]) == ["tagflow", "promote", "--to=p"]
    assert joined(["tagflow", "promote", "a", "="]) == ["tagflow", "promote", "a="]


@pytest.mark.parametrize("shell_name", BEGIN)
def test_install(desk: Desk, tmp_path: Path, shell_name: str) -> None:
    done = desk.tagflow("--install-completion", shell_name, HOME=str(tmp_path))
    assert done.status == 0
    written = [it.read_text() for it in tmp_path.rglob("*") if it.is_file()]
    shown = desk.tagflow("--show-completion", shell_name).out
    assert shown.strip() in {it.strip() for it in written}
    assert re.search(r"_TAGFLOW_COMPLETE=complete_" + shell_name, shown)


def test_install_refused(desk: Desk, tmp_path: Path) -> None:
    assert desk.tagflow("--show-completion", "tcsh").status == 2
    (tmp_path / "file").touch()
    done = desk.tagflow("--install-completion", "fish", HOME=str(tmp_path / "file"))
    assert done.status == 6
    assert "[file.unwritable]" in done.err
