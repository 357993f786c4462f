"""Ambient credentials: AWS is moto, Google's and Azure's libraries are played by stand-ins (simulated)."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.registry.auth import clouds
from tagflow.stores.registry.auth.clouds import advice, amazon, create_repository, full_keychain, google
from tagflow.stores.registry.auth.credentials import Credential, keychain
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.vendors import ecr, vendor
from tests import images
from tests.registries.brands import ACR_HOST, AZURE_REFRESH, ECR_HOST, GAR_HOST, GOOGLE_TOKEN
from tests.registries.fixtures import OpenBrand, connect
from tests.registries.network import Network

MISSING = "no such library"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No credentials of whoever runs the tests, and none remembered."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    clouds._client.cache_clear()
    yield
    clouds._client.cache_clear()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the extras is installed."""

    def refuse(name: str) -> ModuleType:
        raise ImportError(MISSING)

    monkeypatch.setattr(clouds.importlib, "import_module", refuse)  # type: ignore[attr-defined]


def play(monkeypatch: pytest.MonkeyPatch, **modules: Any) -> None:
    """Libraries of a vendor; ``__`` in a name stands for a dot."""
    known = {name.replace("__", "."): module for name, module in modules.items()}

    def find(name: str) -> Any:
        return known[name] if name in known else importlib.__import__(name, fromlist=["_"])

    monkeypatch.setattr(clouds.importlib, "import_module", find)  # type: ignore[attr-defined]


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "kind"),
        [
            ("docker.io", "hub"),
            (ECR_HOST, "ecr"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "ecr"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "ecr"),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "ecr"),
            ("public.ecr.aws", "ecr-public"),
            ("acme.azurecr.io", "azure"),
            ("europe-docker.pkg.dev", "google"),
            ("eu.gcr.io", "google"),
            ("gcr.io", "google"),
            ("ghcr.io", "ghcr"),
            ("registry.example:5000", "other"),
            # Look-alikes must not get anything.
            (f"{ECR_HOST}.evil.example", "other"),
            (f"{ECR_HOST}:5000", "other"),
            ("evil.example/123456789012.dkr.ecr.eu-west-1.amazonaws.com", "other"),
            ("acme.azurecr.io.evil.example", "other"),
            ("x-docker.pkg.dev.evil.example", "other"),
            ("evilgcr.io", "other"),
            ("12345678901.dkr.ecr.eu-west-1.amazonaws.com", "other"),
        ],
    )
    def test_whose_it_is(self, host: str, kind: str) -> None:
        assert vendor(host) == kind
        assert (ecr(host) is not None) == (kind == "ecr")

    @pytest.mark.parametrize("host", ["docker.io", "registry.example", f"{ECR_HOST}.evil.example"])
    def test_no_other_host_gets_a_credential(self, host: str, tmp_path: Path) -> None:
        assert full_keychain(Settings(environ={"HOME": str(tmp_path)})).find(host, "a/b") is None


class TestAmazon:
    @mock_aws
    def test_gives_a_token(self) -> None:
        found = amazon(ECR_HOST)
        assert found
        assert (found.username, found.source) == ("AWS", "AWS (ambient)")
        assert found.password
        assert found.password not in repr(found)
        assert math.isfinite(found.expires), "moto's has expired long ago"

    @mock_aws
    def test_a_login_comes_first(self, tmp_path: Path) -> None:
        environ = {"HOME": str(tmp_path)}
        environ |= {f"TAGFLOW_REGISTRY_{key}": "ann" for key in ("USERNAME", "PASSWORD")}
        environ["TAGFLOW_REGISTRY_HOST"] = ECR_HOST
        found = full_keychain(Settings(environ=environ)).find(ECR_HOST)
        assert found
        assert found.source == "environment"

    def test_without_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert amazon(ECR_HOST) is None

    def test_without_the_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from botocore.exceptions import ClientError

        def refuse() -> None:
            said = {"Error": {"Code": "AccessDeniedException", "Message": "User: arn:secret is not authorized"}}
            raise ClientError(said, "GetAuthorizationToken")

        monkeypatch.setattr(clouds, "_amazon", lambda *_: SimpleNamespace(get_authorization_token=refuse))
        with pytest.raises(StoreError, match="AccessDeniedException") as caught:
            amazon(ECR_HOST)
        assert caught.value.code == "credentials.cloud_failed"
        assert "arn:secret" not in caught.value.message

    def test_public_tokens_come_from_one_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, str]] = []
        data = {"authorizationToken": "QVdTOnB1YmxpYw==", "expiresAt": datetime.now(UTC) + timedelta(hours=12)}

        def client(service: str, region: str) -> SimpleNamespace:
            asked.append((service, region))
            return SimpleNamespace(get_authorization_token=lambda: {"authorizationData": data})

        monkeypatch.setattr(clouds, "_amazon", client)
        found = amazon("public.ecr.aws")
        assert found
        assert (found.username, found.password) == ("AWS", "public")
        assert asked == [("ecr-public", "us-east-1")]

    @pytest.mark.parametrize("token", ["%%%", "gICA"])
    def test_nonsense(self, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
        answer = {"authorizationData": [{"authorizationToken": token}]}
        monkeypatch.setattr(clouds, "_amazon", lambda *_: SimpleNamespace(get_authorization_token=lambda: answer))
        with pytest.raises(StoreError) as caught:
            amazon(ECR_HOST)
        assert caught.value.code == "credentials.cloud_failed"

    @mock_aws
    def test_creates_repositories(self) -> None:
        repository = Repository(ECR_HOST, "acme/app")
        assert create_repository(repository)
        assert create_repository(repository), "somebody else was faster"
        assert not create_repository(Repository("registry.example", "acme/app"))

    @pytest.mark.usefixtures("without")
    def test_without_the_extra(self) -> None:
        assert amazon(ECR_HOST) is None
        assert not create_repository(Repository(ECR_HOST, "acme/app"))
        assert "tagflow[ecr]" in advice(ECR_HOST)
        assert "tagflow[azure]" in advice(ACR_HOST)
        assert "tagflow[gcp]" in advice(GAR_HOST)
        assert advice("docker.io") == ""

    @pytest.mark.usefixtures("without")
    def test_a_refusal_names_the_extra(self, open_brand: OpenBrand, internet: Network) -> None:
        """Simulated: Harbor's challenge under Azure's name."""
        brand = open_brand("harbor")
        internet.hosts[ACR_HOST] = internet.hosts[brand.host]
        brand.host, brand.environ = ACR_HOST, internet.environ(Path("/nonexistent"))
        host = connect(brand)
        with pytest.raises(StoreError) as caught:
            host.store("a/b").tags()
        assert caught.value.code == "auth.denied"
        assert "docker login acme.azurecr.io" in caught.value.hint
        assert "tagflow[azure]" in caught.value.hint
        host.close()


class TestCreateRepositories:
    def test_only_where_the_policy_says_so(self, open_brand: OpenBrand) -> None:
        brand = open_brand("ecr")
        host = connect(brand, create_repositories=False)
        with pytest.raises(StoreError) as caught:
            images.add_blob(host.store("acme/app"), b"content")
        assert caught.value.code == "repository.not_found"
        assert "aws ecr create-repository --region eu-west-1 --repository-name acme/app" in caught.value.hint
        assert "create_repositories: true" in caught.value.hint
        host.close()

    def test_reading_creates_nothing(self, open_brand: OpenBrand) -> None:
        brand = open_brand("ecr")
        host = connect(brand)
        store = host.store("acme/app")
        assert (store.tags(), store.resolve("v1")) == ([], None)
        assert brand.registry.exists
        assert not brand.registry.exists("acme/app")
        images.image(store, tag="v1")
        assert brand.registry.exists("acme/app")
        host.close()


def google_library(error: str = "", **credentials: Any) -> dict[str, Any]:
    """google-auth, as far as it is used."""
    problems = SimpleNamespace(
        DefaultCredentialsError=type("DefaultCredentialsError", (Exception,), {}),
        GoogleAuthError=type("GoogleAuthError", (Exception,), {}),
    )

    def default(scopes: list[str]) -> tuple[Any, str]:
        assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]
        if error:
            raise getattr(problems, error)("secret")
        return SimpleNamespace(refresh=lambda _request: None, **credentials), "project"

    return {
        "google__auth": SimpleNamespace(default=default),
        "google__auth__transport__requests": SimpleNamespace(Request=object),
        "google__auth__exceptions": problems,
    }


class TestGoogle:
    def test_gives_a_token(self, monkeypatch: pytest.MonkeyPatch, open_brand: OpenBrand, internet: Network) -> None:
        expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
        play(monkeypatch, **google_library(token=GOOGLE_TOKEN, expiry=expiry))
        brand = open_brand("artifact-registry")
        brand.environ = internet.environ(Path("/nonexistent"))
        host = connect(brand)
        store = host.store("project/images/app")
        assert images.image(store, tag="v1").digest == store.resolve("v1")
        assert host.ping().credential == "Google (ambient)"
        host.close()

    def test_without_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        play(monkeypatch, **google_library("DefaultCredentialsError"))
        assert google(GAR_HOST) is None

    def test_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        play(monkeypatch, **google_library("GoogleAuthError"))
        with pytest.raises(StoreError) as caught:
            google(GAR_HOST)
        assert caught.value.code == "credentials.cloud_failed"
        assert "secret" not in caught.value.message


def azure_library(token: str = "aad-token", error: str = "") -> dict[str, Any]:
    """azure-identity, as far as it is used."""
    azure_error = type("AzureError", (Exception,), {})
    problems = SimpleNamespace(
        AzureError=azure_error, ClientAuthenticationError=type("ClientAuthenticationError", (azure_error,), {})
    )

    def get_token(scope: str) -> SimpleNamespace:
        assert scope == "https://containerregistry.azure.net/.default"
        if error:
            raise getattr(problems, error)("secret")
        return SimpleNamespace(token=token)

    identity = SimpleNamespace(DefaultAzureCredential=lambda: SimpleNamespace(get_token=get_token))
    return {"azure__identity": identity, "azure__core__exceptions": problems}


class TestAzure:
    def find(self, internet: Network) -> Credential | None:
        return full_keychain(Settings(environ=internet.environ(Path("/nonexistent")))).find(ACR_HOST, "acme/app")

    def test_exchanges_its_token(
        self, monkeypatch: pytest.MonkeyPatch, open_brand: OpenBrand, internet: Network
    ) -> None:
        play(monkeypatch, **azure_library())
        brand = open_brand("acr")
        found = self.find(internet)
        assert found
        assert (found.username, found.identity_token) == ("00000000-0000-0000-0000-000000000000", AZURE_REFRESH)
        brand.environ = internet.environ(Path("/nonexistent"))
        host = connect(brand)
        images.image(host.store("acme/app"), tag="v1")
        images.image(host.store("acme/other"), tag="v1")
        assert sum(asked.path == "/oauth2/exchange" for _, asked in internet.asked) == 2, "once for each keychain"
        host.close()

    def test_that_is_refused(self, monkeypatch: pytest.MonkeyPatch, open_brand: OpenBrand, internet: Network) -> None:
        open_brand("acr")
        play(monkeypatch, **azure_library(token="someone-else"))
        with pytest.raises(StoreError, match="HTTP 401") as caught:
            self.find(internet)
        assert caught.value.code == "credentials.cloud_failed"
        assert "someone-else" not in caught.value.message

    def test_without_credentials(self, monkeypatch: pytest.MonkeyPatch, internet: Network) -> None:
        play(monkeypatch, **azure_library(error="ClientAuthenticationError"))
        assert self.find(internet) is None

    def test_that_fails(self, monkeypatch: pytest.MonkeyPatch, internet: Network) -> None:
        play(monkeypatch, **azure_library(error="AzureError"))
        with pytest.raises(StoreError) as caught:
            self.find(internet)
        assert caught.value.code == "credentials.cloud_failed"


class TestKeychain:
    def test_asks_a_cloud_once_a_host(self) -> None:
        asked: list[str] = []

        def provide(host: str, _path: str) -> Credential | None:
            asked.append(host)
            return Credential("ann", "secret") if host == "one.example" else None

        keys = keychain({}, [provide])
        for path in ("a", "b", "a"):
            assert keys.find("one.example", path) == Credential("ann", "secret")
            assert keys.find("two.example", path) is None
        assert asked == ["one.example", "two.example"]

    def test_asks_again_when_it_has_expired(self) -> None:
        given = iter([Credential("one", "x", expires=time.monotonic() - 1), Credential("two", "x")])
        keys = keychain({}, [lambda _host, _path: next(given)])
        assert [getattr(keys.find("one.example"), "username", None) for _ in range(3)] == ["one", "two", "two"]


def test_nothing_of_a_cloud_is_imported_in_vain() -> None:
    """Start-up is felt at every run."""
    import subprocess

    vendors = ("boto3", "google.auth", "azure")
    code = f"import sys, tagflow.stores.registry.store; print([m for m in {vendors} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
