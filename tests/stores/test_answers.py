"""What registries answer as their own code has it, and what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import StoreError
from tagflow.stores.port import OCI_INDEX
from tagflow.stores.registry.answers import explanation, has_no_referrers_api, is_immutable, refusal
from tagflow.stores.registry.auth.tokens import Challenge, token_request
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.store import RegistryHost
from tagflow.stores.registry.vendors import ecr, hazards
from tests.registries.simulator import Quirks, failed, simulated_registry
from tests.standin import Asked, Say

JSON = {"Content-Type": "application/json; charset=utf-8"}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def refused(**error: object) -> Answer:
    return Answer(400, {}, json.dumps({"errors": [error]}).encode())


@pytest.mark.parametrize(
    ("answer", "has_none"),
    [
        (Answer(200, JSON, json.dumps(INDEX).encode()), False),  # Harbor 2.8 to 2.9.5, referrers.go
        (Answer(200, JSON, json.dumps({**INDEX, "mediaType": ""}).encode()), False),
        (Answer(200, JSON, b'{"schemaVersion": 2, "config": {}, "layers": []}'), True),  # GitLab: the image itself
        (Answer(200, JSON, b"[]"), True),
        (Answer(200, {"Content-Type": "text/html"}, json.dumps(INDEX).encode()), True),
        (Answer(406, {}), True),  # Artifactory before 7.90
        (Answer(403, {}), False),
    ],
)
def test_a_list_of_referrers_is_one_whatever_it_calls_itself(answer: Answer, has_none: bool) -> None:
    assert has_no_referrers_api(answer) is has_none


def test_a_reason_in_the_detail_is_told() -> None:
    answer = refused(code="MANIFEST_INVALID", message="manifest invalid", detail="unknown media type: x/y")
    assert explanation(answer) == "HTTP 400, MANIFEST_INVALID: manifest invalid (unknown media type: x/y)"
    assert explanation(refused(code="X", message="no: y", detail="no")) == "HTTP 400, X: no: y"
    quay = refused(code="MANIFEST_INVALID", message="manifest invalid", detail={"message": "manifest digest mismatch"})
    assert explanation(quay) == "HTTP 400, MANIFEST_INVALID: manifest invalid (manifest digest mismatch)"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (
            b"<html><head><title>400 Request Header Or Cookie Too Large</title>",
            "HTTP 400, Request Header Or Cookie Too Large",
        ),
        (b"<!DOCTYPE html><TITLE lang=en>\n Just a\tmoment&hellip; </TITLE>", "HTTP 400, Just a moment\u2026"),
        (b"<title>400 </title>", "HTTP 400"),
        (b"<title>\xff\x1b[31m</title>", "HTTP 400, \ufffd [31m"),
        (b"<title>secret of ours</title>", "HTTP 400, \u2026 of ours"),
        (b"plain words", "HTTP 400"),
    ],
)
def test_of_a_page_its_title_is_told(page: bytes, told: str) -> None:
    """What stands before a registry says so what it has against a request."""
    assert explanation(Answer(400, {"Content-Type": "text/html"}, page, authorization="Bearer secret")) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"status": 403, "message": "Not enough permissions"}, "HTTP 400, Not enough permissions"),  # JFrog
        ({"code": "DENIED", "message": ""}, "HTTP 400, DENIED"),
        ({"code": None, "message": None, "detail": {"message": ["x"]}}, "HTTP 400"),
        ({}, "HTTP 400"),
    ],
)
def test_what_is_left_out_is_not_told(error: dict[str, object], told: str) -> None:
    assert explanation(refused(**error)) == told


@pytest.mark.parametrize(
    ("detail", "immutable"),
    [
        ("Repository does not allow updating assets: docker-local", True),  # Nexus, "Disable redeploy"
        ("the tag is locked", True),
        ("your account is blocked", False),
    ],
)
def test_tags_that_may_not_move(detail: str, immutable: bool) -> None:
    answer = refused(code="BLOB_UPLOAD_INVALID", message="blob upload invalid", detail=detail)
    assert is_immutable(answer, "r.test") is immutable


@pytest.mark.parametrize(
    "link",
    [
        "/v2/app/tags/list?last={last}&n=1000",  # Artifactory, RTFACT-18971
        "/repository/docker/v2/docker/app/tags/list?n=1000&last={last}",  # Nexus, nexus-public#1011
    ],
)
def test_a_list_goes_on_where_it_began(link: str) -> None:
    tags = [f"t{number:04}" for number in range(1500)]

    def pages(asked: Asked, _: Callable[[Asked], Say]) -> Say:
        if re.fullmatch("/v2/docker/app/tags/list", asked.path) is None:
            return failed(404, "NAME_UNKNOWN", "not here")
        last = asked.query.get("last", [""])[0]
        page = [tag for tag in tags if tag > last][:1000]
        said = Say(body=json.dumps({"name": "docker/app", "tags": page}).encode(), headers=JSON)
        more = page != [] and page[-1] != tags[-1]
        return said.having({"Link": f'<{link.format(last=page[-1])}>; rel="next"'}) if more else said

    with simulated_registry(Quirks(), pages) as (_, server):
        store = RegistryHost(server.host, Settings(environ={})).store("docker/app")
        assert sorted(store.tags()) == tags


def test_see_other_is_no_list_of_referrers() -> None:
    """GHCR sends everybody to a page of github.com, which answers with 429 soon."""

    def elsewhere(asked: Asked, server: Callable[[Asked], Say]) -> Say:
        if "/referrers/" in asked.path:
            return Say(303, headers={"Location": "http://127.0.0.1:9/page"})
        return server(asked)

    with simulated_registry(Quirks(referrers=False), elsewhere) as (_, server):
        store = RegistryHost(server.host, Settings(environ={})).store("app")
        assert store.referrers(digest_of(b"x")) == []


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_hosts_of_ecr(host: str, region: str) -> None:
    found = ecr(host)
    assert found is not None
    assert (found.account, found.region) == ("123456789012", region)


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "Log in again, for 12 hours: `aws ecr get-login-password --region eu-west-1 | docker login --username AWS"
            " --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com`.",
        ),
        ("r.test", "Log in again: `docker login r.test`."),
    ],
)
def test_a_login_that_is_over(host: str, hint: str) -> None:
    said = failed(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
    error = refusal(Answer(403, {}, said.body), Repository(host, "app"), "list tags")
    assert (error.code, error.hint) == ("auth.denied", hint)


def test_denied_by_another_status() -> None:
    said = failed(400, "DENIED", "not authorized")  # ECR Public
    assert refusal(Answer(400, {}, said.body), Repository("public.ecr.aws", "a/b"), "x").code == "registry.denied"


def test_a_registry_that_ends_tls_elsewhere_names_itself_by_http() -> None:
    def asks(url: str, realm: str) -> str:
        return token_request(url, Challenge("bearer", {"realm": realm}), None, ()).url

    assert asks("https://h.test/v2/", "http://h.test/service/token") == "https://h.test/service/token"
    assert asks("http://127.0.0.1:5000/v2/", "https://127.0.0.1:5000/t") == "https://127.0.0.1:5000/t"
    with pytest.raises(StoreError):
        asks("https://h.test/v2/", "http://tokens.test/service/token")


@pytest.mark.parametrize(
    ("headers", "service", "names"),
    [
        ({}, "harbor-registry", "Harbor"),  # src/core/service/token, of all versions
        ({"X-Harbor-CSRF-Token": "x"}, "", "Harbor"),
        ({"X-JFrog-Version": "Artifactory/7.90"}, "", "maxUniqueTags"),
        ({"Gitlab-Container-Registry-Version": "4.0"}, "container_registry", "cleanup"),
    ],
)
def test_whose_registry_it_is(headers: dict[str, str], service: str, names: str) -> None:
    told = hazards("registry.example", headers, service, is_distribution=False)
    assert any(names in check.detail for check in told)
