"""What a record's signature proves: a value that goes along with the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["unsigned", "forged", "unknown_signer"]


@dataclass(frozen=True)
class Proof:
    """What a record's signature proves. ``fault`` is empty where it is signed by one of those who may; ``signer`` the
    name whose key made it, where the policy has one; ``why`` says what is wrong, as the end of a sentence that begins
    with the record."""

    fault: Fault | Literal[""] = ""
    signer: str = ""
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is signed by one of those who may."""
        return not self.fault

    @property
    def told(self) -> str:
        """By whom a record that counts is signed, in words. One of a key that may not sign any more counts where a
        record above it does."""
        if self.good:
            return f"signed by {self.signer}"
        if self.fault == "unsigned":
            return "not signed"
        return f"signed by {self.signer}, who may not sign now" if self.signer else "signed by a key of nobody here"
