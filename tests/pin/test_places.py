"""What is a reference, what is none, and what is refused, with its place in the file."""

from __future__ import annotations

import pytest
import yaml

from tagflow.domain.reference import parse_registry
from tagflow.errors import Conflict, UsageError
from tagflow.pin import source
from tests.pin.shop import DIGEST, NEW, OLD, pinned

REFUSED = {
    "an alias": ("x: &i acme/web:v1.0\na:\n  image: *i\n", ["3:10: an alias stands for this reference"]),
    "what aliases stand for": (
        "a: {image: &i acme/web:v1.0}\nb: {note: *i}\n",
        ["1:12: aliases stand for this reference (&i)"],
    ),
    "an alias for a tag": (
        "t: &t v1.0\nimage:\n  repository: acme/web\n  tag: *t\n",
        ["4:8: an alias stands for this reference"],
    ),
    "a block scalar": ("a:\n  image: >-\n    acme/web:v1.0\n", ["2:10: a block scalar holds this reference"]),
    "a literal block": ("image: |\n  acme/web:v1.0\n", ["1:8: a block scalar holds this reference"]),
    "a block in a tag": ("repository: acme/web\ntag: |-\n  v1.0\n", ["2:6: a block scalar holds this reference"]),
    "a variable for the tag": ("image: acme/web:${TAG:-v1.0}\n", ["1:8: a placeholder inside the reference"]),
    "a variable without braces": ("image: acme/web:$TAG\n", ["1:8: a placeholder inside the reference"]),
    "a variable for the registry": (
        "image: ${R:-docker.io}/acme/web:v1\n",
        ["1:8: a placeholder inside the reference"],
    ),
    "a variable within another": ("image: ${A:-${B:-x}}/acme/web\n", ["1:8: a placeholder inside the reference"]),
    "a variable for a namespace": ("image: docker.io/$NS/web:v1\n", ["1:8: a placeholder inside the reference"]),
    "a variable behind the name": ("image: acme/web${TAG}\n", ["1:8: a placeholder inside the reference"]),
    "a template for the tag": ('image: "acme/web:{{ .Values.tag }}"\n', ["1:8: a placeholder inside the reference"]),
    "a template in a key of its own": (
        "image:\n  repository: acme/web\n  tag: '{{ .Values.tag }}'\n",
        ["3:8: a placeholder inside the reference"],
    ),
    "a template without quotes": (
        "image:\n  repository: acme/web\n  tag: {{ .Values.tag }}\n",
        ["3:8: a placeholder inside the reference"],
    ),
    "a template for kustomize": (
        "images:\n- {name: acme/web, newTag: $TAG}\n",
        ["2:28: a placeholder inside the reference"],
    ),
    "another kind of template": ("image: acme/web:$(TAG)\n", ["1:8: a placeholder inside the reference"]),
    "a kind that nobody knows": ("image: acme/web:<TAG>\n", ["1:8: '<TAG>' is not a tag"]),
    "no digest": ("repository: acme/web\ndigest: sha256:12\n", ["2:9: 'sha256:12' is not a digest"]),
    "an escape": ('image: "acme\\/web:v1.0"\n', ["1:8: the reference is not written as it reads"]),
    "a reference on two lines": ('image: "acme/\\\n  web:v1.0"\n', ["1:8: the reference is not written as it reads"]),
    "a tag of YAML": ("image: !Ref acme/web:v1.0\n", ["1:8: the YAML tag !Ref before the reference"]),
    "no place for a tag": ("image:\n  repository: acme/web\n", ["2:15: acme/web has no place for a tag or a digest"]),
    "no place in an entry": (
        "images:\n- name: web\n  newName: acme/web\n",
        ["3:12: acme/web has no place for a tag or a digest"],
    ),
    "a tag in a repository": (
        "repository: acme/web:v1.0\ntag: v1.0\n",
        ["1:13: a tag or digest in the name, where keys of their own hold them"],
    ),
    "a name that is whole elsewhere": (
        "a: &a {image: acme/web}\nb: {<<: *a, tag: v1}\n",
        ["1:15: a whole reference here, and a name alone where it is merged"],
    ),
    "all at once, in order": (
        "a: {image: acme/job:$T}\n---\nb: {image: acme/web:v1.0}\nc: {image: >\n  acme/web:v1.0}\n",
        None,
    ),
    "several": (
        "a: {image: acme/job:$T}\n---\nb: {image: acme/web:v1.0}\nc: {image: 'acme/web:$T'}\n",
        ["1:12: a placeholder inside the reference", "4:12: a placeholder inside the reference"],
    ),
    "no YAML": ("a: 1\n b: 2\n", ["2:3: this is not YAML"]),
    "a template of a chart": ("image: acme/web:{{ .tag }}\nb: [\n", ["this is not YAML"]),
    "a control character": ("image: acme/web\x07\n", ["1:16: this is not YAML"]),
    "too deep": ("[" * 200 + "]" * 200, ["1:101: more than 100 levels within one another"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_its_place(case: str) -> None:
    text, lines = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        pinned(text)
    assert caught.value.code == "pin.unsupported"
    assert caught.value.exit_status == 2
    told = caught.value.message.splitlines()
    for line, expected in zip(told, lines or told, strict=True):
        assert line.startswith("file.yaml:")
        assert expected in line
    for detail in caught.value.details:
        assert detail["file"] == "file.yaml"
        assert isinstance(detail["line"], int)


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"a: 1\nimage: acme/web:\xff\n", "file.yaml:2:17: this is not UTF-8"), (b"\xff\xfea", "UTF-16-LE")],
)
def test_other_encodings_are_refused(content: bytes, place: str) -> None:
    with pytest.raises(UsageError, match="this is not") as caught:
        pinned(content)
    assert caught.value.code == "pin.unsupported"
    assert place in caught.value.message


OURS = {
    "Docker Hub goes without saying": "acme/web:v1.0",
    "its other names": "index.docker.io/acme/web:v1.0",
    "a host in capitals": "Docker.IO/acme/web:v1.0",
    "a digest": f"acme/web@{OLD}",
    "tag and digest": f"docker.io/acme/web:v1.0@{OLD}",
    "nothing yet": "acme/web",
}
OTHERS = {
    "another namespace": "acme2/web:v1.0",
    "another host": "quay.io/acme/web:v1.0",
    "a longer name": "acme/web-admin:v1.0",
    "a name below": "acme/web/admin:v1.0",
    "a name above": "acme:v1.0",
    "no reference at all": "acme/Web:v1.0",
    "nothing": "",
    "an address": "https://acme/web:v1.0",
    "a placeholder that cannot be ours": "${REGISTRY}/other:v1.0",
    "another one": "acme/${NAME}-admin:v1.0",
}


@pytest.mark.parametrize("case", OURS)
def test_ours(case: str) -> None:
    found = pinned(f"image: '{OURS[case]}'\n")
    name = OURS[case].partition("@")[0].removesuffix(":v1.0")
    assert found.text == f"image: '{name}:{NEW}'\n"
    assert [(it.line, it.image, it.before, it.after) for it in found.changes] == [
        (1, "web", OURS[case], f"{name}:{NEW}")
    ]


@pytest.mark.parametrize("case", OTHERS)
def test_others(case: str) -> None:
    found = pinned(f"a: {{image: '{OTHERS[case]}'}}\n")
    assert (found.references, found.changes, found.templates) == (0, (), 0)


@pytest.mark.parametrize("value", ["$IMAGE", "${A:-acme/web:v1.0}", "'{{ .Values.image }}'", "{{ .Values.image }}"])
def test_templates_as_a_whole_are_left_alone_and_counted(value: str) -> None:
    text = f"a: {{image: acme/web:v1.0}}\nb:\n  image: {value}\n"
    found = pinned(text)
    assert found.text == text.replace(":v1.0}\nb", f":{NEW}}}\nb")
    assert (found.references, found.templates) == (1, 1)


def test_the_environments_of_the_policy_have_registries_of_their_own() -> None:
    text = "image: registry.example.com:5000/x/shop/web:v1.0\n"
    assert pinned(text).text == f"image: docker.io/acme/web:{NEW}\n"
    assert pinned(text, environment="far").text == f"image: registry.example.com:5000/x/shop/web:{NEW}\n"


def test_layouts_are_known_by_their_path() -> None:
    layouts = parse_registry("oci:images", base="/srv")
    assert pinned("image: back/api:v1.0\n", registry=layouts).text == f"image: back/api:{NEW}\n"


def test_a_name_that_kustomize_looks_for_stays() -> None:
    with pytest.raises(UsageError) as caught:
        pinned("images:\n- name: acme/web\n  newTag: v1.0\n", environment="far")
    assert "file.yaml:2:9" in caught.value.message
    assert "`newName: registry.example.com:5000/x/shop/web`" in caught.value.message


def test_what_several_share_must_be_one() -> None:
    """A tag that is merged into two images would have to be two tags at once."""
    text = "b: &b {tag: v1.0}\nx: {<<: *b, repository: acme/web}\ny: {<<: *b, repository: acme/job}\n"
    assert pinned(text).text == text.replace("v1.0", NEW)
    with pytest.raises(UsageError, match=r"file\.yaml:1:13: several references share this"):
        pinned(text, digests={"job": OLD})


def test_nobody_knows_the_version() -> None:
    with pytest.raises(Conflict) as caught:
        pinned("image: acme/web:v1.0\n", version=None)
    assert caught.value.code == "environment.unrecorded"
    assert pinned("image: acme/web:v1.0\n", version=None, form="digest").text == f"image: acme/web@{DIGEST}\n"


ARGO = "source:\n  kustomize:\n    images: [{}]\n"
"""How Argo CD lists what `kustomize edit set image` is given."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("acme/web:v1.0", f"acme/web:{NEW}"),
        ("web=acme/web:v1.0", f"web=acme/web:{NEW}"),
        ("web=acme/web", f"web=acme/web:{NEW}"),
        ("'web=docker.io/acme/web:v1.0'", f"'web=docker.io/acme/web:{NEW}'"),
        (f"web=acme/web@{OLD}", f"web=acme/web:{NEW}"),
    ],
)
def test_what_argo_cd_hands_to_kustomize(before: str, after: str) -> None:
    done = pinned(ARGO.format(before))
    assert done.text == ARGO.format(after)
    [change] = done.changes
    assert (change.line, change.image) == (3, "web")
    assert change.after.removeprefix("docker.io/") == f"acme/web:{NEW}"


def test_the_name_that_argo_cd_looks_for_stays() -> None:
    assert pinned(ARGO.format("web=acme/web:v1.0"), environment="far").text == ARGO.format(
        f"web=registry.example.com:5000/x/shop/web:{NEW}"
    )
    with pytest.raises(UsageError) as caught:
        pinned(ARGO.format("acme/web:v1.0"), environment="far")
    assert "`acme/web=registry.example.com:5000/x/shop/web`" in caught.value.message


def test_a_list_of_images_elsewhere_is_left_alone() -> None:
    text = "images: [acme/web:v1.0]\nkustomize:\n  images: [web=nginx:1, '*', {a: b}]\n"
    assert pinned(text).text == text


BY_ALIAS = {
    "kustomize's list": "x: &l\n- {name: acme/web, newTag: v1.0}\nimages: *l\n",
    "an entry of it": "x: &e {name: acme/web, newTag: v1.0}\nimages: [*e]\n",
    "a name below an image": "x: &i {name: acme/web, tag: v1.0}\nimage: *i\n",
    "Argo CD's list": "x: &l ['acme/web:v1.0']\nkustomize: {images: *l}\n",
    "what it is below": "x: &k {images: ['acme/web:v1.0']}\nkustomize: *k\n",
}


@pytest.mark.parametrize("case", BY_ALIAS)
def test_what_an_alias_stands_for_is_changed_where_it_is_written(case: str) -> None:
    assert pinned(BY_ALIAS[case]).text == BY_ALIAS[case].replace("v1.0", NEW)


ELSEWHERE = {
    "a name below an image": ("image: {name: acme/web:v1.0}\n", "acme/web:v1.0"),
    "a key of its own": ("webImage: docker.io/acme/web:v1.0\n", "docker.io/acme/web:v1.0"),
    "a list": ("images:\n- acme/web:v1.0\n", "acme/web:v1.0"),
    "a workflow": ("jobs: {a: {container: acme/web:v1.0}}\n", "acme/web:v1.0"),
    "a digest": (f"env: [{{name: IMAGE, value: acme/web@{OLD}}}]\n", f"acme/web@{OLD}"),
    "a name in pieces": ("registry: docker.io\nrepository: acme\nname: web\ntag: v1.0\n", "docker.io/acme/web:v1.0"),
    "below an image": ("image:\n  repository: acme\n  image: web\n  tag: v1.0\n", "acme/web:v1.0"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_is_named_elsewhere_is_left_alone_and_told(case: str) -> None:
    text, named = ELSEWHERE[case]
    found = pinned(f"a: {{image: acme/job:{NEW}}}\n---\n{text}")
    assert (found.references, found.changes) == (1, ())
    assert [it.text for it in found.elsewhere] == [named]
    assert all(it.line > 2 for it in found.elsewhere)


@pytest.mark.parametrize(
    "text",
    [
        "host: acme/web\n",
        "url: https://acme/web:80\n",
        "- see acme/web:v1.0\n",
        "acme/web:v1.0: the key\n",
        "x: '${R}/acme/web:v1.0'\n",
        f"a: {{image: &i acme/job:{NEW}}}\n",
    ],
)
def test_what_only_looks_like_a_reference_is_not_told(text: str) -> None:
    assert pinned(text).elsewhere == ()


def test_hosts_with_a_port_are_no_images() -> None:
    layouts = parse_registry("oci:images", base="/srv")
    found = pinned("upstream: web:8080\nother: web:v1.0\n", registry=layouts)
    assert [(it.line, it.text) for it in found.elsewhere] == [(2, "web:v1.0")]


class Counted(str):
    """A text that adds up how many of its characters are searched."""

    searched = 0

    def find(self, text: str, start: int = 0, *_: object) -> int:  # type: ignore[override]
        found = super().find(text, start)
        Counted.searched += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_cost_no_more_than_their_length(end: str) -> None:
    """Manifests of custom resources have several megabytes: each line looked for the other end of line to the last."""
    text = Counted(f"a: b{end}" * 500)
    Counted.searched = 0
    assert source.Source("file.yaml", b"", "utf-8", text).line(len(text) - 1) == 500
    assert Counted.searched <= 2 * len(text)


def test_the_parser_in_python_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML comes without its C parser, whose offsets differ in places."""
    lines = [
        "\ufeffa: {image: acme/web, x: 'é😀'}",
        "b: {repository: acme/job, tag: , digest: ~}",
        "c:",
        "  tag:",
        "  repository: acme/web",
    ]
    text = "\r\n".join(lines)
    fast = pinned(text)
    monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    assert pinned(text) == fast
    assert fast.references == 3
