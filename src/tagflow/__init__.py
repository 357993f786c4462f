"""tagflow promotes container images from environment to environment, bit for bit.

``from tagflow import Tagflow`` is the library; what it returns and raises is here too. Each name is imported when it is
asked for, so that the command line does not wait for what it does not use.
"""

TYPE_CHECKING = False  # as typing has it, without waiting for typing
if TYPE_CHECKING:
    from tagflow.api import Tagflow
    from tagflow.decide.finding import Finding
    from tagflow.domain.plan import GateResult, Move, Outcome, Plan, VersionChange
    from tagflow.domain.stats import Spread, Stats, Week
    from tagflow.errors import (
        Conflict,
        InternalError,
        Interrupted,
        NotFound,
        PartlyApplied,
        Refused,
        StoreError,
        TagflowError,
        UsageError,
    )
    from tagflow.pin.edit import Change
    from tagflow.stores.port import Check
    from tagflow.trust.approvals import Tally
    from tagflow.verbs.approve import Approved
    from tagflow.verbs.diff import Diff, Difference, Side
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.history import History, HistoryEntry
    from tagflow.verbs.past import Past
    from tagflow.verbs.pin import PinnedFile, Pinning
    from tagflow.verbs.pull import Pulled
    from tagflow.verbs.repair import Repaired
    from tagflow.verbs.running import Running
    from tagflow.verbs.status import Cell, Row
    from tagflow.verbs.versions import Next

__version__ = "0.1.0"

__all__ = [
    "Approved",
    "Cell",
    "Change",
    "Check",
    "Conflict",
    "Diagnosis",
    "Diff",
    "Difference",
    "Finding",
    "GateResult",
    "History",
    "HistoryEntry",
    "InternalError",
    "Interrupted",
    "Move",
    "Next",
    "NotFound",
    "Outcome",
    "PartlyApplied",
    "Past",
    "PinnedFile",
    "Pinning",
    "Plan",
    "Pulled",
    "Refused",
    "Repaired",
    "Row",
    "Running",
    "Side",
    "Spread",
    "Stats",
    "StoreError",
    "Tagflow",
    "TagflowError",
    "Tally",
    "UsageError",
    "VersionChange",
    "Week",
    "__version__",
]

_HOMES = {
    "tagflow.api": ("Tagflow",),
    "tagflow.domain.plan": ("GateResult", "Move", "Outcome", "Plan", "VersionChange"),
    "tagflow.errors": (
        "Conflict",
        "InternalError",
        "Interrupted",
        "NotFound",
        "PartlyApplied",
        "Refused",
        "StoreError",
        "TagflowError",
        "UsageError",
    ),
    "tagflow.verbs.approve": ("Approved",),
    "tagflow.verbs.doctor": ("Diagnosis",),
    "tagflow.verbs.history": ("History", "HistoryEntry"),
    "tagflow.domain.stats": ("Spread", "Stats", "Week"),
    "tagflow.verbs.diff": ("Diff", "Difference", "Side"),
    "tagflow.verbs.running": ("Running",),
    "tagflow.pin.edit": ("Change",),
    "tagflow.stores.port": ("Check",),
    "tagflow.trust.approvals": ("Tally",),
    "tagflow.verbs.past": ("Past",),
    "tagflow.verbs.pin": ("PinnedFile", "Pinning"),
    "tagflow.verbs.pull": ("Pulled",),
    "tagflow.verbs.repair": ("Repaired",),
    "tagflow.verbs.status": ("Cell", "Row"),
    "tagflow.decide.finding": ("Finding",),
    "tagflow.verbs.versions": ("Next",),
}
"""Where each public name lives."""


if not TYPE_CHECKING:  # a type checker knows the names, and should complain of others

    def __getattr__(name: str) -> object:
        """A public name, imported at its first use (PEP 562)."""
        from importlib import import_module

        for module, names in _HOMES.items():
            if name in names:
                found: object = getattr(import_module(module), name)
                globals()[name] = found
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
