"""tagflow promotes container images from environment to environment, bit for bit.

``from tagflow import Tagflow`` is the library; what it returns and raises is here too. Each name is imported when it is
asked for, so that the command line does not wait for what it does not use.
"""

TYPE_CHECKING = False  # as typing has it, without waiting for typing
if TYPE_CHECKING:
    from tagflow.api import Tagflow
    from tagflow.domain.plan import Move, Plan
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
    from tagflow.flows.decision import GateResult, Outcome
    from tagflow.flows.doctor import Diagnosis
    from tagflow.flows.history import Chronicle
    from tagflow.flows.pull import Pulled
    from tagflow.flows.repair import Repaired
    from tagflow.flows.status import Cell, Row
    from tagflow.flows.verify import Finding
    from tagflow.flows.versions import Next

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "Chronicle",
    "Conflict",
    "Diagnosis",
    "Finding",
    "GateResult",
    "InternalError",
    "Interrupted",
    "Move",
    "Next",
    "NotFound",
    "Outcome",
    "PartlyApplied",
    "Plan",
    "Pulled",
    "Refused",
    "Repaired",
    "Row",
    "StoreError",
    "Tagflow",
    "TagflowError",
    "UsageError",
    "__version__",
]

_HOMES = {
    "tagflow.api": ("Tagflow",),
    "tagflow.domain.plan": ("Move", "Plan"),
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
    "tagflow.flows.decision": ("GateResult", "Outcome"),
    "tagflow.flows.doctor": ("Diagnosis",),
    "tagflow.flows.history": ("Chronicle",),
    "tagflow.flows.pull": ("Pulled",),
    "tagflow.flows.repair": ("Repaired",),
    "tagflow.flows.status": ("Cell", "Row"),
    "tagflow.flows.verify": ("Finding",),
    "tagflow.flows.versions": ("Next",),
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
