"""The shape of an environment in promotion.yaml, and of the values that stand in it and beside it.

``title`` is what a value is called in a message, ``patternErrorMessage`` (which editors know too) says what to write
instead.
"""

from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from tagflow.domain.policy import CHANNELS, OVERRIDABLE, Line, Lines, Rule
from tagflow.domain.times import PATTERN as DURATION

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

EnvironmentName = Annotated[
    str,
    Meta(
        title="an environment name",
        pattern="^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=63,
        extra_json_schema={
            "not": {
                "pattern": "^(latest|(alpha|beta|rc|pre|preview|snapshot)[0-9]*|"
                "v?(0|[1-9][0-9]*)(-(?!0[0-9]+$)[0-9a-z-]+)?)$"
            },
            "patternErrorMessage": "Use lower-case letters and digits, parts joined by '-', as in pre-prod.",
        },
    ),
]
ImageName = Annotated[
    str,
    Meta(
        title="an image name",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$",
        max_length=128,
        extra_json_schema={
            "patternErrorMessage": "Begin with a letter or digit; then letters, digits, '.', '_' and '-', parts joined "
            "by '/'."
        },
    ),
]
RepositoryPath = Annotated[str, Meta(title="a repository", min_length=1, examples=["back_end", "team/frontend"])]
RegistryPrefix = Annotated[
    str,
    Meta(
        title="a registry",
        min_length=1,
        examples=["docker.io/acme", "ghcr.io/acme", "localhost:5000", "oci:./images"],
    ),
]
Duration = Annotated[
    str,
    Meta(
        title="a duration",
        pattern=DURATION,
        examples=["24h", "90m", "1h30m", "7d"],
        extra_json_schema={"patternErrorMessage": "Write a number and its unit, d, h, m or s: 45s, 90m, 1h30m, 7d."},
    ),
]
Platform = Annotated[
    str,
    Meta(
        title="a platform",
        pattern=r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$",
        examples=["linux/amd64", "linux/arm64", "linux/arm/v7"],
        extra_json_schema={"patternErrorMessage": "Write os/architecture or os/architecture/variant, as linux/amd64."},
    ),
]
Label = Annotated[str, Meta(title="a label", min_length=1, examples=["org.opencontainers.image.source"])]
Command = Annotated[str, Meta(title="a command", min_length=1, examples=["trivy image --exit-code 1 {reference}"])]
FloatingLine = Annotated[Line, Meta(title=f"one of latest, major, minor, or a pre-release word: {', '.join(CHANNELS)}")]
SignerName = Annotated[
    str,
    Meta(
        title="a signer's name",
        pattern="^[A-Za-z0-9][A-Za-z0-9._@-]*$",
        max_length=64,
        examples=["ci", "alice"],
        extra_json_schema={
            "patternErrorMessage": "Begin with a letter or digit; then letters, digits, '.', '_', '@' and '-'."
        },
    ),
]
UNIQUE = {"uniqueItems": True}
DAY = {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


class FreezeEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window in which nothing is promoted: weekdays, or from one day to another, both inclusive."""

    days: (
        Annotated[
            list[Day], Meta(description="Weekdays.", min_length=1, examples=[["fri", "sat"]], extra_json_schema=UNIQUE)
        ]
        | UnsetType
    ) = UNSET
    first: (
        Annotated[date, Meta(description="The first day.", examples=["2026-12-20"], extra_json_schema=DAY)] | UnsetType
    ) = field(name="from", default=UNSET)
    last: (
        Annotated[
            date, Meta(description="The last day, included whole.", examples=["2027-01-02"], extra_json_schema=DAY)
        ]
        | UnsetType
    ) = field(name="to", default=UNSET)
    timezone: Annotated[
        str,
        Meta(
            title="a time zone",
            min_length=1,
            description="Where the days begin and end: a name of the IANA time zone database. Default: UTC.",
            examples=["Europe/Berlin", "UTC"],
        ),
    ] = "UTC"


Window = Annotated[
    FreezeEntry,
    Meta(
        examples=[{"days": ["sat", "sun"], "timezone": "Europe/Berlin"}],
        extra_json_schema={
            "oneOf": [
                {"required": ["days"], "not": {"anyOf": [{"required": ["from"]}, {"required": ["to"]}]}},
                {"required": ["from", "to"], "not": {"required": ["days"]}},
            ]
        },
    ),
]


class GateEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that must succeed before an image may enter."""

    name: Annotated[str, Meta(title="a name", min_length=1, max_length=64, description="How the gate is called.")]
    run: Annotated[
        Command,
        Meta(
            description="Run once for each image, without a shell, after {reference}, {digest}, {image}, {version} and "
            "{environment} are filled in; exit status 0 means yes."
        ),
    ]
    timeout: Annotated[Duration, Meta(description="When the command is stopped and the gate has failed.")] = "5m"


class ApprovalEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of whom must approve a saved plan."""

    need: Annotated[
        int,
        Meta(
            title="a whole number", ge=1, le=100, description="How many different keys must have signed.", examples=[2]
        ),
    ]
    of: Annotated[
        list[SignerName],
        Meta(
            min_length=1,
            description="The signers who may.",
            examples=[["alice", "bob", "carol"]],
            extra_json_schema=UNIQUE,
        ),
    ]


class EnvironmentEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment."""

    sources: (
        Annotated[
            list[EnvironmentName],
            Meta(
                min_length=1,
                description="Environments above this one that an image must have been admitted to, any one of them. "
                "Default: the environment above. The first environment has none.",
                examples=[["staging"]],
                extra_json_schema=UNIQUE,
            ),
        ]
        | UnsetType
    ) = field(name="from", default=UNSET)
    registry: (
        Annotated[
            RegistryPrefix,
            Meta(description="Where this environment's tags and images live. Default: `registry` of the policy."),
        ]
        | UnsetType
    ) = UNSET
    prereleases: Annotated[
        Literal["allow", "deny"], Meta(description="Whether versions like v1.2.0-rc.1 may enter.")
    ] = "allow"
    downgrades: (
        Annotated[
            Literal["allow", "deny"],
            Meta(
                description="Whether a lower version than the one that runs here may enter. Default: allow in the "
                "first environment, deny in the others."
            ),
        ]
        | UnsetType
    ) = UNSET
    soak: (
        Annotated[
            Duration,
            Meta(description="How long the image must have stayed in a `from` environment without a break."),
        ]
        | UnsetType
    ) = UNSET
    freeze: Annotated[
        list[Window], Meta(description="Windows in which nothing is promoted here; rollback is always possible.")
    ] = []
    platforms: Annotated[
        list[Platform],
        Meta(
            description="Platforms that must all be present.",
            examples=[["linux/amd64", "linux/arm64"]],
            extra_json_schema=UNIQUE,
        ),
    ] = []
    labels: Annotated[
        list[Label],
        Meta(
            description="Labels that must all be set.",
            examples=[["org.opencontainers.image.source"]],
            extra_json_schema=UNIQUE,
        ),
    ] = []
    gates: Annotated[
        list[GateEntry], Meta(description="Commands that must all succeed before an image may enter.")
    ] = []
    floating: Annotated[
        list[FloatingLine],
        Meta(
            description="Floating tags that follow this environment: latest, major (v1), minor (v1.2), or a "
            "pre-release word: beta is the highest beta, or a newer release.",
            examples=[["latest", "major"], ["latest", "beta"]],
            extra_json_schema=UNIQUE,
        ),
    ] = []
    overrides: Annotated[
        list[Rule],
        Meta(
            description="Rules that `--override` may set aside here; [] for none.",
            examples=[["hold", "freeze"]],
            extra_json_schema=UNIQUE,
        ),
    ] = field(default_factory=lambda: list(OVERRIDABLE))
    lines: Annotated[
        Lines,
        Meta(
            description="Whether a version lower than the one that runs here, but the highest of its own line (v1 or "
            "v1.2), is admitted beside it, while the environment stays."
        ),
    ] = "none"
    signed_by: (
        Annotated[
            list[SignerName],
            Meta(
                min_length=1,
                description="Signers who may sign the records of this environment; others do not count.",
                examples=[["ci", "alice"]],
                extra_json_schema=UNIQUE,
            ),
        ]
        | UnsetType
    ) = UNSET
    approvals: Annotated[
        list[
            Annotated[
                ApprovalEntry,
                Meta(examples=[{"need": 2, "of": ["alice", "bob", "carol"]}]),
            ]
        ],
        Meta(description="Who must approve a saved plan before it is applied here; each entry must be met."),
    ] = []
    approvals_expire: (
        Annotated[Duration, Meta(description="How long an approval is good. Default: for ever.")] | UnsetType
    ) = UNSET
