"""The commands: thin. Each reads its arguments, runs one verb, and shows the result.

A new command is a function under :func:`tagflow.cli.app.command` in a module of this folder, and a line here.
"""

COMMANDS = {
    "init": "policy",
    "tags": "policy",
    "next": "policy",
    "push": "releases",
    "promote": "releases",
    "rollback": "releases",
    "apply": "releases",
    "approve": "releases",
    "hold": "releases",
    "freeze": "releases",
    "status": "looks",
    "history": "looks",
    "verify": "looks",
    "diff": "deployments",
    "pin": "deployments",
    "stats": "deployments",
    "pull": "policy",
    "doctor": "policy",
    "schema": "policy",
}
"""Each command, in the order of `--help`, and its module: only the module of the command that is named is imported."""

RELEASES = ("push", "promote", "rollback", "apply")
"""Those that move tags, which a CI system sums up."""
