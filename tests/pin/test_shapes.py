"""Files as people deploy them: pinned, checked, and pinned again; read by PyYAML, only the references are others."""

from __future__ import annotations

import codecs
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.marks import LONG
from tests.pin.shop import DIGEST, pinned
from tests.servers import require

SHAPES = Path(__file__).parent / "shapes"
REFERENCES = {
    "argo-application.yaml": 1,
    "argo-kustomize.yaml": 3,
    "compose-anchors.yaml": 1,
    "compose-build-and-image.yaml": 1,
    "compose-healthcheck-blocks.yaml": 2,
    "compose-image-in-anchor.yaml": 1,
    "compose-include-profiles.yaml": 1,
    "compose-keys-and-tags.yaml": 2,
    "compose-merge-lists.yaml": 2,
    "compose-minimal.yaml": 1,
    "compose-odd-layout.yaml": 3,
    "compose-swarm-stack.yml": 2,
    "compose-two-services.yml": 2,
    "compose-variables.yaml": 1,
    "cronjob.yaml": 1,
    "daemonset.yaml": 1,
    "deployment-init-and-sidecar.yaml": 3,
    "deployment.json": 2,
    "deployment.yaml": 1,
    "flux-kustomization.yaml": 1,
    "helm-release.yaml": 2,
    "knative-service.yaml": 1,
    "kustomization-digest.yaml": 2,
    "kustomization-new-name.yaml": 2,
    "kustomization.yaml": 2,
    "list.yaml": 2,
    "nothing-of-ours.yaml": 0,
    "pod-ephemeral.yaml": 4,
    "rollout-custom-resource.yaml": 2,
    "several-documents.yaml": 3,
    "statefulset.yaml": 1,
    "values-created.yaml": 1,
    "values-merge.yaml": 2,
    "values-nothing-yet.yaml": 3,
    "values-numbers.yaml": 2,
    "values-old-style.yaml": 3,
    "values-registry-apart.yaml": 2,
    "values-subcharts.yaml": 4,
    "workflow-container.yml": 2,
}
"""How many references each shape has to images of the policy."""

VARIANTS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "BOM and CRLF": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
    "no last line end": lambda text: text.removesuffix("\n").encode(),
}
_KEYS = {"image", "reference", "tag", "newTag", "digest", "imageTag", "images"}
_PINNED = re.compile(rf"(?:[^@]+:)?v1\.1(?:@{DIGEST})?|(?:[^@]+@)?{DIGEST}")


def each_shape(check: Callable[[str], None]) -> None:
    """Check all of them, and tell all that fail."""
    failed = {}
    for shape in REFERENCES:
        try:
            check(shape)
        except AssertionError as error:
            failed[shape] = str(error)
    assert failed == {}


def test_every_shape_is_listed() -> None:
    assert {path.name for path in SHAPES.iterdir()} == set(REFERENCES)
    assert len(REFERENCES) >= 30


@pytest.mark.parametrize("variant", VARIANTS)
def test_pinned_and_pinned_again(variant: str) -> None:
    def check(shape: str) -> None:
        before = VARIANTS[variant]((SHAPES / shape).read_text())
        once = pinned(before)
        again = pinned(once.content)
        assert once.references == REFERENCES[shape]
        assert len(once.changes) == REFERENCES[shape]
        assert (again.content, again.changes, again.references) == (once.content, (), once.references)

    each_shape(check)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_references_are_others(variant: str) -> None:
    def check(shape: str) -> None:
        before = VARIANTS[variant]((SHAPES / shape).read_text())
        after = pinned(before).content
        differing = list(_differences(_load(before), _load(after)))
        assert bool(differing) == bool(REFERENCES[shape])
        for path, value in differing:
            assert next(key for key in reversed(path) if isinstance(key, str)) in _KEYS, path
            assert _PINNED.fullmatch(value), (path, value)

    each_shape(check)


def test_lines_that_are_not_told_of_are_the_same() -> None:
    each_shape(_other_lines_are_the_same)


def _other_lines_are_the_same(shape: str) -> None:
    before = (SHAPES / shape).read_bytes()
    once = pinned(before)
    old, new = before.splitlines(keepends=True), once.content.splitlines(keepends=True)
    assert len(old) == len(new)
    changed = {number for number, pair in enumerate(zip(old, new, strict=True), 1) if pair[0] != pair[1]}
    assert {change.line for change in once.changes} <= changed
    for number in changed:
        start, end = _common(old[number - 1], new[number - 1])
        middle = new[number - 1][start : len(new[number - 1]) - end].decode()
        assert re.fullmatch(r"[ :@\"'a-z0-9.]*", middle), middle  # nothing but a reference, and quotes around it


def test_a_repository_of_an_environment_of_its_own() -> None:
    each_shape(_another_repository)


def _another_repository(shape: str) -> None:
    before = (SHAPES / shape).read_text()
    if "kustomization.yaml" in shape or "kustomization-digest" in shape:
        before = before.replace("name: acme/", "newName: acme/")
    once = pinned(before, environment="far")
    assert len(once.changes) == REFERENCES[shape]
    assert pinned(once.content, environment="far").changes == ()
    assert all(change.after.startswith("registry.example.com:5000/x/shop/") for change in once.changes)
    back = pinned(once.content)
    assert [change.image for change in back.changes] == [change.image for change in once.changes]


@LONG
def test_a_large_file() -> None:
    document = (SHAPES / "deployment-init-and-sidecar.yaml").read_text()
    count = 1_100_000 // len(document)
    large = "---\n".join([document] * count)
    assert len(large) > 1_000_000
    once = pinned(large)
    assert len(once.changes) == 3 * count
    assert once.text == "---\n".join([pinned(document).text] * count)


def test_kustomize_reads_what_was_written(tmp_path: Path) -> None:
    """kubectl's kustomize puts the digest into the resource, whichever fields the entry has."""
    kubectl = require("kubectl")
    entries = {
        "web": "{name: web, newName: acme/web, newTag: v1.0}",
        "api": f"{{name: api, newName: acme/back/api, newTag: v1.0, digest: 'sha256:{'2' * 64}'}}",
        "job": f"{{name: job, newName: acme/job, digest: 'sha256:{'3' * 64}'}}",
    }
    containers = "".join(f"  - {{name: {name}, image: {name}}}\n" for name in entries)
    (tmp_path / "pod.yaml").write_text(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: all}}\nspec:\n  containers:\n{containers}"
    )
    kustomization = "resources: [pod.yaml]\nimages:\n" + "".join(f"- {entry}\n" for entry in entries.values())
    (tmp_path / "kustomization.yaml").write_bytes(pinned(kustomization).content)
    done = subprocess.run([kubectl, "kustomize", "."], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    images = {it["name"]: it["image"] for it in yaml.safe_load(done.stdout)["spec"]["containers"]}
    assert images.pop("api") in (
        f"acme/back/api:v1.1@{DIGEST}",
        f"acme/back/api@{DIGEST}",
    )  # 1.20 drops the tag
    assert images == {"web": f"acme/web:v1.1@{DIGEST}", "job": f"acme/job@{DIGEST}"}


def _load(content: bytes) -> list[Any]:
    text = content.decode("utf-16" if content.startswith(codecs.BOM_UTF16_LE) else "utf-8-sig")
    if text.lstrip().startswith("{"):
        return [json.loads(text)]
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def _differences(before: Any, after: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key in before:
            yield from _differences(before[key], after[key], (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, (*path, index))
    elif before != after:
        yield path, after


def _common(one: bytes, other: bytes) -> tuple[int, int]:
    """How many bytes two lines share at the beginning and, of the rest, at the end."""
    start = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    rest = [one[start:][::-1], other[start:][::-1]]
    end = next((i for i, pair in enumerate(zip(*rest, strict=False)) if pair[0] != pair[1]), min(map(len, rest)))
    return start, end
