"""Registries that cannot run here, played by stand-ins after what is known of them: all of this is simulated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.errors import Refused, StoreError, TagflowError
from tagflow.stores.port import DOCKER_MANIFEST, MANIFEST_LIMIT, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from tagflow.stores.registry.answers import explanation, is_immutable, refusal
from tagflow.stores.registry.auth.credentials import variables
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.http.transport import REDIRECTING, Answer
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests.standin import Asked, Say, Script, StandIn, standin

QUICK = RetryPolicy(attempts=3, first=0.01, budget=2.0, gap=0.001, largest_gap=0.01)
MANIFEST = Manifest(OCI_MANIFEST, b'{"schemaVersion":2}')
OTHER = digest_of(b"other")
Play = Callable[[Script], tuple[RegistryStore, StandIn]]


@pytest.fixture
def play() -> Iterator[Play]:
    """The repository ``a/b`` of a stand-in that follows a script."""
    running: list[tuple[StandIn, RegistryHost]] = []

    def opening(script: Script) -> tuple[RegistryStore, StandIn]:
        server = StandIn(script)
        host = RegistryHost(server.host, Settings(environ={}, retry=QUICK))
        running.append((server, host))
        return host.store("a/b"), server

    yield opening
    for server, host in running:
        host.close()
        server.stop()


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(StoreError) as caught:
        call(*arguments)
    return caught.value.code


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()


def at(digest: Digest) -> Say:
    return Say(headers={"Docker-Content-Digest": digest, "Content-Type": OCI_MANIFEST})


ECR_SAYS = (
    "The image tag 'prod' already exists in the 'a/b' repository and cannot be overwritten because it is immutable."
)
AZURE_SAYS = "Operation is disallowed on this registry, repository or image"
HARBOR_SAYS = "Failed to process request due to 'a/b:prod' configured as immutable."
IMMUTABLE = {
    "ECR": (400, errors("TAG_INVALID", ECR_SAYS)),
    "Artifact Registry": (400, errors("MANIFEST_INVALID", "The repository has enabled tag immutability")),
    "Harbor": (412, errors("PRECONDITION", HARBOR_SAYS)),
    "Quay": (409, errors("TAG_IMMUTABLE", "tag is immutable and cannot be overwritten")),
    "Azure": (405, errors("REGISTRY_DISALLOWED_OPERATION", AZURE_SAYS)),
}


class TestImmutableTags:
    @pytest.mark.parametrize("registry", IMMUTABLE)
    def test_that_stand_elsewhere_are_refused(self, play: Play, registry: str) -> None:
        status, body = IMMUTABLE[registry]
        store, _ = play(lambda asked: Say(status, body) if asked.method == "PUT" else at(OTHER))
        writes: list[Callable[[], None]] = [
            lambda: store.put(MANIFEST, "prod"),
            lambda: store.move("prod", MANIFEST, OTHER),
        ]
        for write in writes:
            with pytest.raises(Refused) as caught:
                write()
            assert (caught.value.code, caught.value.exit_status) == ("tag.immutable", 3)
            assert OTHER in caught.value.message

    @pytest.mark.parametrize("registry", IMMUTABLE)
    def test_that_stand_there_already_are_no_error(self, play: Play, registry: str) -> None:
        """ECR refuses even the same digest."""
        status, body = IMMUTABLE[registry]
        store, _ = play(lambda asked: Say(status, body) if asked.method == "PUT" else at(MANIFEST.digest))
        store.put(MANIFEST, "prod")

    @pytest.mark.parametrize("registry", IMMUTABLE)
    def test_that_do_not_exist_are_another_error(self, play: Play, registry: str) -> None:
        status, body = IMMUTABLE[registry]
        store, _ = play(lambda asked: Say(status, body) if asked.method == "PUT" else Say(404))
        assert code_of(store.put, MANIFEST, "prod") == "registry.rejected"

    def test_a_plain_403_may_be_missing_rights(self, play: Play) -> None:
        denied = Say(403, errors("DENIED", "requested access to the resource is denied"))
        store, _ = play(lambda asked: denied if asked.method == "PUT" else at(OTHER))
        assert code_of(store.put, MANIFEST, "prod") == "registry.denied"

    def test_a_plain_403_of_docker_hub_is_its_rule(self) -> None:
        assert is_immutable(Answer(403, {}), "docker.io")
        assert not is_immutable(Answer(403, {}), "ghcr.io")


def test_a_401_without_a_challenge_is_a_refusal() -> None:
    """GitLab's answer to who is logged in and may not move a tag."""
    challenge = {"WWW-Authenticate": "Basic realm=x"}

    def gitlab(detail: str) -> Script:
        error = {"code": "UNAUTHORIZED", "message": "not allowed", "detail": detail}
        refused = Say(401, json.dumps({"errors": [error]}).encode())

        def script(asked: Asked) -> Say:
            if not asked.authorization:
                return Say(401, headers=challenge)
            return refused if asked.method == "PUT" else at(OTHER)

        return script

    for detail, code in (
        ('tag "prod" is immutable', "tag.immutable"),
        ('tag "prod" is protected', "registry.denied"),
    ):
        with standin(gitlab(detail)) as server:
            user, secret = variables(server.host)
            environ = {user: "a", secret: "b"}
            host = RegistryHost(server.host, Settings(environ=environ, retry=QUICK))
            with pytest.raises(TagflowError) as caught:
                host.store("a/b").move("prod", MANIFEST, OTHER)
            assert caught.value.code == code
            host.close()


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "body", "code"),
        [
            (404, errors("NAME_UNKNOWN", "repository not found"), "repository.not_found"),
            (404, b"", "repository.not_found"),
            (404, errors("BLOB_UPLOAD_UNKNOWN", "gone"), "registry.rejected"),
            (403, b"", "registry.denied"),
            (400, errors("DIGEST_INVALID", "no"), "blob.invalid"),
            (400, errors("MANIFEST_INVALID", "no"), "registry.rejected"),
            (500, b"", "registry.unavailable"),
            (418, b"<html>", "registry.rejected"),
        ],
    )
    def test_codes(self, status: int, body: bytes, code: str) -> None:
        error = refusal(Answer(status, {}, body), Repository("r.example", "a/b"), "do it")
        assert error.code == code
        assert error.exit_status == 6
        assert "r.example/a/b" in error.message

    def test_ecr_says_how_to_create_a_repository(self) -> None:
        host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        error = refusal(Answer(404, {}, errors("NAME_UNKNOWN", "no")), Repository(host, "acme/app"), "do it")
        assert error.hint.splitlines()[0] == "aws ecr create-repository --region eu-west-1 --repository-name acme/app"

    def test_a_request_that_is_too_large_says_what_to_raise(self) -> None:
        """The default of nginx is 1 MiB, and it tells nothing but the status."""
        error = refusal(Answer(413, {}, b"<html>"), Repository("r.example", "a/b"), "do it")
        assert (error.code, "client_max_body_size" in error.hint) == ("registry.rejected", True)

    @pytest.mark.parametrize("body", [b"", errors("UNSUPPORTED", "The operation is unsupported.")])
    def test_a_registry_that_takes_no_writes_may_be_read_only(self, body: bytes) -> None:
        """distribution 2.8 in maintenance, and as a pull-through cache."""
        error = refusal(Answer(405, {}, body), Repository("r.example", "a/b"), "do it")
        assert (error.code, "read only" in error.hint) == ("registry.rejected", True)

    @pytest.mark.parametrize("status", sorted(REDIRECTING))
    def test_a_redirect_says_where_to(self, status: int) -> None:
        """A registry that has moved may redirect all: what is read is followed, what is written is not."""
        location = {"Location": "https://new.example:5000/v2/a/b?token=s3cret"}
        error = refusal(Answer(status, location, url="https://r.example/v2/a/b"), Repository("r.example", "a/b"), "do")
        assert (error.code, error.exit_status) == ("registry.rejected", 6)
        assert "sends us on to https://new.example:5000 (HTTP" in error.message
        assert "promotion.yaml" in error.hint
        assert "s3cret" not in error.message + error.hint

    @pytest.mark.parametrize("location", [{}, {"Location": "/elsewhere"}, {"Location": "https://["}])
    def test_a_redirect_to_nowhere_else(self, location: dict[str, str]) -> None:
        error = refusal(Answer(308, location, url="https://r.example/v2/a/b"), Repository("r.example", "a/b"), "do it")
        assert (error.code, "promotion.yaml" in error.hint) == ("registry.rejected", False)

    @given(st.integers(300, 599), st.binary(max_size=300))
    def test_any_answer_gives_an_error(self, status: int, body: bytes) -> None:
        error = refusal(Answer(status, {}, body), Repository("r.example", "a/b"), "do it")
        assert error.message.isprintable()

    def test_a_registrys_words_are_shortened_and_cleaned(self) -> None:
        told = explanation(Answer(400, {}, errors("X", "\x1b[31mred\r\n" + "y" * 10_000)))
        assert told.isprintable()
        assert len(told) < 400


def page(tags: list[str] | None, link: str | None = None) -> Say:
    headers = {"Content-Type": "application/json"}
    return Say(
        body=json.dumps({"name": "a/b", "tags": tags}).encode(), headers=headers | ({"Link": link} if link else {})
    )


class TestTagPages:
    def paged(self, link: str) -> Script:
        def script(asked: Asked) -> Say:
            if "last" not in asked.query:
                return page(["b", "a", "c"], link.replace("HOST", asked.headers["Host"]))
            return page(["c", "d"])

        return script

    @pytest.mark.parametrize(
        "link",
        [
            '</v2/a/b/tags/list?last=c&n=3>; rel="next"',
            "<list?last=c>; rel=next",
            '<http://HOST/v2/a/b/tags/list?last=c>; rel="next"',
            '<https://HOST/v2/a/b/tags/list?last=c>; rel="next"',
            '</v2/other>; rel="prev", </v2/a/b/tags/list?last=c>; rel="next"',
        ],
    )
    def test_are_followed(self, play: Play, link: str) -> None:
        store, server = play(self.paged(link))
        assert store.tags() == ["a", "b", "c", "d"]
        assert len(server.asked) == 2

    @pytest.mark.parametrize(
        "link",
        [
            '<http://elsewhere.example/?last=c>; rel="next"',
            "<//elsewhere.example/?last=c>; rel=next",
            "<ftp://HOST/?last=c>; rel=next",
            "<http://[::1/?last=c>; rel=next",
        ],
    )
    def test_lead_nowhere_else(self, play: Play, link: str) -> None:
        store, server = play(self.paged(link))
        assert code_of(store.tags) == "registry.invalid_answer"
        assert len(server.asked) == 1

    def test_in_a_circle(self, play: Play) -> None:
        store, server = play(lambda _: page(["a"], '</v2/a/b/tags/list?last=a>; rel="next"'))
        assert code_of(store.tags) == "registry.invalid_answer"
        assert len(server.asked) == 2

    def test_without_end(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.registry.listing.MOST_PAGES", 20)
        numbers = iter(range(1000))
        store, server = play(lambda _: page(["a"], f'</v2/a/b/tags/list?last={next(numbers)}>; rel="next"'))
        assert code_of(store.tags) == "registry.invalid_answer"
        assert len(server.asked) == 20

    def test_a_later_page_that_is_missing_is_an_error(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            return Say(404) if "last" in asked.query else page(["a"], '<list?last=a>; rel="next"')

        store, _ = play(script)
        with pytest.raises(StoreError):
            store.tags()

    @pytest.mark.parametrize(
        ("said", "tags"),
        [
            (page(None), []),
            (page([]), []),
            (Say(body=b'{"tags": null}'), []),
            (Say(body=b'{"name": "a/b"}'), []),
            (page(["a", "a", "..", "", "a b", "\x1b[31m", "x" * 129, "z"]), ["a", "z"]),
            (Say(404, errors("NAME_UNKNOWN", "no")), []),
            (Say(404), []),
        ],
    )
    def test_of_odd_content(self, play: Play, said: Say, tags: list[str]) -> None:
        store, _ = play(lambda _: said)
        assert store.tags() == tags

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b'{"tags": 7}',
            b'{"tags": [7]}',
            b'{"tags": "a"}',
            b"[" * 9999,
            b"{}",
            b'{"message": "please log in"}',
            b'{"errors": [{"code": "UNAUTHORIZED"}]}',
        ],
    )
    def test_of_nonsense(self, play: Play, body: bytes) -> None:
        store, _ = play(lambda _: Say(body=body))
        assert code_of(store.tags) == "registry.invalid_answer"


class TestManifests:
    @pytest.mark.parametrize(
        ("content_type", "body", "media_type"),
        [
            (f"{OCI_MANIFEST}; charset=utf-8", b"{}", OCI_MANIFEST),
            (OCI_MANIFEST.upper(), b"{}", OCI_MANIFEST),
            ("application/json", json.dumps({"mediaType": DOCKER_MANIFEST}).encode(), DOCKER_MANIFEST),
            (OCI_MANIFEST, json.dumps({"mediaType": DOCKER_MANIFEST}).encode(), DOCKER_MANIFEST),
        ],
    )
    def test_types(self, play: Play, content_type: str, body: bytes, media_type: str) -> None:
        store, _ = play(lambda _: Say(body=body, headers={"Content-Type": content_type}))
        assert store.get("v1") == Manifest(media_type, body)

    def test_schema_1_is_not_moved(self, play: Play) -> None:
        stated = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        store, _ = play(lambda _: Say(body=b'{"schemaVersion": 1}', headers={"Content-Type": stated}))
        assert code_of(store.get, "v1") == "manifest.unsupported"

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [("text/html", b"<html>Please log in"), ("", b""), ("application/json", b'{"message": "maintenance"}')],
    )
    def test_a_page_is_no_manifest_that_is_stored(self, play: Play, content_type: str, body: bytes) -> None:
        """Something on the way answers. What the registry has itself, it states the digest of."""
        said = Say(body=body, headers={"Content-Type": content_type})
        store, _ = play(lambda _: said)
        for call in (store.get, store.resolve):
            assert code_of(call, "v1") == "registry.invalid_answer"
        stored, _ = play(lambda _: said.having({"Docker-Content-Digest": digest_of(body)}))
        assert code_of(stored.get, "v1") in ("manifest.invalid", "manifest.unsupported")

    def test_that_are_too_big(self, play: Play) -> None:
        store, _ = play(lambda _: Say(body=b" " * (MANIFEST_LIMIT + 1), headers={"Content-Type": OCI_MANIFEST}))
        assert code_of(store.get, "v1") == "registry.invalid_answer"

    def test_all_types_are_accepted_always(self, play: Play) -> None:
        store, server = play(lambda _: Say(404))
        store.resolve("v1")
        store.has(OTHER)
        for asked in server.asked:
            assert asked.headers["Accept"].count("application/vnd.") == 4
            assert asked.headers["Accept-Encoding"] == "identity"

    def test_that_a_registry_stores_otherwise(self, play: Play) -> None:
        store, _ = play(lambda _: Say(201, headers={"Docker-Content-Digest": OTHER}))
        assert code_of(store.put, MANIFEST, "v1") == "manifest.digest_mismatch"

    def test_a_success_that_is_none(self, play: Play) -> None:
        store, _ = play(lambda asked: Say(200) if asked.method == "PUT" else Say(404))
        assert code_of(store.put, MANIFEST, "v1") == "registry.rejected"

    def test_a_replica_that_lags_is_waited_for(self, play: Play) -> None:
        stored = Say(201, headers={"Docker-Content-Digest": MANIFEST.digest})
        answers = iter([at(OTHER), stored, at(OTHER), at(OTHER), at(MANIFEST.digest)])
        store, _ = play(lambda _: next(answers))
        store.move("prod", MANIFEST, OTHER)

    def test_a_replica_that_lags_behind_a_put_that_states_no_digest(self, play: Play) -> None:
        answers = iter([at(OTHER), Say(201), at(OTHER), at(MANIFEST.digest)])
        store, server = play(lambda _: next(answers))
        store.move("prod", MANIFEST, OTHER)
        assert server.count("PUT") == 1

    def test_sha512(self, play: Play) -> None:
        digest = Digest("sha512:" + hashlib.sha512(MANIFEST.content).hexdigest())
        store, _ = play(lambda _: Say(body=MANIFEST.content, headers={"Content-Type": OCI_MANIFEST}))
        assert store.get(digest) == MANIFEST
        assert code_of(store.get, "sha512:" + "0" * 128) == "manifest.digest_mismatch"


class TestReferrersApi:
    ENTRY: ClassVar = {"mediaType": OCI_MANIFEST, "digest": OTHER, "size": 7, "artifactType": "x/y"}
    INDEX = json.dumps({"schemaVersion": 2, "manifests": [ENTRY, ENTRY]})

    def test_is_used_where_it_is(self, play: Play) -> None:
        store, server = play(lambda _: Say(body=self.INDEX.encode(), headers={"Content-Type": OCI_INDEX}))
        [found] = store.referrers(MANIFEST.digest)
        assert (found.digest, found.artifact_type) == (OTHER, "x/y")
        assert [asked.path for asked in server.asked] == [f"/v2/a/b/referrers/{MANIFEST.digest}"]

    @pytest.mark.parametrize("said", [Say(404), Say(405), Say(501), Say(200, b"<html>", {"Content-Type": "text/html"})])
    def test_is_done_without_where_it_is_not(self, play: Play, said: Say) -> None:
        store, server = play(lambda asked: said if "/referrers/" in asked.path else Say(404))
        assert store.referrers(MANIFEST.digest) == []
        assert "/manifests/sha256-" in server.asked[-1].path

    def test_a_fallback_tag_that_is_no_index(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            if "/referrers/" in asked.path:
                return Say(404)
            return Say(body=MANIFEST.content, headers={"Content-Type": OCI_MANIFEST})

        store, _ = play(script)
        assert store.referrers(MANIFEST.digest) == []

    def test_a_registry_that_lists_a_subject_itself_is_left_to_it(self, play: Play) -> None:
        subject = {"mediaType": OCI_MANIFEST, "digest": OTHER, "size": 7}
        manifest = Manifest(OCI_MANIFEST, json.dumps({"schemaVersion": 2, "subject": subject}).encode())
        headers = {"OCI-Subject": OTHER, "Docker-Content-Digest": manifest.digest}
        store, server = play(lambda _: Say(201, headers=headers))
        store.put(manifest)
        assert len(server.asked) == 1


class TestBlobs:
    BLOB = Descriptor("application/x", digest_of(b"content"), 7)

    @pytest.mark.parametrize(
        "location",
        [
            "/v2/a/b/blobs/uploads/1?_state=x%2By",
            "http://HOST/up?_state=x%2By",
            "https://HOST/up?_state=x%2By",
            "1?_state=x%2By",
        ],
    )
    def test_an_upload_goes_where_it_is_sent(self, play: Play, location: str) -> None:
        def script(asked: Asked) -> Say:
            if asked.method == "POST":
                return Say(202, headers={"Location": location.replace("HOST", asked.headers["Host"])})
            return Say(201 if asked.method == "PUT" else 404)

        store, server = play(script)
        store.write_blob(self.BLOB, lambda: iter([b"con", b"tent"]))
        put = server.asked[-1]
        assert put.body == b"content"
        assert put.target.endswith(f"?_state=x%2By&digest=sha256%3A{self.BLOB.digest[7:]}")

    @pytest.mark.parametrize("location", [None, "ftp://x/", "http://169.254.169.254/", "http://[::1"])
    def test_an_upload_is_sent_nowhere_bad(self, play: Play, location: str | None) -> None:
        headers = {} if location is None else {"Location": location}
        store, server = play(lambda asked: Say(202, headers=headers) if asked.method == "POST" else Say(404))
        assert code_of(store.write_blob, self.BLOB, lambda: iter([b"content"])) == "registry.invalid_answer"
        assert server.count("PUT") == 0

    def test_an_upload_to_another_host_carries_no_login(self, play: Play) -> None:
        _, storage = play(lambda _: Say(201))

        def script(asked: Asked) -> Say:
            if asked.method == "POST":
                return Say(202, headers={"Location": f"http://{storage.host}/signed?key=1"})
            return Say(404)

        store, _ = play(script)
        store.write_blob(self.BLOB, lambda: iter([b"content"]))
        assert storage.asked[0].body == b"content"
        assert storage.asked[0].authorization == ""

    @pytest.mark.parametrize("status", [400, 403, 405])
    def test_storage_that_knows_no_head(self, play: Play, status: int) -> None:
        """A signed address is often for GET only."""

        def script(asked: Asked) -> Say:
            if asked.path == "/signed":
                return Say(status) if asked.method == "HEAD" else Say(body=b"content")
            return Say(307, headers={"Location": "/signed?key=1"})

        store, _ = play(script)
        assert store.has_blob(self.BLOB.digest)

    def test_a_server_without_ranges(self, play: Play) -> None:
        half = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncont"
        answers = iter([Say(raw=half), Say(raw=half), Say(body=b"content")])
        store, server = play(lambda _: next(answers))
        assert b"".join(store.read_blob(self.BLOB)) == b"content"
        assert server.asked[1].headers["Range"] == "bytes=4-"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
    def test_a_mount_that_is_refused_means_upload(self, play: Play, status: int) -> None:
        headers = {"WWW-Authenticate": "Basic realm=x"}
        store, _ = play(lambda _: Say(status, headers=headers))
        assert not store.mount(self.BLOB, Repository(store.repository.host, "c/d"))

    def test_a_mount_asks_for_the_blob_of_the_other(self, play: Play) -> None:
        store, server = play(lambda _: Say(201))
        assert store.mount(self.BLOB, Repository(store.repository.host, "c/d"))
        assert server.asked[0].query == {"mount": [self.BLOB.digest], "from": ["c/d"]}
        assert not store.mount(self.BLOB, Repository("elsewhere.example", "c/d"))


class TestUntag:
    """What a registry that removes tags does: tests/registries."""

    @pytest.mark.parametrize("status", [400, 405])
    def test_a_registry_that_cannot(self, play: Play, status: int) -> None:
        store, server = play(lambda asked: Say(status) if asked.method == "DELETE" else at(OTHER))
        assert code_of(store.untag, "v1", OTHER) == "tag.undeletable"
        assert {asked.method for asked in server.asked} == {"HEAD", "DELETE"}

    def test_a_registry_that_says_so_and_does_not(self, play: Play) -> None:
        manifests: dict[str, bytes] = {"v1": b"{}"}

        def script(asked: Asked) -> Say:
            name = asked.path.rpartition("/")[2]
            if asked.method == "PUT":
                manifests[name] = asked.body
                return Say(201, headers={"Docker-Content-Digest": digest_of(asked.body)})
            if asked.method == "DELETE":
                return Say(202)
            content = manifests.get(name)
            return Say(404) if content is None else at(digest_of(content))

        store, _ = play(lambda asked: Say(200) if "/blobs/" in asked.path else script(asked))
        assert code_of(store.untag, "v1", digest_of(b"{}")) == "tag.undeletable"

    def test_a_user_who_may_not(self, play: Play) -> None:
        store, _ = play(lambda asked: Say(403) if asked.method == "DELETE" else at(OTHER))
        assert code_of(store.untag, "v1", OTHER) == "registry.denied"
