"""Arguments and options that several commands take, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagflow.cli.completion import words

EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=words.environments)
]
VersionText = Annotated[
    str, typer.Argument(metavar="VERSION", help="As v1.0, 1.2.3 or 1.2.0-rc.1.", autocompletion=words.versions)
]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these images.", autocompletion=words.images)
]
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET…", help="VERSION (all images), NAME, or NAME=VERSION.", autocompletion=words.targets
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and exit as it would.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SavePlan = Annotated[
    Path | None, typer.Option("--save-plan", metavar="FILE", help="Save the plan for `apply`; change nothing.")
]
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="DURATION",
        help="Wait so long for another release that is under way, and decide anew; default 0.",
    ),
]
Receipt = Annotated[
    Path | None,
    typer.Option("--receipt", metavar="FILE", help="Write the heads that this leaves, for `verify --expect`."),
]
NeededReason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded. Needed.")]
Lift = Annotated[bool, typer.Option("--lift", help="End it.")]
