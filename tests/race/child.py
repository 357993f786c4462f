"""tagflow as a process that stops at one exact change of a layout: `python -m tests.race.child ARGUMENTS`.

``RACE_HOLD`` is ``WHEN IMAGE TAG PORT``: before or after the first change of a tag (a regular expression) of an image,
it knocks at the port and waits there. ``RACE_DIE``: the same, and it dies there instead.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tagflow.stores.layout.store import LayoutStore
from tests.race.hold import knock


def install() -> None:
    """Put what the environment asks for between tagflow and the layouts."""
    for variable, act in (("RACE_HOLD", knock), ("RACE_DIE", lambda _port: os.kill(os.getpid(), signal.SIGKILL))):
        if variable in os.environ:
            when, image, tag, port = os.environ[variable].split(" ")
            _wrap(_Stop(when, image, re.compile(tag), partial(act, port)))


class _Stop:
    def __init__(self, when: str, image: str, tag: re.Pattern[str], act: Callable[[], object]) -> None:
        self.when, self.image, self.tag, self.act = when, image, tag, act
        self.met = False

    def is_met(self, store: LayoutStore, tag: object) -> bool:
        """Whether this is the change, for the first time."""
        if self.met or not isinstance(tag, str) or store.repository.path.rpartition("/")[2] != self.image:
            return False
        self.met = self.tag.fullmatch(tag) is not None
        return self.met


def _wrap(stop: _Stop) -> None:
    for name, position in (("put", 1), ("create", 0), ("move", 0)):
        original = getattr(LayoutStore, name)

        def changed(
            store: LayoutStore, *given: Any, _original: Any = original, _position: int = position, **named: Any
        ) -> Any:
            tag = given[_position] if len(given) > _position else named.get("tag")
            met = stop.is_met(store, tag)
            if met and stop.when == "before":
                stop.act()
            done = _original(store, *given, **named)
            if met and stop.when == "after":
                stop.act()
            return done

        setattr(LayoutStore, name, changed)


if __name__ == "__main__":
    install()
    from tagflow.cli.main import main

    main(sys.argv[1:])
