"""tagflow as a process of its own, started in milliseconds: one process imports everything, and forks a child a run.

It reads one request a line on standard input, ``{"argv", "cwd", "environ", "out", "err", "silence"}`` (``silence``: the
longest time in seconds that a registry may say nothing), and answers with the
child's process id and then, when it has ended, with its exit status (minus the signal that ended it).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from pkgutil import walk_packages
from typing import Any


def warm_up() -> None:
    """Import all of tagflow."""
    import tagflow

    for module in walk_packages(tagflow.__path__, "tagflow."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def _be_impatient(silence: float) -> None:
    """Let the registry client wait milliseconds where it would wait seconds, and runs for each other as little."""
    from tagflow import wiring
    from tagflow.context import Context, Timing
    from tagflow.stores.registry.http import pace
    from tagflow.stores.registry.http.pace import RetryPolicy

    quick = partial(pace.Settings, retry=RetryPolicy(first=0.001), silence=silence)
    pace.Settings = quick  # type: ignore[assignment,misc]
    hasty = partial(Context, timing=Timing(fence=2.0, skew=0.5, wait=3.0, poll=0.05))
    wiring.Context = hasty  # type: ignore[attr-defined,assignment]


def serve() -> None:
    """One child after another, until standard input ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(request: dict[str, Any]) -> None:
    status: Any = 1
    try:
        for descriptor, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        _be_impatient(request["silence"])
        faulthandler.enable()
        from tagflow.cli.main import main

        main(request["argv"])
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # noqa: BLE001 - a child never returns into the loop
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    warm_up()
    gc.collect()
    gc.freeze()
    serve()
