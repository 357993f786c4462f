"""Whatever stands around the references, in whichever style: it is the same afterwards, byte for byte."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tagflow.errors import UsageError
from tagflow.pin import source
from tagflow.pin.edit import Pinned
from tests.marks import examples
from tests.pin.shop import DIGEST, NEW, OLD, pinned

NAMES = ["acme/web", "docker.io/acme/web", "acme/back/api", "index.docker.io/acme/job"]
TAILS = ["", ":v1.0", f":v1.0@{OLD}", f"@{OLD}", ":latest"]
QUOTES = ["", "'", '"']
_TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x1F9FF, exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp"))
)


@dataclass(frozen=True)
class Block:
    """Some lines as they are before, and as they have to be after."""

    before: tuple[str, ...]
    after: tuple[str, ...]


def same(*lines: str) -> Block:
    """Lines that nothing changes."""
    return Block(lines, lines)


@st.composite
def around(draw: st.DrawFn) -> Block:
    """What is none of pin's business."""
    text, number = draw(_TEXT), draw(st.integers(0, 99))
    return draw(
        st.sampled_from(
            [
                same(f"# {text}"),
                same(f"#\t{text}\t"),
                same(""),
                same(f"k{number}: {json.dumps(text, ensure_ascii=False)}   # image: acme/web:v1.0"),
                same(f"k{number}: &a{number} {{x: [1, 2, 'acme/web:v1.0'], y: *a{number}}}"),
                same(f"k{number}: |", "  image: acme/web:v1.0", "", "  last"),
                same(f"k{number}:", f"- image: other/web:v{number}", "- image:"),
                same(f"k{number}: >-", "    folded", "    text"),
                same(f"? k{number}", ": value"),
                same(f"k{number}: {{image: $IMAGE, command: ['{number}', \"acme/web\"]}}"),
            ]
        )
    )


@st.composite
def whole(draw: st.DrawFn) -> Block:
    """``image: REFERENCE`` in some style."""
    name, tail, quote = draw(st.sampled_from(NAMES)), draw(st.sampled_from(TAILS)), draw(st.sampled_from(QUOTES))
    style = draw(
        st.sampled_from(
            [
                "image: {}",
                "image:    {}  \t# acme/web:v1.0",
                "'image': {}",
                "? image",
                "image: !!str {}",
                "image: &unused {}",
                "c: {{name: x, image: {}, env: [{{a: b}}]}}",
                'c: [{{"image":{}}}, {{x: y}}]',
                "image:\n  {}",
            ]
        )
    )
    if style.startswith("c: [") and not quote:
        quote = '"'
    if style == "? image":
        style = "? image\n: {}"
    before, after = (style.format(f"{quote}{name}{it}{quote}") for it in (tail, f":{NEW}"))
    return Block(tuple(before.split("\n")), tuple(after.split("\n")))


@st.composite
def parts(draw: st.DrawFn) -> Block:
    """``repository`` and ``tag`` beside one another, in any order, with other keys and comments between them."""
    name = draw(st.sampled_from(NAMES))
    quote = draw(st.sampled_from(QUOTES))
    nothing = draw(st.sampled_from(["", " ~", " null", " ''", ' ""', " v1.0", " 1.9"]))
    empty = {" ''": "'", ' ""': '"'}.get(nothing, "")
    has_digest = draw(st.booleans())
    digest = f"{quote}{OLD}{quote}"
    keys = {
        f"repository: {quote}{name}{quote}": f"repository: {quote}{name}{quote}",
        f"tag:{nothing}": f"tag: {empty}{'v1.1' if has_digest else NEW}{empty}",
        "pullPolicy: Always # tag: v1.0": "pullPolicy: Always # tag: v1.0",
        "# a comment": "# a comment",
    }
    if has_digest:
        keys[f"digest: {digest}  # x"] = f"digest: {quote}{DIGEST}{quote}  # x"
    order = draw(st.permutations(list(keys)))
    return Block(tuple(order), tuple(keys[key] for key in order))


@st.composite
def entries(draw: st.DrawFn) -> Block:
    """An entry of kustomize."""
    name, quote = draw(st.sampled_from(NAMES)), draw(st.sampled_from(QUOTES))
    old, new = f"newTag: {quote}v1.0{quote}", f"newTag: {quote}{NEW}{quote}"
    form = draw(st.sampled_from(["- name: {n}\n  {t} # x", "- {{name: x, newName: {n}, {t}}}", "- {t}\n  name: {n}"]))
    before, after = (f"images:\n{form.format(n=name, t=it)}".split("\n") for it in (old, new))
    return Block(tuple(before), tuple(after))


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A file before and after, and how many references it has."""
    before: list[str] = []
    after: list[str] = []
    count = 0
    for number in range(draw(st.integers(1, 5))):
        indent = " " * draw(st.integers(1, 5))
        before.append(f"m{number}:")
        after.append(f"m{number}:")
        taken = draw(st.one_of(whole(), parts(), entries()))
        blocks = [*draw(st.lists(around(), max_size=2)), taken, *draw(st.lists(around(), max_size=2))]
        count += 1
        before += _indented([line for block in blocks for line in block.before], indent)
        after += _indented([line for block in blocks for line in block.after], indent)
        if draw(st.booleans()):
            separator = draw(st.sampled_from(["---", "--- # acme/web:v1.0", "...\n---"])).split("\n")
            before, after = before + separator, after + separator
    encode = draw(st.sampled_from(_ENCODINGS))
    end, last = draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())
    old, new = (end.join(lines) + (end if last else "") for lines in (before, after))
    return encode(old), encode(new), count


_ENCODINGS: Sequence[Callable[[str], bytes]] = [
    str.encode,
    lambda text: codecs.BOM_UTF8 + text.encode(),
    lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
]


def _indented(lines: Sequence[str], indent: str) -> list[str]:
    return [indent + line if line else line for line in lines]


@settings(max_examples=examples(120), deadline=None)
@given(files())
def test_all_but_the_references_is_the_same(file: tuple[bytes, bytes, int]) -> None:
    before, after, count = file
    found = pinned(before)
    assert found.content == after
    assert found.references == len(found.changes) == count
    assert pinned(after).changes == ()


@settings(max_examples=examples(80), deadline=None)
@given(files(), st.binary(max_size=6), st.integers(0, 400), st.integers(0, 12))
def test_a_damaged_file_is_read_or_refused(file: tuple[bytes, bytes, int], noise: bytes, start: int, cut: int) -> None:
    """Whatever else it is, it reads the same for PyYAML but for the references, or is refused with its place."""
    found = _pinned_or_refused(file[0][:start] + noise + file[0][start + cut :])
    if isinstance(found, UsageError):
        assert (found.code, found.message[:10]) == ("pin.unsupported", "file.yaml:")
    else:
        assert pinned(found.content).changes == ()


@settings(max_examples=examples(30), deadline=None)
@given(files())
def test_the_parser_in_python_agrees(file: tuple[bytes, bytes, int]) -> None:
    before, after, _ = file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_LOADER", yaml.SafeLoader)
        found = _pinned_or_refused(before)
    if isinstance(found, UsageError):
        assert "found character '\\t'" in found.message  # it knows no tabs before a comment
    else:
        assert found.content == after


def _pinned_or_refused(content: bytes) -> Pinned | UsageError:
    try:
        return pinned(content)
    except UsageError as error:
        return error
