"""What stops tagflow at one exact change of a layout, as a proxy does before a registry.

``RACE_STOPS`` is a JSON list of :class:`Stop`: before or after the first change of a tag (a regular expression) of an
image it knocks at a port and waits there; then it goes on, or fails as a disk does that is full, or dies.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tagflow.errors import StoreError
from tagflow.stores.layout.store import LayoutStore
from tests.race.hold import knock

_CHANGES = {"put": 1, "create": 0, "move": 0, "untag": 0}
"""The changes of a layout, and which of their arguments is the tag."""


@dataclass
class Stop:
    """A point in the changes of a layout (``put``, ``create``, ``move``, ``untag``), and what happens there."""

    when: Literal["before", "after"]
    image: str
    tag: str
    port: str = ""
    then: Literal["go on", "fail", "die"] = "go on"
    change: str = ".*"
    skip: int = 0
    met: bool = False

    def strikes(self, when: str, change: str, image: str, tag: object) -> bool:
        """Whether this is the change, for the first time."""
        if self.met or self.when != when or image != self.image:
            return False
        if not re.fullmatch(self.change, change) or not re.fullmatch(self.tag, str(tag)):
            return False
        self.skip -= 1
        self.met = self.skip < 0
        return self.met

    def act(self) -> None:
        """What happens there."""
        if self.port:
            knock(self.port)
        if self.then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.then == "fail":
            raise StoreError("layout.unwritable", f"{self.tag}: cannot be written: no space left on device")


def told(*stops: Stop) -> dict[str, str]:
    """The environment that says so."""
    return {"RACE_STOPS": json.dumps([asdict(stop) for stop in stops])}


def install(environ: Mapping[str, str]) -> None:
    """Put what an environment asks for between tagflow and the layouts."""
    stops = [Stop(**it) for it in json.loads(environ.get("RACE_STOPS", "[]"))]
    if stops:
        for name, position in _CHANGES.items():
            _wrap(name, position, stops)


def _wrap(name: str, position: int, stops: list[Stop]) -> None:
    original = getattr(LayoutStore, name)

    def changed(store: LayoutStore, *given: Any, **named: Any) -> Any:
        tag = given[position] if len(given) > position else named.get("tag")
        image = store.repository.path.rpartition("/")[2]

        def stop(when: str) -> None:
            for it in stops:
                if it.strikes(when, name, image, tag):
                    it.act()

        stop("before")
        done = original(store, *given, **named)
        stop("after")
        return done

    setattr(LayoutStore, name, changed)
