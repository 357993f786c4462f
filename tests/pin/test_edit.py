"""What a reference becomes, by form and by the places that it has."""

from __future__ import annotations

import difflib

import pytest
import yaml

from tagflow.pin.edit import FORMS, Form, unified_diff
from tests.pin.shop import DIGEST, NEW, OLD, pinned

FORMED: dict[Form, dict[str, str]] = {
    "tag@digest": {
        "image: acme/web:v1.0": f"image: acme/web:v1.1@{DIGEST}",
        "repository: acme/web\ntag: v1.0": f"repository: acme/web\ntag: v1.1@{DIGEST}",
        "repository: acme/web\ndigest: ''": f"repository: acme/web\ndigest: '{DIGEST}'",
        f"repository: acme/web\ntag: v1.0\ndigest: {OLD}": f"repository: acme/web\ntag: v1.1\ndigest: {DIGEST}",
        "images: [{name: acme/web, newTag: v1.0}]": f"images: [{{name: acme/web, newTag: v1.1@{DIGEST}}}]",
    },
    "digest": {
        "image: acme/web:v1.0": f"image: acme/web@{DIGEST}",
        # Whoever joins name and tag takes no digest alone.
        "repository: acme/web\ntag: v1.0": f"repository: acme/web\ntag: v1.1@{DIGEST}",
        "repository: acme/web\ndigest: ''": f"repository: acme/web\ndigest: '{DIGEST}'",
        f"repository: acme/web\ntag: v1.0\ndigest: {OLD}": f"repository: acme/web\ntag: v1.1\ndigest: {DIGEST}",
        "images: [{name: acme/web, newTag: v1.0}]": f"images: [{{name: acme/web, newTag: v1.1@{DIGEST}}}]",
    },
    "tag": {
        f"image: acme/web:v1.0@{OLD}": "image: acme/web:v1.1",
        f"repository: acme/web\ntag: v1.0@{OLD}": "repository: acme/web\ntag: v1.1",
        "repository: acme/web\ndigest: ''": f"repository: acme/web\ndigest: '{DIGEST}'",
        f"repository: acme/web\ntag: v1.0\ndigest: {OLD}": 'repository: acme/web\ntag: v1.1\ndigest: ""',
        "repository: acme/web\ntag: v1.0\ndigest:": "repository: acme/web\ntag: v1.1\ndigest:",
        "images: [{name: acme/web, newTag: v1.0}]": "images: [{name: acme/web, newTag: v1.1}]",
    },
}


@pytest.mark.parametrize(("form", "before"), [(form, before) for form in FORMS for before in FORMED[form]])
def test_forms(form: Form, before: str) -> None:
    once = pinned(before, form=form)
    assert once.text == FORMED[form][before]
    assert pinned(once.text, form=form).changes == ()


@pytest.mark.parametrize("one", FORMS)
@pytest.mark.parametrize("other", FORMS)
def test_from_form_to_form(one: Form, other: Form) -> None:
    texts = [text for form in FORMS for text in FORMED[form]]
    for text in texts:
        direct = yaml.safe_load(pinned(text, form=other).text)
        around = yaml.safe_load(pinned(pinned(text, form=one).text, form=other).text)
        if "digest" in direct:  # what had a digest in between keeps an empty text for it
            direct["digest"], around["digest"] = direct["digest"] or "", around["digest"] or ""
        assert around == direct


@pytest.mark.parametrize(
    ("version", "written"),
    [
        ("1.10", '"1.10"'),  # the number 1.1 without quotes
        ("1", '"1"'),
        ("2026-01-30", '"2026-01-30"'),
        ("1e3", '"1e3"'),
        ("0x10", '"0x10"'),
        ("1_000", '"1_000"'),
        ("on", '"on"'),
        ("NULL", '"NULL"'),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ("1.0-rc.1", "1.0-rc.1"),
        ("_", "_"),
    ],
)
def test_a_tag_stays_text(version: str, written: str) -> None:
    text = "image:\n  repository: acme/web\n  tag: {}\n"
    once = pinned(text.format("v1.0"), version=version, form="tag")
    assert once.text == text.format(written)
    assert pinned(once.text, version=version, form="tag").changes == ()
    quoted = pinned(text.format("'v1.0'"), version=version, form="tag")
    assert quoted.text == text.format(f"'{version}'")


def test_a_number_in_the_file_is_put_right() -> None:
    """``tag: 1.10`` is 1.1 for whoever reads it, though it looks right."""
    once = pinned("repository: acme/web\ntag: 1.10\n", version="1.10", form="tag")
    assert once.text == 'repository: acme/web\ntag: "1.10"\n'
    assert len(once.changes) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("registry: docker.io\nrepository: acme/web", "registry: registry.example.com:5000\nrepository: x/shop/web"),
        ("registry: docker.io/acme\nrepository: web", "registry: registry.example.com:5000/x/shop\nrepository: web"),
        (
            "registry: docker.io/acme/\nrepository: back/api",
            "registry: registry.example.com:5000/x/shop/\nrepository: back/api",
        ),
        ("registry: ''\nrepository: acme/web", "registry: ''\nrepository: registry.example.com:5000/x/shop/web"),
        ("registry:\nrepository: acme/web", "registry:\nrepository: registry.example.com:5000/x/shop/web"),
        ("repository: acme/web", "repository: registry.example.com:5000/x/shop/web"),
    ],
)
def test_a_name_in_parts(before: str, after: str) -> None:
    once = pinned(f"{before}\ntag: v1.0\n", environment="far", form="tag")
    assert once.text == f"{after}\ntag: v1.1\n"
    [change] = once.changes
    assert change.line == 3 - (0 if "registry:" in before else 1)
    assert change.after.startswith("registry.example.com:5000/x/shop/")
    assert pinned(once.text, environment="far", form="tag").changes == ()


SERVICE = "- name: x\n  enabled: true\n  port: 80\n"


def test_a_diff_has_no_line_that_stays() -> None:
    """Of lines that a file has many times, as manifests have, difflib shows hundreds as removed and added again."""
    done = pinned(f"{SERVICE * 100}- image: acme/web:v1.0\n{SERVICE * 100}")
    lines = unified_diff("x", done).splitlines()
    assert [line for line in lines[2:] if line[0] in "-+"] == ["-- image: acme/web:v1.0", f"+- image: acme/web:{NEW}"]
    assert lines[2] == "@@ -298,7 +298,7 @@"


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("between", range(10))
def test_a_diff_is_as_difflib_writes_it(between: int, end: str) -> None:
    """Where no line is there twice."""
    kept = "".join(f"k{number}: x{end or chr(10)}" for number in range(between))
    done = pinned(f"a: {{image: acme/web:v1}}{end or chr(10)}{kept}b: {{image: acme/job:v1}}{end}")
    before, after = (text.splitlines(keepends=True) for text in (done.source.text, done.text))
    wanted = difflib.unified_diff(before, after, "a/x", "b/x")
    assert unified_diff("x", done).replace("\n\\ No newline at end of file", "") == "".join(
        line if line.endswith("\n") else f"{line}\n" for line in wanted
    )
