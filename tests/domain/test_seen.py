"""What kubectl, docker and docker compose print, read."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Digest
from tagflow.domain.running import Seen, read_running
from tagflow.errors import UsageError

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)


def status(name: str, image: str, identity: str, **more: Any) -> dict[str, Any]:
    """The status of a container, as the API server has it."""
    return {
        "containerID": "containerd://" + "c" * 64,
        "image": image,
        "imageID": identity,
        "lastState": {},
        "name": name,
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": "2026-11-25T10:00:00Z"}},
    } | more


def pod(name: str, statuses: list[dict[str, Any]], *, phase: str = "Running", **more: Any) -> dict[str, Any]:
    """A pod with what surrounds that."""
    containers = [{"name": it["name"], "image": it["image"], "resources": {}} for it in statuses]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}, "uid": "0f"},
        "spec": {"containers": containers, "nodeName": "node-1", "restartPolicy": "Always"},
        "status": {"phase": phase, "hostIP": "10.0.0.1", "containerStatuses": statuses, "qosClass": "Burstable"} | more,
    }


def listed(*pods: dict[str, Any], kind: str = "List") -> bytes:
    """As ``kubectl get pods -o json`` prints it."""
    document = {"apiVersion": "v1", "items": list(pods), "kind": kind, "metadata": {"resourceVersion": ""}}
    return json.dumps(document, indent=4).encode() + b"\n"


@pytest.mark.parametrize(
    ("image", "identity", "references", "digest"),
    [
        # containerd: the repository and the digest that was pulled, mostly the index
        (
            "docker.io/acme/web:v1.0",
            f"docker.io/acme/web@{ONE}",
            ("docker.io/acme/web", "docker.io/acme/web:v1.0"),
            ONE,
        ),
        # dockershim, cri-dockerd
        ("acme/web:v1.0", f"docker-pullable://acme/web@{ONE}", ("acme/web", "acme/web:v1.0"), ONE),
        ("acme/web:v1.0", f"docker://{ONE}", ("acme/web:v1.0",), ONE),
        # containerd, where the image came from an archive; CRI-O: the digest of the configuration
        ("acme/web:v1.0", ONE, ("acme/web:v1.0",), ONE),
        ("acme/web:v1.0", "1" * 64, ("acme/web:v1.0",), ONE),
        # not pulled yet
        ("acme/web:v1.0", "", ("acme/web:v1.0",), None),
        (f"acme/web:v1.0@{TWO}", "", (f"acme/web:v1.0@{TWO}",), TWO),
    ],
)
def test_pods(image: str, identity: str, references: tuple[str, ...], digest: Digest | None) -> None:
    content = listed(pod("web-7d4b9c-x2x4p", [status("web", image, identity)]))
    assert read_running(content, "pods.json") == [Seen("pod shop/web-7d4b9c-x2x4p, container web", references, digest)]


def test_each_container_init_and_ephemeral_ones_too() -> None:
    one = pod(
        "web-0",
        [status("web", "acme/web:v1", f"acme/web@{ONE}"), status("proxy", "envoy:1", f"envoy@{TWO}")],
        initContainerStatuses=[
            status("migrate", "acme/job:v1", f"acme/job@{TWO}", state={"terminated": {"exitCode": 0}})
        ],
        ephemeralContainerStatuses=[status("debug", "busybox", f"busybox@{TWO}")],
    )
    assert [it.where.rpartition(" ")[2] for it in read_running(listed(one), "-")] == [
        "web",
        "proxy",
        "migrate",
        "debug",
    ]


def test_what_was_asked_for_tells_the_name_where_the_node_does_not() -> None:
    """An image that was asked for by digest has no name in the status of containerd."""
    one = pod("web-0", [status("web", f"sha256:{'c' * 64}", f"registry.internal/mirror@{ONE}")])
    one["spec"]["containers"][0]["image"] = f"acme/web@{ONE}"
    [seen] = read_running(listed(one), "-")
    assert seen.references == ("registry.internal/mirror", f"sha256:{'c' * 64}", f"acme/web@{ONE}")
    assert seen.digest == ONE


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pods_that_have_ended_run_nothing(phase: str) -> None:
    ended = pod("job-1", [status("job", "acme/job:v1", f"acme/job@{ONE}")], phase=phase)
    assert read_running(listed(ended, pod("web-0", [])), "-") == []


def test_pods_alone_in_lists_and_among_others() -> None:
    one = pod("web-0", [status("web", "acme/web:v1", f"acme/web@{ONE}")])
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    for content in (json.dumps(one).encode(), listed(one, kind="PodList"), listed(service, one)):
        assert [it.digest for it in read_running(content, "-")] == [ONE]
    pending = {"kind": "Pod", "metadata": {"name": "web-1"}, "spec": {"containers": []}, "status": {"phase": "Pending"}}
    assert read_running(listed(pending), "-") == []
    assert read_running(listed(), "-") == []


DOCKER = {
    "Command": '"/docker-entrypoint.…"',
    "CreatedAt": "2026-11-25 10:00:00 +0000 UTC",
    "ID": "0584b370e957",
    "Image": "acme/web:v1.0",
    "Labels": "com.docker.compose.project=shop,com.docker.compose.service=web",
    "LocalVolumes": "0",
    "Mounts": "",
    "Names": "shop-web-1",
    "Networks": "shop_default",
    "Ports": "0.0.0.0:8080->80/tcp",
    "RunningFor": "2 hours ago",
    "Size": "0B",
    "State": "running",
    "Status": "Up 2 hours",
}
COMPOSE = {
    "Command": '"/docker-entrypoint.…"',
    "ExitCode": 0,
    "Health": "",
    "ID": "0584b370e957",
    "Image": f"acme/web:v1.0@{ONE}",
    "Name": "shop-web-1",
    "Names": "shop-web-1",
    "Project": "shop",
    "Publishers": [{"URL": "0.0.0.0", "TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"}],
    "Service": "web",
    "State": "running",
    "Status": "Up 2 hours",
}


def test_docker_a_document_a_line() -> None:
    others: list[dict[str, Any]] = [
        {"Image": f"acme/web@{ONE}", "Names": "two"},
        {"State": "exited", "Names": "three"},
        {"Image": "0584b370e957", "Names": "four"},
    ]
    content = "\n".join(json.dumps(DOCKER | it) for it in [{}, *others]).encode() + b"\n"
    assert read_running(content, "-") == [
        Seen("container shop-web-1", ("acme/web:v1.0",), None),
        Seen("container two", (f"acme/web@{ONE}",), ONE),
        Seen("container four", ("0584b370e957",), None),
    ]


def test_compose_an_array_or_lines() -> None:
    expected = [Seen("container shop-web-1", (f"acme/web:v1.0@{ONE}",), ONE)]
    ended = COMPOSE | {"State": "exited"}
    assert read_running(json.dumps([COMPOSE, ended]).encode(), "-") == expected
    assert read_running((json.dumps(COMPOSE) + "\n" + json.dumps(ended)).encode(), "-") == expected
    assert read_running(b"[]", "-") == read_running(b"null\n", "-") == []


def test_podman() -> None:
    container = {"Image": "docker.io/acme/web:v1.0", "ImageID": "1" * 64, "Names": ["web"], "State": "running"}
    assert read_running(json.dumps([container]).encode(), "-") == [
        Seen("container web", ("docker.io/acme/web:v1.0",), ONE)
    ]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
    ],
)
def test_as_powershell_writes_it(encode: Any) -> None:
    content = encode(json.dumps(DOCKER) + "\n" + json.dumps(DOCKER))
    assert len(read_running(content, "-")) == 2


@pytest.mark.parametrize(
    ("content", "told", "hint"),
    [
        (b"", "ps.json: it is empty, so nothing was looked at", "command before it"),
        (b" \n", "ps.json: it is empty", "command before it"),
        (b"json\njson\n", "ps.json:1:1: this is not JSON", "docker ps --format '{{json .}}'"),
        (
            b"NAME    READY   STATUS\nweb-0   1/1     Running\n",
            "ps.json:1:1: this is not JSON",
            "kubectl get pods -o json",
        ),
        (b"apiVersion: v1\nitems:\n", "ps.json:1:1: this is not JSON", "kubectl get pods -o json"),
        (b'{"kind": "List",\n "items": [}\n', "ps.json:2:12: this is not JSON", "kubectl get pods -o json"),
        (b'{"Image": "a", "Names": "b"}\n{"Image"', "ps.json:2:9: this is not JSON", "kubectl"),
        (b'{"kind": "Deployment"}', "ps.json: it is a Deployment, and no list of pods", "kubectl get pods"),
        (
            b'{"kind": "List", "items": [{"kind": "Service"}]}',
            "ps.json: it lists Service, and no pod",
            "kubectl get pods",
        ),
        (b'{"kind": "List"}', "ps.json: `items` is no list", "kubectl"),
        (b'{"kind": "Pod", "metadata": {}, "status": {"containerStatuses": {}}}', "no list", "kubectl"),
        (b'{"kind": "Pod", "metadata": {}, "status": {"containerStatuses": [1]}}', "is no object", "kubectl"),
        (b'{"kind": "Pod", "metadata": {"name": 5}}', "5 where a text is expected", "kubectl"),
        (b'{"ID": "1", "Service": "web"}', "a container has no `Image`", "old docker compose"),
        (b"[1]", "an entry is no object", "kubectl"),
        (b"17", "the document is no object", "kubectl"),
        (b"\xff\xff", "it is no text", "kubectl"),
        (b"[" * 100_000, "it is nested too deeply", "kubectl"),
    ],
)
def test_unreadable(content: bytes, told: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_running(content, "ps.json")
    assert (caught.value.code, caught.value.exit_status) == ("running.unreadable", 2)
    assert told in caught.value.message
    assert hint in caught.value.hint


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "items", "metadata", "status", "spec", "containerStatuses", "Image", "Names", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(_JSON, st.sampled_from(["Pod", "List", "PodList", None]))
def test_any_json_is_read_or_refused(document: Any, kind: str | None) -> None:
    if isinstance(document, dict) and kind:
        document["kind"] = kind
    try:
        found = read_running(json.dumps(document).encode(), "-")
    except UsageError:
        return
    assert all(isinstance(it, Seen) for it in found)
