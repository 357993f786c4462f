"""The shape of promotion.yaml: the one definition that files are checked against and the JSON Schema is made from.

What needs more than one value to be judged is in :mod:`tagflow.config.meaning`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tagflow.config.environment import (
    UNIQUE,
    EnvironmentEntry,
    EnvironmentName,
    ImageName,
    RegistryPrefix,
    RepositoryPath,
    SignerName,
)

_TAG = "[A-Za-z0-9._-]*"


class ImageEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image, written out."""

    repository: Annotated[RepositoryPath, Meta(description="The repository below the registry of each environment.")]


class TagsEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tags are written."""

    version: Annotated[
        str,
        Meta(
            title="a template",
            min_length=1,
            description="The tag of a release; {version} is the version without v.",
            examples=["v{version}", "{version}"],
            extra_json_schema={"pattern": rf"^(?![_.-]){_TAG}\{{version\}}{_TAG}$"},
        ),
    ] = "v{version}"
    combined: Annotated[
        str,
        Meta(
            title="a template",
            min_length=1,
            description="The tag of a release in an environment; {version} is the whole version tag here.",
            examples=["{version}-{environment}"],
            extra_json_schema={
                "pattern": rf"^(?![_.-]){_TAG}(\{{version\}}{_TAG}\{{environment\}}|"
                rf"\{{environment\}}{_TAG}\{{version\}}){_TAG}$"
            },
        ),
    ] = "{version}-{environment}"
    versions: Annotated[
        Literal["semver", "natural"],
        Meta(
            description="How versions are read and ordered: as SemVer 2.0.0 says, or as people write them (2026.02.0, "
            "1.2.3.4, 1.0rc10)."
        ),
    ] = "semver"
    floating: (
        Annotated[
            str,
            Meta(
                title="a template",
                min_length=1,
                description="How floating tags are written; {floating} is latest, v1, v1.2 or beta. Default: followed "
                "by whatever the template of versions has after {version}.",
                examples=["{floating}", "{floating}-alpine"],
                extra_json_schema={"pattern": rf"^(?![_.-]){_TAG}\{{floating\}}{_TAG}$"},
            ),
        ]
        | UnsetType
    ) = UNSET


class HistoryEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the history is kept."""

    repository: Annotated[
        str,
        Meta(
            title="a template",
            min_length=1,
            pattern=r"\{repository\}",
            description="The repository of the records; {repository} is the image's own.",
            examples=["{repository}", "{repository}-history"],
            extra_json_schema={"patternErrorMessage": "It must contain {repository}, as {repository}-history does."},
        ),
    ] = "{repository}"


class SignerEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key: a PEM file, or a line as ssh writes it."""

    key: (
        Annotated[
            str,
            Meta(
                title="a path",
                min_length=1,
                description="A PEM file with an ECDSA P-256 or Ed25519 public key, relative to this file.",
                examples=["keys/ci.pub"],
            ),
        ]
        | UnsetType
    ) = UNSET
    ssh: (
        Annotated[
            str,
            Meta(
                title="a public key of ssh",
                min_length=1,
                description="A public key as a .pub file of ssh has it.",
                examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…"],
            ),
        ]
        | UnsetType
    ) = UNSET


class NotifyEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told: a webhook or a command."""

    webhook: (
        Annotated[
            str,
            Meta(
                title="a URL",
                min_length=1,
                description="An address that the outcome is posted to as JSON.",
                examples=["https://hooks.example.com/promotions"],
                extra_json_schema={"format": "uri", "pattern": "^https?://"},
            ),
        ]
        | UnsetType
    ) = UNSET
    run: (
        Annotated[
            str,
            Meta(
                title="a command",
                min_length=1,
                description="A command, run without a shell.",
                examples=["./announce.sh"],
            ),
        ]
        | UnsetType
    ) = UNSET


Notification = Annotated[
    NotifyEntry,
    Meta(
        examples=[{"webhook": "https://hooks.example.com/promotions"}],
        extra_json_schema={"oneOf": [{"required": ["webhook"]}, {"required": ["run"]}]},
    ),
]
Images = Annotated[
    dict[ImageName, RepositoryPath | ImageEntry | None],
    Meta(
        description="The images, each as `name: repository` below `registry`, or `name: {repository: …}`; a name alone "
        "is its own repository.",
        examples=[{"frontend": "frontend", "backend": {"repository": "back_end"}}],
    ),
]


class Included(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that `include` names: it adds images."""

    images: Images


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """promotion.yaml: which images tagflow promotes, through which environments, under which rules."""

    version: Annotated[Literal[1], Meta(description="The version of this format.")]
    registry: Annotated[
        RegistryPrefix,
        Meta(
            description="The prefix of every image: HOST[:PORT][/NAMESPACE], or oci:DIR for OCI image layouts on disk, "
            "relative to this file."
        ),
    ]
    images: Images = {}
    tags: Annotated[TagsEntry, Meta(description="How tags are written.")] = TagsEntry()
    environments: Annotated[
        dict[EnvironmentName, EnvironmentEntry | None],
        Meta(
            min_length=1,
            description="The environments in order of promotion.",
            examples=[{"dev": {}, "prod": {"soak": "24h"}}],
        ),
    ]
    engine: Annotated[
        Literal["auto", "registry", "docker"],
        Meta(
            description="What moves images: the registry API, or the Docker daemon; auto takes the daemon for "
            "docker-daemon: sources only."
        ),
    ] = "auto"
    history: Annotated[HistoryEntry, Meta(description="Where the history is kept.")] = HistoryEntry()
    referrers: Annotated[
        Literal["copy", "ignore", "require"],
        Meta(description="Signatures, attestations and SBOMs when an image changes its repository."),
    ] = "copy"
    insecure_registries: Annotated[
        list[Annotated[str, Meta(title="a host", min_length=1, examples=["registry.internal:5000"])]],
        Meta(description="Hosts that may speak plain HTTP, beside loopback.", extra_json_schema=UNIQUE),
    ] = []
    create_repositories: Annotated[
        bool, Meta(description="Whether repositories that are missing are created (Amazon ECR).")
    ] = False
    signers: Annotated[
        dict[
            SignerName,
            Annotated[
                SignerEntry,
                Meta(
                    examples=[{"key": "keys/ci.pub"}],
                    extra_json_schema={"oneOf": [{"required": ["key"]}, {"required": ["ssh"]}]},
                ),
            ],
        ],
        Meta(
            description="Public keys and how they are called, for `signed_by` and `approvals`.",
            examples=[{"ci": {"key": "keys/ci.pub"}}],
        ),
    ] = {}
    notify: Annotated[list[Notification], Meta(description="Who is told after a promotion or rollback.")] = []
    include: Annotated[
        list[Annotated[str, Meta(title="a path", min_length=1, examples=["images/payments.yaml"])]],
        Meta(description="Files that add `images`, relative to this one.", extra_json_schema=UNIQUE),
    ] = []


ADDRESS = "https://raw.githubusercontent.com/tagflow/tagflow/main/schema/promotion.schema.json"
"""Where the schema is published, for editors."""


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as a JSON-ready mapping."""
    made = msgspec.json.schema(Document)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ADDRESS, "title": "promotion.yaml"}
    return head | made


def schema_json() -> str:
    """The schema as text, indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
