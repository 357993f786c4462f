"""YAML itself: what is no YAML, what is too much of it, and what PyYAML would have let pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tagflow.config import nodes
from tests.config.samples import MINIMAL, load, mistakes

SYNTAX = [
    ("a: b: c", "1:5: this is not YAML: mapping values are not allowed"),
    ("a:\n\t- b", "2:1: this is not YAML: found character"),
    ("a: [b\n", "2:1: this is not YAML: "),
    ("a: 'b\n", "2:1: this is not YAML: found unexpected end of stream"),
    ("a: *b", "1:4: no anchor &b stands before the alias *b"),
    ("&a [*a]", "1:5: no anchor &a stands before the alias *a"),
    ("a: \x01", "1:4: the character '\\x01' is not allowed in YAML"),
    ("é: 1\nb: \x7f", "2:4: the character '\\x7f' is not allowed in YAML"),
    ("a: \ud800", "1:4: the byte 0xed is not UTF-8"),
    ("", "1:1: the file is empty. `tagflow init` writes one to begin with."),
    ("# nothing\n", "1:1: the file is empty"),
    ("---\n", "1:1: the file is empty"),
    ("# nothing\n---\n...\n", "1:1: the file is empty"),
    ("- a", "1:1: the file is a list, expected a mapping"),
    ("hello", "1:1: the file is 'hello', expected a mapping"),
]


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(("text", "found"), SYNTAX)
def test_no_policy_at_all(text: str, found: str, loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_LOADER", loader)
    (line,) = mistakes(text)
    if "end of stream" in found or text == "a: [b\n":  # the two place the end of a file differently
        assert "this is not YAML: " in line
    else:
        assert line.startswith(f"promotion.yaml:{found}")


def test_tabs_are_named() -> None:
    assert mistakes("a:\n\t- b")[0].endswith("Indent with spaces, not tabs.")


def test_a_second_document() -> None:
    (line,) = mistakes(MINIMAL + "---\nversion: 1\n")
    assert line == "promotion.yaml:5:1: a second document begins here. Keep one document in a file."


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!secret", "!!binary", "!!set"])
def test_tags(tag: str) -> None:
    found = mistakes(MINIMAL.replace("docker.io/acme", f"{tag} x") + f"notify: {tag} [{{run: x}}]\n")
    assert found[0] == f"promotion.yaml:2:11: the tag {tag} is unknown. Tags are not supported here; remove it."
    assert found[1].startswith(f"promotion.yaml:5:9: the tag {tag} is unknown.")


def test_harmless_tags() -> None:
    assert load(MINIMAL.replace("{app: app}", "!!map {app: !!str 1.0}")).images[0].path == "1.0"


@pytest.mark.parametrize("escape", [r"\e[31m", r"\0", r"\x85", r"\r"])
def test_control_characters(escape: str) -> None:
    found = mistakes(MINIMAL + f'notify: [{{run: "a{escape}"}}]\n')
    assert "this text contains the control character" in found[0]
    assert all(line.isprintable() for line in found)


def test_messages_are_printable() -> None:
    for line in mistakes(
        MINIMAL + '"a\\e[31m": 1\nengine: "\\e[2J"\nreferrers: !!int "\\e[2J"\nhistory: !!null "\\e"\n'
    ):
        assert line.isprintable()


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- ", "? ", "!!str &a [", "a:\n "])
def test_a_deep_document_is_refused(bracket: str) -> None:
    begun = time.thread_time()
    found = mistakes(bracket * 30_000)
    assert time.thread_time() - begun < 5
    assert found


def test_deep_means_deep() -> None:
    (line,) = mistakes("[" * 40 + "]" * 40)
    assert line == "promotion.yaml:1:34: this is nested more than 32 levels deep"


def test_billion_laughs() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    begun = time.thread_time()
    (line,) = mistakes(laughs)
    assert time.thread_time() - begun < 1
    assert "this is more than 200000 values, those behind aliases counted each time" in line


def test_merge_keys_that_merge_nothing() -> None:
    found = mistakes(MINIMAL.replace("prod: {}", "prod: {<<: 5}"))
    assert found == ["promotion.yaml:4:36: '<<' takes over the keys of a mapping, and this is none"]


def test_a_merge_key_stands_once() -> None:
    found = mistakes(MINIMAL.replace("{dev: {}, prod: {}}", "{dev: &a {}, test: &b {}, prod: {<<: *a, <<: *b}}"))
    assert found == [
        "promotion.yaml:4:56: the key '<<' stands here twice, first in line 4, column 48. Write one: <<: [*a, *b]."
    ]


def test_both_loaders_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "promotion.yaml").read_text()
    fast = load(text)
    monkeypatch.setattr(nodes, "_LOADER", yaml.SafeLoader)
    assert load(text) == fast
